"""The causes of the register, proved: with the stated text of the installed source replaced, the row's checks agree."""

from dataclasses import replace
from pathlib import Path

import pytest

from harness.parity.compare import Verdict
from harness.register import read_register
from harness.schedulers.checks import check
from harness.schedulers.corrections import read_corrections

ROOT = Path(__file__).parents[2]
CORRECTIONS = read_corrections(ROOT / "fixtures" / "schedulers" / "corrections.toml")
ROWS = {row.id: row for row in read_register(ROOT / "fixtures" / "register")}


@pytest.mark.slow
@pytest.mark.parametrize("key", CORRECTIONS.ids())
def test_correction_mends(originals, table, key):
    for subject in ROWS[key].subjects:
        name, kind = subject.split(".")
        row = table.named(name)
        assert check(row, kind, table).verdict is not Verdict.AGREE, f"{subject} agrees as installed"
        mended = check(replace(row, edits=CORRECTIONS.of([key], row.scheduler)), kind, table)
        assert mended.verdict is Verdict.AGREE, str(mended)


def test_register_names_the_line():
    from harness.adapters.diffusers.copies import file_of, line_of

    for key in CORRECTIONS.ids():
        first = next(entry for entry in CORRECTIONS.correction if entry.id == key)
        place = f"diffusers/schedulers/{file_of(first.scheduler).name}:{line_of(first.scheduler, first.old)}"
        assert ROWS[key].where == place
