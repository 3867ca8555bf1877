"""Every sampler of the table: its original or formula, its mean and variance, its order, and the oracle loop."""

from pathlib import Path

import pytest

from harness.schedulers.checks import check, names_of
from harness.schedulers.rows import read_table

TABLE = read_table(Path(__file__).parents[2] / "fixtures" / "schedulers" / "table.toml")


def claims(*, slow):
    """Row and check in the table's order, which is the report's; slow: of those whose row has further options."""
    return [
        (row.id, name) for row in TABLE.row for name in names_of(row) if not slow or (row.variants and name != "order")
    ]


def run(request, schedule, key, name, *, slow):
    row = TABLE.named(key)
    if row.original and (name in ("original", "moments") or not row.scheduler):
        request.getfixturevalue("originals")
    schedule(check(row, name, TABLE, slow=slow))


@pytest.mark.parametrize(("key", "name"), claims(slow=False))
def test_sampler(request, schedule, key, name):
    run(request, schedule, key, name, slow=False)


@pytest.mark.slow
@pytest.mark.parametrize(("key", "name"), claims(slow=True))
def test_every_option(request, schedule, key, name):
    run(request, schedule, key, name, slow=True)
