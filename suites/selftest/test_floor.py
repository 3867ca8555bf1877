"""Rounding explains an error, or it does not: each way of deciding, with a fault planted that it must catch."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import harness
from harness.errors import SpecError
from harness.parity.floor import EPS32, allow_stored, measure

REFERENCE64 = np.linspace(-3, 3, 24).reshape(2, 3, 4)
REFERENCE = REFERENCE64.astype(np.float32)


def test_agreement_in_float64_explains_any_error_in_float32():
    found = measure(9e-4, REFERENCE, REFERENCE64, REFERENCE64 + 1e-12, islands=False)
    assert (found.explained, found.by) == (True, "float64")


def test_an_error_in_float64_decides_where_float64_is_complete():
    found = measure(1e-7, REFERENCE, REFERENCE64, REFERENCE64 + 1e-7, islands=False)
    assert (found.explained, found.by) == (False, "float64")


def test_with_islands_or_without_float64_the_floor_decides():
    floor = max(np.abs(REFERENCE - REFERENCE64).max(), 3 * EPS32)
    for port64, islands in ((REFERENCE64 + 1e-6, True), (None, False)):
        near = measure(9 * floor, REFERENCE, REFERENCE64, port64, islands=islands)
        far = measure(11 * floor, REFERENCE, REFERENCE64, port64, islands=islands)
        assert (near.explained, near.by, far.explained) == (True, "floor", False)
        assert near.floor == pytest.approx(floor)


def test_an_error_far_above_the_floor_is_not_explained_though_below_the_contract():
    assert not measure(5e-4, REFERENCE, REFERENCE64, None, islands=True).explained


def test_only_valid_positions_are_measured():
    mask = np.array([[1, 1, 1], [1, 0, 0]])
    port64 = REFERENCE64.copy()
    port64[1, 1:] += 1
    assert measure(0.0, REFERENCE, REFERENCE64, port64, islands=False, mask=mask).explained
    assert not measure(0.0, REFERENCE, REFERENCE64, port64, islands=False).explained


def test_the_rounding_of_stored_weights_is_allowed_for_and_no_more():
    found = measure(1e-7, REFERENCE, REFERENCE64, REFERENCE64 + 1e-7, islands=False)
    nudged = [REFERENCE64 + 1e-7 + 5e-8, REFERENCE64 + 1e-7 - 5e-8]
    still = (REFERENCE64, [REFERENCE64])
    assert allow_stored(found, [still, (REFERENCE64 + 1e-7, nudged)]).explained
    assert not allow_stored(found, [still, (REFERENCE64 + 1e-7, [REFERENCE64 + 1e-7 + 1e-9])]).explained


@given(st.floats(5e-6, 1e-1))
def test_no_error_above_both_bounds_is_ever_explained(error):
    port64 = REFERENCE64.copy()
    port64[0, 0, 0] += error
    assert not measure(error, REFERENCE, REFERENCE64, port64, islands=True).explained


def test_nan_in_float64_alone_counts_as_no_float64():
    port64 = REFERENCE64.copy()
    port64[0, 0, 0] = np.nan
    found = measure(5e-4, REFERENCE, REFERENCE64, port64, islands=False)
    assert (found.error64, found.explained, found.by) == (None, False, "floor")


def test_what_a_mask_fills_in_hides_nothing():
    reference, reference64 = REFERENCE.copy(), REFERENCE64.copy()
    reference[0, 0], reference64[0, 0] = np.finfo(np.float32).min, np.finfo(np.float64).min
    reference[0, 1], reference64[0, 1] = -np.inf, -np.inf
    found = measure(5e-4, reference, reference64, reference64 + 5e-4, islands=False)
    assert (found.explained, found.scale64) == (False, 3.0)


INPUTS = {"x": REFERENCE}


def test_a_fault_within_the_contract_is_within_tolerance_and_says_so():
    found = harness.check(np.tanh, lambda x: np.tanh(x) + 2e-4, INPUTS)
    assert found.verdict is harness.Verdict.WITHIN_TOLERANCE
    assert "within the contract, but off by 0.0002 where rounding explains" in found.reason
    assert "float64     off by 0.0002 on values up to 0.995" in str(found)
    assert found.metrics()["error64"] == pytest.approx(2e-4)
    assert json.loads(json.dumps(found.to_dict()))["outputs"][0]["rounding"]["explained"] is False


def test_the_contract_alone_would_have_called_it_agreement():
    found = harness.check(np.tanh, lambda x: np.tanh(x) + 2e-4, INPUTS, checks=["forward"])
    assert found.verdict is harness.Verdict.AGREE
    assert found.not_checked["float64"] == "not asked for"


def test_a_sum_in_another_order_agrees():
    x = np.random.default_rng(0).normal(size=(8, 4096)).astype(np.float32)
    found = harness.check(lambda x: x.sum(-1), lambda x: x[:, ::-1].cumsum(-1)[:, -1], {"x": x})
    assert found.outputs[0].error > 0
    assert found.verdict is harness.Verdict.AGREE


def test_a_port_without_float64_is_judged_by_the_floor():
    def short(x):
        if x.dtype == np.float64:
            raise TypeError("float32 only")
        return np.tanh(x)

    found = harness.check(np.tanh, short, INPUTS)
    assert (found.verdict, found.outputs[0].rounding.by) == (harness.Verdict.AGREE, "floor")
    assert found.not_checked["float64"] == "the port raised TypeError in float64: float32 only"
    found = harness.check(np.tanh, lambda x: short(x) + np.float32(2e-4), INPUTS)
    assert found.verdict is harness.Verdict.WITHIN_TOLERANCE


def test_a_reference_without_float64_is_judged_by_the_rounding_of_the_port():
    def short(x):
        if x.dtype == np.float64:
            raise TypeError("float32 only")
        return np.tanh(x)

    found = harness.check(short, np.tanh, INPUTS)
    rounding = found.outputs[0].rounding
    assert (found.verdict, rounding.by, rounding.of) == (harness.Verdict.AGREE, "floor", "port")
    assert found.not_checked["float64"].startswith(
        "the reference raised TypeError in float64: float32 only; the port's"
    )
    assert "the reference has none; rounding moves the port by" in str(found)
    found = harness.check(short, lambda x: np.tanh(x) + np.asarray(2e-4, x.dtype), INPUTS)
    assert found.verdict is harness.Verdict.WITHIN_TOLERANCE


def test_a_side_that_stays_short_has_no_float64():
    def short(x):
        return np.tanh(x.astype(np.float32))

    found = harness.check(short, lambda x: short(x) + np.float32(5e-6), INPUTS)
    assert found.verdict is harness.Verdict.AGREE
    assert found.not_checked["float64"] == "the reference computes 'output' in float32 whatever it is given"
    assert harness.check(np.tanh, short, INPUTS).outputs[0].rounding.by == "floor"


def test_divergence_outweighs_it():
    found = harness.check(lambda x: {"a": x, "b": x}, lambda x: {"a": x + 2e-4, "b": x + 1}, INPUTS)
    assert found.verdict is harness.Verdict.DIVERGE


def test_an_unknown_check_is_refused():
    with pytest.raises(SpecError, match="unknown check 'float46'. Did you mean 'float64'"):
        harness.check(np.tanh, np.tanh, INPUTS, checks=["float46"])
