"""A planted fault: which arrays of a run of the port it replaces, and by what."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from harness.adapters.protocols import Call, Replays, Runs, State, UnsupportedError
from harness.parity.compare import Array
from harness.parity.floor import EXACT, largest
from harness.parity.forced import valid_in
from harness.parity.judge import Mask
from harness.parity.witness import weights_of


@dataclass(frozen=True, slots=True)
class Watched:
    """A run of the port in float64 as it is.

    outputs: by name. islands: where it computed in a shorter type all the same. places: output name -> the leaf of the
    model's own call that holds it. calls: empty where nobody sees inside. weights: what it holds in this run. masks:
    the inputs that mark valid positions. accepts: the inputs that the port takes. settings: what it says of itself.
    """

    inputs: Mapping[str, Any]
    outputs: Mapping[str, Array]
    islands: tuple[str, ...] = ()
    places: Mapping[str, str] = field(default_factory=dict)
    calls: Mapping[str, Call] = field(default_factory=dict)
    weights: Mapping[str, Array] = field(default_factory=dict)
    masks: Mask = field(default_factory=dict)
    accepts: frozenset[str] = frozenset()
    settings: Mapping[str, Any] = field(default_factory=dict)

    def inside(self, name: str) -> dict[str, Call]:
        """The calls that happened directly inside a call."""
        return {call.name: call for call in self.calls.values() if call.caller == name and call.name != name}

    def own(self, name: str) -> dict[str, Array]:
        """The weights of a call's module, by name without its path."""
        path = path_of(name)
        start = f"{path}." if path else ""
        found = {n[len(start) :]: a for n, a in self.weights.items() if n.startswith(start)}
        return {n: np.asarray(a, np.float64) for n, a in found.items() if "." not in n}


@dataclass(frozen=True, slots=True)
class Site:
    """Where a fault is planted: in what a call puts out, or (`given`) in what it is given; "" is the model itself."""

    call: str
    leaf: str = ""
    given: bool = False

    def of(self, watched: Watched) -> Array | None:
        """What stands there in a run as it is."""
        if not self.call and self.given:
            value = watched.inputs.get(self.leaf)
            return None if value is None else np.asarray(value)
        call = watched.calls.get(self.call)
        if call is None:
            return None
        value = (call.inputs if self.given else call.outputs).get(self.leaf)
        return value if isinstance(value, np.ndarray) else None


Planted = Mapping[Site, Array]
"""What stands at each place instead."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A cause of the catalogue at one place of the port.

    cause: its name. detail: what the port would have. path: the port's module, empty for the model itself.
    plant: from a run as it is, on any inputs and weights, what stands where instead; nothing where it cannot be made.
    unseen: why nothing is changed, where nothing is; empty if it is then no fault at all.
    """

    cause: str
    detail: str
    path: str
    plant: Callable[[Watched], Planted]
    unseen: str = ""


Made = Callable[[Watched, str], Array | None]
"""What a call puts out, or is given, as a model of it has it; None where the model does not fit."""


def replaced(site: Site, made: Made) -> Callable[[Watched], Planted]:
    """Plants what `made` gives, in every call of the site's module."""

    def plant(watched: Watched) -> Planted:
        return {at: array for at in _again(watched, site) if (array := made(watched, at.call)) is not None}

    return plant


def once(site: Site, made: Callable[[Watched], Array | None]) -> Callable[[Watched], Planted]:
    """Plants what `made` gives at this place alone."""

    def plant(watched: Watched) -> Planted:
        array = made(watched)
        return {} if array is None else {site: array}

    return plant


def shifted(site: Site, right: Made, wrong: Made) -> Callable[[Watched], Planted]:
    """Plants what stands there plus the difference of two models of it, so that what a model rounds is no fault."""

    def made(watched: Watched, name: str) -> Array | None:
        now = replace(site, call=name).of(watched)
        ours, theirs = right(watched, name), wrong(watched, name)
        if now is None or ours is None or theirs is None or ours.shape != now.shape or theirs.shape != now.shape:
            return None
        with np.errstate(invalid="ignore"):
            moved: Array = now + (theirs - ours)
        return moved

    return replaced(site, made)


def _again(watched: Watched, site: Site) -> Iterator[Site]:
    """The same place in every call of its module."""
    if not site.call:
        yield site
        return
    for name in watched.calls:
        if path_of(name) == path_of(site.call):
            yield replace(site, call=name)


