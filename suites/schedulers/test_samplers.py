"""Every sampler of the table: its original or formula, its mean and variance, its order, and the oracle loop."""

from pathlib import Path

import pytest

from harness.schedulers.checks import check, names_of
from harness.schedulers.rows import read_table

TABLE = read_table(Path(__file__).parents[2] / "fixtures" / "schedulers" / "table.toml")


def rows(name):
    """The rows that allow the check, by id."""
    return [row.id for row in TABLE.row if name in names_of(row)]


def run(request, schedule, key, name, *, slow=False):
    row = TABLE.named(key)
    if row.original and (name in ("original", "moments") or not row.scheduler):
        request.getfixturevalue("originals")
    schedule(check(row, name, TABLE, slow=slow))


@pytest.mark.parametrize("key", rows("original"))
def test_original(request, schedule, key):
    run(request, schedule, key, "original")


@pytest.mark.parametrize("key", rows("moments"))
def test_moments(request, schedule, key):
    run(request, schedule, key, "moments")


@pytest.mark.parametrize("key", rows("order"))
def test_order(request, schedule, key):
    run(request, schedule, key, "order")


@pytest.mark.parametrize("key", rows("oracle"))
def test_oracle_loop(request, schedule, key):
    run(request, schedule, key, "oracle")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["original", "moments", "oracle"])
@pytest.mark.parametrize("key", [row.id for row in TABLE.row if row.variants])
def test_every_option(request, schedule, key, name):
    if name not in names_of(TABLE.named(key)):
        pytest.skip(f"HARNESS: the row allows no check {name}")
    run(request, schedule, key, name, slow=True)
