"""What one check of one pair of twins found, as the report and the register take it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as by_default
from typing import Any

from harness.parity.compare import Difference, Verdict, plain
from harness.parity.outcome import registered
from harness.register import Row


@dataclass(frozen=True, slots=True)
class Outcome:
    """One claim about twins.

    family, reference, port: ids and class names. check: to_flax, from_flax, or the varied field with its value.
    error, scale: of the worst output; the error is infinite where one side raises. worst: its name in the reference.
    compared: how many outputs.
    standing: for a field, how either side takes it (`harness.equivalence.fields`), else "".
    field: the varied field. notes: what else is known, a line each.
    """

    family: str
    reference: str
    port: str
    check: str
    verdict: Verdict
    reason: str = ""
    error: float = 0.0
    scale: float = 0.0
    worst: str = ""
    compared: int = 0
    outputs: tuple[Difference, ...] = ()
    standing: str = ""
    field: str = ""
    notes: tuple[str, ...] = ()
    numbers: Mapping[str, float] = by_default(default_factory=dict)

    @property
    def case(self) -> str:
        """How the record names the twins."""
        return f"{self.family}.{self.reference}"

    @property
    def subject(self) -> str:
        """How the register names the claim."""
        return f"{self.case}.{self.check}"

    @property
    def title(self) -> str:
        """For people."""
        return f"{self.port} against {self.reference}"

    def registered(self, rows: Sequence[Row]) -> tuple[str, ...]:
        """The ids of those rows of the register that explain it; nothing explains an inconclusive one."""
        return registered(self.verdict, self.error, rows)

    def metrics(self) -> dict[str, Any]:
        """The figures of the result's line in the record; with a field, how it stands."""
        more = {"standing": self.standing, "field": self.field} if self.standing else {}
        return dict(plain({"error": self.error, "scale": self.scale, **more, **self.numbers}))

    def to_dict(self) -> dict[str, Any]:
        """The result's own file."""
        values = {
            "text": str(self),
            "reference": f"PyTorch {self.reference}",
            "port": f"Flax {self.port}",
            "taps": [],
            "outputs": [pair.to_dict() for pair in self.outputs if self.verdict is not Verdict.AGREE],
            "notes": list(self.notes),
        }
        return dict(plain(values))

    def __str__(self) -> str:
        lines = [
            f"{self.subject}: {self.verdict.value.replace('_', ' ').upper()}",
            f"  reference   PyTorch {self.reference}",
            f"  port        Flax {self.port}",
        ]
        if self.reason:
            lines.append(f"  why         {self.reason}")
        if self.standing:
            lines.append(f"  field       {self.field}: {self.standing}")
        if self.compared:
            lines.append(f"  error       {self.error:.3g} on values up to {self.scale:.3g}, {self.compared} outputs")
        return "\n".join([*lines, *(f"  note        {note}" for note in self.notes)])
