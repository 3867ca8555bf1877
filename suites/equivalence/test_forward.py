"""Every Flax class of transformers against its PyTorch twin: weights converted both ways, the same outputs."""

import pytest

from harness.equivalence.forward import WAYS
from suites.equivalence.conftest import FAMILIES

HEADS = [(family, head) for family in FAMILIES for head in family.head]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("family", "head"), HEADS, ids=[f"{f.id}.{h.reference}" for f, h in HEADS])
def test_twins_agree(family, head, way, twins):
    from harness.equivalence.forward import forward

    twins(forward(family, head, way))


def test_every_class_has_a_case():
    from harness.adapters.transformers.twins import port_names

    known = [head.port_name for _, head in HEADS]
    assert sorted(known) == sorted(port_names())
