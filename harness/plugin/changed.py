"""`--changed BASE`: the tests of those cases alone that a change touches, and a failure where such a case has none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from harness.errors import HarnessError, RunError
from harness.plugin.recorder import keep
from harness.plugin.select import case_of
from harness.settings import find_repository

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.porting.changed import Changed

CHANGED: pytest.StashKey[Changed] = pytest.StashKey()
"""What differs from the base, on the config."""


def look(config: pytest.Config) -> None:
    """See what differs from the base that the options name, if they do.

    Raises:
        pytest.UsageError: they name none that there is.
    """
    if not config.getoption("changed"):
        return
    from harness.porting.changed import changed_cases

    try:
        config.stash[CHANGED] = changed_cases(config.getoption("changed"), find_repository(config.rootpath))
    except HarnessError as error:
        raise pytest.UsageError(str(error)) from None


def keep_touched(session: pytest.Session, items: list[pytest.Item]) -> None:
    """Leave in `items` the tests of touched cases alone; for a touched case that has none there, put one that fails."""
    found = session.config.stash.get(CHANGED, None)
    if found is None:
        return
    cases = [(item, case_of(item)) for item in items]
    items[:] = [item for item, case in cases if case is not None and case.name in found.cases]
    tested = {case.name for _, case in cases if case is not None}
    for name, why in found.cases.items():
        if name not in tested:
            items.append(Untested.from_parent(session, name=name, nodeid=f"changed::{name}", why=why))


class Untested(pytest.Item):
    """Stands for a case that is touched, and that no test of the selection checks."""

    def __init__(self, *, why: Sequence[str], **options: Any) -> None:
        super().__init__(**options)
        self.why = why

    def runtest(self) -> None:
        problem = f"is touched ({', '.join(self.why)}), and no test of this selection checks it"
        error = RunError(f"case {self.name!r}", problem, todo="Give it a test, or name a profile that has one.")
        keep(self, self.name, self.name, error=error, repeat=f"harness check {self.name}", seconds=0.0)
        pytest.fail(str(error), pytrace=False)
