"""Walk through a port step by step, from its weights to its use from end to end, up to the first step that fails."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from harness.cases.spec import Case
from harness.porting.outline import PARTS
from harness.settings import Repository

STEPS = ("weights", *PARTS, "loss and gradients", "tokenizer", "generation", "end to end")
"""In the order of a port: each step rests on those before it."""

Meet = Callable[["Step"], None] | None
Progress = Callable[[str], None] | None


class Status(StrEnum):
    """How a step stands."""

    OK = "ok"
    REGISTERED = "registered"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"
    NONE = "does not apply"
    LATER = "not reached"


@dataclass(frozen=True, slots=True)
class Step:
    """One step and how it stands. detail: what was compared, or what is wrong, or why the step does not apply.

    usual: what is usually wrong there, if it failed. proved: the cause, if the diagnosis proved one.
    text: the whole comparison of a step that failed. before: it was found by an earlier walk, and nothing has changed.
    """

    step: str
    status: Status
    detail: str = ""
    usual: tuple[str, ...] = ()
    proved: str = ""
    text: str = ""
    seconds: float = 0.0
    before: bool = False

    @property
    def passed(self) -> bool:
        """Whether the walk goes on."""
        return self.status in (Status.OK, Status.REGISTERED, Status.NONE)


@dataclass(frozen=True, slots=True)
class Walk:
    """A walk through a case: every step, in order."""

    case: str
    steps: tuple[Step, ...]

    @property
    def first(self) -> Step | None:
        """The first step that was made and does not pass."""
        return next((each for each in self.steps if not each.passed and each.status is not Status.LATER), None)

    @property
    def exit_status(self) -> int:
        """0 if every step passes, 1 if one fails, 3 if one is inconclusive or none was made."""
        if self.first is not None:
            return 1 if self.first.status is Status.FAILED else 3
        return 0 if any(each.status in (Status.OK, Status.REGISTERED) for each in self.steps) else 3

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        first = self.first.step if self.first else None
        return {"schema": 1, "case": self.case, "first": first, "steps": [asdict(each) for each in self.steps]}


def walk(
    case: Case, repository: Repository, *, fresh: bool = False, meet: Meet = None, progress: Progress = None
) -> Walk:
    """Every step up to the first that does not pass; what an earlier walk found green is not made again.

    fresh: makes it again all the same. meet: is given each step when it is done.

    Raises:
        As `harness.check_case`, for what cannot be built or run.
    """
    made: list[Step] = []
    for step in _steps(case, repository, fresh=fresh, progress=progress):
        made.append(step)
        if meet is not None:
            meet(step)
        if not step.passed:
            break
    return Walk(case.name, (*made, *(Step(name, Status.LATER) for name in STEPS[len(made) :])))


def _steps(case: Case, repository: Repository, *, fresh: bool, progress: Progress) -> Iterator[Step]:
    from harness.porting import kept
    from harness.porting.built import Built

    began = time.time_ns()
    built = Built(case, repository, progress)
    memory = kept.read(case, repository, built.weights_digest(), began=began, fresh=fresh)
    for name in STEPS:
        if name in memory.green:
            yield _again(memory.green[name])
            continue
        step = built.step(name)
        if step.passed:
            memory = kept.add(memory, repository, name, asdict(step))
        yield step


def _again(found: Mapping[str, Any]) -> Step:
    """A step that an earlier walk kept."""
    step = Step(**found)
    return replace(step, status=Status(step.status), usual=tuple(step.usual), before=True)
