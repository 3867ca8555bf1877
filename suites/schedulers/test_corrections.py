"""The causes of the register, proved: with the stated line of the installed source replaced, the check agrees."""

from pathlib import Path

import pytest

from harness.parity.compare import Verdict
from harness.register import read_register
from harness.schedulers.checks import check
from harness.schedulers.corrections import read_corrections

ROOT = Path(__file__).parents[2]
CORRECTIONS = {each.id: each for each in read_corrections(ROOT / "fixtures" / "schedulers" / "corrections.toml")}


@pytest.mark.slow
@pytest.mark.parametrize("key", CORRECTIONS)
def test_correction_mends(originals, table, key):
    correction = CORRECTIONS[key]
    for subject in correction.rows:
        name, kind = subject.split(".")
        row = table.named(name)
        assert check(row, kind, table).verdict is not Verdict.AGREE, f"{subject} agrees as installed"
        mended = check(correction.applied(row), kind, table)
        assert mended.verdict is Verdict.AGREE, str(mended)


def test_register_and_corrections_name_the_same():
    rows = {row.id: row for row in read_register(ROOT / "fixtures" / "register")}
    for correction in CORRECTIONS.values():
        assert set(rows[correction.id].subjects) == set(correction.rows)


def test_register_names_the_line(table):
    from harness.adapters.diffusers.copies import file_of, line_of

    rows = {row.id: row for row in read_register(ROOT / "fixtures" / "register")}
    for correction in CORRECTIONS.values():
        scheduler = table.named(correction.rows[0].split(".")[0]).scheduler
        place = f"diffusers/schedulers/{file_of(scheduler).name}:{line_of(scheduler, correction.old)}"
        assert rows[correction.id].where == place
