"""SmolLM2-135M-Instruct: the Flax port of Llama is wrong in two places, and right once both are mended."""

from dataclasses import replace

import pytest


@pytest.mark.case("smollm2-*")
def test_port_agrees(case, parity):
    parity(case)


@pytest.mark.slow
@pytest.mark.case("smollm2-flax-shipped")
def test_both_causes_are_proved(case):
    from harness import check_case, find_repository

    found = check_case(case, find_repository(case.file))
    causes = {cause.path: cause.name for cause in found.causes}
    assert causes.pop("lm_head") == "head not tied"
    assert set(causes) == {f"model.layers.{layer}.self_attn" for layer in range(30)}
    assert set(causes.values()) == {"rotary base"}
    assert found.diagnosis.configured["lm_head"].startswith("the configuration's tie_word_embeddings is True")
    assert found.diagnosis.configured["model.layers.0.self_attn"].startswith("the configuration's rope_theta is 100000")
    steps = found.diagnosis.steps
    assert [step.mended for step in steps] == ["", "head not tied", "rotary base"]
    # Of an excerpt of the call; of all of it the register's rows have 33.8 and 3.65.
    assert steps[0].error == pytest.approx(33.8, rel=0.05)
    assert 1 < steps[1].error < 3.7
    assert [step.rounding for step in steps] == [False, False, True]


@pytest.mark.slow
@pytest.mark.case("smollm2-flax-repaired")
@pytest.mark.parametrize(
    ("row", "left_in"),
    [("flax-llama-tied-head", "mend_head"), ("flax-llama-rope-theta", "mend_rotary")],
)
def test_each_repair_is_needed(case, row, left_in):
    """The proof of the register's rows: with one fault left in, the port is off by what its row says."""
    from harness import Verdict, check_case, find_repository
    from harness.register import read_register

    repository = find_repository(case.file)
    registered = {row.id: row for row in read_register(repository.register)}[row]
    comparison = check_case(replace(case, port=replace(case.port, arguments={left_in: False})), repository)
    assert comparison.verdict is Verdict.DIVERGE
    assert comparison.worst.error == pytest.approx(registered.error, rel=0.05)
    assert comparison.worst.scale == pytest.approx(registered.scale, rel=0.05)
