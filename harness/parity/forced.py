"""Run the port with every module fed with the reference's inputs, and its output replaced by the reference's.

No error is inherited then: what a module computes wrong is its own fault, and so is what it hands to another wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from harness.adapters.protocols import FORWARD, NOTHING, Call, Leaves, Mode, State
from harness.parity.calls import FILLED, CallPair, Calls, Leaf, allowed, filled, is_mask, same_array
from harness.parity.compare import Array
from harness.parity.floor import EXACT, largest
from harness.parity.judge import Mask, mask_for


@dataclass(slots=True)
class Runner:
    """Runs a side in its mode, and counts. gradients: those of the parameters, from the last run backwards."""

    sides: Sequence[Any]
    inputs: Mapping[str, Any]
    states: tuple[State, State]
    modes: tuple[Mode, Mode] = (FORWARD, FORWARD)
    count: int = 0
    gradients: Mapping[str, Array] = field(default_factory=dict)

    @property
    def backwards(self) -> bool:
        """Whether what is run are gradients."""
        return self.modes[0].cotangents is not None

    def __call__(
        self,
        side: int,
        feed: Mapping[str, Leaves] = NOTHING,
        graft: Mapping[str, Leaves] = NOTHING,
        *,
        state: State | None = None,
    ) -> dict[str, Call]:
        """Every call by name, in the order in which they ended."""
        self.count += 1
        found: dict[str, Call] = {}
        self.gradients = self.sides[side].replay(
            self.inputs,
            lambda call: found.__setitem__(call.name, call),
            feed=feed,
            graft=graft,
            state=state or self.states[side],
            mode=self.modes[side],
        )
        return found


@dataclass(frozen=True, slots=True)
class Apart:
    """How far two arrays are apart, and where most."""

    error: float
    scale: float
    worst: tuple[int, ...]
    reference: float
    port: float

    @property
    def relative(self) -> float:
        return self.error / self.scale if self.scale else self.error


@dataclass(frozen=True, slots=True)
class View:
    """The runs of both sides as they are, and of the port on the reference's activations.

    least: a scale below which nothing is told apart. resized: whether another size is a fault. gradients: those of
    the port's parameters in that last run.
    """

    reference: Calls
    port: Calls
    fed: Calls
    pairs: Mapping[str, CallPair]
    masks: Mask
    feed: Mapping[str, Leaves]
    graft: Mapping[str, Leaves]
    least: float = 0.0
    resized: bool = True
    gradients: Mapping[str, Array] = field(default_factory=dict)

    @property
    def outputs_agree(self) -> bool:
        """Whether both sides put out the same as they are, in float64."""
        return self.worst(self.reference[""].outputs, self.port[""].outputs, self.pairs[""].outputs) is None

    def own(self, name: str) -> tuple[Leaf, Apart] | None:
        """What the port's call puts out on right inputs, where that is wrong."""
        pair = self.pairs[name]
        if name not in self.fed:
            return None
        return self.worst(self.reference[pair.name].outputs, self.fed[name].outputs, pair.outputs)

    def handed(self, name: str) -> tuple[Leaf, Apart] | None:
        """What the port's call is given by a caller that has right inputs, where that is wrong."""
        pair = self.pairs[name]
        if name not in self.fed or not name:
            return None
        return self.worst(self.reference[pair.name].inputs, self.fed[name].inputs, pair.inputs)

    def is_activation(self, name: str, leaf: Leaf) -> bool:
        """Whether an input is what another module computed from the data: an error of it has an effect."""
        array = self.fed[name].inputs.get(leaf.port)
        return not leaf.is_mask and isinstance(array, np.ndarray) and array.dtype.kind == "f"

    def worst(self, ours: Leaves, theirs: Leaves, leaves: Sequence[Leaf]) -> tuple[Leaf, Apart] | None:
        found = []
        for leaf in leaves:
            right, got = ours.get(leaf.reference), theirs.get(leaf.port)
            if isinstance(right, np.ndarray) and isinstance(got, np.ndarray):
                if not self.resized and right.size != got.size:
                    continue
                right = leaf.bring(right)
                if leaf.is_mask:
                    right, got = allowed(right), allowed(got)
                apart = distance(right, got, {} if leaf.is_mask else self.masks)
                if apart.error > EXACT * max(apart.scale, self.least):
                    found.append((leaf, apart))
        return max(found, key=lambda each: each[1].relative, default=None)

    def maker(self, array: Any, within: str | None = None) -> str:
        """The reference's module, unknown in the port, that made an array; empty if there is none.

        within: the call that puts it out, if that is what is wrong: neither it nor one around it is asked.
        It is the innermost whose own inputs are known in the port: what is wrong in those, it would inherit.
        """

        def has(leaves: Leaves) -> bool:
            return any(each is array or same_array(each, array) for each in leaves.values())

        # One that only hands on what it is given, such as dropout in inference, made nothing.
        calls = [call for call in self.reference.values() if within is None or call.name in self._inside(within)]
        makers = [call.name for call in calls if has(call.outputs) and not has(call.inputs)]
        known = {pair.name for pair in self.pairs.values()}
        if not makers or makers[-1] in known:
            return ""
        at = next(name for place, name in enumerate(makers) if not known.intersection(makers[place:]))
        while at not in known and not self._is_given_known(self.reference[at], known):
            at = self.reference[at].caller
        return "" if at in known else at

    def _inside(self, name: str) -> set[str]:
        """The reference's calls inside another."""
        found = {name}
        for call in reversed(list(self.reference.values())):  # those around others end after them
            if call.name and call.caller in found:
                found.add(call.name)
        return found - {name}

    def _is_given_known(self, call: Call, known: set[str]) -> bool:
        """Whether every activation that it is given is put out by a known call, or given to the known one around it, or
        made in that one's own code from what only known calls put out.
        """
        around = call.caller
        while around not in known:
            around = self.reference[around].caller
        right = [self.reference[around].inputs, *(self.reference[name].outputs for name in known if name != around)]
        before = list(self.reference.values())
        before = before[: [each.name for each in before].index(call.name)]
        plain = call.caller == around and all(each.name in known for each in before if each.caller == around)

        def among(array: Array, sources: Sequence[Leaves]) -> bool:
            return any(same_array(array, each) for leaves in sources for each in leaves.values())

        return all(
            among(array, right) or (plain and not among(array, [each.outputs for each in before]))
            for leaf, array in call.inputs.items()
            if isinstance(array, np.ndarray) and array.dtype.kind == "f" and not is_mask(leaf, array)
        )

    def port_path(self, path: str) -> str:
        """The path of the port's module for one of the reference's; empty if there is none."""
        return next((name.split("#")[0] for name, pair in self.pairs.items() if pair.name == path), "")

    def caller(self, name: str) -> str:
        """The port's call inside which `name` happened, or the nearest around it that corresponds to one."""
        at = self.fed[name].caller
        while at and at not in self.pairs:
            at = self.fed[at].caller if at in self.fed else ""
        return at


