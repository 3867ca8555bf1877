"""Every registered divergence has a script that shows it with nothing but the library, and not once it is mended."""

import json
import runpy

import pytest

from harness.equivalence.corrections import edits
from suites.equivalence.conftest import FAMILIES
from suites.equivalence.test_corrections import CORRECTIONS, ROWS, ids_for


@pytest.fixture
def chance(monkeypatch):
    """Scripts about training replace what is random: it is put back afterwards."""
    import jax
    import torch

    for place, name in (
        (torch, "rand"),
        (torch.nn.functional, "dropout"),
        (jax.random, "bernoulli"),
        (jax.random, "uniform"),
    ):
        monkeypatch.setattr(place, name, getattr(place, name))


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_script_shows_it(row, tmp_path, chance):
    from harness.adapters.transformers.corrected import corrected
    from harness.equivalence.script import save

    made = save(row, FAMILIES, tmp_path)
    if not made.files:
        pytest.skip(made.said)
    assert made.reproduces, made.said
    text = (tmp_path / "repro.py").read_text()
    assert "harness" not in text
    assert str(tmp_path) not in text
    if row.kind == "limit":
        return
    subject = json.loads((tmp_path / "repro.json").read_text())["subject"]
    with corrected(edits(CORRECTIONS, ids_for(subject))), pytest.raises(SystemExit) as ended:
        runpy.run_path(str(tmp_path / "repro.py"))
    assert ended.value.code == 0, "it shows the fault even where the library is corrected"
