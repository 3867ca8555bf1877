"""What a person reads in the terminal: one screen of 80 columns, the finding first."""

from __future__ import annotations

import textwrap

from harness.parity.compare import Difference, Verdict
from harness.parity.comparison import Comparison

WIDTH = 80
LABEL = 11


def failure_text(comparison: Comparison) -> str:
    """The comparison in words: verdict, both sides, each output, where it starts, what was left over, how to repeat.

    Made for a failure, and as true of an agreement.
    """
    words = comparison.verdict.value.replace("_", " ").upper()
    lines = [f"{comparison.name}: {words}", *_row("reference", comparison.reference), *_row("port", comparison.port)]
    if comparison.reason:
        lines += _row("why", comparison.reason)
    for pair in comparison.outputs:
        lines += _row("output", _measured(pair, comparison.tolerance.atol))
        lines += _row("float64", _rounding(pair))
        lines += _row("worst", _worst(pair))
    lines += _taps(comparison)
    for check, why in comparison.not_checked.items():
        lines += _row("not checked", f"{check}: {why}")
    if comparison.islands and any(pair.rounding and pair.rounding.by == "floor" for pair in comparison.outputs):
        lines += _row("islands", _some(list(comparison.islands)))
    if comparison.unmatched:
        lines += _row("left over", _some(list(comparison.unmatched)))
    return "\n".join(lines)


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
        return f"the port has none; rounding moves the reference by {found.floor:.3g}"
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


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:4])
    return shown if len(names) <= 4 else f"{shown} and {len(names) - 4} more"