def forced(run: Runner, reference: Calls, port: Calls, pairs: Mapping[str, CallPair], masks: Mask) -> View:
    """The runs of both sides as they are, and the port's on the reference's activations."""
    resized = not run.modes[1].chunks  # what has a cache may have the length of the whole
    feed, graft = _plan(reference, port, pairs, resized=resized)
    try:
        fed = run(1, feed, graft)
    except Exception:  # an input of another form was taken for the same one: what is handed on is right all the same
        feed = {}
        fed = run(1, feed, graft)
    return View(reference, port, fed, pairs, masks, feed, graft, _least(run, reference), resized, run.gradients)


def _least(run: Runner, reference: Calls) -> float:
    """Where gradients cancel, as those of a bias before a softmax, what is left is rounding of the others."""
    if not run.backwards:
        return 0.0
    every = (leaf for call in reference.values() for leaf in [*call.inputs.values(), *call.outputs.values()])
    return CANCELLED * max((largest(leaf) for leaf in every if isinstance(leaf, np.ndarray)), default=0.0)


CANCELLED = 1e-6
"""Times the largest gradient anywhere: sums of a million terms of that size cancel to 1e-10 of it in float64."""


def _plan(
    reference: Calls, port: Calls, pairs: Mapping[str, CallPair], *, resized: bool
) -> tuple[dict[str, Leaves], dict[str, Leaves]]:
    """What every call of the port is to compute with, and to hand on: the reference's.

    resized: also what has another size in the port.
    """
    feed: dict[str, Leaves] = {}
    graft: dict[str, Leaves] = {}
    for name, pair in pairs.items():
        ours, theirs = reference[pair.name], port[name]
        if not name:
            continue
        feed[name] = {
            leaf.port: leaf.bring(ours.inputs[leaf.reference]).astype(theirs.inputs[leaf.port].dtype, copy=False)
            for leaf in pair.inputs
            if leaf.reference in ours.inputs and leaf.port in theirs.inputs
            if resized or np.size(ours.inputs[leaf.reference]) == np.size(theirs.inputs[leaf.port])
        }
        graft[name] = {
            leaf.port: leaf.bring(ours.outputs[leaf.reference])
            for leaf in pair.outputs
            if leaf.reference in ours.outputs
            if resized or np.size(ours.outputs[leaf.reference]) == np.size(theirs.outputs.get(leaf.port, ()))
        }
    return feed, graft


