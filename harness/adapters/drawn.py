"""Weights under which a fault can show, drawn by name: two models share what they share in name and shape."""

from __future__ import annotations

import zlib

import numpy as np

from harness.adapters.protocols import Array


def drawn(name: str, array: Array, *, seed: int) -> Array:
    """New values in float32 for a weight: its name, shape and seed decide, and whether it was neutral (all the same).

    Matrices are normal with variance 1 / fan-in, norms' scales lie around their neutral value, biases around zero are
    as large as activations, and variances are positive. A number by itself (a temperature) stays.

    >>> drawn("bias", np.zeros(2), seed=0).round(2).tolist() == drawn("bias", np.zeros(2), seed=0).round(2).tolist()
    True
    """
    generator = np.random.default_rng([seed, zlib.crc32(name.encode())])
    if array.ndim == 0 or not array.size:
        return np.asarray(array, np.float32)
    neutral = bool((array == array.flat[0]).all())
    value = float(array.flat[0])
    if name.rpartition(".")[2] in ("running_var", "var"):
        new = generator.uniform(0.5, 1.5, array.shape)
    elif neutral and value == 0:
        new = 0.2 * generator.normal(size=array.shape)
    elif neutral:
        new = value * (1 + 0.5 * generator.uniform(-0.5, 0.5, array.shape))
    elif array.ndim == 1:
        new = 0.2 * generator.normal(size=array.shape)
    else:
        fan = array.size / max(array.shape[0], array.shape[-1])
        new = generator.normal(size=array.shape) / np.sqrt(fan)
    return np.asarray(new, np.float32)
