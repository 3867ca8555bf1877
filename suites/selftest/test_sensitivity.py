"""How good a test is: what is planted, what is caught, and why not the rest; in NumPy."""

import json

import numpy as np
import pytest

import harness
from harness.adapters.toy.layers import Layers
from harness.cli import main
from harness.errors import RunError, SpecError
from harness.parity.planting.rate import bounds

IDS = np.arange(1, 13).reshape(2, 6)
WHOLE = {"input_ids": IDS, "attention_mask": np.ones((2, 6), int)}
PADDED = {"input_ids": IDS, "attention_mask": np.array([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]])}
X = {"x": np.linspace(-2, 2, 24, dtype=np.float32).reshape(2, 3, 4)}


def pooled(input_ids, attention_mask):
    """The mean of what is made of the tokens that the mask shows."""
    values = np.sin(input_ids[..., None] * np.arange(1.0, 5.0))
    shown = np.asarray(attention_mask)[..., None]
    return (values * shown).sum(1) / np.maximum(shown.sum(1), 1)


def blind(input_ids, attention_mask):
    return 0 * pooled(input_ids, attention_mask)


def norm(x):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)


def net(**changed):
    return Layers({"double": lambda x: 2 * x, "norm": norm, "act": np.tanh, "halve": lambda x: x / 2} | changed)


def caught(found):
    return {fault.cause: fault.caught for fault in found.faults}


def test_a_case_without_padding_is_blind_to_the_mask_and_says_so():
    found = harness.sensitivity(pooled, pooled, WHOLE)
    assert caught(found) == {"mask ignored": False, "mask inverted": True, "mask moved": False}
    lines = str(found).splitlines()
    at = lines.index("  mask ignored: attention_mask: it hides nothing           no    yes         no")
    assert lines[at + 1] == "    the model: not caught, no input holds padding"
    assert found.rate == 1 / 3
    # and what check adds has padding
    assert found.checked_rate == 1
    assert {fault.probe.split(",")[0] for fault in found.missed} == {"unequal lengths"}


def test_padding_catches_it():
    found = harness.sensitivity(pooled, pooled, PADDED)
    assert all(caught(found).values())
    assert found.rate == 1
    assert "not caught" not in str(found)


def test_one_call_of_several_that_catches_it_is_enough():
    assert harness.sensitivity(pooled, pooled, [WHOLE, PADDED]).rate == 1


def test_without_float64_there_are_no_probes_and_the_tolerance_alone_decides():
    found = harness.sensitivity(pooled, pooled, WHOLE, checks=["forward"])
    assert found.rate == found.checked_rate == found.contract_rate == 1 / 3


def test_an_output_that_depends_on_nothing_has_rate_0_and_fails_its_floor():
    found = harness.sensitivity(blind, blind, PADDED, floor=0.5)
    assert found.rate == found.checked_rate == 0
    assert not found.enough
    assert "not caught, the output does not depend on it" in str(found)
    assert "floor       50%, not reached" in str(found)


def test_what_lies_before_a_product_with_zero_is_never_caught():
    found = harness.sensitivity(net(halve=lambda x: 0 * x), net(halve=lambda x: 0 * x), X, floor=0.5)
    assert {fault.path for fault in found.faults if not fault.caught} >= {"double", "norm", "act"}
    assert found.rate < 0.1
    assert not found.enough


def test_layers_are_known_by_what_they_compute():
    found = harness.sensitivity(net(), net(), X)
    assert {"epsilon", "mean subtracted", "activation", "scale", "cast", "order", "module skipped"} <= set(
        caught(found)
    )
    assert found.rate == 1
    # what is caught in float64 alone
    assert found.contract_rate < 1
    details = {fault.detail for fault in found.faults if fault.cause in ("epsilon", "activation")}
    assert details == {"1e-06 for 1e-05", "sigmoid for tanh", "no activation for tanh"}


def test_values_that_never_reach_where_two_forms_differ():
    found = harness.sensitivity(*[net(norm=lambda x: x, act=lambda x: np.maximum(x, 0))] * 2, X)
    missed = {fault.detail: fault.why for fault in found.missed if fault.cause == "activation"}
    assert missed == {"ReLU6 for ReLU": "values never reach where the forms differ"}


