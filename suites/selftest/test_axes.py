"""Taps whose axes stand in another order are compared where a case says in which, and a wrong order is refused."""

import numpy as np
import pytest

from harness import Verdict, check
from harness.adapters.toy.layers import Layers
from harness.errors import MappingError

X = {"x": np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(np.float32)}


def model(bring, scale=2.0):
    """A layer whose result has its axes in some order, and an output that has them as they were."""
    return Layers({"wide": lambda x: bring(scale * x), "sum": lambda x: x.sum().reshape(1)})


REFERENCE = model(lambda x: x)
PORT = model(lambda x: x.transpose(1, 0, 2, 3).reshape(3, 2, 20))


def test_a_tap_in_another_order_is_compared():
    found = check(REFERENCE, PORT, X, mapping={}, axes={"wide": (1, 0, (2, 3))}, checks=["forward"])
    assert found.verdict is Verdict.AGREE
    assert [(pair.name, pair.error) for pair in found.taps if pair.name == "wide"] == [("wide", 0.0)]


def test_without_its_order_it_is_left_over():
    found = check(REFERENCE, PORT, X, mapping={}, checks=["forward"])
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "reference: wide" in found.unmatched


def test_in_another_order_it_is_off():
    cube = {"x": X["x"][:2, :2]}
    other = model(lambda x: x.transpose(1, 0, 2, 3))
    right, wrong = (
        check(REFERENCE, other, cube, mapping={}, axes={"wide": order}, checks=["forward"])
        for order in [(1, 0, 2, 3), (0, 1, 2, 3)]
    )
    errors = [next(pair.error for pair in found.taps if pair.name == "wide") for found in (right, wrong)]
    assert errors[0] == 0.0 < 0.1 < errors[1]


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"wide": (0, 1, 1, 2)}, r"axes of 'wide' are \[0, 1, 1, 2\]. Name each axis from 0 to 3 once"),
        ({"wide": (1, 0)}, "no tap with 2 axes is called 'wide'"),
        ({"narrow": (0, 1, 2, 3)}, "no tap with 4 axes is called 'narrow'"),
    ],
)
def test_a_wrong_order_is_refused(axes, message):
    with pytest.raises(MappingError, match=message):
        check(REFERENCE, PORT, X, mapping={}, axes=axes, checks=["forward"])


def test_traces_in_files_are_compared_in_the_same_way(tmp_path):
    import harness

    files = [
        harness.trace(side, X, tmp_path / f"{name}.safetensors", side=name)
        for name, side in (("reference", REFERENCE), ("port", PORT))
    ]
    found = harness.compare_traces(*files, mapping={}, axes={"wide": (1, 0, (2, 3))})
    assert [(pair.name, pair.error) for pair in found.taps if pair.name == "wide"] == [("wide", 0.0)]
