"""Move weights as far as rounding may have moved them when they were stored."""

from __future__ import annotations

import numpy as np

from harness.adapters.protocols import Array


def nudged(exact: Array, eps: float, generator: np.random.Generator | None) -> Array:
    """`exact` in float64, each value moved by a random part of half a unit in the last place of its own type.

    eps: the distance from 1 to the next number of that type. Zero, which every type holds, stays; so does infinity,
    and so does an array of whole numbers: a mask, which a model may multiply by ten thousand, was not rounded.

    >>> nudged(np.array([0.0, 1.0]), 2.0**-23, np.random.default_rng(0))
    array([0., 1.])
    >>> bool(nudged(np.array([0.5]), 2.0**-23, np.random.default_rng(0))[0] == 0.5)
    False
    """
    # Most arrays are seen by their first values not to be whole numbers.
    if generator is None or (_is_whole(exact.flat[:1000]) and _is_whole(exact)):
        return exact
    return np.asarray(exact + half_units(exact, eps) * generator.uniform(-1.0, 1.0, exact.shape))


def half_units(exact: Array, eps: float) -> Array:
    """Half a unit in the last place of each value.

    >>> half_units(np.array([0.0, 1.0, 3.0]), 2.0**-23) * 2.0**24
    array([0., 1., 2.])
    """
    # The power of two at or below each value is its exponent's bits; of zero, zero.
    powers = (np.asarray(exact, np.float64).view(np.uint64) & EXPONENT).view(np.float64)
    return np.where(np.isfinite(exact), powers, 0.0) * (eps / 2)


EXPONENT = np.uint64(0x7FF0_0000_0000_0000)
"""The bits of a float64 that hold its exponent (IEEE 754)."""


def _is_whole(values: Array) -> bool:
    return bool(((values == np.rint(values)) | ~np.isfinite(values)).all())
