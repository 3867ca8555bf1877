"""A run of the zero-shot suite with made-up outcomes, for the tests of its section."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.files import write_atomic
from harness.zeroshot.accuracy import NORMALISATIONS, accuracy
from harness.zeroshot.examples import LeftOut
from harness.zeroshot.family import family
from harness.zeroshot.outcome import Outcome
from harness.zeroshot.scored import Scored
from harness.zeroshot.size import Size
from harness.zeroshot.summary import Group, Summary
from suites.selftest.report_runs import write_run


def scores(*right: bool, start: int = 0) -> tuple[Scored, ...]:
    """Scores of which those are right; the target is 0 and 1 by turns."""
    found = []
    for number, correct in enumerate(right, start=start):
        target = number % 2
        likely = target if correct else 1 - target
        values = (-1.0, -2.0) if likely == 0 else (-2.0, -1.0)
        found.append(Scored(str(number), target, values, (3, 3), (9, 10), (9, 10)))
    return tuple(found)


def summary(scored: tuple[Scored, ...], **changes: Any) -> Summary:
    """What is told of them."""
    values = {
        "task": "winobias-type1-test-anti",
        "title": "WinoBias type 1",
        "model": "smollm2",
        "accuracy": accuracy(scored),
        "accuracies": tuple(accuracy(scored, each) for each in NORMALISATIONS),
        "left_out": (LeftOut("157", "they differ in more than the pronoun: 13 and 15 words"),),
        "warnings": ("per character, 9 of 60 decisions change, and every one to option 1",),
        "groups": (Group("nurse", 4, 1, (1, 3)), Group("plumber", 2, 1, (2, 0))),
    }
    return Summary(**(values | changes))


def line(folder: Path, outcome: Outcome, **values: Any) -> dict[str, Any]:
    """The line of an outcome, whose file is written."""
    name = f"cases/{outcome.task}.{outcome.check}.{len(list(folder.glob('cases/*')))}.json"
    told = {"check": outcome.check, "title": outcome.title, "register": []}
    write_atomic(folder / name, json.dumps(outcome.to_dict() | told))
    return {
        "suite": "zero_shot",
        "case": outcome.case,
        "check": outcome.check,
        "title": outcome.title,
        "test": f"suites/zero_shot/test_accuracy.py::test_{outcome.check}[{outcome.case}]",
        "verdict": outcome.verdict.value,
        "registered": [],
        "reason": outcome.reason,
        "metrics": outcome.metrics(),
        "seconds": 0.2,
        "files": [name],
        "repeat": "pytest 'suites/zero_shot'",
        "key": "",
    } | values


def inverse() -> dict[str, tuple[Scored, ...]]:
    """Scores of three models, of which the larger is wrong more often."""
    counts = {"5 layers": 45, "15 layers": 33, "30 layers": 20}
    return {name: scores(*[True] * count, *[False] * (60 - count)) for name, count in counts.items()}


SIZES = {
    "5 layers": Size(46_000_000, 9.2e7),
    "15 layers": Size(81_000_000, 1.6e8),
    "30 layers": Size(135_000_000, 2.7e8),
}


def sample(folder: Path) -> Path:
    """A run with accuracy, another framework, a family, and one that is wrong."""
    scored = scores(*[True] * 27, *[False] * 33)
    told = summary(scored)
    scaled = family("occupations", inverse(), SIZES)
    outcomes = [
        Outcome(told.task, "smollm2", "accuracy", 0.0, 0.0, 60, summary=told),
        Outcome(told.task, "smollm2 in Flax", "frameworks", 1.0, 0.0, 60, "1 of 60 decisions differs"),
        Outcome("occupations", "family", "family", 0.0, 0.0, 60, family=scaled),
    ]
    return write_run(folder, *(line(folder, each) for each in outcomes))
