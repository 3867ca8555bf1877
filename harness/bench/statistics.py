"""Medians, ratios of medians, and how sure they are: by resampling, without a shape assumed for the noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

RESAMPLES = 2000
"""Of a bootstrap: the ends of a 99 % interval then rest on ten resamples each (Efron and Tibshirani 1993, 14.3)."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value and the interval in which it lies with the given confidence."""

    value: float
    low: float
    high: float
    confidence: float


def median(samples: ArrayLike, *, confidence: float = 0.95, seed: int = 0) -> Estimate:
    """The median of samples (count,) and its bootstrap interval, by percentiles.

    >>> median([3.0, 1.0, 2.0]).value
    2.0

    Raises:
        ValueError: there is no sample, or one is not a finite number.
    """
    values = np.asarray(samples, dtype=np.float64)
    if values.ndim != 1 or not values.size:
        raise ValueError(f"wanted samples of shape (count,), got {values.shape}")
    _check(values)
    drawn = values[_draws(len(values), seed)]
    return _estimate(float(np.median(values)), np.median(drawn, axis=1), confidence)


def ratio(quads: ArrayLike, *, confidence: float = 0.95, seed: int = 0) -> Estimate:
    """The ratio of medians, B's by A's, of quads (count, 4) in the order A B B A, and its bootstrap interval.

    Whole quads are drawn again, not rounds: what slows one round slows its neighbours too, and rounds counted as
    independent made half of all unchanged pairs look changed.

    >>> ratio([[1.0, 1.1, 1.1, 1.0]] * 8).value
    1.1

    Raises:
        ValueError: there is no quad, or a time is not a finite number above zero.
    """
    times = _quads(quads)
    drawn = times[_draws(len(times), seed)]
    return _estimate(float(_ratios(times[None])[0]), _ratios(drawn), confidence)


def p_value(quads: ArrayLike) -> float:
    """How often chance alone makes sides that cost the same as different as these quads (count, 4), or more.

    Wilcoxon's signed-rank test (1945, doi:10.2307/3001968) of the logarithm of each quad's ratio, two-sided and exact:
    where the sides are alike, each sign is as likely as the other. Quads whose ratio is 1 count for neither.

    >>> p_value([[1.0, 1.1, 1.1, 1.0]] * 8)
    0.0078125

    Raises:
        ValueError: there is no quad, or a time is not a finite number above zero.
    """
    times = _quads(quads)
    logs = np.log2(times[:, 1] + times[:, 2]) - np.log2(times[:, 0] + times[:, 3])
    logs = logs[logs != 0]
    # Twice the rank, since ties share the mean of theirs: whole numbers, so that the sums can be counted.
    sizes = np.abs(logs)
    ranks = [int(np.sum(sizes < size) * 2 + np.sum(sizes == size) + 1) for size in sizes]
    positive = sum(rank for rank, log in zip(ranks, logs, strict=True) if log > 0)
    ways = [1] + [0] * sum(ranks)
    for rank in ranks:
        ways = [count + (ways[total - rank] if total >= rank else 0) for total, count in enumerate(ways)]
    fewer = min(positive, sum(ranks) - positive)
    return min(1.0, 2 * sum(ways[: fewer + 1]) / (1 << len(ranks)))


def holm(p_values: Sequence[float]) -> list[float]:
    """The p values corrected for their number, in the same order (Holm 1979, jstor.org/stable/4615733).

    If each that is at most alpha is called a change, a false one is among them with probability at most alpha.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]

    Raises:
        ValueError: there is none, or one is no probability.
    """
    if not p_values or not all(0 <= p <= 1 for p in p_values):
        raise ValueError(f"wanted probabilities, got {list(p_values)!r}")
    corrected, floor = [0.0] * len(p_values), 0.0
    for place, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        floor = max(floor, min(1.0, p_values[index] * (len(p_values) - place)))
        corrected[index] = floor
    return corrected


def _ratios(times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of quads (draws, count, 4), a ratio a draw."""
    draws = len(times)
    a, b = times[:, :, [0, 3]].reshape(draws, -1), times[:, :, [1, 2]].reshape(draws, -1)
    found: NDArray[np.float64] = np.median(b, axis=1) / np.median(a, axis=1)
    return found


def _draws(count: int, seed: int) -> NDArray[np.int64]:
    return np.random.default_rng(seed).integers(0, count, (RESAMPLES, count))


def _estimate(value: float, drawn: NDArray[np.float64], confidence: float) -> Estimate:
    tail = (1 - confidence) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return Estimate(value, float(low), float(high), confidence)


def _quads(quads: ArrayLike) -> NDArray[np.float64]:
    times = np.asarray(quads, dtype=np.float64)
    if times.ndim != 2 or times.shape[1] != 4 or not len(times):
        raise ValueError(f"wanted quads of shape (count, 4), got {times.shape}")
    _check(times)
    if (times <= 0).any():
        raise ValueError(f"a call took {times.min()!r} seconds: too short for the clock, time several calls at once")
    return times


def _check(values: NDArray[np.float64]) -> None:
    if not np.isfinite(values).all():
        raise ValueError("a sample is not a finite number")
