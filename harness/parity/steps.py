"""What becomes of the whole port's error when the causes are mended, one after the other, in memory.

A module is mended by letting it hand on what the reference's computes from the same inputs: the reference's module is
fed with what the port's was given, and the port runs with what came out. Modules behind each other change what the
later are given, and settle in as many rounds. They begin with the reference's own outputs, which are the right ones
already where all that is wrong before them is mended too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from harness.adapters.protocols import Leaves
from harness.parity.calls import Calls, as_mask_of
from harness.parity.causes import Cause
from harness.parity.causes.evidence import gone
from harness.parity.compare import Array
from harness.parity.forced import Apart, Runner, View, distance
from harness.parity.localise import Faulty
from harness.parity.witness import Blame, brought_back

ROUNDS = 12
"""How often the port is run for one step: enough for as many modules behind each other with faults between."""

SETTLED = 1e-6
"""Relative: what inputs may differ by from one round to the next; errors are printed with two digits."""


@dataclass(frozen=True, slots=True)
class Step:
    """The whole port with some causes mended, those of the steps before it too.

    mended: what is mended in this step, in words; empty for the port as it is. paths: of the reference's modules.
    error, scale: of the port's output that is farthest off, in float64. rounding: whether that is no more.
    """

    mended: str
    paths: tuple[str, ...]
    error: float
    scale: float
    rounding: bool


@dataclass(slots=True)
class _Plan:
    """What the port's calls are given instead, and which of them hand on what the reference's compute.

    names: of the calls of either side that are kept of a run; the others only take memory.
    """

    names: frozenset[str]
    feed: dict[str, dict[str, Any]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)


def steps(
    run: Runner,
    view: View,
    faulty: Sequence[Faulty],
    causes: Sequence[Cause],
    blames: Mapping[str, Sequence[Blame]],
    *,
    rounds: int = ROUNDS,
) -> tuple[Step, ...]:
    """The port as it is, then with one cause mended after the other.

    The one that makes the largest error of its own comes first, since it may hide what the others do. Modules whose
    cause is not proved are mended as well, those of one class at once. What cannot be mended by itself, since it does
    not settle in so many `rounds`, is mended together with the next.
    """
    before = _error(view, view.port)
    groups = _groups([each for each in faulty if each.path in blames], causes)
    if before is None or _is_rounding(before, before) or not groups:
        return ()
    found = [Step("", (), before.error, before.scale, rounding=False)]
    asked = {name for path in dict(groups).values() for each in path for name in _calls(view, blames[each])}
    plan = _Plan(frozenset({"", *asked, *(view.pairs[name].name for name in asked)}))
    calls: Calls = view.port
    labels: list[str] = []
    paths: list[str] = []
    settled = 0
    for label, group in groups:
        if not all(_add(view, blame, plan) for path in group for blame in blames[path]):
            break
        labels.append(label)
        paths.extend(group)
        after = _mended(run, view, plan, calls if len(plan.calls) - settled <= 1 else None, rounds)
        apart = _error(view, after) if after else None
        if after and apart is not None:
            done = _is_rounding(apart, before)
            found.append(Step("; ".join(labels), tuple(paths), apart.error, before.scale, rounding=done))
            calls, settled, labels, paths = after, len(plan.calls), [], []
    return tuple(found) if len(found) > 1 else ()


def _groups(faulty: Sequence[Faulty], causes: Sequence[Cause]) -> list[tuple[str, list[str]]]:
    """The modules of one cause, or of one class where none is proved; those first that are farthest off."""
    proved = {cause.path: cause.name for cause in causes}
    groups: dict[str, list[Faulty]] = {}
    for each in faulty:
        groups.setdefault(proved.get(each.path, f"{each.kind}, cause not proved"), []).append(each)
    ordered = sorted(groups.items(), key=lambda item: -max(map(_share, item[1])))
    return [(label, [each.path for each in group]) for label, group in ordered]


def _share(fault: Faulty) -> float:
    """Its error by that of the largest value; what has no error, such as an input that is not given, comes first."""
    return np.inf if np.isnan(fault.error) else fault.error / (fault.scale or 1.0)


def _calls(view: View, blames: Sequence[Blame]) -> set[str]:
    """The port's calls that are wrong, or give another something wrong."""
    return {blame.call for blame in blames} | {view.caller(blame.call) for blame in blames if blame.handed}


