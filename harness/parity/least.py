"""The least input on which a module alone still shows its fault."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from harness.adapters.choose import as_a_script
from harness.adapters.protocols import Array, Recipe
from harness.parity.floor import EXACT, FACTOR
from harness.parity.script import FIRST, functions
from harness.parity.specimen import Specimen, inside
from harness.parity.trim import without_arguments, without_settings

RUNS = 60
"""Of either module, at most, to find the least input: a person waits for it."""
CLEAR = 100.0
"""How many times what rounding changes an error has to be for a script in float32."""
LOST = 1e-4
"""Of the largest value: what `CLEAR` times the rounding of one module in float32 comes to, eight epsilons of it."""

Leaves = dict[str, Any]
Runner = Callable[[Mapping[str, Array], Mapping[str, Any]], Array]


@dataclass(frozen=True, slots=True)
class Shown:
    """One input, and what both modules make of it. relative: the error by the largest value.

    rounding: what float32 changes, relative too; infinite where that was not measured.
    """

    reference: Leaves
    port: Leaves
    right: Array
    got: Array
    valid: Array

    @property
    def relative(self) -> float:
        """How far the port is off, of the largest value."""
        return _apart(self.right, self.got, self.valid)


@dataclass(slots=True)
class Pair:
    """Both modules, run by the very text that the script has. why_not: why the reference's is not run."""

    specimen: Specimen
    port: Runner
    reference: Runner | None
    port32: Runner
    reference32: Runner | None
    runs: int = 0
    why_not: str = ""
    notes: list[str] = field(default_factory=list)

    def show(self, ours: Leaves, theirs: Leaves, right: Array | None, valid: Array, *, double: bool = True) -> Shown:
        """Run both; the reference only where it can be, else `right` is what it puts out."""
        self.runs += 1
        port = self.specimen.port
        assert port is not None
        got = _run(self.port if double else self.port32, port.recipe, theirs, double=double)
        runner = self.reference if double else self.reference32
        if runner is not None and self.specimen.reference is not None:
            made = _run(runner, self.specimen.reference.recipe, ours, double=double)
            right = eval(f"made{self.specimen.form}", {"made": made, "got": got})
        assert right is not None
        if right.shape != got.shape or right.shape != valid.shape:
            raise ValueError(f"shapes {right.shape} and {got.shape}")
        return Shown(ours, theirs, right, got, valid)


def pair_of(specimen: Specimen) -> Pair:
    """The pair, with the reference only where a script can build it and say in which form its output is the port's."""
    port, reference = specimen.port, specimen.reference
    assert port is not None
    assert port.recipe is not None
    theirs = _compiled(port.recipe, double=True), _compiled(port.recipe, double=False)
    if reference is None or reference.recipe is None:
        return Pair(specimen, theirs[0], None, theirs[1], None, why_not=reference.why_not if reference else "")
    if specimen.form is None:
        return Pair(specimen, theirs[0], None, theirs[1], None, why_not="its output has another form")
    ours = _compiled(reference.recipe, double=True), _compiled(reference.recipe, double=False)
    return Pair(specimen, theirs[0], ours[0], theirs[1], ours[1])


def least(pair: Pair) -> Shown | None:
    """The least rows, then tokens, on which the port is still off; None if it is not off at all by itself."""
    specimen = pair.specimen
    assert specimen.port is not None
    assert specimen.expected is not None
    assert specimen.valid is not None
    ours = dict(specimen.reference.given) if specimen.reference else {}
    theirs = dict(specimen.port.given)
    full = _whole(pair, ours, theirs)
    if full is None or not full.relative > EXACT:
        return None
    if not _is_the_one(specimen, full):
        pair.notes.append(
            "built anew, the port's module does not compute what it did in its model: "
            "what was patched there is not in its class"
        )
        return None
    needed = LOST if full.relative > LOST else EXACT

    def shows(shown: Shown | None) -> bool:
        return shown is not None and shown.relative > needed and bool(shown.valid.any())

    best = full
    for cut in (_row, _rows):
        best = _first_that(pair, best, cut, shows)
    if pair.reference is not None and (tokens := _tokens(best)):
        best = _shortened(pair, best, tokens, shows, front=False)
        best = _shortened(pair, best, _tokens(best), shows, front=True)
    return best


