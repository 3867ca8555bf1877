"""The samples that lm-evaluation-harness wrote (`--log_samples`), held against scores of the same questions."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import SpecError
from harness.zeroshot.accuracy import decide
from harness.zeroshot.example import Example
from harness.zeroshot.scored import Scored

TOLERANCE = 2e-4
"""How far log-likelihoods may be apart: what reordering sums in float32 needs. Measured between two scorers of
SmolLM2-135M: 1.4e-4 over the 782 of WinoBias type 1, test, where the smallest margin between two options was 1.4e-3."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A line of the file. texts: of each option, the whole that was scored, prompt and completion."""

    place: str
    texts: tuple[str, ...]
    target: str
    log_likelihoods: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Agreement:
    """Both on the questions that both have.

    examples: how many those are. theirs_alone, ours_alone: how many others. decisions: how many are the same.
    targets: how many have the same target. error: the largest difference of two log-likelihoods; worst: of which.
    """

    examples: int
    theirs_alone: int
    ours_alone: int
    decisions: int
    targets: int
    error: float
    worst: str

    @property
    def same(self) -> bool:
        """Whether every decision and target is the same, and every log-likelihood within the tolerance."""
        whole = self.decisions == self.targets == self.examples
        return whole and not self.theirs_alone and not self.ours_alone and self.error <= TOLERANCE


def read_samples(file: Path) -> tuple[Sample, ...]:
    """The samples of a multiple-choice task.

    Raises:
        SpecError: the file is of another schema (which line, what is missing), or holds no sample.
    """
    if not file.is_file():
        raise SpecError(str(file), "no such file", todo="Name a samples_TASK_DATE.jsonl that --log_samples wrote.")
    samples = [
        _sample(line, f"{file}:{number}")
        for number, line in enumerate(file.read_text(encoding="utf-8").split("\n"), start=1)
        if line.strip()
    ]
    if not samples:
        raise SpecError(str(file), "holds no sample", todo="Run that tool again with --log_samples.")
    return tuple(samples)


def agreement(samples: Sequence[Sample], examples: Sequence[Example], scored: Sequence[Scored]) -> Agreement:
    """What both say of the same questions, told by the whole text of their options.

    Raises:
        SpecError: they have no question in common.
    """
    ours = {each.id: each for each in scored}
    left: dict[tuple[str, ...], list[Example]] = {}
    for each in examples:
        if each.id in ours:
            left.setdefault(_texts(each), []).append(each)
    common = [(sample, left[sample.texts].pop(0)) for sample in samples if left.get(sample.texts)]
    if not common:
        problem = f"none of {len(samples)} samples asks what an example of the task asks"
        todo = f"Compare the same task; the first sample there is {samples[0].texts[0]!r}."
        raise SpecError("lm-eval samples", problem, todo=todo)
    decisions = targets = 0
    error, worst = 0.0, ""
    for sample, example in common:
        own = ours[example.id]
        theirs = sample.log_likelihoods
        decisions += theirs.index(max(theirs)) == decide(own)
        targets += sample.target in (str(example.target), example.options[example.target].strip())
        for value, other in zip(own.log_likelihoods, theirs, strict=True):
            if abs(value - other) > error:
                error, worst = abs(value - other), example.id
    ours_alone = sum(map(len, left.values()))
    return Agreement(len(common), len(samples) - len(common), ours_alone, decisions, targets, error, worst)


def _texts(example: Example) -> tuple[str, ...]:
    return tuple(example.prompt + option for option in example.options)


def _sample(line: str, place: str) -> Sample:
    """One line, as version 0.4 writes it: every number a string, the arguments by name."""
    try:
        told = json.loads(line)
        requests = [_request(each) for each in _in_order(told["arguments"])]
        answers = told["filtered_resps"]
        values = tuple(float(answer[0]) for answer in answers)
        if not all(map(math.isfinite, values)):
            raise ValueError(f"log-likelihoods {values!r}")
        sample = Sample(place, tuple(a + b for a, b in requests), str(told["target"]), values)
    except KeyError as error:
        raise SpecError(place, f"no sample of lm-eval: it has no {error}", todo=_WANTED) from None
    except (ValueError, TypeError, IndexError) as error:
        raise SpecError(place, f"no multiple-choice sample of lm-eval: {error}", todo=_WANTED) from None
    if len(sample.texts) < 2 or len(values) != len(sample.texts):
        problem = f"{len(values)} answers to {len(sample.texts)} requests: no multiple-choice sample"
        raise SpecError(place, problem, todo=_WANTED)
    return sample


def _in_order(arguments: Any) -> list[Any]:
    if not isinstance(arguments, Mapping):
        return list(arguments)
    return [arguments[f"gen_args_{number}"] for number in range(len(arguments))]


def _request(arguments: Any) -> tuple[str, str]:
    two = (arguments["arg_0"], arguments["arg_1"]) if isinstance(arguments, Mapping) else tuple(arguments)
    if len(two) != 2 or not all(isinstance(each, str) for each in two):
        raise ValueError(f"a request has {two!r}, not a prompt and a completion")
    return two


_WANTED = "Give the samples of a task with output_type multiple_choice, written by version 0.4 with --log_samples."
