"""A share with its exact bounds."""

from __future__ import annotations

import math


def bounds(found: int, total: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """The exact bounds of a share (Clopper and Pearson 1934).

    >>> [round(each, 4) for each in bounds(9, 10)]
    [0.555, 0.9975]
    >>> bounds(0, 4)[0], bounds(4, 4)[1]
    (0.0, 1.0)
    """
    tail = (1 - confidence) / 2
    low = 0.0 if found == 0 else _solve(lambda share: _at_most(total - found, total, 1 - share), tail)
    high = 1.0 if found == total else 1 - _solve(lambda share: _at_most(found, total, 1 - share), tail)
    return low, high


def _solve(rising: object, wanted: float) -> float:
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < wanted else (low, middle)  # type: ignore[operator]
    return low


def _at_most(most: int, total: int, share: float) -> float:
    """The chance that at most so many of `total` come out, each with this chance."""
    return math.fsum(math.comb(total, k) * share**k * (1 - share) ** (total - k) for k in range(most + 1))
