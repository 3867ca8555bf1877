"""A model's scores of a task, kept with all that re-scoring and comparing need, and read again without the model."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.errors import RecordError
from harness.files import read_lines, write_atomic
from harness.settings import Repository
from harness.zeroshot.accuracy import Normalisation
from harness.zeroshot.example import Example
from harness.zeroshot.examples import LeftOut, examples_of
from harness.zeroshot.models import Named
from harness.zeroshot.scored import Scored
from harness.zeroshot.size import Size
from harness.zeroshot.summary import Summary, summarise
from harness.zeroshot.task import Data, Task

SCORES, ANSWER = "scores.jsonl", "answer.json"
"""The files of a folder: a line an example, and what the lines are about."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model answered. scored: of every example one, in the order in which they were done."""

    task: Task
    model: str
    size: Size | None
    examples: tuple[Example, ...]
    left_out: tuple[LeftOut, ...]
    scored: tuple[Scored, ...]

    def summary(self, normalisation: Normalisation | None = None) -> Summary:
        """Accuracy and the rest, by the task's normalisation or another."""
        return summarise(self.task, self.model, self.examples, self.left_out, self.scored, normalisation=normalisation)


def ask(
    named: Named,
    task: Task,
    repository: Repository,
    *,
    folder: Path,
    progress: Callable[[int, int], None] | None = None,
) -> Answer:
    """The model's scores of the task, kept in `folder`; what lies there of the same is not scored again.

    progress: told how many examples are scored, and of how many.

    Raises:
        SpecError: the task is wrong, or the model cannot take its examples.
    """
    from harness.zeroshot.score import score

    examples, left_out = examples_of(task, repository)
    scored = tuple(score(named.model, named.tokenizer, examples, progress=progress))
    answer = Answer(task, named.name, named.size, examples, left_out, scored)
    keep_answer(folder, answer)
    return answer


def read_answer(file: Path) -> Answer:
    """What `ask` kept, of which `file` is the scores.

    Raises:
        RecordError: the files are not there, or not what `ask` writes.
    """
    beside = file.parent / ANSWER
    try:
        told = json.loads(beside.read_text(encoding="utf-8"))
        data = Data(**told["task"].pop("data"))
        return Answer(
            task=Task(**told["task"] | {"file": Path(told["task"]["file"]), "data": data}),
            model=told["model"],
            size=Size(**told["size"]) if told["size"] else None,
            examples=tuple(Example(**each | {"options": tuple(each["options"])}) for each in told["examples"]),
            left_out=tuple(LeftOut(**each) for each in told["left_out"]),
            scored=tuple(Scored.from_dict(line) for line in read_lines(file)),
        )
    except OSError as error:
        raise RecordError(str(beside), f"cannot be read ({error.strerror})", todo=_WANTED) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RecordError(str(beside), f"is not what was kept of scores: {error!r}", todo=_WANTED) from None


def keep_answer(folder: Path, answer: Answer) -> Path:
    """Write what `read_answer` reads; the file of scores."""
    task = answer.task
    told = {name: getattr(task, name) for name in ("name", "title", "limit", "normalisation")}
    values: dict[str, Any] = {
        "schema": 1,
        "task": told | {"file": str(task.file), "data": asdict(task.data)},
        "model": answer.model,
        "size": asdict(answer.size) if answer.size else None,
        "left_out": [asdict(each) for each in answer.left_out],
        "examples": [asdict(each) for each in answer.examples],
    }
    write_atomic(folder / ANSWER, json.dumps(values, indent=1) + "\n")
    return write_atomic(folder / SCORES, "".join(json.dumps(each.to_dict()) + "\n" for each in answer.scored))


_WANTED = "Name the scores.jsonl that `harness zero-shot` wrote, with its answer.json beside it."
