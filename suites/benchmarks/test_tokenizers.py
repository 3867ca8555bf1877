"""What comparing a pair of tokenizers costs."""

import time

import pytest

from harness.tokenizers.pairs import check_pair
from suites.tokenizers.conftest import REPOSITORY, made, pair

__all__ = ["made", "pair"]

TEXTS, SECONDS = 5_000, 20.0
"""The issue's own bound, for one core; of this process's time, so that what else runs does not count. Making the sides
and drawing the texts, which all pairs share, stand before it."""


@pytest.mark.slow
def test_a_pair_in_twenty_seconds(pair, made):
    check_pair(pair, REPOSITORY, count=50, made=made)
    start = time.process_time()
    found = check_pair(pair, REPOSITORY, count=TEXTS, made=made)
    seconds = time.process_time() - start
    print(f"{pair.name}: {found.texts:,} texts in {seconds:.1f} s")  # noqa: T201
    assert found.texts >= TEXTS
    assert seconds < SECONDS
