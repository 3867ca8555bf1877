"""Rules turn weights into others and back, bit for bit; what does not go up is refused, and nothing is half done."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.cases.conversion import Conversion, Rule, convert, plan, read_conversion, turned
from harness.errors import MappingError, SpecError

GENERATOR = np.random.default_rng(0)


def array(*shape):
    return GENERATOR.normal(size=shape).astype(np.float32)


WEIGHTS = {
    "table": array(5, 4),
    **{f"layers.{number}.qkv.weight": array(12, 4) for number in range(2)},
    **{f"layers.{number}.wq.weight": array(8, 4) for number in range(2)},
    **{f"layers.{number}.gate": array(3, 4) for number in range(2)},
    **{f"layers.{number}.up": array(3, 4) for number in range(2)},
    **{f"layers.{number}.kernel": array(4, 6) for number in range(2)},
}
RULES = Conversion(
    title="everything that a rule can do",
    rule=(
        Rule(source="table", target="embeddings.weight"),
        Rule(source="layers.*.qkv.**", target=tuple(f"blocks.*.{name}.**" for name in ("query", "key", "value"))),
        Rule(source="layers.*.wq.**", target="blocks.*.q_proj.**", rotary="interleaved to halves", heads="n_heads"),
        Rule(source=("layers.*.gate", "layers.*.up"), target="blocks.*.gate_up"),
        Rule(source="layers.*.kernel", target="blocks.*.dense.weight", order=(1, 0)),
    ),
)


def there(weights=WEIGHTS, rules=RULES):
    return convert(weights, rules, settings={"n_heads": 2}, place="toy")


def test_there():
    made = there()
    assert np.array_equal(made["embeddings.weight"], WEIGHTS["table"])
    assert np.array_equal(made["blocks.1.key.weight"], WEIGHTS["layers.1.qkv.weight"][4:8])
    assert np.array_equal(made["blocks.0.gate_up"][:3], WEIGHTS["layers.0.gate"])
    assert np.array_equal(made["blocks.0.dense.weight"], WEIGHTS["layers.0.kernel"].T)
    rows = WEIGHTS["layers.0.wq.weight"]
    assert np.array_equal(made["blocks.0.q_proj.weight"], rows[[0, 2, 1, 3, 4, 6, 5, 7]])
    assert all(each.flags["C_CONTIGUOUS"] for each in made.values())


def test_a_number_by_itself_stays_one():
    made = convert({"scale": np.array(2.0)}, rules({"source": "scale", "target": "s"}), settings={}, place="toy")
    assert made["s"].shape == ()


def test_and_back():
    back = there(there(), RULES.reversed())
    assert back.keys() == WEIGHTS.keys()
    assert all(np.array_equal(back[name], array) for name, array in WEIGHTS.items())


@given(st.integers(1, 4), st.integers(1, 4))
def test_either_layout_of_pairs_goes_back_to_the_other(heads, pairs):
    rows = np.arange(heads * pairs * 2)
    there_and_back = turned(turned(rows, heads, to_halves=True), heads, to_halves=False)
    assert there_and_back.tolist() == rows.tolist()


def test_pairs_that_were_neighbours_are_half_a_head_apart():
    rows = turned(np.arange(12), 2, to_halves=True)
    assert rows.tolist() == [0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11]


def rules(*table):
    return Conversion(title="toy", rule=tuple(Rule(**row) for row in table))


ONE = {"a.weight": array(2, 2), "a.bias": array(2)}
REFUSED = {
    "no rule": (rules({"source": "a.weight", "target": "b"}), r"no rule takes 'a.bias'"),
    "two rules": (
        rules({"source": "a.**", "target": "b.**"}, {"source": "a.bias", "target": "c"}),
        r"'a.bias' is taken by the rules 1, 2",
    ),
    "an idle rule": (
        rules({"source": "a.**", "target": "b.**"}, {"source": "c.**", "target": "c.**"}),
        "rule 2 takes no weight",
    ),
    "half of what is joined": (
        rules({"source": ("a.weight", "a.other"), "target": "b"}, {"source": "a.bias", "target": "c"}),
        "rule 1 has no 'a.other' beside 'a.weight'",
    ),
    "made twice": (
        rules({"source": "a.weight", "target": "b"}, {"source": "a.bias", "target": "b"}),
        "'b' is made twice",
    ),
    "heads without a number": (
        rules(
            {"source": "a.weight", "target": "b", "rotary": "interleaved to halves", "heads": "n_head"},
            {"source": "a.bias", "target": "c"},
        ),
        r"heads = 'n_head' is no number .* Did you mean 'n_heads'",
    ),
    "rows that are no heads": (
        rules(
            {"source": "a.weight", "target": "b", "rotary": "interleaved to halves", "heads": 2},
            {"source": "a.bias", "target": "c"},
        ),
        r"rule 1, 'a.weight': 2 rows are not 2 heads of pairs, with the shape \(2, 2\)",
    ),
    "a split that does not go up": (
        rules({"source": "a.weight", "target": ("b", "c", "d")}, {"source": "a.bias", "target": "e"}),
        "rule 1, 'a.weight': array split does not result in an equal division",
    ),
}


@pytest.mark.parametrize("wrong", REFUSED)
def test_what_does_not_go_up_is_refused(wrong):
    conversion, message = REFUSED[wrong]
    with pytest.raises(MappingError, match=message):
        there(ONE, conversion)


def test_the_first_complaint_counts_the_others():
    with pytest.raises(MappingError, match=r"no rule takes 'a.weight' \(and 2 more\). Mend the rules"):
        there(ONE, rules({"source": "c", "target": "c"}))


def test_what_is_dropped_is_dropped_one_by_one():
    found = plan(ONE, rules({"source": ("a.weight", "a.bias"), "reason": "not in the port"}))
    assert [use.sources for use in found.uses] == [("a.weight",), ("a.bias",)]
    assert found.partial == found.idle == found.untaken == ()


WRONG = {
    'source = "a"\n': "a rule without a source or a target needs a reason",
    'reason = "none"\n': "a rule has a source, a target, or both",
    'source = "a.*"\ntarget = "b"\n': "every pattern of a rule has the same stars in the same order",
    'source = ["a", "b"]\ntarget = ["c", "d"]\n': "several sources and several targets: make a rule of each",
    'source = "a"\ntarget = "b"\norder = [0, 2]\n': r"order \[0, 2\] is no order of axes from 0 to 1",
    'source = "a"\ntarget = "b"\nrotary = "interleaved to halves"\n': "a rotary rule has heads, one source, one target",
    'source = "a"\ntarget = "b"\nrotary = "turned"\n': "rule.0.rotary = 'turned'",
    'source = "a"\ntargte = "b"\n': r"unknown key 'rule.0.targte'. Did you mean 'target'",
}


@pytest.mark.parametrize("text", WRONG)
def test_a_wrong_rule_is_refused_with_its_line(text, tmp_path):
    file = tmp_path / "rules.toml"
    file.write_text(
        f'title = "toy"\n[[rule]]\nsource = "x"\ntarget = "y"\n[[rule]]\n{text}'.replace("rule.0", "rule.1")
    )
    with pytest.raises(SpecError, match=WRONG[text].replace("rule.0", "rule.1")) as caught:
        read_conversion(file)
    assert f"{file}:" in str(caught.value)
