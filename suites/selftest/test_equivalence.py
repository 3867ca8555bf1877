"""The table of twins, the inputs made for them, and how a field stands: everything that needs no framework."""

import numpy as np
import pytest

from harness.equivalence.claims import claim_of
from harness.equivalence.corrections import Correction, edits, read_corrections
from harness.equivalence.family import read_families
from harness.equivalence.fields import (
    HONOURED,
    IGNORED_BY_PORT,
    IGNORED_BY_REFERENCE,
    NOT_EXERCISED,
    OTHERWISE,
    RAISES,
    REFUSED,
    UNREAD,
    Seen,
    Side,
    compared,
    moves,
    standing_of,
)
from harness.equivalence.forward import compared as compared_outputs
from harness.equivalence.inputs import KINDS, make
from harness.equivalence.outcome import Outcome
from harness.errors import SpecError
from harness.parity.compare import Verdict
from harness.register import Row

TABLE = """
id = "toy"
title = "Toy"
configuration = "ToyConfig"
widest = "ToyModel"

[base]
width = 8

[fields]
activation = ["relu", "silu"]

[[field]]
name = "dropout"
values = [0.4]
run = "train"
settings = { layers = 3 }

[[head]]
reference = "ToyModel"

[[head]]
reference = "ToyLMHeadModel"
port = "FlaxToyForCausalLM"
"""


@pytest.fixture
def toy(tmp_path):
    (tmp_path / "toy.toml").write_text(TABLE)
    return read_families(tmp_path)[0]


def test_the_table_is_read(toy):
    assert [head.port_name for head in toy.head] == ["FlaxToyModel", "FlaxToyForCausalLM"]
    assert toy.head_of().reference == "ToyModel"
    assert [(each.name, each.values, each.run) for each in toy.varied()] == [
        ("activation", ("relu", "silu"), "forward"),
        ("dropout", (0.4,), "train"),
    ]


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('id = "toy"', 'id = "other"', r"its id is 'other'\. Call it 'toy'"),
        ('widest = "ToyModel"', 'widest = "ToyModl"', r"toy\.toml.*'ToyModl' is no head of the family"),
        ("run =", "runs =", r"toy\.toml:16: unknown key 'field.0.runs'"),
    ],
)
def test_what_is_wrong_in_the_table_is_said(tmp_path, before, after, message):
    (tmp_path / "toy.toml").write_text(TABLE.replace(before, after))
    with pytest.raises(SpecError, match=message):
        read_families(tmp_path)


def test_claims_are_found_by_their_names(toy):
    assert callable(claim_of("toy.ToyModel.to_flax", [toy]))
    assert callable(claim_of("toy.ToyModel.activation=relu", [toy]))
    assert callable(claim_of("toy.ToyModel.dropout=0.4, layers=3", [toy]))
    with pytest.raises(SpecError, match="no such check"):
        claim_of("toy.ToyModel.activation=gelu", [toy])
    with pytest.raises(SpecError, match="no such twins"):
        claim_of("toi.ToyModel.to_flax", [toy])
    # Fields are varied on the widest alone, and only what writes is asked to.
    for subject in ("toy.ToyLMHeadModel.activation=relu", "toy.ToyModel.greedy"):
        with pytest.raises(SpecError, match="no such check"):
            claim_of(subject, [toy])


@pytest.mark.parametrize("kind", KINDS)
def test_inputs_are_the_same_each_time_and_of_one_batch(kind):
    settings = {
        "vocab_size": 64,
        "hidden_size": 8,
        "sep_token_id": 3,
        "image_size": 16,
        "patch_size": 8,
        "num_mel_bins": 4,
        "max_source_positions": 8,
        "conv_kernel": [10, 3],
        "conv_stride": [5, 2],
    }
    one, other = make(kind, settings), make(kind, settings)
    assert {array.shape[0] for array in one.values()} == {2}
    for name, array in one.items():
        assert np.array_equal(array, other[name]), name


def test_texts_hold_no_token_with_a_meaning_of_its_own():
    settings = {"vocab_size": 20, "pad_token_id": 9, "eos_token_id": 12, "type_vocab_size": 2}
    call = make("text", settings)
    valid = call["attention_mask"].astype(bool)
    assert not np.isin(call["input_ids"][valid], [9, 12]).any()
    assert (call["input_ids"][~valid] == 9).all()
    assert set(np.unique(call["token_type_ids"])) == {0, 1}


def test_an_unknown_kind_of_inputs_is_refused():
    with pytest.raises(SpecError, match="Did you mean"):
        make("txt", {})


ONE, TWO = np.ones((2, 3)), np.full((2, 3), 2.0)


