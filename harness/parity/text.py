"""What a person reads in the terminal: one screen of 80 columns, the finding first."""

from __future__ import annotations

import math
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence

from harness.parity.causes import Cause
from harness.parity.compare import Difference, Verdict
from harness.parity.comparison import Comparison
from harness.parity.diagnose import Diagnosis
from harness.parity.judge import Line
from harness.parity.localise import Faulty
from harness.parity.steps import Step

WIDTH = 80
LABEL = 11
OUTPUTS = 3
"""Outputs that are shown: the screen has room for no more."""


def failure_text(comparison: Comparison) -> str:
    """The comparison in words: verdict, both sides, each output, where it starts, what was left over, how to repeat.

    Made for a failure, and as true of an agreement.
    """
    words = comparison.verdict.value.replace("_", " ").upper()
    lines = [f"{comparison.name}: {words}", *_row("reference", comparison.reference), *_row("port", comparison.port)]
    if comparison.reason:
        lines += _row("why", comparison.reason)
    shown = _worst_first(comparison)[:OUTPUTS]
    for pair in comparison.outputs:
        if pair not in shown:
            continue
        lines += _row("output", _measured(pair, comparison.tolerance.atol))
        lines += _row("float64", _rounding(pair))
        lines += _row("worst", _worst(pair))
    if len(comparison.outputs) > OUTPUTS:
        lines += _row("outputs", f"and {len(comparison.outputs) - OUTPUTS} more, none worse")
    lines += _diagnosis(comparison.diagnosis)
    lines += _taps(comparison)
    lines += _further(comparison)
    lines += _not_checked(comparison.not_checked)
    if comparison.probes_not_taken:
        lines += _row(
            "not probed", _some([f"{probe} ({why})" for probe, why in comparison.probes_not_taken.items()], 2)
        )
    if comparison.islands and any(pair.rounding and pair.rounding.by == "floor" for pair in comparison.outputs):
        lines += _row("islands", _some(list(comparison.islands)))
    if comparison.proposals:
        certain = [each for each in comparison.proposals if each.certain]
        some = [f"{each.reference} = {each.port}" for each in (certain or comparison.proposals)]
        count = f"{len(certain)} certain, {len(comparison.proposals) - len(certain)} proposed, none applied"
        lines += _row("names", f"{count}: {_some(some, 2)}")
    if comparison.unmatched:
        lines += _row("left over", _some(list(comparison.unmatched)))
    for note in comparison.notes[:3]:
        lines += _row("note", note)
    return "\n".join(lines)


def _worst_first(comparison: Comparison) -> list[Difference]:
    order = [Verdict.DIVERGE, Verdict.INCONCLUSIVE, Verdict.WITHIN_TOLERANCE, Verdict.AGREE]
    return sorted(comparison.outputs, key=lambda pair: (order.index(pair.verdict), -pair.error))


def _row(label: str, text: str) -> list[str]:
    if not text:
        return []
    indent = " " * (LABEL + 3)
    return textwrap.wrap(
        text, WIDTH, initial_indent=f"  {label:<{LABEL}} ", subsequent_indent=indent, break_on_hyphens=False
    )


def _measured(pair: Difference, atol: float) -> str:
    if not pair.compared:
        return f"{pair.name} {pair.shape}: {pair.reason}"
    return f"{pair.name} {pair.shape}: off by {pair.error:.3g} on values up to {pair.scale:.3g}, {atol:g} allowed"


def _rounding(pair: Difference) -> str:
    found = pair.rounding
    if found is None:
        return ""
    if found.error64 is None:
        has, moves = ("reference", "port") if found.of == "port" else ("port", "reference")
        return f"the {has} has none; rounding moves the {moves} by {found.floor:.3g}"
    words = f"off by {found.error64:.3g} on values up to {found.scale64:.3g}"
    if found.by == "floor":
        words += f"; rounding moves the reference by {found.floor:.3g} in float32"
    if found.stored is not None:
        words += f"; storing the weights moves the port by {found.stored:.3g}"
    return words


def _worst(pair: Difference) -> str:
    if pair.worst is None:
        return ""
    place = list(pair.worst.index)
    return f"at {place} the reference has {pair.worst.reference:.6g}, the port {pair.worst.port:.6g}"


FAULTY = 3
"""Modules at fault that are shown, those with one cause as one."""


