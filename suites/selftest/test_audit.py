"""Every way in which a weight can come out wrong has a row that says so."""

import importlib
from contextlib import nullcontext
from dataclasses import dataclass, field

import numpy as np
import pytest

from harness.adapters.protocols import Weight
from harness.cases.conversion import Conversion, Rule, convert
from harness.errors import MappingError
from harness.parity.audit import Status, audit

GENERATOR = np.random.default_rng(0)
BUFFERS = ("mean",)


@dataclass
class Side:
    """Something that holds weights."""

    arrays: dict
    said: dict = field(default_factory=dict)

    def weights(self):
        return {
            name: Weight(array, trained=not name.endswith(BUFFERS), stored_as="float32")
            for name, array in self.arrays.items()
        }

    def accepts(self):
        return frozenset()

    def settings(self):
        return self.said

    def holding(self, values):
        return nullcontext(self)


def array(*shape):
    return GENERATOR.normal(size=shape).astype(np.float32)


WEIGHTS = {
    "embed.weight": array(6, 4),
    "layers.0.q_proj.weight": array(4, 4),
    "layers.0.q_proj.bias": array(4),
    "layers.0.wide.weight": array(8, 4),
    "layers.0.narrow.weight": array(4, 8),
    "norm.mean": array(4),
}
RULES = (
    Rule(source="embed.weight", target="embed_tokens.weight"),
    Rule(source="layers.*.q_proj.**", target="h.*.q_proj.**", rotary="alike"),
    Rule(source="layers.*.wide.weight", target="h.*.up.weight"),
    Rule(source="layers.*.narrow.weight", target="h.*.down.weight"),
    Rule(source="norm.mean", target="norm.running_mean"),
)
SETTINGS = {"num_attention_heads": 1, "rope_theta": 10000.0, "tie_word_embeddings": True}


def audited(change=lambda held: held, rules=RULES, weights=WEIGHTS):
    """The audit of a port that was converted by the right rules, and then changed, under other rules."""
    right = Conversion(title="toy", rule=RULES)
    held = convert(WEIGHTS, right, settings={}, place="toy")
    port = Side(change(dict(held)), SETTINGS)
    return audit(Side(weights), port, conversion=Conversion(title="toy", rule=rules), name="toy")


def row_of(found, name):
    return next(row for row in found.rows if name in (row.source, row.target))


def test_a_right_port_is_right():
    found = audited()
    assert found.status is Status.OK
    assert [row.source for row in found.rows] == list(WEIGHTS)
    assert row_of(found, "layers.0.q_proj.bias").target == "h.0.q_proj.bias"
    assert found.to_dict()["weights"][0]["target_shape"] == (6, 4)


def less(held, name):
    return {key: array for key, array in held.items() if key != name}


CHANGED = {
    "a square kernel is transposed": (
        lambda held: {**held, "h.0.q_proj.weight": held["h.0.q_proj.weight"].T},
        "h.0.q_proj.weight",
        "the port holds it transposed",
    ),
    "rotary pairs are neighbours": (
        lambda held: {**held, "h.0.q_proj.weight": held["h.0.q_proj.weight"][[0, 2, 1, 3]]},
        "h.0.q_proj.weight",
        "the port holds it with rotary pairs in halves",
    ),
    "a bias is left as it was": (
        lambda held: {**held, "h.0.q_proj.bias": np.zeros(4, np.float32)},
        "h.0.q_proj.bias",
        "left at its default: 0 everywhere",
    ),
    "a buffer is left as it was": (
        lambda held: {**held, "norm.running_mean": np.zeros(4, np.float32)},
        "norm.running_mean",
        "left at its default: 0 everywhere",
    ),
    "a weight is not there": (
        lambda held: less(held, "h.0.up.weight"),
        "h.0.up.weight",
        "the port has no such weight. Did you mean",
    ),
    "a weight has another shape": (
        lambda held: {**held, "h.0.up.weight": held["h.0.up.weight"].T},
        "h.0.up.weight",
        "the rule makes the shape (8, 4)",
    ),
    "a weight has other values": (
        lambda held: {**held, "h.0.up.weight": held["h.0.up.weight"] + 1},
        "h.0.up.weight",
        "other values: 100% of them",
    ),
    "a head is not tied": (
        lambda held: {**held, "lm_head.weight": array(6, 4)},
        "lm_head.weight",
        "not tied: the configuration says that it is embed_tokens.weight, and no rule writes it",
    ),
    "a buffer that nobody writes": (
        lambda held: {**held, "other.mean": np.zeros(4, np.float32)},
        "other.mean",
        "no rule writes it: buffer, left at its default, 0 everywhere",
    ),
}


@pytest.mark.parametrize("fault", CHANGED)
def test_a_port_that_was_loaded_wrongly(fault):
    change, name, note = CHANGED[fault]
    row = row_of(audited(change), name)
    assert row.status is Status.WRONG
    assert note in row.note


def other(rule, **changes):
    """The rules with one of them, by its first source, otherwise."""
    return tuple(Rule(**{**_table(each), **changes}) if each.source == rule else each for each in RULES)


def _table(rule):
    return {name: getattr(rule, name) for name in ("source", "target", "axis", "order", "rotary", "heads", "reason")}


