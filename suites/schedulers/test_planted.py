"""Faults planted in copies of the real schedulers: each is caught by a check that the scheduler as installed passes."""

from dataclasses import replace
from pathlib import Path

import pytest

from harness.parity.compare import Verdict
from harness.schedulers.checks import check, names_of
from harness.schedulers.corrections import read_corrections

FAULTS = read_corrections(Path(__file__).parents[2] / "fixtures" / "schedulers" / "faults.toml")


def test_there_are_enough():
    assert len(FAULTS.ids()) >= 15


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS.correction, ids=lambda fault: fault.id)
def test_fault_is_caught(originals, table, fault):
    row = table.named(fault.row)
    planted = replace(row, edits=FAULTS.of([fault.id], row.scheduler))
    sound = [name for name in names_of(row) if check(row, name, table).verdict is Verdict.AGREE]
    found = {name: check(planted, name, table) for name in sound}
    caught = [name for name, outcome in found.items() if outcome.verdict is Verdict.DIVERGE]
    assert caught, "\n".join(map(str, found.values()))
    print(f"{fault.id}: caught by {', '.join(caught)}")  # noqa: T201
