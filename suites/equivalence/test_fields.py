"""Every field of every configuration: followed by both sides alike, or registered."""

import pytest

from harness.equivalence.claims import claims_of
from harness.equivalence.fields import check_name, values_of
from suites.equivalence.conftest import FAMILIES, in_turn

VALUES = [
    pytest.param(family, varied, value, head, id=f"{family.id}.{head}.{check_name(varied, value)}")
    for family in FAMILIES
    for varied, value in values_of(family)
    for head in varied.heads or (family.head_of().reference,)
]


@pytest.mark.parametrize(("family", "varied", "value", "head"), in_turn(VALUES))
def test_field_is_followed_by_both(family, varied, value, head, twins, bases):
    from harness.equivalence.fields import varied_outcome

    twins(varied_outcome(family, varied, value, head=family.head_of(head), base=bases(family, varied, head)))


@pytest.mark.parametrize("family", FAMILIES, ids=[family.id for family in FAMILIES])
def test_every_field_is_varied_or_left_for_a_reason(family):
    from harness.adapters.transformers.twins import fields_of

    known = {varied.name for varied in family.varied()} | set(family.left)
    missing = [name for name in fields_of(family.configuration) if name not in known]
    assert not missing, f"name them in {family.id}.toml, under fields or left: {missing}"


@pytest.mark.parametrize("family", FAMILIES, ids=[family.id for family in FAMILIES])
def test_every_claim_has_a_name_of_its_own(family):
    for head in family.head:
        names = [name for name, _ in claims_of(family, head)]
        assert len(names) == len(set(names)), head.reference


def test_what_a_file_lacks_is_as_the_library_makes_it():
    """A bias that PyTorch has not is zero, and changes nothing; drawn otherwise, it would be a divergence of ours."""
    import numpy as np

    from harness.adapters.transformers import twins as library

    family = next(family for family in FAMILIES if family.id == "opt")
    config = library.configuration(family.configuration, {**family.base, "enable_bias": False})
    pair = library.to_flax("OPTForCausalLM", "FlaxOPTForCausalLM", config, seed=0)
    flat = library.flatten_dict(pair.port.params, sep=".")
    assert pair.missing
    assert {float(np.abs(flat[name]).max()) for name in pair.missing} == {0.0}
