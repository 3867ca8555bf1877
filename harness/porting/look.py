"""Look again at the step of a case that failed, in a process that stays warm."""

from __future__ import annotations

import hashlib
import json
import time

from harness import environment
from harness.adapters.choose import adapt
from harness.adapters.protocols import Call, Replays, UnsupportedError
from harness.cases.mapping import joined, matches
from harness.cases.spec import Case
from harness.files import sha256_of
from harness.parity.case import trace_built
from harness.parity.examine import masks_by
from harness.parity.playback import Playback
from harness.parity.recorded import judge_recorded
from harness.parity.stored import Stored, open_trace
from harness.porting import kept
from harness.porting.built import Built
from harness.porting.outline import PARTS
from harness.porting.parts import outlined
from harness.porting.sources import weights_digest
from harness.porting.steps import STEPS, Meet, Status, Step, Walk, walk
from harness.porting.usual import USUAL
from harness.settings import Repository


def look(case: Case, repository: Repository, start: str = "", *, meet: Meet = None) -> Walk:
    """The walk through a case; if the step `start` failed last time, that first, and the rest only if it passes now.

    What is quick about it: for a part of the model the port is run once, in float64, and held against a trace of the
    reference, which is kept and not run again, module by module on the case's own inputs. Only the whole walk says that
    a step is green, and proves a cause.

    Raises:
        As `walk`.
    """
    if start:
        steps = _again(case, repository, start)
        if not steps[-1].passed:
            if meet is not None:
                meet(steps[-1])
            made = {each.step: each for each in steps}
            return Walk(case.name, tuple(made.get(name, Step(name, Status.LATER)) for name in STEPS))
    return walk(case, repository, meet=meet)


def _again(case: Case, repository: Repository, start: str) -> list[Step]:
    """The steps up to `start`, as far as they pass, or that one alone where it is no part of the model."""
    built = Built(case, repository)
    if start not in PARTS:
        return [built.step(start)]
    steps = [built.step("weights")]
    if steps[-1].passed:
        recorded = _recorded(built)
        told = _glance(built, recorded)
        if told is not None:
            return [*steps, told]
        built.recorded = recorded
    for name in PARTS:
        if not steps[-1].passed or steps[-1].step == start:
            break
        steps.append(built.step(name))
    return steps


def _glance(built: Built, recorded: Stored) -> Step | None:
    """The first part with a module that was given what the reference's was and puts out something else; None if that
    does not tell.
    """
    since, playback = time.perf_counter(), Playback(recorded)
    calls: dict[str, Call] = {}
    side = adapt(built.port, device=built.case.device)
    if not isinstance(side, Replays):
        return None
    mapping = joined(built.case.mapping, built.parts.implied())
    try:
        side.replay(playback.inputs, lambda call: calls.__setitem__(call.name, call))
        found = judge_recorded(
            playback.calls(), calls, mapping=mapping, masks=masks_by(built.case.valid)(playback.inputs)
        )
    except UnsupportedError:
        return None
    outline = outlined(recorded, None, place=f"case {built.case.name!r}")
    # What has its axes in another order cannot be held against a recording as it stands.
    plain = [each for each in found.diagnosis.faulty if matches(each.path, built.case.axes) is None]
    told = [(part, each) for each in plain if (part := outline.part_of(each.path))]
    if not told:
        return None
    part, each = min(told, key=lambda pair: PARTS.index(pair[0]))
    detail = f"{each.path}, {each.kind}: {each.how}; off by {each.error:.3g} on values up to {each.scale:.3g}"
    return Step(part, Status.FAILED, detail, usual=USUAL[part], seconds=time.perf_counter() - since)


def _recorded(built: Built) -> Stored:
    """The trace of the reference: the one that is kept, while the case's file, the reference's code and its weights are
    what they were.
    """
    if isinstance(built.reference, Stored):
        return built.reference
    parts = {
        "case": sha256_of(built.case.file),
        "code": built.code,
        "weights": weights_digest(built.reference),
        "versions": environment.versions(),
        "engine": environment.engine(),
    }
    key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
    folder = kept.place(built.case, built.repository).with_suffix("")
    file = folder / f"{key}.safetensors"
    if not file.exists():
        for old in folder.glob("*.safetensors"):
            old.unlink(missing_ok=True)
        trace_built(built.parts, built.reference, built.inputs, file)
    return open_trace(file)
