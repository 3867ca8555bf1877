"""Compare two sides of which one or both are a trace in a file, written in another environment."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from harness.adapters.protocols import Holds, Runs, UnsupportedError
from harness.cases.mapping import joined, translate
from harness.cases.probes import Probe
from harness.environment import versions
from harness.errors import SpecError
from harness.parity.axes import Axes
from harness.parity.check import timed, valid_masks
from harness.parity.compare import Verdict
from harness.parity.comparison import Comparison
from harness.parity.diagnose import Diagnosis, diagnose
from harness.parity.judge import Line, Mask
from harness.parity.meeting import Compared, Meeting, Names, conclude, explained, numbered
from harness.parity.observed import repeated_by
from harness.parity.playback import Playback
from harness.parity.recorded import hedged, judge_recorded
from harness.parity.stored import Claim, Stored, open_trace
from harness.parity.study import Study
from harness.parity.trace import Trace, record
from harness.parity.weights import Pairing
from harness.tolerance import Tolerance

Side = Stored | Runs
"""A trace in a file, or a model that is here."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a comparison goes by. mapping: None pairs by equal names and shapes, and lets the rest be."""

    name: str
    claim: Claim
    mapping: Mapping[str, str] | None = None
    unmatched: tuple[Mapping[str, str], Mapping[str, str]] = field(default_factory=lambda: ({}, {}))
    axes: Mapping[str, Axes] = field(default_factory=dict)
    implied: Mapping[str, str] = field(default_factory=dict)

    @property
    def every(self) -> dict[str, str]:
        """The mapping, with what is implied."""
        return joined(self.mapping, self.implied)


def terms_of(reference: Claim, port: Claim, *, name: str) -> Terms:
    """The terms that two claims agree on: those of the case, as the port's side has them, if both are of one.

    Raises:
        SpecError: they are a port and a reference, in this order.
    """
    if (reference.side, port.side) == ("port", "reference") and reference.case == port.case:
        raise SpecError(name, "the first is the port and the second the reference", todo="Give the reference first.")
    if (reference.side, port.side) != ("reference", "port") or reference.case != port.case:
        # Outputs are declared under the reference's names, and here both sides may have the port's.
        own = port.mapping if port.side == "port" else {}
        return Terms(name, replace(port, outputs=tuple(translate(output, own) for output in port.outputs)))
    return Terms(
        port.case, port, port.mapping, (port.unmatched.reference, port.unmatched.port), port.axes, port.implied
    )


def compare_traces(
    reference: str | Path,
    port: str | Path,
    *,
    mapping: Mapping[str, str] | None = None,
    unmatched: tuple[Mapping[str, str], Mapping[str, str]] | None = None,
    axes: Mapping[str, Axes] | None = None,
    tolerance: Tolerance | None = None,
    outputs: Sequence[str] = (),
    valid: str = "",
) -> Comparison:
    """Compare two traces in files, written by `harness.trace` or the command of that name; no framework is needed.

    The rest as for `harness.check`.

    Raises:
        SpecError: a file is no whole trace, or the two were run on different inputs.
        MappingError: the mapping matches nothing, or makes two names one.
    """
    traces = [open_trace(Path(file)) for file in (reference, port)]
    claims = [trace.index.claim for trace in traces]
    given = replace(claims[1], tolerance=tolerance or Tolerance(), outputs=tuple(outputs), valid=valid)
    same = claims[0].case == claims[1].case
    name = claims[1].case if same else f"{traces[0].path.name} against {traces[1].path.name}"
    return compare_across(traces[0], traces[1], Terms(name, given, mapping, unmatched or ({}, {}), axes or {}))


