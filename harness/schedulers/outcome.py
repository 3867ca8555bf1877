"""What one check of one row of the table found, as the report and the register take it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.parity.compare import Difference, Verdict, plain
from harness.parity.outcome import reason_of, registered, verdict_of
from harness.register import Row


@dataclass(frozen=True, slots=True)
class Outcome:
    """One claim about a scheduler.

    row: id of the row. check: original, grid, order, moments, oracle, twin or planted. title: the sampler, for people.
    port, reference: what was run, in words. error, limit: the measured quantity and the gate, in the same unit (for an
        order: how far it stays below the stated one).
    worst: which variant, step count or type showed the error. numbers: further figures for the report, by name.
    pairs: of the worst trace, every compared array. series: for the chart, steps -> error.
    note: which checks the row cannot have, and why. place: of the row in its table, from 1; 0 where it has none.
    """

    row: str
    check: str
    title: str
    reference: str
    port: str
    error: float
    limit: float
    worst: str = ""
    compared: int = 0
    numbers: Mapping[str, float] = field(default_factory=dict)
    pairs: tuple[Difference, ...] = ()
    series: Mapping[int, float] = field(default_factory=dict)
    scale: float = 1.0
    note: str = ""
    place: int = 0

    @property
    def case(self) -> str:
        """How the record names the sampler."""
        return self.row

    @property
    def subject(self) -> str:
        """How the register names it."""
        return f"{self.row}.{self.check}"

    @property
    def verdict(self) -> Verdict:
        """Agree within the gate; inconclusive where nothing was compared or the error is no number."""
        return verdict_of(self.error, self.limit, compared=self.compared)

    @property
    def reason(self) -> str:
        """In a sentence what is outside, or "" where it agrees."""
        return reason_of(self.verdict, self.error, self.limit, compared=self.compared, worst=self.worst)

    def registered(self, rows: Sequence[Row]) -> tuple[str, ...]:
        """The ids of those rows of the register that explain it; nothing explains an inconclusive one."""
        return registered(self.verdict, self.error, rows)

    def metrics(self) -> dict[str, Any]:
        """The numbers of the result's line in the record."""
        place = {"place": self.place} if self.place else {}
        return dict(plain({"error": self.error, "limit": self.limit, "scale": self.scale, **place, **self.numbers}))

    def to_dict(self) -> dict[str, Any]:
        """The result's own file: what `harness.report` shows of any comparison, and the series for the chart."""
        values = {
            "text": str(self),
            "reference": self.reference,
            "port": self.port,
            "taps": [pair.to_dict() for pair in self.pairs[:-1]],
            "outputs": [pair.to_dict() for pair in self.pairs[-1:]],
            "series": {str(steps): error for steps, error in self.series.items()},
            "worst": self.worst,
            "compared": self.compared,
            "note": self.note,
        }
        return dict(plain(values))

    def __str__(self) -> str:
        lines = [
            f"{self.title}: {self.check} {self.verdict.value.replace('_', ' ')}",
            f"  reference   {self.reference}",
            f"  port        {self.port}",
            f"  error       {self.error:.3g}, where {self.limit:.3g} is allowed; {self.compared} runs compared",
        ]
        if self.worst:
            lines.append(f"  worst       {self.worst}")
        first = next((pair for pair in self.pairs if pair.verdict is not Verdict.AGREE), None)
        if first is not None:
            lines.append(f"  first off   {first.name}: {first.error:.3g} at scale {first.scale:.3g}")
        return "\n".join(lines)


def worst_of(outcomes: Sequence[Outcome]) -> Outcome:
    """The outcome to show for several: the one farthest outside its gate; a NaN counts as farthest."""
    return max(outcomes, key=lambda outcome: (outcome.error != outcome.error, outcome.error / (outcome.limit or 1.0)))
