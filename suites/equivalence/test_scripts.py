"""Every registered divergence that shows in a forward pass has a script that shows it with nothing but the library."""

import pytest

from suites.equivalence.conftest import FAMILIES
from suites.equivalence.test_corrections import ROWS


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_script_shows_it(row, tmp_path):
    from harness.equivalence.script import save

    made = save(row, FAMILIES, tmp_path)
    if not made.files:
        pytest.skip(made.said)
    assert made.reproduces, made.said
    text = (tmp_path / "repro.py").read_text()
    assert "harness" not in text
    assert str(tmp_path) not in text