def _diagnosis(found: Diagnosis) -> list[str]:
    """Which modules are at fault, why that is said of them, and that it is so."""
    rows: list[str] = []
    groups = _alike(found)
    for each, cause, alike in groups[:FAULTY]:
        name = each.path or "the model itself"
        if each.port_path != each.path:
            name += f" (port: {each.port_path or 'the model itself'})"
        rows += _row("at fault", f"{name}, {each.kind}: {each.how}")
        if math.isfinite(each.error):
            place = f", most at {list(each.worst)}" if each.worst else ""
            rows += _row("", f"off by {each.error:.3g} on values up to {each.scale:.3g}, shape {each.shape}{place}")
        if cause is not None:
            rows += _row("proved", _cause(cause))
            rows += _row("", found.configured.get(each.path, ""))
        elif said := next((one for one in found.descriptions if one.path == each.path), None):
            rows += _row("not proved", f"no cause in the catalogue explains it: {said}")
        if alike:
            rows += _row("", f"the same in {len(alike)} more: {_some(alike, 2)}")
    if len(groups) > FAULTY:
        rest = [each.path for each, _, _ in groups[FAULTY:]]
        rows += _row("", f"and {len(rest)} more: {_some(rest, 2)}")
    rows += _steps(found.steps)
    modules = len(found.modules) - len(found.faulty)
    if found.faulty and modules > 0:
        rows += _row("sound", f"{modules} other modules compute what the reference's do on the same inputs")
    if found.why_not:
        rows += _row("at fault", f"not found: {found.why_not}")
    return rows


def _steps(steps: Sequence[Step]) -> list[str]:
    """The error of the whole port as it is, and with one cause mended after the other."""
    rows: list[str] = []
    for number, step in enumerate(steps):
        if not number:
            rows += _row("mended", f"nothing: the outputs are off by {step.error:.2g} on values up to {step.scale:.3g}")
            continue
        where = step.paths[0] if len(step.paths) == 1 else f"{len(step.paths)} modules"
        name = f"{'and ' if number > 1 else ''}{step.mended} in {where or 'the model itself'}"
        rows += _row("", f"{name}: off by {step.error:.2g}{', which is rounding' if step.rounding else ''}")
    return rows


def _alike(found: Diagnosis) -> list[tuple[Faulty, Cause | None, list[str]]]:
    """The modules at fault, those of one class and cause together: the first, its cause, the paths of the others."""
    causes = {cause.path: cause for cause in found.causes}
    said = {each.path: str(each) for each in found.descriptions}
    groups: dict[tuple[str, ...], tuple[Faulty, Cause | None, list[str]]] = {}
    for each in found.faulty:
        cause = causes.get(each.path)
        why = f"{each.how.split(' ')[0]} {said.get(each.path, '')}" if cause is None else f"{cause.name} {cause.detail}"
        key = (each.kind, why)
        if key in groups:
            groups[key][2].append(each.path)
        else:
            groups[key] = (each, cause, [])
    return list(groups.values())


def _cause(cause: Cause) -> str:
    """What is wrong, and what becomes of the error when it is not."""
    inputs = "these inputs" if cause.inputs == 1 else f"{cause.inputs} inputs"
    before = f" of {cause.before:.1g}" if math.isfinite(cause.before) else ""
    text = f"{cause.name}: {cause.detail}. This explains its error{before} to {cause.after:.1g}, on {inputs}"
    return text + (f"; so would {_some(list(cause.others), 1)}" if cause.others else "")


def _taps(comparison: Comparison) -> list[str]:
    if not comparison.taps:
        return _row("taps", "none were compared")
    first = comparison.first
    total = len(comparison.taps)
    if first is None:
        return _row("taps", f"all {total} within the tolerance")
    before = comparison.taps.index(first)
    name = first.name if first.port_name == first.name else f"{first.name} (port: {first.port_name})"
    finding = f"{name} {first.shape}: "
    finding += first.reason if not first.compared else f"off by {first.error:.3g} on values up to {first.scale:.3g}"
    lines = _row("first off", finding)
    agreed = [tap.name for tap in comparison.taps[:before] if tap.verdict is Verdict.AGREE]
    return lines + _row("agreed", f"{before} of {total} taps before it" + (f", last {agreed[-1]}" if agreed else ""))


def _further(comparison: Comparison) -> list[str]:
    """The claims beside the outputs: of each check the first that fails, with its reason; those that agree, counted."""
    rows: list[str] = []
    by_check: dict[str, list[Line]] = {}
    for line in comparison.lines:
        by_check.setdefault(line.check, []).append(line)
    for check, lines in by_check.items():
        failing = [line for line in lines if line.verdict is not Verdict.AGREE]
        if failing:
            count = f" ({len(failing)} of {len(lines)} fail)" if len(lines) > 1 else ""
            rows += _row(check, f"{failing[0].probe}{count}: {failing[0].reason}")
    agreeing = Counter(line.check for line in comparison.lines if line.verdict is Verdict.AGREE)
    counts = [f"{check} ({count})" if count > 1 else check for check, count in agreeing.items()]
    return rows + _row("also agree", ", ".join(counts))


def _not_checked(reasons: Mapping[str, str]) -> list[str]:
    """A row for each reason, with the checks that were not made for it."""
    by_reason: dict[str, list[str]] = {}
    for check, why in reasons.items():
        by_reason.setdefault(why, []).append(check)
    return [row for why, checks in by_reason.items() for row in _row("not checked", f"{', '.join(checks)}: {why}")]


def _some(names: list[str], count: int = 4) -> str:
    shown = ", ".join(names[:count])
    return shown if len(names) <= count else f"{shown} and {len(names) - count} more"
