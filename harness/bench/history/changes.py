"""Where a series changed its level for good: splits in two, each tested by Student's t, largest first."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

LEAST = 4
"""Points that a level has on either side of a change: of fewer, their spread says nothing."""

ALPHA = 1e-4
"""How often chance alone may make a series look changed, at one look. A series is looked at again every night, so the
rate over its life is higher. This, `SMALLEST` and `CLIP` were chosen among 18 combinations of them on measured noise;
`suites/benchmarks/history_detection.py` measures what comes of it with other draws."""

SMALLEST = 0.06
"""The smallest step that is told, as a ratio less one: more than half of the 10 % that must be found. The machine alone
moves the level of unchanged code by 5 % for some nights; smaller steps are for `harness bench compare`."""

NEAR, CLIP = 3, 2.0
"""A point further from the median of its neighbours (so many on either side) than so many standard deviations counts
as one that far: one bad night hides no step, and makes none."""


@dataclass(frozen=True, slots=True)
class Change:
    """A change of level. at: the index of the first point after it. ratio: the level after by the one before.

    low, high: in which the ratio lies with a probability of 95 %. p: how often chance makes a split as clear as this.
    """

    at: int
    ratio: float
    low: float
    high: float
    p: float


def changes(values: ArrayLike) -> list[Change]:
    """The changes of level in a series of positive values (count,), in order; none for one too short to tell.

    Binary segmentation (Scott and Knott 1974, doi:10.2307/2529204) of the logarithms: the split with the largest t is
    kept if its p value, times the number of splits tried, is at most `ALPHA`; then both parts are split in turn.

    >>> [(each.at, round(each.ratio, 2)) for each in changes([1.0, 1.01, 0.99] * 3 + [1.2, 1.21, 1.19] * 3)]
    [(9, 1.2)]

    Raises:
        ValueError: a value is not a finite number above zero.
    """
    found = np.asarray(values, dtype=np.float64)
    if found.ndim != 1 or not (np.isfinite(found) & (found > 0)).all():
        raise ValueError("wanted values of shape (count,), finite and above zero")
    logs = _without_outliers(np.log(found))
    places = sorted(_splits(logs, 0, len(logs)))
    # A split was placed while its neighbours were unknown: it is held once more against the levels beside it.
    ends = [0, *places, len(logs)]
    return [
        change for left, right in zip(ends, ends[2:]) for change in [_best(logs, left, right)] if change is not None
    ]


def _splits(logs: NDArray[np.float64], start: int, end: int) -> Iterator[int]:
    change = _best(logs, start, end)
    if change is not None:
        yield from _splits(logs, start, change.at)
        yield change.at
        yield from _splits(logs, change.at, end)


def _best(logs: NDArray[np.float64], start: int, end: int) -> Change | None:
    """The clearest split of logs[start:end], None where it could be chance, or is too small to be told."""
    count = end - start
    if count < 2 * LEAST:
        return None
    part = logs[start:end] - logs[start:end].mean()
    before = np.arange(LEAST, count - LEAST + 1)
    after = count - before
    sums, squares = np.cumsum(part)[before - 1], float(part @ part)
    steps = -sums / after - sums / before
    inner = np.maximum(squares - sums**2 * (1 / before + 1 / after), 1e-12 * count)
    errors = np.sqrt(inner / (count - 2) * (1 / before + 1 / after))
    place = int(np.argmax(np.abs(steps) / errors))
    step, error = float(steps[place]), float(errors[place])
    p = min(1.0, _p_value(abs(step) / error, count - 2) * len(before))
    if p > ALPHA or abs(math.expm1(step)) < SMALLEST:
        return None
    low, high = (math.exp(step + sign * 1.96 * error) for sign in (-1, 1))
    return Change(start + int(before[place]), math.exp(step), low, high, p)


def _p_value(t: float, freedom: int) -> float:
    """Two-sided, by a normal deviate that is right to a hundredth (Wallace 1959, doi:10.1214/aoms/1177706088)."""
    deviate = math.sqrt(freedom * math.log1p(t * t / freedom)) * (8 * freedom + 1) / (8 * freedom + 3)
    return math.erfc(deviate / math.sqrt(2))


def _without_outliers(logs: NDArray[np.float64]) -> NDArray[np.float64]:
    if len(logs) < 2 * LEAST:
        return logs
    # The spread by the differences of neighbours, of which a step spoils only one.
    spread = 1.4826 * float(np.median(np.abs(np.diff(logs)))) / math.sqrt(2)
    padded = np.pad(logs, NEAR, constant_values=np.nan)
    medians = np.nanmedian(np.lib.stride_tricks.sliding_window_view(padded, 2 * NEAR + 1), axis=1)
    return np.clip(logs, medians - CLIP * spread, medians + CLIP * spread)
