"""One question of a task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.errors import SpecError


@dataclass(frozen=True, slots=True)
class Example:
    """One question.

    id: unique in its task. prompt: what stands before. options: completions, exactly as they follow the prompt (a
    leading space is theirs). target: index of the right one. about: further columns, for the report.

    Raises:
        SpecError: fewer than two options, an empty one, or a target that is none of them.
    """

    id: str
    prompt: str
    options: tuple[str, ...]
    target: int
    about: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.options) < 2 or not all(self.options):
            problem = f"options = {self.options!r}: want two or more, none of them empty"
        elif not 0 <= self.target < len(self.options):
            problem = f"target = {self.target!r}: want the index of one of {len(self.options)} options, from 0"
        else:
            return
        raise SpecError(f"example {self.id!r}", problem, todo="Mend the example, or leave it out.")
