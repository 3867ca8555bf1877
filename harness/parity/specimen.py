"""A module at fault, taken out of its model with all that is needed to show the fault by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from harness.adapters.protocols import Call, Loading, Loads, Recipe, Scripts, State, UnsupportedError
from harness.parity.calls import Leaf, same_array
from harness.parity.causes import Cause
from harness.parity.compare import Array
from harness.parity.forced import View, valid_in
from harness.parity.localise import Faulty

BYTES = 64 * 2**20
"""Of weights and inputs that are kept of one module, as they are stored: more would burden every check that fails."""
SPECIMENS = 2
"""Modules that are kept, of different classes or causes: each may take a run of the port."""


@dataclass(frozen=True, slots=True)
class Side:
    """The module on one side: how a script builds it and what it is given; or why no script can.

    large: the weights are too many to be kept. makers: input -> how another module makes it that has no weights (tables
    of angles), and under which prefix `given` has what that one is given.
    """

    given: Mapping[str, Any]
    recipe: Recipe | None = None
    why_not: str = ""
    large: bool = False
    makers: Mapping[str, tuple[str, Recipe]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Specimen:
    """A module on both sides. fault, cause: what is shown; path, port_path: the module that is run, which is at fault
    or has the one at fault inside.

    expected: what the reference puts out, in float64 and in the port's form; got: what the port does, given the same.
    form: how the reference's own output becomes of that form (Python after the array), None where that cannot be said
    so. valid: where it means something. loading: how the library loads the port, where a weight is wrong; output: what
    the port's model calls the output.
    why_not: why there is no script of it.
    """

    fault: Faulty
    cause: Cause | None
    path: str = ""
    port_path: str = ""
    reference: Side | None = None
    port: Side | None = None
    expected: Array | None = None
    got: Array | None = None
    form: str | None = ""
    valid: Array | None = None
    loading: Loading | None = None
    output: str = ""
    why_not: str = ""


def specimens(
    sides: Sequence[Any],
    inputs: Mapping[str, Any],
    states: tuple[State, State],
    view: View,
    faulty: Sequence[Faulty],
    causes: Sequence[Cause],
    *,
    output: str,
) -> Iterator[Specimen]:
    """One for each class and cause among the modules at fault forwards."""
    by_path = {cause.path: cause for cause in causes}
    seen: set[tuple[str, str]] = set()
    for fault in faulty:
        cause = by_path.get(fault.path)
        key = (fault.kind, f"{cause.name} {cause.detail}" if cause else fault.how.split(" ")[0])
        if key in seen or len(seen) >= SPECIMENS:
            continue
        seen.add(key)
        if fault.check != "forward":
            why = f"the fault shows in {WORDS.get(fault.check, fault.check)}, of which no script is written"
            yield Specimen(fault, cause, why_not=why)
            continue
        yield _taken(sides, inputs, states, view, fault, cause, output)


WORDS = {"gradients": "the gradients", "decode": "decoding step by step with a cache", "train": "training"}


def _taken(
    sides: Sequence[Any],
    inputs: Mapping[str, Any],
    states: tuple[State, State],
    view: View,
    fault: Faulty,
    cause: Cause | None,
    output: str,
) -> Specimen:
    """The module, or the smallest around it that a script can build and in whose output the fault shows."""
    reasons: dict[str, None] = {}
    for name in _outwards(view, fault):
        pair, feed = view.pairs[name], dict(view.feed[name]) if name else {}
        ours, shown = view.reference[pair.name], name or "the model"
        alone = view.fed.get(name) or view.port[name]
        given = {**alone.inputs, **feed}
        first = pair.outputs[0] if pair.outputs else None
        if first is None:
            continue
        # Whether it can be built is known without a run.
        port = _side(sides[1], name, given, inputs, first.port, states[1])
        if port.why_not:
            reasons[f"{shown}: {port.why_not}"] = None
            continue
        if not name or any(call.caller == name for call in view.fed.values()):
            # The outputs of what is inside it were replaced in that run: it is run once more with its own.
            alone = _run(sides[1], inputs, states[1], {name: feed} if name else {})[name]
        found = view.worst(ours.outputs, alone.outputs, pair.outputs)
        if found is None:
            reasons[f"the fault does not show in the output of {shown}"] = None
            continue
        leaf = found[0]
        if leaf.port != first.port:
            port = _side(sides[1], name, given, inputs, leaf.port, states[1])
        reference = _side(sides[0], pair.name, ours.inputs, inputs, leaf.reference, states[0])
        both = _with_makers(reference, sides[0], inputs, states[0], view.reference, pair.name), port
        right = np.array(leaf.bring(ours.outputs[leaf.reference]))
        return Specimen(
            fault,
            cause,
            path=pair.name.split("#")[0],
            port_path=name.split("#")[0],
            reference=both[0],
            port=both[1],
            expected=right,
            got=np.array(alone.outputs[leaf.port]),
            form=_form(leaf),
            valid=np.array(valid_in(right, view.masks)),
            loading=_loading(sides, inputs, fault, cause),
            output=output,
        )
    return Specimen(fault, cause, why_not="; ".join([*reasons][:REASONS]) or "no module of the port corresponds to it")


REASONS = 2
"""Of the innermost modules: those around them mostly fail for the same."""


def _loading(sides: Sequence[Any], inputs: Mapping[str, Any], fault: Faulty, cause: Cause | None) -> Loading | None:
    if cause is None or cause.name not in WEIGHTS or not isinstance(sides[1], Loads):
        return None
    try:
        return sides[1].loading(sides[0], inputs, fault.path, fault.port_path)
    except UnsupportedError:
        return None


WEIGHTS = (
    "head not tied",
    "head tied",
    "kernel transposed",
    "kernel permuted",
    "weights of another module",
    "weights at initialisation",
    "corrupted element",
    "other weights",
)
"""Causes that are no fault of the module's code: it was given other weights."""


