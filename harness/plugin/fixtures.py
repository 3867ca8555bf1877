"""The fixtures `case` and `parity`."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from harness.errors import DeviceError, HarnessError, MissingError
from harness.plugin.conclude import conclude, repeat_command
from harness.plugin.recorder import announce, keep
from harness.settings import Repository, find_repository

if TYPE_CHECKING:
    from harness.cases.spec import Case
    from harness.parity.comparison import Comparison


@pytest.fixture
def case(request: pytest.FixtureRequest) -> Case:
    """The case of this run of the test; the marker `case` names which cases there are."""
    if not hasattr(request, "param"):
        pytest.fail("the fixture `case` needs the marker: @pytest.mark.case('name', 'other-*')", pytrace=False)
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def parity(request: pytest.FixtureRequest) -> Parity:
    """Check a case, or two objects in memory; fail unless they agree or the register knows why not.

    `parity(case)`, or `parity(reference, port, inputs, **options of harness.check)`, returns the Comparison.
    """
    return Parity(request.node, find_repository(request.config.rootpath))


@dataclass(frozen=True, slots=True)
class Parity:
    """What the fixture `parity` gives: called, it compares, records the result and judges it."""

    item: pytest.Item
    repository: Repository

    def __call__(self, subject: Any, *sides: Any, **options: Any) -> Comparison:
        """Compare and return; or end the test: failed, skipped for what is missing here, or expected to fail."""
        from harness.cases.spec import Case

        if isinstance(subject, Case):
            return self._check_case(subject)
        return self._check_objects(subject, *sides, **options)

    def _check_case(self, case: Case) -> Comparison:
        from harness.parity.case import check_case

        progress = announce(self.item, case.name)
        return self._judge(case.name, case.title, lambda: check_case(case, self.repository, progress=progress))

    def _check_objects(self, *arguments: Any, **options: Any) -> Comparison:
        from harness.parity.check import check

        name = options.pop("name", self.item.name)
        progress = announce(self.item, name)
        return self._judge(name, name, lambda: check(*arguments, **options, name=name, progress=progress))

    def _judge(self, name: str, title: str, compare: Callable[[], Comparison]) -> Comparison:
        from harness.register import read_register, rows_for

        start = time.perf_counter()
        rows = rows_for(name, read_register(self.repository.register))
        repeat = repeat_command(self.item, name, self.repository)
        try:
            comparison = compare()
        except (DeviceError, MissingError) as error:
            pytest.skip(error.problem if isinstance(error, MissingError) else str(error))
        except HarnessError as error:
            keep(self.item, name, title, error=error, repeat=repeat, seconds=time.perf_counter() - start)
            pytest.fail(f"{error}\n  repeat      {repeat}", pytrace=False)
        seconds = time.perf_counter() - start
        keep(self.item, name, title, found=comparison, rows=rows, repeat=repeat, seconds=seconds)
        conclude([(comparison, rows)], repeat)
        return comparison
