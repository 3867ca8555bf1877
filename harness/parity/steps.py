"""What becomes of the whole port's error when the causes are mended, one after the other, in memory.

A module is mended by letting it hand on what the reference's computes from the same inputs: the port runs, the
reference's modules are fed with what the port's were given, and the port runs again with what they put out. Modules
that lie behind each other settle in as many rounds; they begin with the reference's own outputs, which already are the
right ones where all that is wrong before them is mended too.
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
from harness.parity.forced import Apart, Runner, View, distance
from harness.parity.localise import Faulty
from harness.parity.witness import Blame, brought_back

ROUNDS = 12
"""How often the reference's modules are asked: enough for as many that lie behind each other with faults between."""
SETTLED = 1e-6
"""Relative: what outputs may differ by from one round to the next; errors are printed with three digits."""


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
    """What the port's calls are given instead, and which of them hand on what the reference's compute."""

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
    """The port as it is, then with one cause mended after the other, in the order of execution.

    faulty: in that order. Modules whose cause is not proved are mended as well, those of one class at once. What cannot
    be mended by itself, since it does not settle in so many `rounds`, is mended together with the next.
    """
    before = _error(view, view.port)
    groups = _groups([each for each in faulty if each.path in blames], causes)
    if before is None or _is_rounding(before, before) or not groups:
        return ()
    found = [Step("", (), before.error, before.scale, rounding=False)]
    plan, waiting = _Plan(), ([], [])  # type: tuple[_Plan, tuple[list[str], list[str]]]
    for label, paths in groups:
        if not all(_add(view, blame, plan) for path in paths for blame in blames[path]):
            return tuple(found) if len(found) > 1 else ()
        waiting[0].append(label)
        waiting[1].extend(paths)
        calls = _mended(run, view, plan, rounds)
        apart = _error(view, calls) if calls else None
        if apart is not None:
            mended, of = "; ".join(waiting[0]), tuple(waiting[1])
            found.append(Step(mended, of, apart.error, before.scale, _is_rounding(apart, before)))
            waiting = ([], [])
    return tuple(found) if len(found) > 1 else ()


def _groups(faulty: Sequence[Faulty], causes: Sequence[Cause]) -> list[tuple[str, list[str]]]:
    """The modules of one cause, or of one class where none is proved, each by the first of them."""
    proved = {cause.path: cause.name for cause in causes}
    groups: dict[str, list[str]] = {}
    for each in faulty:
        groups.setdefault(proved.get(each.path, f"{each.kind}, cause not proved"), []).append(each.path)
    return list(groups.items())


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


def _mended(run: Runner, view: View, plan: _Plan, rounds: int) -> Calls | None:
    """The port's calls with the plan at work; None if they do not settle."""
    graft: Mapping[str, Leaves] = {name: view.graft[name] for name in plan.calls}
    for _ in range(rounds if graft else 0):
        given = run(1, plan.feed, graft)
        feed = {view.pairs[name].name: dict(_given(view, name, given[name].inputs)) for name in plan.calls}
        made = run(0, feed)
        after = {name: dict(_made(view, name, made)) for name in plan.calls}
        apart = [distance(np.asarray(graft[n][leaf]), a, {}) for n, each in after.items() for leaf, a in each.items()]
        graft = after
        if all(each.relative <= SETTLED for each in apart):
            return run(1, plan.feed, graft)
    return None if graft else run(1, plan.feed)


def _given(view: View, name: str, inputs: Leaves) -> Iterator[tuple[str, Any]]:
    """What the port's call was given, in the reference's form; what has none is the reference's own."""
    ours = view.reference[view.pairs[name].name].inputs
    for leaf in view.pairs[name].inputs:
        got, like = inputs.get(leaf.port), ours.get(leaf.reference)
        if isinstance(got, np.ndarray) and isinstance(like, np.ndarray) and got.size == like.size:
            back = as_mask_of(got, like) if leaf.is_mask else brought_back(leaf, got, like)
            if back is not None and back.shape == like.shape:
                yield leaf.reference, back.astype(like.dtype)


def _made(view: View, name: str, calls: Calls) -> Iterator[tuple[str, Any]]:
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
