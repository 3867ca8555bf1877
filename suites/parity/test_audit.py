"""Faults planted in the rules of a real conversion: the audit says which weight is off, and the check proves it."""

from dataclasses import replace
from pathlib import Path

import pytest

FIXTURES = Path(__file__).parents[2] / "fixtures"


@pytest.fixture
def esm2():
    """The case of ESM-2, if its original is here."""
    from harness import find_cases, find_repository
    from harness.cases.original import require
    from harness.errors import MissingError

    pytest.importorskip("torch")
    (case,) = find_cases(find_repository(FIXTURES), "original-esm2")
    try:
        require(case.original, place=case.name)
    except MissingError as error:
        pytest.skip(error.problem)
    return case


def under(rules, folder):
    """The repository, with these rules for ESM-2."""
    from harness import Repository, find_repository

    here = find_repository(FIXTURES)
    folder.mkdir()
    (folder / "esm2.toml").write_text(rules)
    return Repository(root=here.root, settings=replace(here.settings, conversions=str(folder)))


RIGHT = (FIXTURES / "conversions/esm2.toml").read_text()
KEYS = """source = "layers.*.self_attn.k_proj.**"
target = "esm.encoder.layer.*.attention.self.key.**"
rotary = "alike"
"""
LOOSE = """source = "layers.*.self_attn.k_proj.weight"
target = "esm.encoder.layer.*.attention.self.key.weight"
rotary = "alike"

[[rule]]
source = "layers.**k_proj.bias"
reason = "keys have none"
"""
SPLIT = """source = "layers.*.self_attn.k_proj.weight"
target = "esm.encoder.layer.*.attention.self.key.weight"
WHAT

[[rule]]
source = "layers.*.self_attn.k_proj.bias"
target = "esm.encoder.layer.*.attention.self.key.bias"
rotary = "alike"
"""


def audited(wrong, folder, case):
    """The notes of the audit under wrong rules, weight -> note, of what is not ok."""
    from harness import audit_case
    from harness.parity.audit import Status

    found = audit_case(case, under(wrong, folder))
    return {row.source or row.target: row.note for row in found.rows if row.status is not Status.OK}


def checked(wrong, folder, case):
    from harness import check_case

    return check_case(replace(case, mapping={}, checks=("forward", "float64")), under(wrong, folder))


def causes_of(found):
    return {cause.name for cause in found.causes}


def test_a_bias_dropped_by_a_loose_pattern(esm2, tmp_path):
    from harness import Verdict

    wrong = RIGHT.replace(KEYS, LOOSE)
    notes = audited(wrong, tmp_path / "audit", esm2)
    assert notes["layers.1.self_attn.k_proj.bias"].startswith(
        "a trained weight, dropped by the loose pattern layers.**k"
    )
    assert notes["esm.encoder.layer.1.attention.self.key.bias"].startswith("no rule writes it: left at its default")
    assert checked(wrong, tmp_path / "check", esm2).verdict is Verdict.DIVERGE


def test_a_square_kernel_that_a_rule_transposes(esm2, tmp_path):
    wrong = RIGHT.replace(KEYS, SPLIT.replace("WHAT", "order = [1, 0]\nrotary = 'alike'"))
    notes = audited(wrong, tmp_path / "audit", esm2)
    assert notes == dict.fromkeys(
        (f"layers.{layer}.self_attn.k_proj.weight" for layer in range(2)),
        "square: its shape does not show its layout, and the kernels whose shapes do are left as they are",
    )
    assert "kernel transposed" in causes_of(checked(wrong, tmp_path / "check", esm2))


def test_rotary_pairs_in_the_wrong_layout(esm2, tmp_path):
    """No shape shows it: without the word the audit says to look, and the check proves it."""
    silent = RIGHT.replace('rotary = "alike"\n', "")
    notes = audited(silent, tmp_path / "audit", esm2)
    assert len(notes) == 8
    assert all(note.startswith("rotary embeddings turn it: the rule does not say") for note in notes.values())
    wrong = RIGHT.replace('rotary = "alike"', 'rotary = "halves to interleaved"\nheads = 4')
    found = checked(wrong, tmp_path / "check", esm2)
    assert causes_of(found) == {"kernel permuted"}, str(found)


@pytest.mark.parametrize(
    ("change", "name", "note"),
    [
        (("lm_head.bias", "lm_head.bais"), "lm_head.bias", "no rule takes it"),
        (
            ('source = "lm_head.bias"\ntarget = "lm_head.bias"', 'source = "lm_head.**"\ntarget = "lm_head.**"'),
            "lm_head.dense.weight",
            "taken by the rules 13, 15",
        ),
    ],
)
def test_a_rule_that_takes_nothing_or_what_another_takes(esm2, tmp_path, change, name, note):
    """The check refuses such rules, and makes no port of them; the audit tells all that is wrong with them."""
    from harness import audit_case
    from harness.errors import MappingError

    with pytest.raises(MappingError, match=r"no rule takes|is taken by the rules"):
        checked(RIGHT.replace(*change), tmp_path / "check", esm2)
    found = audit_case(esm2, under(RIGHT.replace(*change), tmp_path / "audit"))
    assert {row.source: row.note for row in found.rows}[name] == note
    assert found.said.startswith("no port was made:")
    if name == "lm_head.bias":
        assert any(row.note == "the rule takes nothing: no weight is called lm_head.bais" for row in found.rows)


@pytest.mark.slow
@pytest.mark.case("smollm2-flax-shipped")
def test_the_head_that_the_shipped_port_does_not_tie(case):
    from harness import audit_case, find_repository

    found = audit_case(case, find_repository(case.file))
    (row,) = [row for row in found.rows if row.target == "lm_head.kernel"]
    assert row.note.startswith("not tied: the configuration says that it is model.embed_tokens.embedding")
