"""Every way in which such checks have lied, planted; each must be found."""

import numpy as np
import pytest

import harness
from harness.adapters.toy.layers import Layers
from harness.errors import MappingError
from harness.parity.compare import Verdict
from harness.parity.judge import Pair, judge

X = {"x": np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)}


def verdict(reference, port, inputs=X, **options):
    return harness.check(reference, port, inputs, **options).verdict


def test_differences_of_either_sign_do_not_cancel():
    assert (
        verdict(lambda x: x, lambda x: x + np.where(np.arange(6) % 2, 0.1, -0.1).astype(np.float32)) is Verdict.DIVERGE
    )


def test_equal_means_are_no_agreement():
    assert verdict(lambda x: x, lambda x: x[:, ::-1]) is Verdict.DIVERGE


def test_another_shape_is_a_divergence_and_not_skipped():
    assert verdict(lambda x: x, lambda x: x[:, :3]) is Verdict.DIVERGE
    assert verdict(lambda x: x, lambda x: x[:, None]) is Verdict.DIVERGE


def test_neither_side_may_put_out_more():
    assert verdict(lambda x: {"a": x, "b": x}, lambda x: {"a": x}) is Verdict.INCONCLUSIVE
    assert verdict(lambda x: {"a": x}, lambda x: {"a": x, "b": x}) is Verdict.INCONCLUSIVE


def test_every_call_is_compared_and_not_the_first_alone():
    later = {"x": X["x"] + 10}
    assert verdict(np.tanh, lambda x: np.tanh(np.minimum(x, 5.0)) - 0.1 * (x > 5), [X, later]) is Verdict.DIVERGE


def test_nothing_to_compare_is_never_green():
    assert verdict(lambda x: x[:0], lambda x: x[:0]) is Verdict.INCONCLUSIVE
    assert judge("forward", "none", []).verdict is Verdict.INCONCLUSIVE
    assert judge("forward", "empty", [Pair("a", np.zeros(0), np.zeros(0))]).verdict is Verdict.INCONCLUSIVE


def test_nan_is_not_equal_to_nan():
    assert verdict(lambda x: x * np.nan, lambda x: x * np.nan) is Verdict.INCONCLUSIVE
    assert verdict(lambda x: x, lambda x: np.where(x > 1, np.nan, x)) is Verdict.DIVERGE
    nan = np.full(3, np.nan)
    assert judge("gradients", "nan", [Pair("a", nan, nan)]).verdict is Verdict.INCONCLUSIVE
    assert judge("gradients", "nan", [Pair("a", np.ones(3), nan)]).verdict is Verdict.DIVERGE
    good, bad = Pair("b", np.ones(3), np.ones(3)), Pair("c", np.ones(3), np.zeros(3))
    assert judge("gradients", "nan", [good, Pair("a", nan, nan)]).verdict is Verdict.INCONCLUSIVE
    assert judge("gradients", "nan", [bad, Pair("a", nan, nan)]).verdict is Verdict.DIVERGE


def test_a_scale_and_a_shift_that_correlation_does_not_see_are_found():
    assert verdict(lambda x: x, lambda x: 1.5 * x) is Verdict.DIVERGE
    assert verdict(lambda x: x, lambda x: x + 0.5) is Verdict.DIVERGE


def test_an_output_far_below_the_tolerance_is_judged_by_its_own_scale():
    small = harness.check(lambda x: 1e-5 * x, lambda x: 1.1e-5 * x, X)
    assert small.outputs[0].error < 1e-4
    assert small.verdict is Verdict.WITHIN_TOLERANCE


def test_a_small_gradient_is_judged_by_what_is_given_as_its_scale():
    pairs = [Pair("bias", np.array([1e-6]), np.array([2e-6]), scale=1.0)]
    assert judge("gradients", "given", pairs).verdict is Verdict.WITHIN_TOLERANCE
    noise = [Pair("bias", np.array([1e-17]), np.array([2e-17]), scale=1.0)]
    assert judge("gradients", "given", noise).verdict is Verdict.AGREE


def test_a_worse_pair_does_not_hide_behind_one_that_agrees():
    pairs = [Pair("good", np.ones(3), np.ones(3)), Pair("bad", np.ones(3), np.ones(3) + 1e-6)]
    line = judge("forward", "given", pairs)
    assert (line.verdict, line.where) == (Verdict.WITHIN_TOLERANCE, "bad")


def test_a_loose_pattern_may_not_drop_a_name():
    layers = {"a.weight": np.square, "a.bias": np.tanh}
    with pytest.raises(MappingError, match="both become"):
        harness.check(Layers(layers), Layers(layers), X, mapping={"a.weight": "a.all", "a.bias": "a.all"})


def test_what_is_not_checked_is_said():
    found = harness.check(np.tanh, np.tanh, X)
    assert {"gradients", "decode", "train"} <= set(found.not_checked)
    assert "gradients" in str(found)
