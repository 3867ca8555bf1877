"""For the suite of samples: what it needs is there, or its tests are skipped with what to install."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def repository():
    from harness import find_repository

    return find_repository(ROOT)


@pytest.fixture(scope="session")
def artifact(repository):
    """From the name of an artifact to the folder of its files."""
    from harness.cases.artifacts import fetch, find_artifact

    return lambda name: fetch(find_artifact(repository, name), root=repository.root)
