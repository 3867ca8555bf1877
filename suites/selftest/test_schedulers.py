"""The mathematics by which schedulers are judged, and the table's errors; no framework."""

import math

import numpy as np
import pytest

from harness.adapters.sampling import Call, Draw, Level, Sampled
from harness.errors import SpecError
from harness.parity.compare import Verdict
from harness.schedulers.agreement import trace_pairs
from harness.schedulers.drive import Pair, last_noisy, whole
from harness.schedulers.exact import NORMAL, TWO_BUMPS, Gaussian, Mixture, constant_noise
from harness.schedulers.formulas import Formula
from harness.schedulers.moments import affine
from harness.schedulers.order import Measured
from harness.schedulers.outcome import Outcome, worst_of
from harness.schedulers.rows import Row, read_table

LEVEL = Level(0.8, 0.6)


def posterior_mean(density, sample, level):
    """E[x0 | x] by summation over a fine grid of x0."""
    x0 = np.linspace(-12, 12, 200_001)
    weight = density(x0) * np.exp(-0.5 * ((sample - level.alpha * x0) / level.sigma) ** 2)
    return (weight * x0).sum() / weight.sum()


def bell(x, mean, deviation):
    return np.exp(-0.5 * ((x - mean) / deviation) ** 2) / deviation


@pytest.mark.parametrize("sample", [-1.3, 0.2, 2.5])
def test_denoisers_are_posterior_means(sample):
    normal = Gaussian(np.array([0.3]), np.array([0.5]))
    expected = posterior_mean(lambda x: bell(x, 0.3, 0.5), sample, LEVEL)
    assert normal.denoise(np.array([[sample]]), LEVEL)[0, 0] == pytest.approx(expected, abs=1e-9)
    mixture = Mixture(np.array([[-0.8], [0.9]]), np.array([[0.6], [0.7]]))
    expected = posterior_mean(lambda x: bell(x, -0.8, 0.6) + bell(x, 0.9, 0.7), sample, LEVEL)
    assert mixture.denoise(np.array([[sample]]), LEVEL)[0, 0] == pytest.approx(expected, abs=1e-9)


def test_flow_of_a_mixture_of_equal_parts_is_the_closed_form():
    pytest.importorskip("scipy")
    twice = Mixture(np.stack([NORMAL.mean] * 2), np.stack([NORMAL.deviation] * 2))
    levels = [Level(1.0, 10.0), Level(0.9, 0.5), Level(1.0, 0.03)]
    start = np.random.default_rng(0).standard_normal((2, 3)) * 10
    for found, expected in zip(twice.flow(start, levels), NORMAL.flow(start, levels), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-11)


def test_flow_maps_marginals_onto_each_other():
    levels = [Level(1.0, 5.0), Level(1.0, 0.1)]
    [end] = NORMAL.flow(NORMAL.start(np.ones((1, 3)), levels[0]), levels)
    np.testing.assert_allclose(end, NORMAL.start(np.ones((1, 3)), levels[1]))


def test_order_is_the_slope_of_the_finest_grids():
    assert Measured({10: 1e-2, 20: 1e-4, 40: 1e-4 / 8}).order == pytest.approx(3)
    with pytest.raises(ValueError, match="fewer than two grids show an error above 1e-11"):
        _ = Measured({10: 1e-2, 20: 1e-13}).order


def run_of(step, *, draws=2):
    """A sampler of `draws` steps, each `step(sample, noise)`."""

    def run(noise, start):
        sample = start
        for number in range(draws):
            sample = step(sample, noise(number))
        return (Sampled((), (Draw(math.nan, math.nan),) * draws, (sample,), (Level(1.0, 0.0),)),)

    return run


def test_affine_map_is_read_off():
    [found] = affine(run_of(lambda sample, noise: 0.5 * sample + 3 * noise + 1))
    np.testing.assert_allclose(found.mean(), 1.5)
    np.testing.assert_allclose(found.variance(), 0.25**2 + 1.5**2 + 3**2)


