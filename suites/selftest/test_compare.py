"""The distance of a pair, and every way in which such a comparison could lie."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from harness.parity import compare as module
from harness.parity.compare import Verdict, compare
from harness.tolerance import Tolerance


def measure(reference, port, **options):
    return compare(np.asarray(reference), np.asarray(port), tolerance=Tolerance(), name="x", **options)


def test_equal_arrays_agree():
    found = measure(np.ones((2, 3)), np.ones((2, 3)))
    assert found.verdict is Verdict.AGREE
    assert (found.error, found.compared, found.scale) == (0.0, 6, 1.0)


def test_the_contract_is_inclusive_and_no_wider():
    assert measure([1.0], [1.0 + 0.9e-3]).verdict is Verdict.AGREE
    assert measure([1.0], [1.0 + 1.1e-3]).verdict is Verdict.DIVERGE


def test_the_worst_element_is_named_with_both_values():
    port = np.zeros((2, 3, 4))
    port[1, 2, 3] = -5.0
    found = measure(np.zeros((2, 3, 4)), port)
    assert (found.worst.index, found.worst.reference, found.worst.port) == ((1, 2, 3), 0.0, -5.0)
    assert (found.outside, found.error) == (1, 5.0)


def test_the_worst_element_is_found_beyond_the_first_chunk(monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 5)
    port = np.zeros((4, 4))
    port[3, 1] = 2.0
    assert measure(np.zeros((4, 4)), port).worst.index == (3, 1)


def test_differences_of_opposite_sign_do_not_cancel():
    found = measure([0.0, 0.0], [1.0, -1.0])
    assert found.verdict is Verdict.DIVERGE
    assert found.error == 1.0


def test_a_permutation_with_the_same_mean_diverges():
    assert measure([1.0, 2.0, 3.0], [3.0, 2.0, 1.0]).verdict is Verdict.DIVERGE


def test_scale_and_shift_diverge_though_they_correlate():
    values = np.linspace(-1, 1, 50)
    assert measure(values, 3 * values + 2).verdict is Verdict.DIVERGE


def test_other_shapes_diverge_even_where_they_broadcast():
    found = measure(np.ones((2, 3)), np.ones((1, 3)))
    assert found.verdict is Verdict.DIVERGE
    assert found.reason == "shapes differ: (2, 3) in the reference, (1, 3) in the port"


def test_nothing_to_compare_is_inconclusive():
    found = measure(np.ones((0, 3)), np.ones((0, 3)))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.reason.startswith("nothing was compared")


def test_nan_on_both_sides_is_inconclusive_on_one_side_diverges():
    assert measure([np.nan, 1.0], [np.nan, 1.0]).verdict is Verdict.INCONCLUSIVE
    assert measure([0.0, 1.0], [np.nan, 1.0]).verdict is Verdict.DIVERGE
    assert measure([np.nan, 1.0], [np.nan, 2.0]).verdict is Verdict.DIVERGE


def test_equal_infinities_agree_others_diverge_and_alone_they_prove_nothing():
    assert measure([-np.inf, 1.0], [-np.inf, 1.0]).verdict is Verdict.AGREE
    assert measure([-np.inf, 1.0], [np.inf, 1.0]).verdict is Verdict.DIVERGE
    assert measure([-np.inf, 1.0], [-1e30, 1.0]).verdict is Verdict.DIVERGE
    assert measure([np.inf], [np.inf]).verdict is Verdict.INCONCLUSIVE


def test_only_valid_positions_count_and_the_worst_keeps_its_place():
    mask = np.array([[1, 1, 0], [1, 0, 0]])
    port = np.zeros((2, 3, 4))
    port[1, 1:] = 9.0
    found = measure(np.zeros((2, 3, 4)), port, valid=mask)
    assert (found.verdict, found.compared, found.skipped) == (Verdict.AGREE, 12, 12)
    port[1, 0, 2] = 7.0
    found = measure(np.zeros((2, 3, 4)), port, valid=mask)
    assert (found.verdict, found.worst.index) == (Verdict.DIVERGE, (1, 0, 2))


def test_a_mask_without_valid_positions_is_inconclusive():
    assert measure(np.ones((1, 2, 3)), np.ones((1, 2, 3)), valid=np.zeros((1, 2))).verdict is Verdict.INCONCLUSIVE


def test_float32_values_are_measured_in_float64():
    big = np.float32(16777216.0)
    assert measure(np.array([big]), np.array([np.nextafter(big, np.float32(0))])).error == 1.0


def test_integers_compare_exactly():
    assert measure(np.array([2**40]), np.array([2**40 + 1])).error == 1.0


def test_a_verdict_is_no_bool():
    with pytest.raises(TypeError, match="is Verdict.AGREE"):
        assert Verdict.AGREE


def test_to_dict_is_plain_json():
    import json

    text = json.dumps(measure([0.0], [np.nan]).to_dict(), allow_nan=False)
    assert json.loads(text)["worst"] == {"index": [0], "reference": 0.0, "port": "nan"}


FINITE = arrays.arrays(np.float32, arrays.array_shapes(max_dims=3), elements=st.floats(-1e6, 1e6, width=32))


@given(FINITE, st.data())
def test_any_planted_difference_is_found_at_its_place(reference, data):
    index = tuple(data.draw(st.integers(0, size - 1)) for size in reference.shape)
    port = reference.astype(np.float64)
    port[index] += 1.0
    found = measure(reference, port)
    assert (found.verdict, found.worst.index, found.outside) == (Verdict.DIVERGE, index, 1)


@given(FINITE)
def test_an_array_agrees_with_itself(reference):
    assert measure(reference, reference.copy()).error == 0.0