def compare_across(
    reference: Side, port: Side, terms: Terms, *, progress: Callable[[str], None] | None = None
) -> Comparison:
    """The comparison of two sides, at least one of which is a trace; what needs a side that is not here is listed.

    Of two traces one call of a module is in memory at a time.

    Raises:
        SpecError: the inputs of two traces differ, or a file is damaged.
        MappingError: the mapping matches nothing. RunError: a model raised.
    """
    claim, place = terms.claim, terms.name
    traces = [side for side in (reference, port) if isinstance(side, Stored)]
    for number in range(_count(traces, place)):
        _refuse_other_inputs([Playback(trace, number) for trace in traces], place)
    names = Names(claim.outputs, terms.mapping or {}, terms.unmatched, place, terms.axes, terms.implied)
    seconds: dict[str, float] = {}
    found: list[Compared] = []
    lines: list[Line] = []
    diagnosis, not_judged = Diagnosis(), 0
    for number in range(_count(traces, place)):
        sides = [Playback(side, number) if isinstance(side, Stored) else side for side in (reference, port)]
        call = Playback(traces[0], number).inputs
        masks = valid_masks(call, claim.valid, place)
        compared = _compared(sides, call, names, terms, masks, lines if number == 0 else None, seconds, progress)
        found.append(numbered(compared, number + 1))
        if number == 0 and any(pair.verdict is not Verdict.AGREE for pair in compared.outputs):
            with timed(seconds, "diagnosis", progress):
                diagnosis, not_judged = _diagnosed(sides, call, compared, terms, masks)
    alignment = max((each.alignment for each in found), key=lambda each: len(each.unmatched))
    complaints = [complaint for each in found for complaint in each.complaints]
    if terms.mapping is not None and alignment.unmatched:
        complaints.append(f"{len(alignment.unmatched)} taps are unmatched: map them, or name them with a reason")
    outputs = tuple(pair for each in found for pair in each.outputs)
    verdict, reason = conclude(outputs, complaints, lines)
    refusals = [each.refusal for each in found if each.refusal]
    refused = {"float64": refusals[0]} if refusals else {}
    both = (_model(reference), _model(port))
    return Comparison(
        name=place,
        reference=both[0],
        port=both[1],
        verdict=verdict,
        reason=reason,
        outputs=outputs,
        taps=tuple(pair for each in found for pair in each.taps),
        alignment=alignment,
        tolerance=claim.tolerance,
        islands=tuple(dict.fromkeys(place for each in found for place in each.islands)),
        lines=tuple(lines),
        notes=tuple(_notes(reference, port)),
        diagnosis=diagnosis,
        not_checked={**refused, **_not_checked(reference, port, not_judged)},
        device=traces[-1].index.device,
        precision=traces[-1].index.precision,
        seconds=seconds,
    )


def _count(traces: Sequence[Stored], place: str) -> int:
    counts = [len(trace.index.runs) for trace in traces]
    if len(set(counts)) != 1 or not counts[0]:
        said = " and ".join(f"{count} in {trace.path}" for count, trace in zip(counts, traces, strict=True))
        raise SpecError(place, f"calls of the model: {said}", todo="Trace both with the same inputs.")
    return counts[0]


def _refuse_other_inputs(sides: Sequence[Playback], place: str) -> None:
    """Raises SpecError if the two were not run on the same inputs."""
    if len(sides) < 2:
        return
    one, other = (side.inputs for side in sides)
    for name in {**one, **other}:
        if name not in one or name not in other:
            problem = f"one has no input {name!r}"
        elif isinstance(one[name], np.ndarray) and isinstance(other[name], np.ndarray):
            problem = _apart(name, one[name], other[name])
        else:
            problem = "" if one[name] == other[name] else f"input {name!r} is {one[name]!r} and {other[name]!r}"
        if problem:
            where = f"{sides[0].stored.path} and {sides[1].stored.path} were run on different inputs"
            todo = f"Trace the second once more with --inputs {sides[0].stored.path}."
            raise SpecError(place, f"{where}: {problem}", todo=todo)


