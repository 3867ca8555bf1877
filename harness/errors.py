"""What goes wrong, said so that a person can act on it."""

from __future__ import annotations

import difflib
import traceback
from collections.abc import Iterable


class HarnessError(Exception):
    """A problem with a place, a complaint and a remedy.

    Args:
        place: what is at fault, by name: a case, a file and line, an artifact.
        problem: what was got and what was wanted, values by repr.
        todo: what the reader can do about it.
    """

    exit_status = 3

    def __init__(self, place: str, problem: str, *, todo: str) -> None:
        super().__init__(place, problem, todo)
        self.place = place
        self.problem = problem
        self.todo = todo

    def __str__(self) -> str:
        return f"{self.place}: {self.problem}. {self.todo}"

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.place, self.problem, self.todo))


class SpecError(HarnessError):
    """A file or argument that says something the harness cannot take: misuse, exit status 2."""

    exit_status = 2


class MappingError(SpecError):
    """A mapping that two names share, or that names nothing."""


class ArtifactError(HarnessError):
    """A checkpoint, tokenizer or data set that could not be had, or is not what was pinned."""


class BuildError(HarnessError):
    """A factory that raised, or built something that no adapter takes."""


class MissingError(BuildError):
    """A package that a case needs is not installed; a test is skipped for it."""


class RunError(HarnessError):
    """A model that raised, or whose result holds nothing to compare."""


class DeviceError(RunError):
    """The device of a case is not there; a test is skipped for it."""


class RecordError(HarnessError):
    """A run folder that cannot be read or written."""


def closest(name: str, known: Iterable[str], *, otherwise: str = "") -> str:
    """The sentence that offers the nearest known name, or else lists the known ones, unless another one is given.

    >>> closest("atoll", ["atol", "rtol"])
    "Did you mean 'atol'?"
    >>> closest("zzz", ["atol", "rtol"])
    "Known are 'atol', 'rtol'."
    """
    names = sorted(known)
    matches = difflib.get_close_matches(name, names, n=1)
    if matches:
        return f"Did you mean {matches[0]!r}?"
    if otherwise:
        return otherwise
    if not names:
        return "There are none."
    return f"Known are {', '.join(map(repr, names))}."


def origin(error: BaseException) -> str:
    """Where an exception was raised, as `file:line in function`, for a message that replaces its traceback."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno} in {frames[-1].name}" if frames else "an unknown place"


def _rebuild(kind: type[HarnessError], place: str, problem: str, todo: str) -> HarnessError:
    return kind(place, problem, todo=todo)
