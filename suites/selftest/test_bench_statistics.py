"""Medians, ratios and p values, each against what is known of it otherwise."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.bench import statistics


def quads(count, *, slower=1.0, noise=0.02, seed=0):
    """Rounds around 10 ms, those of B slower, in quads whose machine is up to twice as slow as others'."""
    drawn = np.random.default_rng(seed)
    times = 0.01 * drawn.uniform(1, 2, (count, 1)) * np.exp(drawn.normal(0, noise, (count, 4)))
    return times * [1, slower, slower, 1]


def test_the_median_and_its_interval():
    found = statistics.median(np.random.default_rng(0).normal(10, 1, 400))
    assert found.low < found.value < found.high
    assert abs(found.value - 10) < 0.2
    assert 0.1 < found.high - found.low < 0.5  # 2 * 1.96 * 1.25 / 20 = 0.25 for a normal


def test_intervals_hold_the_true_value_as_often_as_they_say():
    held = [
        found.low <= 10 <= found.high
        for seed in range(200)
        for found in [statistics.median(np.random.default_rng(seed).normal(10, 1, 60), confidence=0.9)]
    ]
    assert 0.83 <= np.mean(held) <= 0.97  # 0.9, within three standard errors of 200 trials


def test_the_ratio_and_its_interval():
    found = statistics.ratio(quads(64, slower=1.1, noise=0.01))
    assert found.low <= found.value <= found.high
    assert found.low < 1.1 < found.high
    assert statistics.ratio(quads(64)) == statistics.ratio(quads(64))
    drawn = {statistics.ratio(quads(64), confidence=0.99, seed=seed).low for seed in range(5)}
    assert len(drawn) > 1


def test_what_slows_a_whole_quad_does_not_widen_the_interval():
    """Every other quad on a machine half as fast: the medians of the rounds as they are would say nothing."""
    times = quads(33, slower=1.03, noise=0.003) * np.where(np.arange(33) % 2, 2.0, 1.0)[:, None]
    levelled = statistics.ratio(times)
    drawn = times[np.random.default_rng(0).integers(0, 33, (2000, 33))]
    plain = np.median(drawn[:, :, 1:3], axis=(1, 2)) / np.median(drawn[:, :, [0, 3]], axis=(1, 2))
    assert levelled.high - levelled.low < 0.01 < np.subtract(*np.quantile(plain, [0.975, 0.025]))
    assert levelled.low < 1.03 < levelled.high


def test_quads_are_drawn_again_and_not_rounds():
    """Four rounds of a quad that are off together are one witness: sixteen quads of them have a wide interval."""
    off = np.where(np.arange(16) % 2, 1.1, 1.0)[:, None]
    found = statistics.ratio(np.ones((16, 4)) * np.hstack([np.ones((16, 1)), off, off, np.ones((16, 1))]))
    assert (found.low, found.high) == (1.0, pytest.approx(1.1))


def by_listing(logs):
    """The test's p, by trying every sign."""
    sizes = np.abs(logs)
    ranks = np.array([np.mean(np.flatnonzero(np.sort(sizes) == size)) + 1 for size in sizes])
    sums = [sum(itertools.compress(ranks, signs)) for signs in itertools.product([0, 1], repeat=len(logs))]
    least = min(ranks[logs > 0].sum(), ranks[logs < 0].sum())
    return min(1.0, 2 * np.mean(np.array(sums) <= least + 1e-9))


@given(st.lists(st.sampled_from([-3, -2, -1, 1, 2, 3]), min_size=1, max_size=8))
@settings(max_examples=40, deadline=None)
def test_the_p_value_is_that_of_all_signs(powers):
    times = [[1.0, 2.0**power, 2.0**power, 1.0] for power in powers]
    assert statistics.p_value(times) == pytest.approx(by_listing(np.array(powers, float)))


def test_p_is_small_for_a_change_and_as_often_small_as_it_says_without_one():
    assert statistics.p_value(quads(16, slower=1.05)) < 0.001
    assert statistics.p_value([[1.0, 1.0, 1.0, 1.0]] * 5) == 1.0
    alarms = [statistics.p_value(quads(12, seed=seed)) <= 0.05 for seed in range(400)]
    assert 0.01 <= np.mean(alarms) <= 0.085


def test_p_of_a_least_difference_is_that_of_what_is_beyond_it():
    slower = quads(12, slower=1.05)
    beyond = slower / np.array([1, 1.02, 1.02, 1])
    assert statistics.p_value(slower, least=0.02) == pytest.approx(statistics.p_value(beyond))
    assert statistics.p_value(slower[:, [1, 0, 3, 2]], least=0.02) == pytest.approx(statistics.p_value(beyond))
    assert statistics.p_value(quads(12, slower=1.02), least=0.05) == 1.0


def test_both_directions_count_alike():
    assert statistics.p_value(quads(9, slower=1.02)) == pytest.approx(
        statistics.p_value(quads(9, slower=1.02)[:, [1, 0, 3, 2]])
    )


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_corrects_upwards_and_keeps_the_order(values):
    corrected = statistics.holm(values)
    assert all(value <= found <= 1 for value, found in zip(values, corrected))
    assert min(corrected) == pytest.approx(min(1, min(values) * len(values)))
    order = np.argsort(values, kind="stable")
    assert list(np.array(corrected)[order]) == sorted(corrected)


@pytest.mark.parametrize(
    ("function", "given", "said"),
    [
        (statistics.median, [], r"shape \(count,\), got \(0,\)"),
        (statistics.median, [1.0, float("nan")], "not a finite number"),
        (statistics.ratio, np.empty((0, 4)), r"shape \(count, 4\), got \(0, 4\)"),
        (statistics.ratio, [[1.0, 1.0, 1.0]], r"shape \(count, 4\), got \(1, 3\)"),
        (statistics.ratio, [[1.0, 0.0, 1.0, 1.0]], "a call took 0.0 seconds: too short for the clock"),
        (statistics.p_value, np.empty((0, 4)), r"got \(0, 4\)"),
        (statistics.p_value, [[1.0, float("inf"), 1.0, 1.0]], "not a finite number"),
        (statistics.holm, [], "wanted probabilities, got []"),
        (statistics.holm, [0.5, 1.5], "wanted probabilities"),
    ],
)
def test_nothing_is_said_of_nothing(function, given, said):
    with pytest.raises(ValueError, match=said.replace("[]", r"\[\]")):
        function(given)