def measured(pair: Pair, shown: Shown) -> tuple[bool, float, Shown]:
    """Whether a script has to compute in float64, what rounding explains there (relative), and what it will show."""
    right = None if pair.reference is not None else shown.right
    try:
        short = pair.show(shown.reference, shown.port, right, shown.valid, double=False)
    except Exception as error:  # some computes in float64 alone
        pair.notes.append(f"in float32 it raised {type(error).__name__}: {error}")
        return True, FACTOR * EXACT, shown
    moved = [_apart(shown.right, short.right, shown.valid), _apart(shown.got, short.got, shown.valid)]
    rounding = max(*moved, LOST / CLEAR)
    if short.relative >= CLEAR * rounding:
        return False, FACTOR * rounding, short
    return True, EXACT, shown


def shortened(pair: Pair, shown: Shown) -> Pair:
    """The pair without settings that change nothing on this input, nor arguments that the reference does not heed."""
    specimen, runs = pair.specimen, pair.runs
    reference, port = specimen.reference, specimen.port
    if pair.reference is None or reference is None or reference.recipe is None or port is None or port.recipe is None:
        return pair

    def run(leaves: Mapping[str, Any]) -> Callable[[Recipe], Array]:
        return lambda recipe: _run(_compiled(recipe, double=True), recipe, dict(leaves), double=True)

    made = [(recipe, run(inside(shown.reference, prefix))) for prefix, recipe in reference.makers.values()]
    recipes = [(port.recipe, run(shown.port)), (reference.recipe, run(shown.reference)), *made]
    theirs, ours, *others = without_settings(recipes)
    ours = without_arguments(ours, run(shown.reference))
    makers = {
        name: (prefix, without_arguments(recipe, run(inside(shown.reference, prefix))))
        for (name, (prefix, _)), recipe in zip(reference.makers.items(), others, strict=True)
    }
    trimmed = pair_of(
        replace(specimen, port=replace(port, recipe=theirs), reference=replace(reference, recipe=ours, makers=makers))
    )
    trimmed.runs, trimmed.notes = runs, pair.notes
    return trimmed


def _whole(pair: Pair, ours: Leaves, theirs: Leaves) -> Shown | None:
    """All of the input. The reference is run from here on only if it puts out what it did inside its model."""
    right, valid = pair.specimen.expected, pair.specimen.valid
    assert right is not None
    assert valid is not None
    if pair.reference is not None:
        try:
            shown = pair.show(ours, theirs, right, valid)
            if _apart(right, shown.right, valid) <= STORED:
                return shown
            pair.why_not = "by itself it does not put out what it does in its model"
        except Exception as error:  # a module may want what its model gives it
            pair.why_not = f"by itself it raised {type(error).__name__}: {str(error)[:80]}"
        pair.reference = pair.reference32 = None
    try:
        return pair.show(ours, theirs, right, valid)
    except Exception as error:
        pair.notes.append(f"the port's module by itself raised {type(error).__name__}: {str(error)[:120]}")
        return None


def _is_the_one(specimen: Specimen, shown: Shown) -> bool:
    """Whether the module that the script builds computes what the one in the model did."""
    if specimen.got is None or specimen.got.shape != shown.got.shape:
        return False
    return _apart(specimen.got, shown.got, shown.valid) <= max(STORED, SAME * shown.relative)


SAME = 0.01
"""Of the error: by how much the module's output may differ from that in its model, for the fault to be the same one."""
STORED = 1e-6
"""How far a module in a script may be from what it was inside its model: its tables are not lifted to float64."""


def _first_that(pair: Pair, best: Shown, cut: Callable[[Shown, int], Shown | None], shows: Any) -> Shown:
    for place in range(best.right.shape[0] if best.right.ndim > 1 else 0):
        if pair.runs >= RUNS or best.right.shape[0] == 1:
            break
        trial = cut(best, place)
        found = _again(pair, trial) if trial is not None else None
        if shows(found):
            assert found is not None
            return found
    return best


def _row(shown: Shown, place: int) -> Shown | None:
    """The row that is the `place`-th by its error, alone."""
    error = np.where(shown.valid, np.abs(shown.right - shown.got), 0).reshape(len(shown.right), -1).max(axis=1)
    row = int(np.argsort(-np.nan_to_num(error, nan=np.inf))[place])
    return _cut(shown, slice(row, row + 1)) if place < SINGLE else None


SINGLE = 4
"""Rows that are tried alone."""


