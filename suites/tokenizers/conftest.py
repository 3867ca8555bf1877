"""For the suite of tokenizers: its pairs, each made once for the tests of it."""

from pathlib import Path

import pytest

from harness.settings import find_repository
from harness.tokenizers.pairs import read_pairs

REPOSITORY = find_repository(Path(__file__))
PAIRS = read_pairs(REPOSITORY.tokenizers)


@pytest.fixture(scope="module", params=PAIRS, ids=lambda pair: pair.name)
def pair(request):
    return request.param


@pytest.fixture(scope="module")
def made(pair):
    """Reference and port of the pair; its tests are skipped where a package is missing."""
    from harness.errors import MissingError
    from harness.tokenizers.pairs import sides

    pytest.importorskip("transformers")
    pytest.importorskip("hypothesis")
    try:
        return sides(pair, REPOSITORY)
    except MissingError as error:
        pytest.skip(error.problem)
