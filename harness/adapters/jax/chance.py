"""Training without chance: what is random in JAX keeps all, and is counted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from harness.adapters.leaves import is_shared


@dataclass(slots=True)
class Drawn:
    """How many elements of random masks, and uniform numbers, a program draws; and how many masks are shared."""

    masked: int = 0
    uniform: int = 0
    shared: int = 0


@contextmanager
def keep_all(drawn: Drawn, value: Any = 0.5) -> Iterator[None]:
    """While open, random masks of JAX keep every element, and uniform numbers are all the same; `drawn` counts them.

    Where the uniform number is one half, a mask that is drawn by hand keeps every element as well.
    """
    before = (jax.random.bernoulli, jax.random.uniform)
    drawn.masked = drawn.uniform = drawn.shared = 0

    def bernoulli(_key: Any, p: Any = 0.5, shape: Any = None, *_further: Any, **_named: Any) -> Any:
        ones = jnp.ones(np.shape(p) if shape is None else shape, bool)
        drawn.masked += ones.size
        drawn.shared += is_shared(ones.shape)
        return ones

    def uniform(_key: Any, shape: Any = (), dtype: Any = float, minval: Any = 0.0, maxval: Any = 1.0, **_: Any) -> Any:
        numbers = jnp.full(shape, minval + value * (maxval - minval)).astype(dtype)
        drawn.uniform += numbers.size
        return numbers

    jax.random.bernoulli = bernoulli  # type: ignore[assignment]
    jax.random.uniform = uniform  # type: ignore[assignment]
    try:
        yield
    finally:
        jax.random.bernoulli, jax.random.uniform = before
