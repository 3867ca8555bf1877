"""The fixtures `schedule`, `twins`, `answers` and `tokens`: what checks found that are no comparison of models."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import pytest

from harness.plugin.conclude import Judged, conclude, repeat_command
from harness.plugin.recorder import keep
from harness.settings import Repository, find_repository


class Outcome(Judged, Protocol):
    """What one check of one subject found."""

    @property
    def case(self) -> str:
        """How the record names what was checked."""
        ...

    @property
    def check(self) -> str:
        """Which check."""
        ...

    @property
    def title(self) -> str:
        """What was checked, for people."""
        ...

    @property
    def subject(self) -> str:
        """How the register names the claim."""
        ...


@pytest.fixture
def schedule(request: pytest.FixtureRequest) -> Outcomes:
    """Record what a check of a scheduler found; fail unless it agrees or the register knows why not.

    `schedule(outcome)` for one, `schedule.all(outcomes)` for several: all are recorded before the test ends.
    """
    return Outcomes(request.node, find_repository(request.config.rootpath))


@pytest.fixture
def twins(request: pytest.FixtureRequest) -> Outcomes:
    """Record what a check of twins found; fail unless they agree or the register knows why not.

    `twins(outcome)` for one, `twins.all(outcomes)` for several: all are recorded before the test ends.
    """
    return Outcomes(request.node, find_repository(request.config.rootpath))


@pytest.fixture
def answers(request: pytest.FixtureRequest) -> Outcomes:
    """Record what original and port made of a sample; fail unless they agree or the register knows why not.

    `answers(outcome)` for one, `answers.all(outcomes)` for several: all are recorded before the test ends.
    """
    return Outcomes(request.node, find_repository(request.config.rootpath))


@pytest.fixture
def tokens(request: pytest.FixtureRequest) -> Outcomes:
    """Record what a check of a pair of tokenizers found; fail unless it agrees or the register knows why not.

    `tokens(outcome)` for one, `tokens.all(outcomes)` for several: all are recorded before the test ends.
    """
    return Outcomes(request.node, find_repository(request.config.rootpath))


@dataclass(slots=True)
class Outcomes:
    """What these fixtures give. since: when the work on the outcomes to come began, of the clock in seconds.

    The results have no key, since nobody says which files an outcome depends on: a resumed run makes them again.
    """

    item: pytest.Item
    repository: Repository
    since: float = field(default_factory=time.perf_counter)

    def __call__(self, outcome: Outcome) -> None:
        """Record the outcome and end the test unless it agrees and no row of the register concerns it."""
        self.all([outcome])

    def all(self, outcomes: Sequence[Outcome]) -> None:
        """Record every outcome, then end the test unless each agrees; the time is shared evenly among them."""
        from harness.register import read_register, rows_for

        if not outcomes:
            pytest.fail("there is no outcome, so nothing is known", pytrace=False)
        register = read_register(self.repository.register)
        found = [(outcome, rows_for(outcome.subject, register)) for outcome in outcomes]
        repeat = repeat_command(self.item, outcomes[0].subject, self.repository)
        seconds = (time.perf_counter() - self.since) / len(outcomes)
        for outcome, rows in found:
            keep(
                self.item,
                outcome.case,
                outcome.title,
                found=outcome,
                check=outcome.check,
                rows=rows,
                repeat=repeat,
                seconds=seconds,
            )
        self.since = time.perf_counter()
        conclude(found, repeat)
