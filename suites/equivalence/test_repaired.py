"""Ports repaired by the corrections of all their causes at once: every check of theirs agrees then.

SmolLM2 in Flax, repaired for its real weights, is a case of its own: suites/parity/test_smollm2.py.
"""

import pytest

from harness.equivalence.claims import claim_of
from harness.equivalence.corrections import edits
from harness.parity.compare import Verdict
from suites.equivalence.conftest import FAMILIES
from suites.equivalence.test_corrections import CORRECTIONS, ROWS

REPAIRED = ("llama", "mistral", "xglm")
CHECKS = ("to_flax", "from_flax", "float64", "gradients", "train", "decode", "greedy")


@pytest.mark.slow
@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("identity", REPAIRED)
def test_repaired_port_computes_what_its_reference_does(identity, check):
    from harness.adapters.transformers.corrected import corrected

    family = next(family for family in FAMILIES if family.id == identity)
    own = [
        row for row in ROWS if row.kind == "defect" and all(each.startswith(f"{identity}.") for each in row.subjects)
    ]
    assert own, "no row of the register is about this family alone"
    claim = claim_of(f"{identity}.{family.head_of().reference}.{check}", FAMILIES)
    with corrected(edits(CORRECTIONS, [row.id for row in own])):
        outcome = claim()
    assert outcome.verdict is Verdict.AGREE, str(outcome)