BY_RULES = {
    "a bias is dropped by a loose pattern": (
        (
            *other("layers.*.q_proj.**", source="layers.*.q_proj.weight", target="h.*.q_proj.weight"),
            Rule(source="layers.**.bias", reason="there are none"),
        ),
        "layers.0.q_proj.bias",
        Status.LOOK,
        "a trained weight, dropped by the loose pattern layers.**.bias: there are none",
    ),
    "the bias is then left": (
        (
            *other("layers.*.q_proj.**", source="layers.*.q_proj.weight", target="h.*.q_proj.weight"),
            Rule(source="layers.**.bias", reason="there are none"),
        ),
        "h.0.q_proj.bias",
        Status.WRONG,
        "no rule writes it: left at its default, with values of its own",
    ),
    "nobody says how rotary pairs lie": (
        other("layers.*.q_proj.**", rotary=""),
        "h.0.q_proj.weight",
        Status.LOOK,
        "rotary embeddings turn it: the rule does not say in which layout",
    ),
    "a rule takes nothing": (
        (*RULES, Rule(source="decoder.**", target="decoder.**")),
        "",
        Status.WRONG,
        "the rule takes nothing: no weight is called decoder.**",
    ),
    "two rules take one": (
        (*RULES, Rule(source="norm.**", target="other.**")),
        "norm.mean",
        Status.WRONG,
        "taken by the rules 5, 6",
    ),
    "no rule takes one": (RULES[:-1], "norm.mean", Status.WRONG, "no rule takes it"),
    "one is made twice": (
        other("norm.mean", target="h.0.q_proj.bias"),
        "norm.mean",
        Status.WRONG,
        "made twice",
    ),
    "half of what is joined": (
        other("embed.weight", source=("embed.weight", "embed.further")),
        "embed.weight",
        Status.WRONG,
        "what it is to be joined with is not there",
    ),
    "a shape that does not go": (
        other("norm.mean", target=("a", "b", "c")),
        "norm.mean",
        Status.WRONG,
        "array split does not result in an equal division",
    ),
    "something made that is not there": (
        (*RULES, Rule(target="freqs", reason="computed")),
        "",
        Status.WRONG,
        "the rule names nothing: no weight is called freqs",
    ),
}


@pytest.mark.parametrize("fault", BY_RULES)
def test_rules_that_are_wrong(fault):
    rules, name, status, note = BY_RULES[fault]
    notes = [row.note for row in audited(rules=rules).rows if name in (row.source, row.target) and row.status is status]
    assert any(note in each for each in notes), notes


def test_a_square_kernel_that_is_not_transposed_where_others_are():
    """The port holds what the rule makes: only the kernels whose shapes tell show that the rule is odd."""
    rules = tuple(
        Rule(**{**_table(each), "order": (1, 0)}) if "wide" in each.source or "narrow" in each.source else each
        for each in RULES
    )
    weights = {name: value.T if "wide" in name or "narrow" in name else value for name, value in WEIGHTS.items()}
    found = audited(rules=rules, weights=weights)
    row = row_of(found, "layers.0.q_proj.weight")
    assert found.status is row.status is Status.LOOK
    assert row.note == "square: its shape does not show its layout, and the kernels whose shapes do are transposed"


def test_what_the_port_makes_by_itself_has_a_reason():
    found = audited(lambda held: {**held, "freqs": array(2)}, rules=(*RULES, Rule(target="freqs", reason="computed")))
    assert found.status is Status.OK
    assert row_of(found, "freqs").note == "made: computed"


def test_without_rules_values_tell():
    port = Side(
        {"a.kernel": WEIGHTS["layers.0.wide.weight"].T, "embedding": WEIGHTS["embed.weight"], "extra": np.ones(3)},
    )
    found = audit(Side({name: WEIGHTS[name] for name in ("embed.weight", "layers.0.wide.weight", "norm.mean")}), port)
    rows = {row.source or row.target: row for row in found.rows}
    assert rows["layers.0.wide.weight"].transform == "transpose"
    assert rows["embed.weight"].status is Status.OK
    assert rows["norm.mean"].note == "a buffer: nothing in the port holds it"
    assert rows["norm.mean"].status is Status.LOOK
    assert rows["extra"].note == "nothing of the reference is in it: left at its default, 1 everywhere"
    assert found.status is Status.WRONG


def test_a_side_without_weights_is_refused():
    with pytest.raises(MappingError, match="the port has no weights. Audit a case whose sides have some"):
        audit(Side(WEIGHTS), Side({}))


def test_the_table_groups_layers_and_tells_what_is_wrong(capsys):
    from harness.cli.audit import _show
    from harness.parity.audit import Audit, Row

    layers = [Row(f"layers.{n}.w", "2", f"h.{n}.w", (8, 4), (4, 8), "transpose", Status.OK) for n in range(3)]
    wrong = Row("", "", "lm_head.weight", None, (6, 4), "", Status.WRONG, "no rule writes it")
    _show(Audit("toy", (*layers, wrong)), every=False)
    text = capsys.readouterr().out
    assert "layers.*.w" in text
    assert "h.*.w" in text
    assert "3 of them" in text
    assert "no rule writes it" in text
    assert "4 weights: 3 ok, 1 wrong" in text
    _show(Audit("toy", (*layers, wrong)), every=True)
    assert "layers.2.w" in capsys.readouterr().out


def test_the_command_says_what_is_wrong_by_its_exit_status(capsys, monkeypatch):
    from harness.cli import main

    # By its name, since tests that run pytest inside this process make it import modules anew.
    case = importlib.import_module("harness.parity.case")
    monkeypatch.setattr(case, "audit_case", lambda case, repository, progress: audited(other_bias))
    assert main(["audit", "minilm-flax", "--json"]) == 1
    assert '"left at its default: 0 everywhere"' in capsys.readouterr().out
    monkeypatch.setattr(case, "audit_case", lambda case, repository, progress: audited())
    assert main(["audit", "minilm-flax"]) == 0


def other_bias(held):
    return {**held, "h.0.q_proj.bias": np.zeros(4, np.float32)}
