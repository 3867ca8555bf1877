"""For the suite of twins: its table, what it needs, and which part of the slow tests runs today."""

import datetime
import os
import zlib
from pathlib import Path

import pytest

from harness.environment import release_memory
from harness.equivalence.family import read_families

FIXTURES = Path(__file__).parents[2] / "fixtures"
FAMILIES = read_families(FIXTURES / "equivalence" / "families")
PARTS = 10
TODAY = int(os.environ.get("HARNESS_PART", datetime.datetime.now(datetime.UTC).date().toordinal() % PARTS))
"""The part of the slow tests that runs on every run: another each day, or the one that the variable names."""

ROOM = 3 * 2**29
"""Bytes: a process that holds more forgets what was compiled where a family ends, which brought 2.1 GiB to 0.7. It
grows by about 9 MB a test, so that a family may take another."""


def in_turn(parameters):
    """The parameters, all but today's part marked slow."""
    return [
        each
        if zlib.crc32(each.id.encode()) % PARTS == TODAY
        else pytest.param(*each.values, id=each.id, marks=pytest.mark.slow)
        for each in parameters
    ]


@pytest.fixture
def flax_models():
    """The models of transformers in Flax; a file that needs none has a fixture of this name that does nothing."""
    pytest.importorskip(
        "transformers.modeling_flax_utils", reason="needs transformers below 5, the last with Flax models"
    )


@pytest.fixture(autouse=True)
def _frameworks(flax_models):
    for name in ("torch", "flax", "transformers"):
        pytest.importorskip(name)


@pytest.fixture(scope="session")
def before():
    """The family of the test before."""
    return {"family": ""}


@pytest.fixture(autouse=True)
def _room(_frameworks, request, before):
    import jax

    family = request.node.name.partition("[")[2].partition(".")[0]
    if before["family"] != family and _held_bytes() > ROOM:
        jax.clear_caches()
        release_memory()  # without it the process keeps what was freed
    before["family"] = family


def _held_bytes():
    """What this process has in memory; 0 where the system does not say it as Linux does."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture(scope="session")
def bases():
    """What is seen of a family before a field is changed, each once."""
    from harness.equivalence.fields import seen

    known = {}

    def base(family, varied, head):
        key = family.id, head, repr(varied.settings), varied.run, varied.inputs
        if key not in known:
            known[key] = seen(family, family.head_of(head), varied.settings, run=varied.run, inputs=varied.inputs)
        return known[key]

    return base
