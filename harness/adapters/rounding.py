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
    finite = exact[np.isfinite(exact)]
    if generator is None or np.array_equal(finite, np.rint(finite)):
        return exact
    return np.asarray(exact + half_units(exact, eps) * generator.uniform(-1.0, 1.0, exact.shape))


def half_units(exact: Array, eps: float) -> Array:
    """Half a unit in the last place of each value.

    >>> half_units(np.array([0.0, 1.0, 3.0]), 2.0**-23) * 2.0**24
    array([0., 1., 2.])
    """
    _, exponent = np.frexp(np.where(np.isfinite(exact), exact, 0.0))
    return np.asarray(np.where(exact == 0, 0.0, np.ldexp(eps, exponent - 2)))
