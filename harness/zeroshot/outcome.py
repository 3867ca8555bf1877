"""What one claim about zero-shot accuracy found, as the report and the register take it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from harness.parity.compare import Verdict, plain
from harness.parity.outcome import registered, verdict_of
from harness.register import Row
from harness.zeroshot.family import Family
from harness.zeroshot.summary import Summary

Check = Literal["accuracy", "frameworks", "lm-eval", "family"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One claim about one task.

    task: its name. model: who was asked. check: accuracy, that it is what it should be; frameworks, that two decide
    alike; lm-eval, that that tool does; family, that the trend is what is claimed.
    error, limit: how far it is from the claim, and how far it may be, in one unit. reason: what is wrong, or "".
    compared: how many examples. summary, family: what the report shows of it.
    """

    task: str
    model: str
    check: Check
    error: float
    limit: float
    compared: int
    reason: str = ""
    summary: Summary | None = None
    family: Family | None = None

    @property
    def case(self) -> str:
        """How the record names it."""
        return f"{self.task}.{self.model}"

    @property
    def title(self) -> str:
        """For people."""
        return f"{self.model} on {self.task}"

    @property
    def subject(self) -> str:
        """How the register names the claim."""
        return f"{self.case}.{self.check}"

    @property
    def verdict(self) -> Verdict:
        """Agree within the limit; inconclusive where nothing was compared or the error is no number."""
        found = verdict_of(self.error, self.limit, compared=self.compared)
        return Verdict.DIVERGE if found is Verdict.AGREE and self.reason else found

    def registered(self, rows: Sequence[Row]) -> tuple[str, ...]:
        """The ids of those rows of the register that explain it; nothing explains an inconclusive one."""
        return registered(self.verdict, self.error, rows)

    def metrics(self) -> dict[str, Any]:
        """The figures of the result's line in the record."""
        found = {"error": self.error, "limit": self.limit, "compared": self.compared}
        if self.summary:
            accuracy = self.summary.accuracy
            low, high = accuracy.interval
            found |= {"accuracy": accuracy.accuracy, "low": low, "high": high, "left_out": len(self.summary.left_out)}
        return dict(plain(found))

    def to_dict(self) -> dict[str, Any]:
        """The result's own file."""
        shown = {"summary": self.summary and self.summary.to_dict(), "family": self.family and self.family.to_dict()}
        return dict(plain({"text": str(self), "outputs": [], "taps": [], "zero_shot": shown}))

    def __str__(self) -> str:
        lines = [f"{self.title}: {self.check} {self.verdict.value.replace('_', ' ')}"]
        lines += [f"  why         {self.reason}"] if self.reason else []
        lines.append(f"  error       {self.error:.3g}, where {self.limit:.3g} is allowed; {self.compared} examples")
        lines += [str(self.summary)] if self.summary else []
        return "\n".join(lines + ([f"  trend       {self.family.trend}"] if self.family else []))