def test_what_could_not_be_planted_is_listed():
    found = harness.sensitivity(pooled, pooled, PADDED)
    assert found.not_planted["norms"] == "the port is a function, into which nobody sees"
    assert "tables" in harness.sensitivity(net(), net(), X).not_planted


def test_two_that_do_not_agree_are_no_place_to_plant_faults():
    with pytest.raises(RunError, match="does not agree with its reference as it is: output is off by") as caught:
        harness.sensitivity(net(), net(halve=lambda x: x / 2.1), X)
    assert caught.value.exit_status == 3


def test_nothing_to_plant_is_no_success():
    with pytest.raises(RunError, match="no fault could be planted"):
        harness.sensitivity(np.tanh, np.tanh, {"x": np.ones(3)})
    with pytest.raises(SpecError, match="no inputs were given"):
        harness.sensitivity(np.tanh, np.tanh, [])


def test_inputs_stay_as_they_are():
    before = {name: array.copy() for name, array in WHOLE.items()}
    harness.sensitivity(pooled, pooled, WHOLE)
    for name, array in WHOLE.items():
        np.testing.assert_array_equal(array, before[name])


def test_the_text_is_80_columns_and_begins_with_what_is_missed():
    text = str(harness.sensitivity(pooled, pooled, WHOLE))
    assert max(map(len, text.splitlines())) <= 80
    assert text.splitlines()[0] == "sensitivity: catches 33.3% of 3 planted faults"
    assert text.index("mask ignored") < text.index("mask moved") < text.index("mask inverted: 1 planted")


def test_plain_values_for_json():
    record = json.loads(json.dumps(harness.sensitivity(pooled, pooled, WHOLE, floor=0.25).to_dict()))
    assert (record["rate"], record["checked_rate"], record["floor"]) == (1 / 3, 1.0, 0.25)
    assert record["bounds"]["rate"] == pytest.approx([0.0084, 0.9057], abs=1e-4)
    assert record["faults"][0]["why"] == "no input holds padding"


def test_exact_bounds():
    # Clopper and Pearson's own table for 3 of 10
    assert bounds(3, 10) == pytest.approx((0.0667, 0.6525), abs=1e-4)
    low, high = bounds(0, 20)
    assert (low, high) == (0.0, pytest.approx(1 - 0.025 ** (1 / 20)))


@pytest.fixture
def run(toys, monkeypatch, capsys):
    monkeypatch.chdir(toys.root)
    toys.write(
        "texts.py",
        "import numpy as np\nfrom suites.selftest import test_sensitivity as here\n"
        "def model(): return here.pooled\ndef blind(): return here.blind\n"
        "def whole(): return dict(here.WHOLE)\ndef padded(): return dict(here.PADDED)\n",
    )

    def write(name, *, model="model", inputs="padded", before=""):
        file = toys.case(name, before=before)
        text = file.read_text().replace("toys:reference", f"texts:{model}").replace("toys:agreeing", f"texts:{model}")
        file.write_text(text.replace("toys:inputs", f"texts:{inputs}"))

    def call(*arguments):
        status = main(["sensitivity", *arguments])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    call.write = write
    return call


def test_the_command_prints_the_table_or_json_and_fails_below_the_floor(run):
    run.write("good", before="sensitivity = 0.9\n")
    run.write("poor", inputs="whole", before="sensitivity = 0.9\n")
    run.write("blind", model="blind", before="sensitivity = 0.1\n")
    run.write("free", inputs="whole")
    status, text, _ = run("good")
    assert (status, text.splitlines()[0]) == (0, "good: catches 100% of 3 planted faults")
    assert run("poor")[0] == run("blind")[0] == 1
    status, text, _ = run("free", "--json")
    assert (status, json.loads(text)["rate"]) == (0, 1 / 3)
    status, text, _ = run("*", "--json")
    assert (status, [each["case"] for each in json.loads(text)]) == (1, ["blind", "free", "good", "poor"])


def test_misuse_and_what_is_inconclusive(run, toys):
    status, _, said = run("absent")
    assert (status, "case 'absent': not found in" in said) == (2, True)
    toys.case("diverging", "diverging")
    status, _, said = run("diverging")
    assert (status, "does not agree with its reference as it is" in said) == (3, True)
    run.write("high", before="sensitivity = 1.5\n")
    status, _, said = run("high")
    assert (status, "want a share, above 0 and up to 1" in said) == (2, True)
