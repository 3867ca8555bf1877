"""SmolLM2-135M-Instruct: the Flax port of Llama is wrong in two places, and right once both are mended."""

from dataclasses import replace

import pytest


@pytest.mark.case("smollm2-*")
def test_port_agrees(case, parity):
    parity(case)


@pytest.mark.slow
@pytest.mark.case("smollm2-flax-repaired")
@pytest.mark.parametrize(
    ("repairs", "error"),
    [({"mend_head": False}, 33.3), ({"mend_rotary": False}, 2.4)],
    ids=["flax-llama-tied-head", "flax-llama-rope-theta"],
)
def test_each_repair_is_needed(case, repairs, error):
    """The proof of the register's rows: with one fault left in, the port is off by what its row says."""
    from harness import Verdict, check_case, find_repository

    faulty = replace(case, port=replace(case.port, arguments=repairs))
    comparison = check_case(faulty, find_repository(case.file))
    assert comparison.verdict is Verdict.DIVERGE
    assert comparison.worst.error == pytest.approx(error, rel=0.1)