def _add(view: View, blame: Blame, plan: _Plan) -> bool:
    """Add what mends this to the plan; False where nothing does: the model itself hands its output to nobody."""
    given = view.feed.get(blame.call, {})
    call = blame.call
    if blame.handed and blame.leaf.port in given:
        call = view.caller(blame.call)
        if not call or not view.is_activation(blame.call, blame.leaf):
            plan.feed.setdefault(blame.call, {})[blame.leaf.port] = given[blame.leaf.port]
            return True
    if not call or call not in view.graft:
        return False
    if call not in plan.calls:
        plan.calls.append(call)
    return True


def _mended(run: Runner, view: View, plan: _Plan, before: Calls | None, rounds: int) -> Calls | None:
    """The port's calls with the plan at work; None if they do not settle.

    before: a run whose calls are given what they will be given, as far as is known: the step before, if one call alone
    is new. Without it, all begin with the reference's own outputs.
    """
    if not plan.calls:
        return _run(run, 1, plan, plan.feed, {})
    given = _inputs(view, plan, before) if before else None
    for _ in range(rounds):
        graft: Mapping[str, Leaves] = {name: view.graft[name] for name in plan.calls}
        if given is not None:
            made = _run(run, 0, plan, given, {})
            graft = {name: dict(_made(view, name, made)) for name in plan.calls}
        calls = _run(run, 1, plan, plan.feed, graft)
        now = _inputs(view, plan, calls)
        if given is not None and _same(given, now):
            return calls
        given = now
    return None


def _run(run: Runner, side: int, plan: _Plan, feed: Mapping[str, Leaves], graft: Mapping[str, Leaves]) -> Calls:
    return {name: call for name, call in run(side, feed, graft).items() if name in plan.names}


def _inputs(view: View, plan: _Plan, calls: Calls) -> dict[str, dict[str, Array]]:
    """What the calls of the plan are given, for the reference's."""
    return {view.pairs[name].name: dict(_given(view, name, calls[name].inputs)) for name in plan.calls}


def _same(one: Mapping[str, Leaves], other: Mapping[str, Leaves]) -> bool:
    pairs = [(leaf, other[name].get(key)) for name, leaves in one.items() for key, leaf in leaves.items()]
    return all(each is not None and distance(leaf, each, {}).relative <= SETTLED for leaf, each in pairs)


def _given(view: View, name: str, inputs: Leaves) -> Iterator[tuple[str, Array]]:
    """What the port's call was given, in the reference's form; what has none is the reference's own."""
    ours = view.reference[view.pairs[name].name].inputs
    for leaf in view.pairs[name].inputs:
        got, like = inputs.get(leaf.port), ours.get(leaf.reference)
        if isinstance(got, np.ndarray) and isinstance(like, np.ndarray) and got.size == like.size:
            back = as_mask_of(got, like) if leaf.is_mask else brought_back(leaf, got, like)
            if back is not None and back.shape == like.shape:
                yield leaf.reference, back.astype(like.dtype)


def _made(view: View, name: str, calls: Calls) -> Iterator[tuple[str, Array]]:
    """What the reference's call put out, in the port's form."""
    pair = view.pairs[name]
    for leaf in pair.outputs:
        if leaf.port in view.graft[name]:
            yield leaf.port, leaf.bring(calls[pair.name].outputs[leaf.reference])


def _error(view: View, calls: Calls) -> Apart | None:
    """How far the model's outputs are off, that which is farthest."""
    ours, theirs = view.reference[""].outputs, calls[""].outputs
    found = [
        distance(leaf.bring(ours[leaf.reference]), theirs[leaf.port], view.masks)
        for leaf in view.pairs[""].outputs
        if isinstance(ours.get(leaf.reference), np.ndarray) and isinstance(theirs.get(leaf.port), np.ndarray)
    ]
    return max(found, key=lambda each: each.relative, default=None)


def _is_rounding(apart: Apart, before: Apart) -> bool:
    return gone(apart.relative, before.relative)