def _rows(shown: Shown, place: int) -> Shown | None:
    """The first rows, half as many each time."""
    count = len(shown.right) >> (place + 1)
    return _cut(shown, slice(0, count)) if count > 1 else None


def _cut(shown: Shown, rows: slice) -> Shown:
    count = len(shown.right)

    def of(leaves: Leaves) -> Leaves:
        cut = {n: a[rows] for n, a in leaves.items() if isinstance(a, np.ndarray) and a.ndim and len(a) == count}
        return {**leaves, **cut}

    return Shown(of(shown.reference), of(shown.port), shown.right[rows], shown.got[rows], shown.valid[rows])


def _again(pair: Pair, cut: Shown) -> Shown | None:
    """The cut input, run; None if it cannot be, or if rows that are left out change what the others give."""
    try:
        shown = pair.show(cut.reference, cut.port, cut.right, cut.valid)
    except Exception:  # a module may want more than is left
        return None
    if pair.reference is None and _apart(cut.got, shown.got, cut.valid) > STORED:
        return None
    return shown


def _tokens(shown: Shown) -> int:
    """How many tokens there are: the second axis of hidden states or of ids."""
    for leaf in shown.port.values():
        if isinstance(leaf, np.ndarray) and (
            (leaf.ndim == 3 and leaf.dtype.kind == "f") or (leaf.ndim == 2 and leaf.dtype.kind in "iu")
        ):
            return int(leaf.shape[1])
    return 0


def _shortened(pair: Pair, best: Shown, tokens: int, shows: Callable[[Shown | None], bool], *, front: bool) -> Shown:
    """The fewest tokens, counted from the one end, by halving."""
    low, high, last = 0, tokens, best
    while high - low > 1 and pair.runs < RUNS:
        middle = (low + high) // 2
        kept = slice(tokens - middle, tokens) if front else slice(0, middle)
        found = _try(pair, best, tokens, kept)
        if shows(found):
            assert found is not None
            high, last = middle, found
        else:
            low = middle
    return last


def _try(pair: Pair, best: Shown, tokens: int, kept: slice) -> Shown | None:
    def of(leaves: Leaves) -> Leaves:
        return {n: _short(a, tokens, kept) if isinstance(a, np.ndarray) else a for n, a in leaves.items()}

    try:
        return pair.show(of(best.reference), of(best.port), None, _short(best.valid, tokens, kept))
    except Exception:
        return None


def _short(array: Array, tokens: int, kept: slice) -> Array:
    """The array without some tokens: its second axis, or both axes of what lies between tokens."""
    axes = {1: (0,), 2: (1,), 3: (1,), 4: (2, 3)}.get(array.ndim, ())
    for axis in axes:
        if array.shape[axis] == tokens:
            array = array[(slice(None),) * axis + (kept,)]
    return array


def _run(runner: Runner, recipe: Recipe | None, leaves: Leaves, *, double: bool) -> Array:
    assert recipe is not None
    with as_a_script(double=double):
        return runner(typed(recipe.weights, double=double), typed(leaves, double=double))


def typed(leaves: Mapping[str, Any], *, double: bool) -> dict[str, Any]:
    """The arrays in the type of the script; what stands for infinity in float64 is the lowest number of float32."""
    low = np.finfo(np.float32).max
    found: dict[str, Any] = {}
    for name, leaf in leaves.items():
        if not isinstance(leaf, np.ndarray):
            continue
        floats = leaf.dtype.kind == "f"
        short = floats and not double
        held = np.where(np.isfinite(leaf), np.clip(leaf, -low, low), leaf) if short else leaf
        found[name] = np.array(held, np.float64 if double else np.float32, order="C") if floats else np.array(leaf)
    return found


def _compiled(recipe: Recipe, *, double: bool) -> Runner:
    space: dict[str, Any] = {"np": np}
    exec("\n".join(recipe.imports) + FIRST + functions("run", recipe, double=double), space)

    def run(weights: Mapping[str, Array], inputs: Mapping[str, Any]) -> Array:
        return np.array(space["run"](weights, inputs), np.float64)

    return run


def _apart(right: Array, got: Array, valid: Array) -> float:
    scale = float(np.max(np.abs(np.where(valid, right, 0)), initial=0.0))
    with np.errstate(invalid="ignore"):
        error = float(np.max(np.abs(np.where(valid, got - right, 0)), initial=0.0))
    error = float("inf") if np.isnan(error) else error
    return error / scale if scale else error
