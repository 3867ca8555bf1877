"""A family of models on one task: accuracy against size, and whether it falls as they grow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.errors import SpecError
from harness.zeroshot.accuracy import Accuracy, Normalisation, accuracy
from harness.zeroshot.paired import Paired, paired
from harness.zeroshot.scored import Scored
from harness.zeroshot.size import Size

LIKELY = 0.05
"""Below this p a difference between the smallest and the largest is called one: the convention of the field."""


@dataclass(frozen=True, slots=True)
class Member:
    """A model of the family on the task."""

    name: str
    size: Size
    accuracy: Accuracy

    def to_dict(self) -> dict[str, Any]:
        """For JSON and the report."""
        low, high = self.accuracy.interval
        return {
            "name": self.name,
            "parameters": self.size.parameters,
            "flops": self.size.flops,
            "accuracy": self.accuracy.accuracy,
            "low": low,
            "high": high,
            "examples": self.accuracy.examples,
        }


@dataclass(frozen=True, slots=True)
class Family:
    """The members from small to large. ends: the smallest against the largest, on the same examples."""

    task: str
    members: tuple[Member, ...]
    ends: Paired

    @property
    def trend(self) -> str:
        """What the ends say, in a sentence."""
        small, large = self.members[0], self.members[-1]
        told = f"{small.name} {small.accuracy.accuracy:.1%}, {large.name} {large.accuracy.accuracy:.1%}"
        p = f"p = {self.ends.p:.2g} (exact McNemar)"
        if self.ends.p >= LIKELY:
            return f"no trend that chance does not explain: {told}, {p}"
        if self.ends.difference < 0:
            return f"inverse scaling, accuracy falls with size: {told}, {p}"
        return f"accuracy grows with size: {told}, {p}"

    def to_dict(self) -> dict[str, Any]:
        """For JSON and the report."""
        return {"task": self.task, "trend": self.trend, "members": [each.to_dict() for each in self.members]}


def family(
    task: str, scored: Mapping[str, Sequence[Scored]], sizes: Mapping[str, Size], normalisation: Normalisation = "sum"
) -> Family:
    """The models by name, from small to large, on one task.

    Raises:
        SpecError: fewer than two models, two of one size, or not the same examples.
    """
    if len(scored) < 2:
        raise SpecError(f"family on {task}", f"{len(scored)} models", todo="Give two or more.")
    names = sorted(scored, key=lambda name: sizes[name].parameters)
    first, last = names[0], names[-1]
    if sizes[first].parameters == sizes[last].parameters:
        raise SpecError(f"family on {task}", "all models are of one size", todo="Compare two of them with --against.")
    members = tuple(Member(name, sizes[name], accuracy(scored[name], normalisation)) for name in names)
    for name in names[1:-1]:
        paired(scored[first], scored[name], normalisation)
    return Family(task, members, paired(scored[first], scored[last], normalisation))
