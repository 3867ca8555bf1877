"""What one model makes of one task: accuracy by every normalisation, what was left out, where decisions lean."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from harness.errors import SpecError
from harness.zeroshot.accuracy import NORMALISATIONS, Accuracy, Normalisation, accuracy, decide, warnings
from harness.zeroshot.example import Example
from harness.zeroshot.examples import LeftOut
from harness.zeroshot.scored import Scored
from harness.zeroshot.task import Task

LABEL = 12
"""Columns of a label."""

OCCUPATION = "occupation"
"""The column by which decisions are counted."""


@dataclass(frozen=True, slots=True)
class Group:
    """The examples of one occupation. decisions: of each option in turn, how many chose it."""

    name: str
    examples: int
    right: int
    decisions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Summary:
    """The model on the task. accuracy: by the task's normalisation; accuracies: by each.

    left_out: rows that were not asked. warnings: normalisations that change decisions in one direction.
    groups: by occupation, where the task tells it.
    """

    task: str
    title: str
    model: str
    accuracy: Accuracy
    accuracies: tuple[Accuracy, ...]
    left_out: tuple[LeftOut, ...]
    warnings: tuple[str, ...]
    groups: tuple[Group, ...]

    def to_dict(self) -> dict[str, Any]:
        """For JSON and the report."""
        return {
            "task": self.task,
            "title": self.title,
            "model": self.model,
            **asdict(self.accuracy),
            "accuracies": {each.normalisation: each.accuracy for each in self.accuracies},
            "left_out": [asdict(each) for each in self.left_out],
            "warnings": list(self.warnings),
            "groups": [asdict(each) for each in self.groups],
        }

    def __str__(self) -> str:
        found = self.accuracy
        low, high = found.interval
        others = ", ".join(f"{each.normalisation} {each.accuracy:.1%}" for each in self.accuracies)
        share = f"{found.accuracy:.2%} ± {found.standard_error:.2%} ({found.right} of {found.examples})"
        rows = (
            row("task", self.title),
            row("model", self.model),
            row("accuracy", share),
            row("interval", f"{low:.2%} to {high:.2%} (Wilson, 95 %)"),
            row("normalised", f"by {found.normalisation}; by each: {others}"),
            row("left out", f"{len(self.left_out)} rows"),
            *(row("", f"{each.id}: {each.reason}") for each in self.left_out),
            *(row("warning", each) for each in self.warnings),
        )
        return "\n".join((self.task, *rows))


def row(label: str, text: str) -> str:
    """The text beside its label, wrapped at 80 columns."""
    begin, further = f"  {label:<{LABEL}}", " " * (LABEL + 2)
    return textwrap.fill(text, 80, initial_indent=begin, subsequent_indent=further, break_on_hyphens=False)


def summarise(
    task: Task,
    model: str,
    examples: Sequence[Example],
    left_out: Sequence[LeftOut],
    scored: Sequence[Scored],
    *,
    normalisation: Normalisation | None = None,
) -> Summary:
    """The model's scores of exactly these examples, in any order.

    normalisation: by default the task's.

    Raises:
        SpecError: an example has no score, or a score no example, or another target.
    """
    _check(task, examples, scored)
    chosen = normalisation or task.normalisation
    return Summary(
        task=task.name,
        title=task.title,
        model=model,
        accuracy=accuracy(scored, chosen),
        accuracies=tuple(accuracy(scored, each) for each in NORMALISATIONS),
        left_out=tuple(left_out),
        warnings=warnings(scored),
        groups=_groups({each.id: each for each in examples}, scored, chosen),
    )


def _check(task: Task, examples: Sequence[Example], scored: Sequence[Scored]) -> None:
    targets = {each.id: each.target for each in examples}
    if len(scored) != len(examples) or {each.id for each in scored} != set(targets):
        odd = sorted(set(targets) ^ {each.id for each in scored})[:3] or ["one twice"]
        problem = f"{len(scored)} scores of {len(examples)} examples (first without the other: {', '.join(odd)})"
        raise SpecError(f"task {task.name}", problem, todo="Score it again, with the same task file and limit.")
    for each in scored:
        if each.target != targets[each.id]:
            problem = f"example {each.id!r} was scored with target {each.target}, and has {targets[each.id]}"
            raise SpecError(f"task {task.name}", problem, todo="Score it again: the task has changed.")


def _groups(
    examples: Mapping[str, Example], scored: Sequence[Scored], normalisation: Normalisation
) -> tuple[Group, ...]:
    """By name; of tasks whose examples have different numbers of options none."""
    by_name: dict[str, list[Scored]] = {}
    for each in scored:
        if name := examples[each.id].about.get(OCCUPATION):
            by_name.setdefault(name, []).append(each)
    count = {len(each.tokens) for each in scored}
    if len(count) > 1:
        return ()
    found = []
    for name, members in sorted(by_name.items()):
        decisions = [decide(each, normalisation) for each in members]
        right = sum(decision == each.target for decision, each in zip(decisions, members))
        found.append(Group(name, len(members), right, tuple(map(decisions.count, range(*count)))))
    return tuple(found)
