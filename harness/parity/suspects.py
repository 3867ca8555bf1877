"""Which calls of the port are suspect: their output is wrong on right inputs, or what they are given is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from harness.adapters.protocols import Leaves, State, UnsupportedError
from harness.parity.calls import Calls, Leaf, allowed
from harness.parity.compare import Array
from harness.parity.floor import DRAWS, FACTOR
from harness.parity.forced import Apart, Runner, View, as_they_are, distance

Found = Mapping[str, tuple[Leaf, Apart]]
"""Port's call -> its array that is farthest off, and by how much."""

Moved = Callable[[int], tuple[State, State]]
"""How both sides are run with what they have stored for themselves moved by rounding, by seed."""


def errors(run: Runner, view: View, moved: Moved) -> tuple[Found, Found]:
    """The calls whose own output is wrong on right inputs; and those that are given something wrong, which matters."""
    own = {name: found for name in view.pairs if (found := view.own(name)) is not None}
    handed = {name: found for name in view.pairs if (found := view.handed(name)) is not None}
    if any(apart.relative < ROUNDING for _, apart in [*own.values(), *handed.values()]):
        own, handed = _beyond_rounding(run, view, own, handed, moved)
    doubtful = {name for name, (leaf, _) in handed.items() if not view.is_activation(name, leaf)}
    if doubtful:
        idle = _without_effect(run, view, doubtful)
        handed = {name: each for name, each in handed.items() if name not in idle}
    for name, leaf in _given_nothing(run, view, own, handed).items():
        own.pop(name, None)
        handed = {child: each for child, each in handed.items() if view.caller(child) != name}
        handed[name] = (leaf, Apart(float("nan"), 0.0, (), 0.0, 0.0))
    return own, handed


ROUNDING = 1e-5
"""Relative: errors below may be what rounding of stored weights and tables does in one module; float32 keeps 6e-8."""


def _beyond_rounding(
    run: Runner,
    view: View,
    own: Found,
    handed: Found,
    moved: Moved,
) -> tuple[dict[str, tuple[Leaf, Apart]], dict[str, tuple[Leaf, Apart]]]:
    """Without those that rounding what a side has stored for itself explains.

    Draws of it are made until all that may be rounding is explained: what is larger, no draw explains.
    """
    effect: dict[tuple[str, str], float] = {}
    itself = (
        {name: _arrays(call.inputs) for name, call in view.reference.items() if name},
        {name: call.outputs for name, call in view.reference.items() if name},
    )

    def kept(found: Found, what: str) -> dict[str, tuple[Leaf, Apart]]:
        return {name: each for name, each in found.items() if each[1].error > FACTOR * effect.get((what, name), 0.0)}

    for seed in range(DRAWS):
        states = moved(seed)
        try:
            ours: Calls = run(0, *itself, state=states[0])
        except UnsupportedError:  # a trace: what rounding does to that side is not known
            ours = view.reference
        theirs = run(1, view.feed, view.graft, state=states[1])
        for name in {*own, *handed}:
            pair = view.pairs[name]
            for what, one in (("own", own.get(name)), ("handed", handed.get(name))):
                if one is None:
                    continue
                leaf, key = one[0], "outputs" if what == "own" else "inputs"

                def leaves(calls: Calls, of: str, key: str = key) -> Mapping[str, Any]:
                    found: Mapping[str, Any] = getattr(calls[of], key)
                    return found

                both = [
                    (leaves(view.reference, pair.name)[leaf.reference], leaves(ours, pair.name)[leaf.reference]),
                    (leaves(view.fed, name)[leaf.port], leaves(theirs, name)[leaf.port]),
                ]
                size = max(distance(one, other, view.masks).error for one, other in both)
                effect[what, name] = max(effect.get((what, name), 0.0), size)
        left = kept(own, "own"), kept(handed, "handed")
        if all(apart.relative >= ROUNDING for each in left for _, apart in each.values()):
            break
    return left


def _arrays(leaves: Leaves) -> dict[str, Array]:
    return {name: leaf for name, leaf in leaves.items() if isinstance(leaf, np.ndarray)}


def _without_effect(run: Runner, view: View, names: set[str]) -> set[str]:
    """Those calls whose output is the same with what their caller gives them and with what the reference gives."""
    outermost = {n for n in names if not any(n != o and _inside(n, o, view.fed) for o in names)}

    def bare(plan: Mapping[str, Leaves], kept: set[str]) -> dict[str, Leaves]:
        return {
            name: leaves
            for name, leaves in plan.items()
            if name in kept or not any(_inside(name, outer, view.fed) for outer in outermost)
        }

    given = run(1, bare(view.feed, set()), bare(view.graft, set()))
    right = run(1, bare(view.feed, outermost), bare(view.graft, set()))
    idle = set()
    for name in outermost:
        if view.worst(right[name].outputs, given[name].outputs, as_they_are(view.pairs[name].outputs)) is None:
            idle.add(name)
    return idle


def _inside(name: str, outer: str, calls: Calls) -> bool:
    """Whether the call happened inside another, or is it."""
    while name != outer:
        if not name or name not in calls:
            return False
        name = calls[name].caller
    return True


def _given_nothing(run: Runner, view: View, own: Found, handed: Found) -> dict[str, Leaf]:
    """Calls that are wrong only because they are not given what the reference's call is given, and which input."""
    tried: dict[str, tuple[str, Array]] = {}
    for name in dict.fromkeys([*own, *(view.caller(name) for name in handed)]):
        pair = view.pairs[name]
        ours, theirs = view.reference[pair.name].inputs, view.port[name].inputs
        for leaf in pair.left:
            if name and name not in tried and isinstance(ours.get(leaf), np.ndarray) and theirs.get(leaf) is None:
                tried[name] = (leaf, ours[leaf])
    for form in (lambda array: array, _over_tokens) if tried else ():
        more = {name: {**view.feed.get(name, {}), leaf: form(array)} for name, (leaf, array) in tried.items()}
        try:
            seen = replace(view, fed=run(1, {**view.feed, **more}, view.graft))
        except Exception:  # a call does not take the input in this form
            continue
        still = {name for name in view.pairs if seen.own(name) is not None}
        still |= {seen.caller(name) for name in view.pairs if name in seen.fed and seen.handed(name) is not None}
        if mended := [name for name in tried if name not in still]:
            return {name: Leaf(tried[name][0], tried[name][0], lambda array: array) for name in mended}
    return {}


def _over_tokens(array: Array) -> Array:
    """A mask over pairs of tokens as one over tokens, 1 where any other sees them: frameworks hand on either."""
    seen = allowed(array)
    if array.ndim != 4:
        return array
    return np.asarray(seen.reshape(seen.shape[0], -1, seen.shape[-1]).any(1), np.int64)
