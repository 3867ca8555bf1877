"""Which layer of a chain is at fault: planted faults, and none where there is none."""

import numpy as np

import harness
from harness.adapters.toy.layers import Layers

INPUTS = {"x": np.linspace(-2, 2, 24, dtype=np.float32).reshape(2, 3, 4)}


def net(**changed):
    layers = {"double": lambda x: 2 * x, "shift": lambda x: x + 1, "square": np.square, "halve": lambda x: x / 2}
    return Layers({name: changed.get(name, layer) for name, layer in layers.items()})


def paths(found):
    return [each.path for each in found.faulty]


def test_the_layer_that_is_wrong_and_not_those_that_inherit():
    found = harness.check(net(), net(shift=lambda x: x + 1.01), INPUTS)
    assert paths(found) == ["shift"]
    fault = found.faulty[0]
    assert (fault.port_path, fault.check, fault.shape[1:]) == ("shift", "forward", (3, 4))
    np.testing.assert_allclose(fault.error, 0.01, rtol=1e-6)
    np.testing.assert_allclose(abs(fault.reference - fault.port), 0.01, rtol=1e-6)
    rows = {row.path: row for row in found.diagnosis.modules}
    assert rows["double"].local == rows["double"].total == 0
    assert rows["shift"].local > 0
    assert rows["shift"].inherited == 0
    assert rows["square"].local == 0
    assert rows["square"].total == rows["square"].inherited > 0
    assert rows["halve"].amplification == 1


def test_two_faults_of_one_run():
    found = harness.check(net(), net(shift=lambda x: x + 1.01, halve=lambda x: x / 2.02), INPUTS)
    assert paths(found) == ["shift", "halve"]


def test_a_fault_that_a_later_one_hides_in_the_outputs():
    found = harness.check(net(), net(double=lambda x: 4 * x, shift=lambda x: x / 2 + 1), INPUTS)
    assert found.verdict is harness.Verdict.AGREE
    assert not found.faulty  # work divided in another way is no fault


def test_names_that_do_not_correspond_need_a_mapping():
    port = Layers({"a": lambda x: 2 * x, "b": lambda x: x + 1.01, "c": lambda x: np.square(x) / 2})
    found = harness.check(net(), port, INPUTS)
    assert not found.faulty
    assert "give a mapping" in found.diagnosis.why_not
    assert "at fault    not found: no module of the port corresponds" in str(found)
    mapped = harness.check(
        net(),
        port,
        INPUTS,
        mapping={"double": "a", "shift": "b"},
        unmatched=({"square": "in c", "halve": "in c"}, {"c": "both"}),
    )
    assert [(each.path, each.port_path) for each in mapped.faulty] == [("shift", "b")]


def test_a_function_is_not_looked_into():
    found = harness.check(lambda x: x, lambda x: x + 1, INPUTS)
    assert not found.faulty
    assert "is a function, into which nobody sees" in found.diagnosis.why_not


def test_nothing_is_run_where_all_agrees():
    found = harness.check(net(), net(), INPUTS)
    assert found.diagnosis.runs == 0
    assert "diagnosis" not in found.seconds


def test_the_text_says_where_how_far_and_that_it_is_so():
    text = str(harness.check(net(), net(shift=lambda x: x + 1.01), INPUTS))
    assert "at fault    shift, layer: its inputs agree and its output does not" in text
    assert "off by 0.01 on values up to" in text
    assert ", 3, 4), most at [" in " ".join(text.split())
    assert "sound       3 other modules compute what the reference's do on the same inputs" in text
    assert max(map(len, text.splitlines())) <= 80


def test_it_is_part_of_the_record():
    record = harness.check(net(), net(shift=lambda x: x + 1.01), INPUTS).to_dict()
    assert record["diagnosis"]["faulty"][0]["path"] == "shift"
    assert len(record["diagnosis"]["modules"]) == 4


def test_nothing_is_claimed_of_a_function_that_fails_on_the_given_inputs_alone():
    found = harness.check(lambda x: x, lambda x: x + 1, INPUTS, checks=["forward"])
    assert not found.faulty
    assert "is a function, into which nobody sees" in found.diagnosis.why_not


def test_a_diagnosis_that_fails_leaves_the_verdict(monkeypatch):
    import harness.parity.diagnose as diagnose

    def broken(*_arguments, **_keywords):
        raise RuntimeError("out of order")

    monkeypatch.setattr(diagnose, "_diagnosed", broken)
    found = harness.check(net(), net(shift=lambda x: x + 1.01), INPUTS)
    assert found.verdict is harness.Verdict.DIVERGE
    assert found.diagnosis.why_not == "raised RuntimeError: out of order"


def test_a_port_that_computes_in_a_shorter_type_says_so():
    def short(x):
        return x + 1 if x.dtype == np.float64 else (x + 1).astype(np.float16).astype(np.float32) + 0.002

    found = harness.check(net(), net(shift=short), INPUTS, checks=["forward"])
    assert [(each.path, each.how) for each in found.faulty] == [
        ("", "in float64 its outputs agree and in its own type they do not: it computes in a shorter type")
    ]


def test_an_error_that_no_cause_explains_is_described():
    def odd(x):
        noise = np.sin(9 * x)
        noise[:, :2] = 0
        return x + 1 + noise

    found = harness.check(net(), net(shift=odd), INPUTS, checks=["forward"])
    assert not found.causes
    assert str(found.diagnosis.descriptions[0]) == "only in 1 of 3 places on axis 1"
    text = " ".join(str(found).split())
    assert "not proved no cause in the catalogue explains it: only in 1 of 3 places on axis 1" in text
    assert found.to_dict()["diagnosis"]["descriptions"] == [
        {"path": "shift", "said": ["only in 1 of 3 places on axis 1"]}
    ]


def test_a_cause_that_is_proved_needs_no_description():
    found = harness.check(net(), net(shift=lambda x: x + 1.01), INPUTS, checks=["forward"])
    assert found.causes
    assert found.diagnosis.descriptions == ()