def _apart(name: str, one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> str:
    if one.shape != other.shape or one.dtype.kind != other.dtype.kind:
        return f"{name!r} is {one.dtype} {one.shape} and {other.dtype} {other.shape}"
    same = (one == other) | ((one != one) & (other != other))
    if same.all():
        return ""
    at = tuple(int(each) for each in np.argwhere(~same)[0])
    count = int((~same).sum())
    return f"{name!r} in {count} of {one.size} elements, first at {list(at)}: {one[at]} and {other[at]}"


def _compared(
    sides: Sequence[Any],
    call: Mapping[str, Any],
    names: Names,
    terms: Terms,
    masks: Mask,
    lines: list[Line] | None,
    seconds: dict[str, float],
    progress: Callable[[str], None] | None,
) -> Compared:
    """What one call gave: taps as they come, outputs, and what float64 says of them."""
    with timed(seconds, "run reference", progress):
        reference = _trace(sides[0], call)
    meeting = Meeting(reference, names, terms.claim.tolerance, masks)
    with timed(seconds, "run port, compare", progress):
        if isinstance(sides[1], Playback):
            port = sides[1].trace
            for name, array in port.taps.items():
                meeting.meet(name, array)
        else:
            port = record(sides[1], call, meet=meeting.meet)
        compared = meeting.conclude(port)
    for side, trace, who in zip(sides, (reference, port), ("reference", "port"), strict=True):
        if lines is not None and not isinstance(side, Playback):
            with timed(seconds, "preflight", progress):
                lines += repeated_by(side, call, trace, who)
    with timed(seconds, "float64", progress):
        return explained(compared, sides, call, reference, masks)


def _trace(side: Any, call: Mapping[str, Any]) -> Trace:
    return side.trace if isinstance(side, Playback) else record(side, call)


def _diagnosed(
    sides: Sequence[Any], call: Mapping[str, Any], compared: Compared, terms: Terms, masks: Mask
) -> tuple[Diagnosis, int]:
    """The modules at fault: by replaying the port if it is here, else on what was recorded; and how many are open."""
    reference, port = sides
    if isinstance(reference, Playback) and not isinstance(port, Playback):
        probe = Probe("given", call)
        own = frozenset(port.weights()) if isinstance(port, Holds) else frozenset()
        pairs = tuple((pair.name, pair.port_name) for pair in compared.outputs if pair.compared)
        study = Study((reference, port), Pairing(()), pairs, ({}, {}), (frozenset(), own))
        found = diagnose(
            study,
            [],
            [probe],
            richest=probe,
            given_fails=True,
            masks_of=lambda _: masks,
            mapping=terms.every,
            seed=terms.claim.seed,
        )
        return replace(found, faulty=hedged(found.faulty, {cause.path for cause in found.causes})), 0
    try:
        calls = [_calls(side, call) for side in sides]
        judged = judge_recorded(calls[0], calls[1], mapping=terms.every, masks=masks)
    except UnsupportedError as error:
        return Diagnosis(why_not=str(error)), 0
    return judged.diagnosis, judged.not_judged


def _calls(side: Any, call: Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(side, Playback):
        return side.calls()
    found: dict[str, Any] = {}
    side.replay(call, lambda each: found.__setitem__(each.name, each))
    return found


def _model(side: Side) -> str:
    return side.index.model if isinstance(side, Stored) else side.describe()


def _notes(reference: Side, port: Side) -> list[str]:
    """In which versions the two sides ran, where those differ."""
    found = [
        dict(side.index.environment["packages"]) if isinstance(side, Stored) else versions()
        for side in (reference, port)
    ]
    both = [name for name in found[0] if name in found[1] and found[0][name] != found[1][name]]
    return [f"{name} {found[0][name]} in the reference, {found[1][name]} in the port" for name in both]


def _not_checked(reference: Side, port: Side, not_judged: int) -> dict[str, str]:
    absent = [who for who, side in (("reference", reference), ("port", port)) if isinstance(side, Stored)]
    why = "neither side is here" if len(absent) == 2 else f"the {absent[0]} is not here"
    further = f"; {not_judged} modules that were given other inputs are not judged" if not_judged else ""
    what = "replay" if isinstance(port, Stored) else "replay of the reference"
    return {**dict.fromkeys(("probes", "gradients", "decode", "train"), why), what: why + further}
