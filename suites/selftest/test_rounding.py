"""Weights moved as far as storing them may have: what moves, what does not, and how far."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from harness.adapters.rounding import half_units, nudged

EPS = float(np.finfo(np.float32).eps)
STORED = st.floats(-(2.0**120), 2.0**120, width=32, allow_subnormal=False)


@given(st.lists(STORED, min_size=1))
def test_half_a_unit_is_half_the_distance_to_the_next_stored_number(values):
    stored = np.array(values, np.float32)
    wanted = np.where(stored == 0, 0.0, np.spacing(np.abs(stored)).astype(np.float64) / 2)
    np.testing.assert_array_equal(half_units(stored.astype(np.float64), EPS), wanted)


def test_every_value_moves_by_at_most_that():
    exact = np.random.default_rng(0).standard_normal((50, 60)).astype(np.float32).astype(np.float64)
    moved = nudged(exact, EPS, np.random.default_rng(1))
    assert (moved != exact).mean() > 0.99
    assert (np.abs(moved - exact) <= half_units(exact, EPS)).all()
    np.testing.assert_array_equal(moved.astype(np.float32), exact)


def test_what_was_not_rounded_stays():
    random = np.random.default_rng(1)
    for exact in (np.arange(2000.0) * 1e3, np.array([np.inf, -np.inf, 3.0, np.nan]), np.array(2.0), np.empty(0)):
        np.testing.assert_array_equal(nudged(exact, EPS, random), exact)
    beyond = np.array([np.inf, 0.0, 0.5])
    assert nudged(beyond, EPS, random)[:2].tolist() == [np.inf, 0.0]
    # Whole at first, and not at the end.
    late = np.append(np.zeros(1500), 0.3)
    assert nudged(late, EPS, random)[-1] != 0.3