def _outwards(view: View, fault: Faulty) -> Iterator[str]:
    """The port's calls that correspond to one of the reference: the module at fault, then those around it."""
    name = next((each for each in view.pairs if each.split("#")[0] == fault.port_path), "")
    yield name
    while name:
        name = view.caller(name)
        if name in view.pairs:
            yield name


def _run(side: Any, inputs: Mapping[str, Any], state: State, feed: Mapping[str, Any]) -> dict[str, Call]:
    found: dict[str, Call] = {}
    side.replay(inputs, lambda call: found.__setitem__(call.name, call), feed=feed, state=state)
    return found


def _side(side: Any, name: str, given: Mapping[str, Any], inputs: Mapping[str, Any], output: str, state: State) -> Side:
    """The side with copies of its arrays, as far as they are not too large."""
    given = {name: np.array(leaf) if isinstance(leaf, np.ndarray) else leaf for name, leaf in given.items()}
    if not isinstance(side, Scripts):
        return Side(given, why_not=f"{side.describe()} is of a kind of which no script is written")
    try:
        recipe = side.recipe(name.split("#")[0], given, inputs, output=output, state=state)
    except UnsupportedError as error:
        return Side(given, why_not=str(error))
    large = sum(array.nbytes for array in recipe.weights.values()) > BYTES
    weights = {} if large else {name: np.array(array) for name, array in recipe.weights.items()}
    return Side(given, replace(recipe, weights=weights), large=large)


def _with_makers(
    own: Side, side: Any, inputs: Mapping[str, Any], state: State, calls: Mapping[str, Call], name: str
) -> Side:
    """The side, with what makes those of its inputs that come from a module without weights."""
    given, makers = dict(own.given), {}
    for leaf, array in own.given.items() if own.recipe is not None else ():
        if not isinstance(array, np.ndarray) or array.dtype.kind != "f":
            continue
        for call in calls.values():
            output = next((key for key, each in call.outputs.items() if same_array(each, array)), None)
            if output is None or call.name in ("", name) or call.name.startswith(f"{name}."):
                continue
            made = _side(side, call.name, call.inputs, inputs, output, state)
            if made.recipe is not None and not made.recipe.weights and not made.large:
                makers[leaf] = (f"{call.name}.", made.recipe)
                given |= {f"{call.name}.{key}": each for key, each in made.given.items()}
            break
    return replace(own, given=given, makers=makers)


def inside(given: Mapping[str, Any], prefix: str) -> dict[str, Array]:
    """The arrays under a prefix."""
    held = {name: leaf for name, leaf in given.items() if name.startswith(prefix) and isinstance(leaf, np.ndarray)}
    return {name[len(prefix) :]: leaf for name, leaf in held.items()}


def _form(leaf: Leaf) -> str | None:
    named = getattr(leaf.bring, "keywords", {})
    if "axes" in named:
        return f".transpose{tuple(int(axis) for axis in named['axes'])}"
    if "shape" in named:
        return ".reshape(got.shape)"
    return "" if getattr(leaf.bring, "__name__", "") == "_as_it_is" else None
