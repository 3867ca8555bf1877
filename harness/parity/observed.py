"""Whether a side puts out the same when it is run once more, when nothing taps it, and when it is compiled as a whole.

What is compared tap by tap must be what a user runs: a tap keeps operations apart that are fused without it, and a
model may see that it is watched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.adapters.protocols import Compiles, Runs
from harness.parity.compare import Array, Difference, Verdict, compare
from harness.parity.floor import FACTOR, largest
from harness.parity.judge import Line, Mask, mask_for, valid_part
from harness.parity.trace import Trace
from harness.tolerance import Tolerance

SAME_RUN = 1e-5
"""Times the scale: what two runs of one model may differ by. On a CPU they are bit for bit the same; on a GPU the order
of sums may change from run to run, by a few units in the last place for each layer."""

Outputs = Mapping[str, Array]


@dataclass(frozen=True, slots=True)
class Observed:
    """The lines and notes on runs without taps, and why a side could not be compiled, if so."""

    lines: tuple[Line, ...] = ()
    notes: tuple[str, ...] = ()
    refusal: str = ""


PLAIN, COMPILED = "without taps", "compiled as a whole"


def observed(
    sides: Sequence[Runs],
    call: Mapping[str, Any],
    traces: Sequence[Trace],
    pairs: Sequence[Difference],
    *,
    tolerance: Tolerance,
    masks: Mask,
) -> Observed:
    """What becomes of the declared outputs (`pairs`, as they were compared with taps) in runs without taps.

    A side that puts out something else then is compared with the other side's run of that kind, by the same contract.
    Between two runs of one program `SAME_RUN` is allowed. A compiler may also change the order of sums: its run may be
    off by `FACTOR` times the float32 floor of that output, as a port may.
    """
    lines: list[Line] = []
    runs: list[dict[str, Outputs]] = []
    refusal = ""
    for side, trace, who in zip(sides, traces, SIDES, strict=True):
        runs.append({PLAIN: side.run(call)})
        if (line := _drawn(side, call, trace.outputs, runs[-1][PLAIN], who)) is not None:
            lines.append(line)
        elif isinstance(side, Compiles):
            try:
                runs[-1][COMPILED] = side.run_compiled(call)
            except Exception as error:  # not every model can be traced
                text = (str(error).strip().splitlines() or [""])[0]
                refusal = f"the {who} raised {type(error).__name__}: {text[:120]}"
    if lines:
        return Observed(tuple(lines), refusal=refusal)
    notes: list[str] = []
    for how in (PLAIN, COMPILED):
        both = [each.get(how, trace.outputs) for each, trace in zip(runs, traces, strict=True)]
        moved = [
            _moved(trace.outputs, outputs, _allowed(pairs, who, how), masks)
            for trace, outputs, who in zip(traces, both, SIDES, strict=True)
        ]
        worst = _outside(pairs, both[0], both[1], tolerance, masks) if any(moved) else ""
        for who, words in zip(SIDES, moved, strict=True):
            if words and worst:
                reason = f"the {who} puts out something else {how}, {_words(words)}; then {worst}"
                lines.append(Line("forward", how, Verdict.DIVERGE, reason, compared=len(pairs)))
            elif words:
                notes.append(
                    f"the {who} puts out something else {how}, {_words(words)}; it keeps the contract then as well"
                )
    return Observed(tuple(lines), tuple(notes), refusal)


SIDES = ("reference", "port")


def repeated_by(side: Runs, call: Mapping[str, Any], trace: Trace, who: str) -> list[Line]:
    """A line if one side alone puts out something else when it is run once more, without taps."""
    again = side.run(call)
    if (line := _drawn(side, call, trace.outputs, again, who)) is not None:
        return [line]
    moved = _moved(trace.outputs, again, dict.fromkeys(trace.outputs, 0.0), {})
    if moved is None:
        return []
    reason = f"the {who} puts out something else {PLAIN}, {_words(moved)}"
    return [Line("preflight", PLAIN, Verdict.INCONCLUSIVE, reason, moved[1], where=moved[0])]


def _drawn(side: Runs, call: Mapping[str, Any], tapped: Outputs, again: Outputs, who: str) -> Line | None:
    """A line if two runs without taps differ; they are compared only where the first differs from the tapped one."""
    names = dict.fromkeys(tapped, 0.0)
    moved = _moved(again, side.run(call), names, {}) if _moved(tapped, again, names, {}) else None
    if moved is None:
        return None
    reason = f"two runs of the {who} differ by {moved[1]:.3g} in {moved[0]}: it draws random numbers"
    return Line("preflight", "the same twice", Verdict.INCONCLUSIVE, reason, moved[1], where=moved[0])


def _allowed(pairs: Sequence[Difference], who: str, how: str) -> dict[str, float]:
    """How much rounding may move each output."""
    floors = {
        pair.name if who == "reference" else pair.port_name: pair.rounding.floor if pair.rounding else 0.0
        for pair in pairs
    }
    return {name: FACTOR * floor if how == COMPILED else 0.0 for name, floor in floors.items()}


def _moved(tapped: Outputs, plain: Outputs, allowed: Mapping[str, float], masks: Mask) -> tuple[str, float] | None:
    """The output that is another by most, and by how much; None if none is by more than is allowed."""
    found: dict[str, float] = {}
    for name in allowed:
        if name in tapped and tapped[name].dtype.kind in "fc":
            apart, scale = _apart(tapped, plain, name, masks), largest(valid_part(name, tapped[name], masks))
            if apart > max(SAME_RUN * scale, allowed[name]):
                found[name] = apart
    return max(found.items(), key=lambda each: each[1], default=None)


def _words(moved: tuple[str, float]) -> str:
    return f"{moved[0]} moves by {moved[1]:.3g}"


def _apart(one: Outputs, other: Outputs, name: str, masks: Mask) -> float:
    if name not in one or name not in other or one[name].shape != other[name].shape:
        return float("inf")
    ours, theirs = (valid_part(name, each[name], masks) for each in (one, other))
    if not np.array_equal(np.isfinite(ours), np.isfinite(theirs)):
        return float("inf")
    return largest(ours - theirs)


def _outside(pairs: Sequence[Difference], ours: Outputs, theirs: Outputs, tolerance: Tolerance, masks: Mask) -> str:
    """What is outside the contract, in words; empty if nothing is."""
    for pair in pairs:
        if pair.name not in ours or pair.port_name not in theirs:
            return f"{pair.name} is missing"
        left, right = ours[pair.name], theirs[pair.port_name]
        mask = mask_for(pair.name, left, masks)
        found = compare(left, right, tolerance=tolerance, name=pair.name, port_name=pair.port_name, valid=mask)
        if found.verdict is not Verdict.AGREE:
            off = f"off by {found.error:.3g} where {tolerance.atol:g} is allowed"
            return f"{pair.name} is {off}" if found.outside else f"{pair.name}: {found.reason}"
    return ""
