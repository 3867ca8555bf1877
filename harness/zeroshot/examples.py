"""From a task to its questions, and to those rows that became none, with the reason."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from harness.errors import SpecError
from harness.settings import Repository
from harness.zeroshot.example import Example
from harness.zeroshot.pronouns import question_of
from harness.zeroshot.sources import rows_of
from harness.zeroshot.task import Columns, Data, Task
from harness.zeroshot.templates import Row, value_of


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A row that is not asked. id: as the example's would be. reason: in a sentence."""

    id: str
    reason: str


def examples_of(task: Task, repository: Repository) -> tuple[tuple[Example, ...], tuple[LeftOut, ...]]:
    """The questions in the order of the rows, as many as the limit allows, and every row before the last that is none.

    Raises:
        SpecError: a row cannot be asked as the task says (which line, which row, why), or nothing is left to ask.
        ArtifactError: the data could not be had.
    """
    made = list(_made(task, repository, task.data, ("data",)))
    if task.few_shot:
        made = _with_shots(task, repository, made)
    asked: list[Example] = []
    left: list[LeftOut] = []
    for each in made:
        if task.limit and len(asked) == task.limit:
            break
        if isinstance(each, Example):
            asked.append(each)
        else:
            left.append(each)
    if not asked:
        problem = f"no example is left of {len(made)} rows: {left[0].reason}"
        raise SpecError(task.place("data"), problem, todo="Check the task and its data.")
    _check_ids(task, asked)
    return tuple(asked), tuple(left)


def _made(task: Task, repository: Repository, data: Data, at: tuple[str, ...]) -> Iterator[Example | LeftOut]:
    make = _of_sentences(task) if task.sentences else _of_columns(task)
    about = {key: value_of(text, place=task.place("about", key)) for key, text in task.about.items()}
    for number, (place, row) in enumerate(rows_of(task, repository, data, at=at), start=1):
        try:
            each = make(str(number), row)
            told = {key: str(value(row)) for key, value in about.items()}
        except SpecError as error:
            raise SpecError(error.place, f"{place}: {error.problem}", todo=error.todo) from None
        yield replace(each, about={**each.about, **told}) if isinstance(each, Example) else each


def _of_columns(task: Task) -> Any:
    columns = task.example or Columns()
    places = {key: task.place("example", key) for key in ("prompt", "options", "target", "id")}
    prompt, target = (value_of(getattr(columns, key), place=places[key]) for key in ("prompt", "target"))
    several = columns.options if isinstance(columns.options, tuple) else None
    if several is None:
        options = [value_of(str(columns.options), place=places["options"])]
    else:
        options = [value_of(text, place=places["options"], column=False) for text in several]
    identity = value_of(columns.id, place=places["id"]) if columns.id else None

    def make(number: str, row: Row) -> Example:
        values = [option(row) for option in options]
        texts = _options(values[0] if several is None else values, places["options"])
        return Example(
            id=str(identity(row)) if identity else number,
            prompt=str(prompt(row)),
            options=tuple(columns.delimiter + text for text in texts),
            target=_target(target(row), texts, places["target"]),
        )

    return make


def _of_sentences(task: Task) -> Any:
    sentences = task.sentences
    assert sentences is not None
    right, wrong = (value_of(getattr(sentences, key), place=task.place("sentences", key)) for key in ("right", "wrong"))

    def make(number: str, row: Row) -> Example | LeftOut:
        found = question_of(str(right(row)), str(wrong(row)))
        if isinstance(found, str):
            return LeftOut(number, found)
        about = {"occupation": found.referent} if found.referent else {}
        about |= {"pronoun": found.pronouns[found.target]}
        return Example(number, found.prompt, found.options, found.target, about)

    return make


def _options(value: Any, place: str) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)) or not all(isinstance(option, str) for option in value):
        todo = "Name a column that holds a list of texts, or give a template an option."
        raise SpecError(place, f"options = {value!r}: want a list of texts", todo=todo)
    if len(value) < 2:
        raise SpecError(place, f"options = {value!r}: want two or more", todo="Give every row a choice.")
    if not all(value):
        raise SpecError(place, f"options = {value!r}: one is empty", todo="Give every option a text.")
    if len(set(value)) == 1:
        raise SpecError(place, f"options = {value!r}: all are equal", todo="Check the column or template.")
    if len(set(value)) < len(value):
        raise SpecError(place, f"options = {value!r}: two are equal", todo="Leave one of them out.")
    return tuple(value)


def _target(value: Any, options: tuple[str, ...], place: str) -> int:
    """The index of the right option, told as a number, as digits or as its text."""
    found = {options.index(value)} if value in options else set()
    if isinstance(value, str) and value.strip().isdecimal():
        value = int(value)
    is_index = isinstance(value, int) and not isinstance(value, bool)
    found |= {value} & set(range(len(options))) if is_index else set()
    if len(found) > 1:
        problem = f"target = {value!r}: both an index and the text of another option"
        raise SpecError(place, problem, todo="Give a template that tells the index.")
    if not found:
        problem = f"target = {value!r}: want an index from 0 to {len(options) - 1}, or one of {list(options)!r}"
        raise SpecError(place, problem, todo="Check the column, and whether it counts from 1.")
    return int(found.pop())


def _with_shots(task: Task, repository: Repository, made: list[Example | LeftOut]) -> list[Example | LeftOut]:
    """The rows with the same answered questions in front; those drawn of them are not asked."""
    shots = task.few_shot
    assert shots is not None
    rows = list(_made(task, repository, shots.data, ("few_shot", "data"))) if shots.data else made
    pool = [each for each in rows if isinstance(each, Example)]
    if len(pool) < shots.examples:
        problem = f"{shots.examples} examples are to be drawn of {len(pool)}"
        raise SpecError(task.place("few_shot", "examples"), problem, todo="Ask for fewer, or give more data.")
    drawn = random.Random(shots.seed).sample(pool, shots.examples)
    prefix = "".join(each.prompt + each.options[each.target] + shots.separator for each in drawn)
    ids = set() if shots.data else {each.id for each in drawn}
    found: list[Example | LeftOut] = []
    for each in made:
        if each.id in ids:
            found.append(LeftOut(each.id, "one of the answered questions in front of the others"))
        else:
            found.append(replace(each, prompt=prefix + each.prompt) if isinstance(each, Example) else each)
    return found


def _check_ids(task: Task, examples: list[Example]) -> None:
    seen: set[str] = set()
    for each in examples:
        if each.id in seen:
            raise SpecError(task.place("example", "id"), f"two examples are called {each.id!r}", todo="Name a key.")
        seen.add(each.id)
