"""Twins beyond a forward pass in float32: probes in float64, gradients, training, decoding, writing, other runs."""

import pytest

from harness.equivalence.beyond import CHECKS, GENERATING, checks_of
from suites.equivalence.conftest import FAMILIES

HEAVY = ("padding row", "train", "decode", "greedy", "beams", "end tokens", "compiled", "devices")
"""Made for one class of a family that has them, its widest or its first that writes: they take a compiler long."""


def chosen(family):
    """The heads and checks of a family: the light ones on every class, the heavy ones on one."""
    widest = family.head_of()
    writers = [head for head in family.head if "greedy" in checks_of(family, head)]
    heavy = {check: widest if check not in GENERATING else next(iter(writers), None) for check in HEAVY}
    for head in family.head:
        for check in checks_of(family, head):
            if check not in HEAVY or heavy.get(check) is head:
                yield head, check


CLAIMS = [
    pytest.param(family, head, check, id=f"{family.id}.{head.reference}.{check}")
    for family in FAMILIES
    for head, check in chosen(family)
]


@pytest.mark.slow
@pytest.mark.parametrize(("family", "head", "check"), CLAIMS)
def test_twins_agree_beyond(family, head, check, twins):
    from harness.equivalence.beyond import beyond

    twins(beyond(family, head, check))


def test_every_check_is_made_somewhere():
    assert {each.values[2] for each in CLAIMS} == set(CHECKS)
