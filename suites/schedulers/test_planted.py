"""Faults planted in copies of the real schedulers: each is caught by a check that the scheduler as installed passes."""

from pathlib import Path

import pytest

from harness.parity.compare import Verdict
from harness.schedulers.checks import check, names_of
from harness.schedulers.corrections import read_corrections

FAULTS = {
    each.id: each for each in read_corrections(Path(__file__).parents[2] / "fixtures" / "schedulers" / "faults.toml")
}


def test_there_are_enough():
    assert len(FAULTS) >= 15


@pytest.mark.slow
@pytest.mark.parametrize("key", FAULTS)
def test_fault_is_caught(originals, table, key):
    fault = FAULTS[key]
    for name in fault.rows:
        row = table.named(name)
        caught = {
            kind: check(fault.applied(row), kind, table)
            for kind in names_of(row)
            if check(row, kind, table).verdict is Verdict.AGREE
        }
        assert any(outcome.verdict is Verdict.DIVERGE for outcome in caught.values()), "\n".join(
            map(str, caught.values())
        )
        print(f"{key}: caught by", [kind for kind, found in caught.items() if found.verdict is Verdict.DIVERGE])  # noqa: T201
