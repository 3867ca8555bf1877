"""A sensitivity as a person reads it: 80 columns, what is not caught first, and why."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING

from harness.parity.planting.rate import bounds

if TYPE_CHECKING:
    from harness.parity.sensitivity import Planted, Sensitivity

WIDTH, LABEL, CAUSE = 80, 12, 51
COLUMNS = {"caught": 8, "checked": 7, "contract": 11}
YES_OR_NO = ("no", "yes")


def sensitivity_text(found: Sensitivity) -> str:
    """The rates, the faults that are not caught, those that are by cause, and what was not planted."""
    total = len(found.faults)
    lines = [f"{found.name}: catches {_percent(found.rate)} of {total} planted faults"]
    lines += _row("reference", found.reference)
    lines += _row("port", found.port)
    for label, what, words in (
        ("inputs", "caught", "with the case's own inputs and weights"),
        ("check", "checked", "with what check adds: healthy weights, probes"),
        ("tolerance", "contract", "by the tolerance alone, on the case's own inputs"),
    ):
        caught = sum(getattr(fault, what) for fault in found.faults)
        low, high = bounds(caught, total)
        lines += _row(
            label, f"{caught} of {total}, {_percent(caught / total)} ({_percent(low)} to {_percent(high)}), {words}"
        )
    if found.floor is not None:
        lines += _row("floor", f"{found.floor:.0%}, {'reached' if found.enough else 'not reached'}")
    lines += _row("took", f"{found.seconds:.0f} s")
    lines += ["", f"  {'fault':<{CAUSE}}{'inputs':>8}{'check':>7}{'tolerance':>11}"]
    for fault in found.missed:
        lines += _missed(fault)
    lines += _caught(found)
    if found.not_planted:
        lines += ["", "  not planted"]
        reasons: dict[str, list[str]] = {}
        for what, why in found.not_planted.items():
            reasons.setdefault(why, []).append(what)
        for why, things in reasons.items():
            lines += _wrapped(f"{', '.join(things)}: {why}")
    return "\n".join(lines)


def _missed(fault: Planted) -> Iterator[str]:
    marks = "".join(f"{YES_OR_NO[getattr(fault, what)]:>{width}}" for what, width in COLUMNS.items())
    words = textwrap.wrap(f"{fault.cause}: {fault.detail}", CAUSE - 1)
    yield f"  {words[0]:<{CAUSE}}{marks}"
    yield from (f"    {each}" for each in words[1:])
    yield from _wrapped(f"{fault.path or 'the model'}: not caught, {fault.why}")


def _caught(found: Sensitivity) -> Iterator[str]:
    causes: dict[str, list[Planted]] = {}
    for fault in found.faults:
        if fault.caught:
            causes.setdefault(fault.cause, []).append(fault)
    for cause, faults in causes.items():
        counts = "".join(f"{sum(getattr(f, what) for f in faults):>{width}}" for what, width in COLUMNS.items())
        yield f"  {f'{cause}: {len(faults)} planted':<{CAUSE}}{counts}"


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=" " * 4, subsequent_indent=" " * 6, break_on_hyphens=False)


def _row(label: str, text: str) -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=f"  {label:<{LABEL}}", subsequent_indent=" " * (LABEL + 2), break_on_hyphens=False
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%".replace(".0%", "%")
