"""The zero-shot suite's section of the page: accuracy with its interval, what was left out, where decisions lean."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.report import words
from harness.report.defects import document_of
from harness.report.page import environment, placed
from harness.report.run import Result
from harness.report.scaling import scaling

if TYPE_CHECKING:
    from markupsafe import Markup

LEFT_OUT = 30
"""Rows that were left out, told of each task; of more the number."""


@dataclass(frozen=True, slots=True)
class Line:
    """A row of the table. low, middle, high: of the interval, in percent of the bar."""

    task: str
    model: str
    check: str
    anchor: str
    standing: words.Standing
    accuracy: float
    low: float
    high: float
    error: float
    examples: int
    right: int
    normalisation: str
    others: tuple[tuple[str, float], ...]
    left_out: int


@dataclass(frozen=True, slots=True)
class Left:
    """The rows of a task that were not asked. rows: of the first, id and reason."""

    task: str
    count: int
    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Occupation:
    """Decisions of a model for the first of two options, in percent, and how many of all are right."""

    name: str
    first: float
    right: int
    examples: int


def section(results: list[Result], folder: Path) -> Markup:
    """The section of these results, whose files lie in `folder`; nothing, if none is of a task."""
    from markupsafe import Markup

    found = [(result, place, _shown(document_of(folder, result))) for result, place in placed(results)]
    summaries = [(result, place, shown["summary"]) for result, place, shown in found if shown.get("summary")]
    families = [shown["family"] for _, _, shown in found if shown.get("family")]
    if not summaries and not families:
        return Markup("")
    text = (
        environment()
        .get_template("zero_shot.html")
        .render(
            lines=[_line(*each) for each in summaries],
            warnings=[*dict.fromkeys(_told(each, warning) for _, _, each in summaries for warning in each["warnings"])],
            left=[*_left(each for _, _, each in summaries)],
            occupations=[*_occupations(each for _, _, each in summaries)],
            charts=[chart for chart in map(scaling, families) if chart],
            others=[(result, place) for result, place, shown in found if not any(shown.values())],
            standing=words.standing,
        )
    )
    return Markup(text)


def _shown(document: Mapping[str, Any]) -> Mapping[str, Any]:
    shown = document.get("zero_shot")
    return shown if isinstance(shown, Mapping) else {}


def _line(result: Result, place: str, summary: Mapping[str, Any]) -> Line:
    low, high = summary["interval"]
    return Line(
        task=summary["task"],
        model=summary["model"],
        check=result.check,
        anchor=place,
        standing=words.standing(result),
        accuracy=100 * summary["accuracy"],
        low=100 * low,
        high=100 * high,
        error=100 * summary["standard_error"],
        examples=summary["examples"],
        right=summary["right"],
        normalisation=summary["normalisation"],
        others=tuple((name, 100 * share) for name, share in summary["accuracies"].items()),
        left_out=len(summary["left_out"]),
    )


def _told(summary: Mapping[str, Any], warning: str) -> str:
    return f"{summary['task']}, {summary['model']}: {warning}"


def _left(summaries: Iterator[Mapping[str, Any]]) -> Iterator[Left]:
    """Once for each task, since what is left out does not depend on the model."""
    for summary in {each["task"]: each for each in summaries}.values():
        rows = summary["left_out"]
        if rows:
            told = tuple((each["id"], each["reason"]) for each in rows[:LEFT_OUT])
            yield Left(summary["task"], len(rows), told)


def _occupations(summaries: Iterator[Mapping[str, Any]]) -> Iterator[tuple[str, str, Sequence[Occupation]]]:
    """Task, model and the occupations, from the one most often given the first option; of two options alone."""
    for summary in summaries:
        groups = [each for each in summary["groups"] if len(each["decisions"]) == 2]
        made = [
            Occupation(each["name"], 100 * each["decisions"][0] / each["examples"], each["right"], each["examples"])
            for each in groups
        ]
        if made:
            yield summary["task"], summary["model"], sorted(made, key=lambda each: (-each.first, each.name))
