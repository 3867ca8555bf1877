"""JAX values in float64. Everything here runs under `enable_x64`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from harness.adapters.jax.lift import SHORT, WIDER, eps_of
from harness.adapters.jax.stepwise import Later
from harness.adapters.protocols import State
from harness.adapters.rounding import nudged


def wide(tree: Any) -> Any:
    """The tree with every leaf of a shorter floating type in float64 (complex128)."""

    def leaf(value: Any) -> Any:
        short = hasattr(value, "dtype") and value.dtype.name in SHORT
        return jnp.asarray(value, dtype=WIDER[value.dtype.name]) if short else value

    return jax.tree.map(leaf, tree)


def widened(weights: Mapping[str, Any], state: State) -> dict[str, Any]:
    """The weights in float64, as `state` wants them."""
    return {name: each.make() if isinstance(each, Later) else each for name, each in widening(weights, state).items()}


def widening(weights: Mapping[str, Any], state: State) -> dict[str, Any]:
    """The same, but what is only to be made wider is so when it is needed: a large model has many."""
    generator = None if state.nudge is None else np.random.default_rng(state.nudge)

    def one(name: str, stored: Any) -> Any:
        held = state.values.get(name, stored)
        if stored.dtype.name not in SHORT or stored.dtype.name == "complex64":
            return wide(jnp.asarray(held))
        if not state.moves(name):
            return Later(held)
        return jnp.asarray(nudged(np.asarray(held).astype(np.float64), eps_of(stored.dtype), generator))

    return {name: one(name, stored) for name, stored in weights.items()}
