"""Stated changes to the source of an installed module, made in a copy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from harness.errors import SpecError


@dataclass(frozen=True, slots=True)
class Replaced:
    """A change to the source of a copy.

    old: a text that occurs exactly once. new: what it becomes.
    """

    old: str
    new: str


def replaced(source: str, edits: Iterable[Replaced], *, place: str) -> str:
    """The source with every change made, in order.

    Raises:
        SpecError: a text to replace does not occur exactly once.
    """
    for edit in edits:
        once(source, edit.old, place=place)
        source = source.replace(edit.old, edit.new)
    return source


def line_in(source: str, text: str, *, place: str) -> int:
    """The number of the line on which `text` begins, counted from 1.

    Raises:
        SpecError: it does not occur exactly once.
    """
    once(source, text, place=place)
    return source[: source.index(text)].count("\n") + 1


def once(source: str, text: str, *, place: str) -> None:
    """Refuse a text that does not occur exactly once.

    Raises:
        SpecError: it does not.
    """
    times = source.count(text)
    if times != 1:
        raise SpecError(
            place,
            f"the text to replace occurs {times} times, not once: {text!r}",
            todo="Give the line as the installed version has it, with enough of its neighbours to be unique.",
        )
