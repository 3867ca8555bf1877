"""Which tap of the port is which of the reference: by what both put out on the same inputs with the same weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from harness.adapters.protocols import Array, Call, Replays, Runs, State, UnsupportedError
from harness.parity.floor import largest
from harness.parity.layout import is_neutral, layout
from harness.parity.naming import parents
from harness.parity.weights import split_name
from harness.porting.guess import Guess, Guesses, Side
from harness.porting.outline import plain
from harness.porting.patterns import Line

CLOSE = 1e-6
"""Of the largest value: float64 leaves 1e-12 between equal computations, and float32 tables inside 1e-7."""


@dataclass(frozen=True, slots=True)
class Taps:
    """The pairs of taps, and the taps of either side that have none.

    axes: reference's tap -> the order of its axes in the port, where that is another.
    """

    lines: tuple[Line, ...]
    axes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    only_reference: tuple[str, ...] = ()
    only_port: tuple[str, ...] = ()


def taps_of(
    side: Runs, inputs: Mapping[str, Any], values: Mapping[str, Array] | None = None, *, kinds: dict[str, str]
) -> dict[str, Array]:
    """What every module puts out in float64, under the names of taps; nothing of a side whose modules nobody sees.

    values: what the weights hold instead of what is stored. kinds: is given the class of each tap's module.
    """
    found: dict[str, Array] = {}

    def meet(call: Call) -> None:
        path, mark, number = call.name.partition("#")
        for inner, array in call.outputs.items():
            if path:
                name = f"{path}{inner}{mark}{number}"
                found[name], kinds[name] = array, call.kind

    if isinstance(side, Replays):
        try:
            side.replay(inputs, meet, state=State(values or {}))
        except UnsupportedError:
            return {}
    return found


def pair_taps(ours: Mapping[str, Array], theirs: Mapping[str, Array], guesses: Guesses) -> Taps:
    """The pairs of taps: certain where their values are equal, else as weights, structure and shape suggest.

    Names that both sides have, with one shape, are a pair without a word.
    """
    search = _Search(ours, theirs)
    for name, array in ours.items():
        if name in theirs and theirs[name].shape == array.shape:
            search.take(name, name, "equal name and shape")
    homes = _homes(guesses)
    for name in search.left_reference:
        target = _renamed(name, homes)
        if target in search.left_port:
            search.take(name, target, "holds the same weights")
    containers = parents(list(search.pairs.items()))
    for name in search.left_reference:
        target = _renamed(name, containers)
        if target in search.left_port and ours[name].shape == theirs[target].shape:
            search.take(name, target, "its parts are the other's parts")
    for name in search.left_reference:
        alike = [target for target in search.left_port if search.equal(name, target)]
        if len(alike) == 1:
            search.take(name, alike[0], "")
    for name in search.left_reference:
        fitting = [target for target in search.left_port if theirs[target].shape == ours[name].shape]
        rivals = [other for other in search.left_reference if ours[other].shape == ours[name].shape]
        if len(fitting) == len(rivals) == 1:
            search.take(name, fitting[0], "only shape: the only one left of its shape")
    return Taps(tuple(search.lines), search.axes, tuple(search.left_reference), tuple(search.left_port))


def equal_outputs(sides: tuple[Runs, Runs], inputs: Mapping[str, Any], values: Mapping[str, Array]) -> bool:
    """Whether both sides put out equal values in float64, the port with these weights, output by output in order."""
    try:
        ours, theirs = sides[0].run_wide(inputs), sides[1].run_wide(inputs, state=State(values))
    except Exception:  # what a model cannot do in float64 is said by the run of the case
        return False
    pairs = list(zip(ours.outputs.values(), theirs.outputs.values(), strict=False))
    same = len(ours.outputs) == len(theirs.outputs) > 0
    return same and all(one.shape == other.shape and _close(one, other) for one, other in pairs)


def confirmed(guesses: Guesses, taps: Taps, reference: Side, *, outputs: bool) -> Guesses:
    """The guesses, certain where the modules that hold the weights put out equal values, or the whole model does.

    A neutral weight (all zeros, all ones) shows nothing: it stays a guess. outputs: see `equal_outputs`.
    """
    equal = {(plain(line.sources[0]), plain(line.targets[0])) for line in taps.lines if line.certain}

    def seen(each: Guess) -> Guess:
        homes = {(split_name(name)[0], split_name(target)[0]) for name in each.sources for target in each.targets}
        neutral = any(is_neutral(reference.weights[name].array) for name in each.sources)
        if each.certain or neutral or not (outputs or homes <= equal):
            return each
        shown = "its module puts out equal values" if homes <= equal else "the outputs are equal"
        return replace(each, certain=True, why=f"{each.why.split(';')[0]}; {shown}")

    return replace(guesses, found=tuple(map(seen, guesses.found)))


@dataclass(slots=True)
class _Search:
    ours: Mapping[str, Array]
    theirs: Mapping[str, Array]
    pairs: dict[str, str] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)
    axes: dict[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def left_reference(self) -> list[str]:
        return [name for name in self.ours if name not in self.pairs]

    @property
    def left_port(self) -> list[str]:
        taken = set(self.pairs.values())
        return [name for name in self.theirs if name not in taken]

    def equal(self, name: str, target: str) -> bool:
        """Whether two taps of one shape hold equal values; those of a single value show nothing."""
        one, other = self.ours[name], self.theirs[target]
        return one.shape == other.shape and not is_neutral(one) and _close(one, other)

    def take(self, name: str, target: str, why: str) -> None:
        """A pair, if their shapes allow it; with the order of axes, if that is another and the values show it."""
        one, other = self.ours[name], self.theirs[target]
        equal = self.equal(name, target)
        if one.shape != other.shape:
            order = layout(one, other, close=CLOSE * largest(one))
            if order is None or tuple(one.shape[axis] for axis in order) != other.shape:
                return
            self.axes[name], equal = order, True
        self.pairs[name] = target
        said = "; ".join(filter(None, ["equal values" if equal else "", why]))
        self.lines.append(Line((name,), (target,), None, equal or why == "equal name and shape", said))


def _homes(guesses: Guesses) -> dict[str, str]:
    """Module of the reference -> module of the port, where all of its weights are one module's, and no other's."""
    found: dict[str, set[str]] = {}
    back: dict[str, set[str]] = {}
    for each in guesses.found:
        for name in each.sources:
            for target in each.targets:
                found.setdefault(split_name(name)[0], set()).add(split_name(target)[0])
                back.setdefault(split_name(target)[0], set()).add(split_name(name)[0])
    return {
        home: next(iter(targets))
        for home, targets in found.items()
        if len(targets) == 1 and len(back[next(iter(targets))]) == 1
    }


def _renamed(name: str, modules: Mapping[str, str]) -> str:
    """The tap's name with that of its module in the port; "" if that is not known."""
    module = plain(name)
    return modules[module] + name[len(module) :] if module in modules else ""


def _close(one: Array, other: Array) -> bool:
    if not (np.isfinite(one).all() and np.isfinite(other).all()):
        return False
    return largest(one - other) <= CLOSE * largest(one)


def mapping_lines(taps: Taps) -> Sequence[Line]:
    """The lines that a mapping needs: those whose names differ."""
    return [line for line in taps.lines if line.sources != line.targets]
