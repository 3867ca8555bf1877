"""Checking two models in memory: each verdict planted, and the text that a person reads."""

import json

import numpy as np
import pytest

import harness
from harness.adapters.toy.layers import Layers
from harness.errors import BuildError, RunError, SpecError

INPUTS = {"x": np.linspace(-2, 2, 24, dtype=np.float32).reshape(2, 3, 4)}


def net(shift=1.0, **more):
    return Layers({"double": lambda x: 2 * x, "shift": lambda x: x + shift, "square": np.square, **more})


def test_agree():
    found = harness.check(net(), net(), INPUTS)
    assert found.verdict is harness.Verdict.AGREE
    assert found.first is None
    assert (found.coverage, len(found.taps), len(found.outputs)) == (1.0, 3, 1)


def test_diverge_names_the_first_tap_outside():
    found = harness.check(net(), net(shift=1.01), INPUTS)
    assert found.verdict is harness.Verdict.DIVERGE
    assert found.first.name == "shift"
    assert found.worst.error == pytest.approx(0.1, rel=0.1)


def test_the_text_says_all_of_it_in_eighty_columns():
    text = str(harness.check(net(), net(shift=1.01), INPUTS, name="toy"))
    assert text.splitlines()[0] == "toy: DIVERGE"
    assert "first off   shift (2, 3, 4): off by 0.01" in text
    assert "agreed      1 of 3 taps before it, last double" in text
    assert "worst       at [1, 2, 3] the reference has 25, the port 25.1001" in text
    assert "why         output: 24 of 24 elements are outside the tolerance" in text
    assert max(map(len, text.splitlines())) <= 80


def test_a_missing_output_is_inconclusive_and_named():
    found = harness.check(lambda x: {"a": x, "b": x}, lambda x: {"a": x, "c": x}, INPUTS)
    assert found.verdict is harness.Verdict.INCONCLUSIVE
    assert "output 'b' is missing in the port, which has 'a', 'c'" in found.reason
    assert "output 'c' is missing in the reference, which has 'a', 'b'" in found.reason


def test_a_declared_output_that_neither_has_is_inconclusive():
    found = harness.check(net(), net(), INPUTS, outputs=["logits"])
    assert found.verdict is harness.Verdict.INCONCLUSIVE
    assert "output 'logits' is missing in the reference" in found.reason


def test_outputs_that_were_not_declared_do_not_count():
    found = harness.check(lambda x: {"a": x, "b": x}, lambda x: {"a": x, "b": x + 1}, INPUTS, outputs=["a"])
    assert found.verdict is harness.Verdict.AGREE


def test_a_single_output_on_each_side_is_a_pair_whatever_its_name():
    assert harness.check(lambda x: {"logits": x}, lambda x: x, INPUTS).verdict is harness.Verdict.AGREE
    assert harness.check(lambda x: {"logits": x}, lambda x: x + 1, INPUTS).verdict is harness.Verdict.DIVERGE


def test_the_mapping_speaks_of_outputs_too():
    def reference(x):
        return {"a": x, "b": 2 * x}

    def port(x):
        return {"a": x, "c": 2 * x}

    assert harness.check(reference, port, INPUTS, mapping={"b": "c"}).verdict is harness.Verdict.AGREE


def test_other_shapes_diverge():
    found = harness.check(net(), net(square=lambda x: np.square(x)[:, :2]), INPUTS)
    assert found.verdict is harness.Verdict.DIVERGE
    assert "shapes differ: (2, 3, 4) in the reference, (2, 2, 4) in the port" in " ".join(str(found).split())


def test_nan_on_both_sides_is_never_green():
    broken = {"square": lambda x: np.where(x > 4, np.nan, x)}
    found = harness.check(net(**broken), net(**broken), INPUTS)
    assert found.verdict is harness.Verdict.INCONCLUSIVE
    assert "NaN on both sides" in found.reason