def as_they_are(leaves: Sequence[Leaf]) -> tuple[Leaf, ...]:
    """The port's leaves, to compare two runs of the port."""
    return tuple(Leaf(leaf.port, leaf.port, lambda array: array, is_mask=leaf.is_mask) for leaf in leaves)


def distance(reference: Array, port: Array, masks: Mask) -> Apart:
    """How far the port's array is from the reference's, at valid positions."""
    if reference.shape != port.shape:
        return Apart(float("inf"), 1.0, (), float("nan"), float("nan"))
    if np.array_equal(reference, port):  # most are, and no other way to see that is as fast
        return Apart(0.0, 0.0, (), 0.0, 0.0)
    ours, theirs = reference, port
    chosen = valid_in(reference, masks)
    if ours.dtype.kind in "biu" or theirs.dtype.kind in "biu":
        apart = np.where(chosen, np.abs(ours.astype(np.float64) - theirs.astype(np.float64)), 0.0)
    elif _all_numbers(ours) and _all_numbers(theirs):  # nearly always, and cheaper
        apart = np.where(chosen, np.abs(ours - theirs), 0.0)
    else:
        ours, theirs = filled(ours), filled(theirs)
        both = np.isfinite(ours) & np.isfinite(theirs)
        apart = np.abs(np.where(both, ours, 0) - np.where(both, theirs, 0))
        same = both | (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
        apart = np.where(chosen, np.where(same, apart, np.inf), 0.0)
    if not apart.size:
        return Apart(0.0, 0.0, (), 0.0, 0.0)
    worst = np.unravel_index(int(np.argmax(apart)), apart.shape)
    scale = largest(np.where(chosen, ours, 0).astype(np.float64, copy=False))
    index = tuple(int(each) for each in worst)
    return Apart(float(apart[worst]), scale, index, float(ours[worst]), float(theirs[worst]))


def _all_numbers(array: Array) -> bool:
    """Whether every element is a number, and none stands for infinity."""
    return bool(np.min(array, initial=0.0) > -FILLED and np.max(array, initial=0.0) < FILLED)  # false for NaN


def valid_in(array: Array, masks: Mask) -> Array:
    """Where an array (batch, tokens, ...) or (batch, heads, tokens, ...) is at a valid position."""
    mask = mask_for("", array, masks)
    if mask is None and array.ndim >= 4:
        rows = [_rows(each, array.shape) for each in masks.values()]
        mask = next((each for each in rows if each is not None), None)
    if mask is None:
        return np.broadcast_to(np.True_, array.shape)
    return np.broadcast_to(mask.reshape(mask.shape + (1,) * (array.ndim - mask.ndim)), array.shape)


def _rows(mask: Array, shape: tuple[int, ...]) -> Array | None:
    """The mask for an array of (batch, heads, tokens, ...) or for attention over pairs of tokens."""
    batch, tokens = mask.shape
    if shape[0] == batch and len(shape) == 4 and shape[2] == tokens:
        return np.broadcast_to(np.asarray(mask, bool)[:, None, :], (batch, shape[1], tokens))
    return None