def seen(reference, port, *, raised=("", ""), read=()):
    """What both sides put out, agreeing or not."""
    sides = [Side({} if why else {"x": array}, why) for array, why in zip((reference, port), raised)]
    head = type("Head", (), {"not_compared": {}, "outputs": {}})
    line = None if any(raised) else compared(sides[0].outputs, sides[1].outputs, head=head, masks={})
    return Seen(*sides, line, frozenset(read))


@pytest.mark.parametrize(
    ("changed", "standing"),
    [
        (seen(TWO, TWO), HONOURED),
        (seen(TWO, ONE), IGNORED_BY_PORT),
        (seen(ONE, TWO), IGNORED_BY_REFERENCE),
        (seen(TWO, 3 * ONE), OTHERWISE),
        (seen(ONE, ONE, read=["width"]), NOT_EXERCISED),
        (seen(ONE, ONE), UNREAD),
        (seen(TWO, TWO, raised=("", "ValueError: no")), RAISES),
        (seen(TWO, TWO, raised=("ValueError: no", "")), RAISES),
        (seen(TWO, TWO, raised=("ValueError: no", "ValueError: no")), REFUSED),
    ],
)
def test_how_a_field_stands(changed, standing):
    assert standing_of("part.width", seen(ONE, ONE), changed) == standing


def test_a_field_counts_only_if_it_moves_an_output():
    assert not moves({"x": ONE}, {"x": ONE * (1 + 5e-7)})
    assert moves({"x": ONE}, {"x": ONE * (1 + 2e-6)})
    assert moves({"x": ONE}, {"x": np.ones((2, 4))})
    assert moves({"x": ONE}, {"y": ONE})
    assert moves({"x": ONE}, {"x": np.where(np.eye(2, 3) > 0, np.nan, ONE)})


def outputs_compared(port, **head):
    head = type("Head", (), {"not_compared": {}, "outputs": {}} | head)
    reference = {"x": np.linspace(1, 2, 6, dtype=np.float32).reshape(2, 3)}
    exact = {"x": reference["x"].astype(np.float64)}
    return {pair.name: pair.verdict for pair in compared_outputs(reference, port, exact, head=head, masks={})}


def test_outputs_are_judged_by_the_contract_and_by_rounding():
    same = np.linspace(1, 2, 6, dtype=np.float32).reshape(2, 3)
    assert outputs_compared({"x": same}) == {"x": Verdict.AGREE}
    # Below 1e-3, and a hundred times what rounding does.
    assert outputs_compared({"x": same + np.float32(2e-5)}) == {"x": Verdict.WITHIN_TOLERANCE}
    assert outputs_compared({"x": same + np.float32(2e-3)}) == {"x": Verdict.DIVERGE}


def test_an_output_of_one_side_alone_diverges_unless_it_is_excused():
    same = np.linspace(1, 2, 6, dtype=np.float32).reshape(2, 3)
    assert outputs_compared({"x": same, "y": same})["y"] is Verdict.DIVERGE
    assert outputs_compared({"y": same})["x"] is Verdict.DIVERGE
    assert outputs_compared({"y": same}, outputs={"x": "y"}) == {"x": Verdict.AGREE}
    assert "y" not in outputs_compared({"x": same, "y": same}, not_compared={"y": "of the port alone"})


ROW = Row(
    id="a", area="equivalence", subjects=("toy.ToyModel.to_flax",), field="x", error=0.5, scale=1.0, cause="c",
    where="w", proof="p", kind="defect", applies_to={"numpy": ">=1"},
)  # fmt: skip


def test_the_register_explains_an_error_and_its_mending_but_nothing_that_is_inconclusive():
    outcome = Outcome("toy", "ToyModel", "FlaxToyModel", "to_flax", Verdict.DIVERGE, error=0.4, scale=1.0)
    assert outcome.subject == ROW.subjects[0]
    assert outcome.registered([ROW]) == ("a",)
    larger = Outcome("toy", "ToyModel", "FlaxToyModel", "to_flax", Verdict.DIVERGE, error=1.1, scale=1.0)
    assert larger.registered([ROW]) == ()
    unknown = Outcome("toy", "ToyModel", "FlaxToyModel", "to_flax", Verdict.INCONCLUSIVE)
    assert unknown.registered([ROW]) == ()


def test_corrections_are_grouped_by_module(tmp_path):
    (tmp_path / "a.toml").write_text(
        '[[correction]]\nid = "a"\nmodule = "m"\nold = "x"\nnew = "y"\nalso = ["n"]\n'
        '[[correction]]\nid = "b"\nmodule = "m"\nold = "z"\nnew = "w"\n'
    )
    found = read_corrections(tmp_path)
    assert found[1] == Correction(id="b", module="m", old="z", new="w")
    both = edits(found, ["b", "a"])
    assert list(both) == ["m", "n"]
    assert [(each.old, each.new) for each in both["m"]] == [("z", "w"), ("x", "y")]
    with pytest.raises(SpecError, match="has no correction"):
        edits(found, ["c"])