def test_unmatched_taps_fail_with_a_mapping_and_lower_the_coverage_without():
    port = net(extra=lambda x: x)
    assert harness.check(net(), port, INPUTS).verdict is harness.Verdict.AGREE
    assert harness.check(net(), port, INPUTS).coverage == pytest.approx(6 / 7)
    strict = harness.check(net(), port, INPUTS, mapping={})
    assert strict.verdict is harness.Verdict.INCONCLUSIVE
    assert strict.unmatched == ("port: extra",)
    assert "1 taps are unmatched: map them, or name them with a reason" in str(strict)
    excused = harness.check(net(), port, INPUTS, mapping={}, unmatched=({}, {"extra": "it does nothing"}))
    assert excused.verdict is harness.Verdict.AGREE


def test_every_call_of_a_sequence_counts():
    calls = [INPUTS, {"x": INPUTS["x"] + 10}]
    found = harness.check(lambda x: x, lambda x: np.minimum(x, 5), calls)
    assert found.verdict is harness.Verdict.DIVERGE
    assert [pair.name for pair in found.outputs] == ["output", "output@2"]
    assert found.worst.name == "output@2"


def test_padding_is_left_out_and_a_mask_without_content_refused():
    mask = np.array([[1, 1, 1], [1, 1, 0]])

    def padded(x, attention_mask):
        return x + 9 * (1 - attention_mask[..., None])

    inputs = INPUTS | {"attention_mask": mask}
    assert harness.check(lambda x, attention_mask: x, padded, inputs).verdict is harness.Verdict.AGREE
    assert harness.check(lambda x, attention_mask: x, padded, inputs, valid="x").verdict is harness.Verdict.DIVERGE
    with pytest.raises(RunError, match="marks no position as valid"):
        harness.check(net(), net(), INPUTS | {"attention_mask": 0 * mask})


def test_misuse_is_refused():
    with pytest.raises(SpecError, match="no inputs were given"):
        harness.check(net(), net(), [])
    with pytest.raises(SpecError, match="valid = 'mask' is not among the inputs"):
        harness.check(net(), net(), INPUTS, valid="mask")
    with pytest.raises(BuildError, match=r"no adapter takes an object of type builtins.int. Give a torch.nn.Module"):
        harness.check(net(), 3, INPUTS)


def test_a_side_that_raises_or_puts_out_nothing_is_named():
    with pytest.raises(RunError, match=r"raised ZeroDivisionError when called with x \(2, 3, 4\)"):
        harness.check(net(), lambda x: 1 / 0, INPUTS)
    with pytest.raises(RunError, match="put out no array"):
        harness.check(lambda x: {}, lambda x: {}, INPUTS)


def test_a_layer_that_is_called_twice_has_two_taps():
    class Twice(Layers):
        def __call__(self, x, *, tap=None):
            for _ in range(2):
                x = x + 1
                if tap:
                    tap("shift", x)
            return {"output": x}

    found = harness.check(Twice(layers={}), Twice(layers={}), INPUTS)
    assert [tap.name for tap in found.taps] == ["shift", "shift#2"]


def test_to_dict_is_json_and_holds_every_pair():
    found = harness.check(net(), net(shift=1.01), INPUTS).to_dict()
    assert json.loads(json.dumps(found, allow_nan=False))["first"] == "shift"
    assert [tap["name"] for tap in found["taps"]] == ["double", "shift", "square"]


def test_a_tap_of_large_values_is_off_only_beyond_the_tolerance_times_its_scale():
    def scaled(error):
        return Layers({"large": lambda x: 1000 * x + error, "small": lambda x: x / 1e6})

    found = harness.check(scaled(0.0), scaled(0.5), INPUTS, checks=["forward"])
    assert (found.verdict, found.first) == (harness.Verdict.AGREE, None)
    assert found.taps[0].error == pytest.approx(0.5, rel=1e-3)
    assert harness.check(scaled(0.0), scaled(3.0), INPUTS).first.name == "large"
