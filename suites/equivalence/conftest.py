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

ROOM = 150
"""After so many tests what was compiled is forgotten where a family ends: a process would take more than 3 GiB."""


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
    """The family of the test before, and how many tests were made since what was compiled was forgotten."""
    return {"family": "", "tests": 0}


@pytest.fixture(autouse=True)
def _room(_frameworks, request, before):
    import jax

    family = request.node.name.partition("[")[2].partition(".")[0]
    if before["tests"] >= ROOM and before["family"] != family:
        jax.clear_caches()
        release_memory()  # without it the process keeps what was freed: 1.9 GiB instead of 0.7 after 120 tests
        before["tests"] = 0
    before.update(family=family, tests=before["tests"] + 1)


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
