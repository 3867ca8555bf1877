"""A model's scores of a task, kept with all that re-scoring and comparing need, and read again without the model."""

from __future__ import annotations

import json
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
from harness.zeroshot.score import Progress
from harness.zeroshot.scored import Scored
from harness.zeroshot.size import Size
from harness.zeroshot.summary import Summary, summarise
from harness.zeroshot.task import Data, Task

SCORES, ANSWER = "scores.jsonl", "answer.json"
"""The files of a folder: a line an example, and what the lines are about."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model answered. scored: of every example one. way: how it was asked; notes: what to know of that."""

    task: Task
    model: str
    size: Size | None
    examples: tuple[Example, ...]
    left_out: tuple[LeftOut, ...]
    scored: tuple[Scored, ...]
    way: str = ""
    notes: tuple[str, ...] = ()

    def summary(self, normalisation: Normalisation | None = None) -> Summary:
        """Accuracy and the rest, by the task's normalisation or another."""
        return summarise(self.task, self.model, self.examples, self.left_out, self.scored, normalisation=normalisation)


def ask(named: Named, task: Task, repository: Repository, *, folder: Path, progress: Progress | None = None) -> Answer:
    """The model's scores of the task, also kept in `folder`; those of an earlier run are not made again.

    progress: told how many examples are scored, and of how many.

    Raises:
        SpecError: the task is wrong, or the model cannot take its examples.
    """
    from harness.zeroshot.run import score_task

    examples, left_out = examples_of(task, repository)
    found = score_task(named.model, named.tokenizer, task.name, examples, progress=progress)
    notes = (*(f"not by {each}" for each in found.refused), *found.about_way)
    answer = Answer(task, named.name, named.size, examples, left_out, found.scored, found.way, notes)
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
            way=told["way"],
            notes=tuple(told["notes"]),
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
        "way": answer.way,
        "notes": list(answer.notes),
        "size": asdict(answer.size) if answer.size else None,
        "left_out": [asdict(each) for each in answer.left_out],
        "examples": [asdict(each) for each in answer.examples],
    }
    write_atomic(folder / ANSWER, json.dumps(values, indent=1) + "\n")
    return write_atomic(folder / SCORES, "".join(json.dumps(each.to_dict()) + "\n" for each in answer.scored))


_WANTED = "Name the scores.jsonl that `harness zero-shot` wrote, with its answer.json beside it."
