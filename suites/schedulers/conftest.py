"""For the scheduler suite: what it needs is there, or its tests are skipped with what to install."""

from pathlib import Path

import pytest

from harness.schedulers.rows import read_table

FOLDER = Path(__file__).parents[2] / "fixtures" / "schedulers"


@pytest.fixture(autouse=True)
def _frameworks():
    pytest.importorskip("torch")
    pytest.importorskip("diffusers")


@pytest.fixture
def originals():
    """Skips the test where the samplers of k-diffusion are not installed, and says how to install them."""
    from harness.adapters.k_diffusion.needs import missing

    if missing():
        pytest.skip(missing())


@pytest.fixture(scope="session")
def table():
    return read_table(FOLDER / "table.toml")
