"""What one model makes of one task, and how it was found."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.zeroshot.accuracy import Accuracy, Normalisation, Shift, accuracy, shifts, warnings
from harness.zeroshot.scored import Scored


@dataclass(frozen=True)
class Result:
    """The scores of a task by one model, in the order of its examples.

    way, refused, proof: how the model was asked, why not in a quicker way, and by how much that moved a log-likelihood
    of the two examples on which it was proved. kept: how many scores came from an earlier run. seconds: of the others.
    shapes: how many shapes of calls were compiled. file: the JSON lines of all scores.
    """

    task: str
    model: str
    scored: tuple[Scored, ...]
    normalisation: Normalisation
    way: str
    refused: tuple[str, ...]
    proof: float
    kept: int
    seconds: float
    shapes: int
    file: Path
    about_way: tuple[str, ...] = ()

    @cached_property
    def by_normalisation(self) -> Accuracy:
        return accuracy(self.scored, self.normalisation)

    @property
    def accuracy(self) -> float:
        return self.by_normalisation.accuracy

    @property
    def standard_error(self) -> float:
        return self.by_normalisation.standard_error

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's, 95 %."""
        return self.by_normalisation.interval

    @property
    def examples(self) -> int:
        return len(self.scored)

    @property
    def shifts(self) -> tuple[Shift, ...]:
        """What each other normalisation decides otherwise."""
        return shifts(self.scored)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader of the accuracy should know."""
        return (*self.about_way, *warnings(self.scored))

    @property
    def examples_per_second(self) -> float:
        """Of those that were scored in this run; 0 if all were kept."""
        return (self.examples - self.kept) / self.seconds if self.seconds else 0.0

    def metrics(self) -> dict[str, Any]:
        """The figures for a record."""
        names = ("accuracy", "standard_error", "examples", "normalisation", "way", "proof", "kept", "shapes")
        found = {name: getattr(self, name) for name in names}
        return {**found, "interval": list(self.interval), "examples_per_second": self.examples_per_second}

    def __str__(self) -> str:
        low, high = self.interval
        lines = [
            f"{self.task}: {self.model}",
            f"  accuracy    {self.accuracy:.4f} ± {self.standard_error:.4f}, 95 % within {low:.4f} and {high:.4f}",
            f"  examples    {self.examples}, of which {self.kept} were scored before",
            f"  normalised  by {self.normalisation}",
            f"  asked       by {self.way}, which moves a log-likelihood by {self.proof:.2g}",
        ]
        lines += [f"  not by      {each}" for each in self.refused]
        return "\n".join([*lines, *(f"  warning     {each}" for each in self.warnings)])