def path_of(name: str) -> str:
    """The module's path of a call's name."""
    return name.partition("#")[0]


def watch(side: Runs, inputs: Mapping[str, Any], state: State, masks: Mask, *, like: Watched | None = None) -> Watched:
    """The run of the port as it is; without calls, if nobody sees inside. like: another run of it, to be fast.

    Raises:
        UnsupportedError: an output of the model is none of its own call, so that a fault inside would not show in it.
    """
    accepts = getattr(side, "accepts", frozenset)() or frozenset(inputs)
    settings: Mapping[str, Any] = getattr(side, "settings", dict)()
    calls: dict[str, Call] = {}
    if isinstance(side, Replays):
        try:
            side.replay(inputs, lambda call: calls.__setitem__(call.name, call), state=state)
        except UnsupportedError:
            calls = {}
    whole = calls.get("")
    if like is not None and whole is not None and set(like.places.values()) <= whole.outputs.keys():
        outputs: Mapping[str, Array] = {name: whole.outputs[leaf] for name, leaf in like.places.items()}
        islands, places = like.islands, like.places
    else:
        run = side.run_wide(inputs, state=state)
        outputs, islands = run.outputs, run.islands
        places = _places(outputs, whole) if whole is not None else {}
    return Watched(inputs, outputs, islands, places, calls, weights_of(side, state), masks, accepts, settings)


def _places(outputs: Mapping[str, Array], call: Call) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, array in outputs.items():
        for leaf, other in call.outputs.items():
            if leaf not in found.values() and array.shape == other.shape and _same(array, other):
                found[name] = leaf
                break
        else:
            raise UnsupportedError(f"the output {name!r} is not what the model's own call puts out")
    return found


def _same(one: Array, other: Array) -> bool:
    if one.dtype.kind in "biu":
        return bool(np.array_equal(one, other))
    return np.allclose(one, other, rtol=0, atol=EXACT * max(largest(one), 1e-300), equal_nan=True)


def chosen(watched: Watched, planted: Planted) -> tuple[bool, bool]:
    """Whether the fault changes anything, and whether it does at a position that counts."""
    anywhere = valid = False
    for site, array in planted.items():
        now = site.of(watched)
        if now is None:
            continue
        if now.shape != array.shape:
            return True, True
        apart = _apart(now, array)
        scale = largest(now.astype(np.float64))
        differs = ~(apart <= EXACT * scale)
        anywhere |= bool(differs.any())
        valid |= bool((differs & valid_in(now, watched.masks)).any())
    return anywhere, valid


def _apart(one: Array, other: Array) -> Array:
    one, other = one.astype(np.float64), other.astype(np.float64)
    with np.errstate(invalid="ignore"):
        apart: Array = np.where(one == other, 0.0, np.abs(one - other))
    return apart


def run_with(side: Runs, watched: Watched, planted: Planted, state: State) -> Mapping[str, Array]:
    """The outputs of the port with the fault in it, by name."""
    inputs = dict(watched.inputs)
    feed: dict[str, dict[str, Array]] = {}
    graft: dict[str, dict[str, Array]] = {}
    whole: dict[str, Array] = {}
    for site, array in planted.items():
        if site.call:
            (feed if site.given else graft).setdefault(site.call, {})[site.leaf] = array
        elif site.given:
            inputs[site.leaf] = array
        else:
            whole[site.leaf] = array
    if whole:
        return {name: whole.get(watched.places[name], array) for name, array in watched.outputs.items()}
    kept: list[Call] = []
    with np.errstate(all="ignore"):  # what a fault makes may be no number any more
        if not feed and not graft:
            return side.run_wide(inputs, state=state).outputs
        assert isinstance(side, Replays)
        side.replay(inputs, lambda call: None if call.name else kept.append(call), feed=feed, graft=graft, state=state)
    outputs = kept[-1].outputs
    return {name: outputs[leaf] for name, leaf in watched.places.items() if leaf in outputs}


def spread(faults: Sequence[Fault], places: int) -> list[Fault]:
    """Of each cause and detail so many as `places`: the first, the last, and others between."""
    groups: dict[tuple[str, str], list[Fault]] = {}
    for fault in faults:
        groups.setdefault((fault.cause, fault.detail), []).append(fault)
    kept: list[Fault] = []
    for group in groups.values():
        at = np.unique(np.linspace(0, len(group) - 1, min(places, len(group))).round().astype(int))
        kept += [group[each] for each in at]
    return kept
