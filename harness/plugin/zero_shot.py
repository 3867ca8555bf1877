"""The fixture `zero_shot`: score a model on a task, keep every score in the run, and hold the accuracy to a claim."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from harness.errors import HarnessError, MissingError
from harness.plugin.conclude import conclude, repeat_command
from harness.plugin.outcomes import Outcome
from harness.plugin.recorder import announce, keep
from harness.settings import Repository, find_repository

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.zeroshot.example import Example
    from harness.zeroshot.result import Result
    from harness.zeroshot.task import Task

SECONDS = 5.0
"""Between two notes of progress in the run's events."""


@pytest.fixture
def zero_shot(request: pytest.FixtureRequest) -> ZeroShot:
    """Score a model on a task and record it.

    `result = zero_shot(model, task, tokenizer=tokenizer)`, where the task is one of a file, or a sequence of examples.
    `zero_shot.claim(outcome)` records what else was found of scores, and ends the test unless it agrees.
    """
    return ZeroShot(request.node, find_repository(request.config.rootpath))


@dataclass(frozen=True, slots=True)
class ZeroShot:
    """What the fixture gives."""

    item: pytest.Item
    repository: Repository

    def __call__(
        self,
        model: Any,
        task: Task | Sequence[Example],
        *,
        tokenizer: Any = None,
        name: str = "",
        expected: float | None = None,
        within: float = 0.0,
        **options: Any,
    ) -> Result:
        """The scores, or the end of the test: failed, or skipped for data that are not here.

        model: a causal language model, or the folder of one. tokenizer: of transformers or tokenizers, or a folder; by
        default the model's folder. name: of the task, where it is a sequence of examples. expected, within: the
        accuracy that is claimed, and how far it may be off; the test fails where it is not. options: of `score_task`.
        """
        from harness.zeroshot.outcome import Outcome as Found

        start = time.perf_counter()
        title = name or getattr(task, "name", "") or self.item.name
        repeat = repeat_command(self.item, title, self.repository)
        try:
            result, summary = self._scored(model, tokenizer or model, task, title, options)
        except MissingError as error:
            pytest.skip(error.problem)
        except HarnessError as error:
            keep(self.item, title, title, check="accuracy", error=error, repeat=repeat, seconds=_since(start))
            pytest.fail(f"{error}\n  repeat      {repeat}", pytrace=False)
        off = 0.0 if expected is None else abs(result.accuracy - expected)
        found = Found(
            task=title,
            model=result.model,
            check="accuracy",
            error=off,
            limit=within,
            compared=result.examples,
            reason="" if off <= within else f"accuracy {result.accuracy:.4f}, where {expected} was claimed",
            summary=summary,
        )
        lines = [each.to_dict() for each in result.scored]
        self._judge(found, repeat, seconds=_since(start), lines=lines, figures=result.metrics())
        return result

    def claim(self, outcome: Outcome) -> None:
        """Record the outcome and end the test unless it agrees or the register knows why not."""
        self._judge(outcome, repeat_command(self.item, outcome.subject, self.repository), seconds=0.0)

    def _scored(
        self, model: Any, tokenizer: Any, task: Task | Sequence[Example], title: str, options: dict[str, Any]
    ) -> tuple[Result, Any]:
        from harness.zeroshot.run import score_task
        from harness.zeroshot.task import Task

        if not isinstance(task, Task):
            return score_task(model, tokenizer, title, task, progress=self._progress(title), **options), None
        from harness.zeroshot.examples import examples_of
        from harness.zeroshot.summary import summarise

        examples, left_out = examples_of(task, self.repository)
        chosen = {"normalisation": task.normalisation, **options}
        result = score_task(model, tokenizer, title, examples, progress=self._progress(title), **chosen)
        told = summarise(task, result.model, examples, left_out, result.scored, normalisation=chosen["normalisation"])
        return result, told

    def _progress(self, title: str) -> Callable[[int, int], None]:
        """Notes in the run's events how far it is, now and then."""
        step, start, last = announce(self.item, title), time.perf_counter(), [time.perf_counter(), -1.0]

        def told(done: int, total: int) -> None:
            if last[1] < 0:
                last[1] = done
            if _since(last[0]) > SECONDS or done == total:
                last[0] = time.perf_counter()
                step(f"{done} of {total} examples, {(done - last[1]) / max(_since(start), 1e-9):.1f} a second")

        return told

    def _judge(self, found: Outcome, repeat: str, *, seconds: float, **kept: Any) -> None:
        from harness.register import read_register, rows_for

        rows = rows_for(found.subject, read_register(self.repository.register))
        keep(
            self.item,
            found.case,
            found.title,
            found=found,
            check=found.check,
            rows=rows,
            repeat=repeat,
            seconds=seconds,
            **kept,
        )
        conclude([(found, rows)], repeat)


def _since(start: float) -> float:
    return time.perf_counter() - start