def test_a_map_that_is_not_affine_is_refused():
    with pytest.raises(ValueError, match="the map is not affine"):
        affine(run_of(lambda sample, noise: sample**2 + noise))


def test_ddim_with_one_step_to_the_data_is_the_denoiser():
    levels = (LEVEL, Level(1.0, 0.0))
    start = np.ones((2, 3))
    run = Formula("ddim", levels).run(start, TWO_BUMPS.denoise, lambda _: start)
    np.testing.assert_allclose(run.final, TWO_BUMPS.denoise(start, LEVEL))


def test_constant_noise_is_what_the_sample_holds():
    noise = np.array([[0.5, -1.0, 2.0]])
    data = constant_noise(noise)(np.ones((1, 3)), LEVEL)
    np.testing.assert_allclose(LEVEL.alpha * data + LEVEL.sigma * noise, 1.0)


def sampled(*values):
    calls = tuple(Call(math.nan, Level(1.0, 2.0), np.full((1, 1), value), np.zeros((1, 1))) for value in values)
    return Sampled(calls, (), (np.full((1, 1), values[-1]),), (Level(1.0, 0.0),))


def test_a_call_that_one_side_lacks_diverges():
    pairs = trace_pairs(Pair(sampled(1.0), sampled(1.0, 1.0), ("", "")), limit=1e-12)
    assert [pair.name for pair in pairs if pair.verdict is not Verdict.AGREE] == ["call 2: level", "call 2: sample"]


def test_an_error_is_told_relative_to_the_largest_sample_so_far():
    reference, port = sampled(1000.0, 1.0), sampled(1000.0, 1.0 + 1e-10)
    assert all(pair.verdict is Verdict.AGREE for pair in trace_pairs(Pair(port, reference, ("", "")), limit=1e-12))
    pairs = trace_pairs(Pair(port, reference, ("", "")), limit=1e-14)
    assert [pair.name for pair in pairs if pair.verdict is Verdict.DIVERGE] == ["call 2: sample", "final sample"]


def test_whole_steps_and_the_last_noise():
    row = Row(id="a", sampler="a", calls=2)
    assert whole([10, 7, 5, 3, 1, 0], row) == [10, 5, 1, 0]
    levels = [Level(1.0, sigma) for sigma in (10, 7, 5, 3, 1, 0)]
    assert last_noisy(levels, row) == 4
    assert last_noisy(levels[:-1], Row(id="a", sampler="a", order_until=4.0)) == 2


def outcome(error, limit=1.0, compared=1):
    return Outcome("a", "order", "A", "reference", "port", error, limit, worst="12 steps", compared=compared)


def test_outcomes_are_never_vacuous():
    assert outcome(0.5).verdict is Verdict.AGREE
    assert outcome(2.0).reason == "2, where 1 is allowed (12 steps)"
    assert outcome(0.0, compared=0).verdict is Verdict.INCONCLUSIVE
    assert outcome(math.nan).verdict is Verdict.INCONCLUSIVE
    assert worst_of([outcome(0.5), outcome(0.6, limit=0.1), outcome(0.9)]).limit == 0.1
    assert math.isnan(worst_of([outcome(0.5), outcome(math.nan)]).error)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[[row]]\nid = "a"\nsampler = "A"\norrder = 2\n', "unknown key 'row.0.orrder'. Did you mean 'order'?"),
        ('[[row]]\nid = "a"\nsampler = "A"\nquick = ["karas"]\n[[variant]]\nid = "karras"\n', "Did you mean 'karras'?"),
        ('[[row]]\nid = "a"\nsampler = "A"\n[[row]]\nid = "a"\nsampler = "B"\n', "the row 'a' is there twice"),
    ],
)
def test_a_wrong_table_says_where(tmp_path, text, message):
    file = tmp_path / "table.toml"
    file.write_text(text)
    with pytest.raises(SpecError) as caught:
        read_table(file)
    assert message in str(caught.value)


def test_what_is_recorded_are_plain_numbers():
    found = outcome(np.float64(0.5))
    assert type(found.metrics()["error"]) is float
    assert outcome(np.float64("inf")).metrics()["error"] == "inf"
