"""What outcomes that are held to one limit have in common: the verdict, why, and the rows that explain it."""

from __future__ import annotations

from collections.abc import Sequence

from harness.parity.compare import Verdict
from harness.register import Row, explained


def verdict_of(error: float, limit: float, *, compared: int) -> Verdict:
    """Agree within the limit; inconclusive where nothing was compared or the error is no number."""
    if not compared or error != error:
        return Verdict.INCONCLUSIVE
    return Verdict.AGREE if error <= limit else Verdict.DIVERGE


def reason_of(verdict: Verdict, error: float, limit: float, *, compared: int, worst: str) -> str:
    """In a sentence what is outside, or "" where it agrees."""
    if verdict is Verdict.AGREE:
        return ""
    if verdict is Verdict.INCONCLUSIVE:
        return "nothing was compared" if not compared else f"the error is no number ({worst})"
    return f"{error:.3g}, where {limit:.3g} is allowed ({worst})"


def registered(verdict: Verdict, error: float, rows: Sequence[Row]) -> tuple[str, ...]:
    """The ids of those rows of the register that explain it; nothing explains an inconclusive one."""
    if verdict is Verdict.INCONCLUSIVE:
        return ()
    return explained(error, rows, agrees=verdict is Verdict.AGREE)
