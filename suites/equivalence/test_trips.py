"""Models saved by one twin and loaded by either, in every form, tampered with, and by way of a stand-in of the Hub."""

import pytest

from harness.equivalence.trips import trips_of
from harness.equivalence.ways import WAYS
from suites.equivalence.conftest import FAMILIES

QUICK = ("bart", "bert", "big_bird", "clip", "electra", "gpt2", "mbart", "roberta", "t5", "vit", "wav2vec2")
"""The families whose widest class makes the plain trips on every run."""

TRIPS = [
    (
        family.id in QUICK and head == family.head_of() and name in [way.name for way in WAYS],
        f"{family.id}.{head.reference}.{name}",
        claim,
    )
    for family in FAMILIES
    for head in family.head
    for name, claim in trips_of(family, head)
]
PLAIN = [pytest.param(claim, id=subject) for quick, subject, claim in TRIPS if quick]
OTHERS = [pytest.param(claim, id=subject, marks=pytest.mark.slow) for quick, subject, claim in TRIPS if not quick]


@pytest.mark.parametrize("claim", [*PLAIN, *OTHERS])
def test_weights_arrive(claim, twins):
    twins(claim())
