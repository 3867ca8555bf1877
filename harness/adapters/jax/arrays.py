"""Arrays into JAX and out of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from harness.adapters.leaves import named_outputs
from harness.adapters.protocols import Array


def to_jax(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs with every array, of whatever framework, as one of JAX; what is no array stays as it is."""
    return {name: jnp.asarray(np.asarray(v)) if hasattr(v, "__array__") else v for name, v in inputs.items()}


def to_numpy(leaf: Any) -> Array:
    """A copy in NumPy; bfloat16 and shorter types become float32, which holds them exactly."""
    return np.array(view(leaf))


def view(leaf: Any) -> Array:
    """The same, without a copy where none is needed: for reading only."""
    array: Array = np.asarray(leaf)
    # JAX's own types (bfloat16, float8) have no kind of NumPy's: they report "V", or "f" with a name of their own.
    foreign = array.dtype.kind == "V" or array.dtype.name.startswith(("bfloat", "float8"))
    return array.astype(np.float32) if foreign else array


def collect(result: Any) -> dict[str, Array]:
    """The arrays of a model's result by name, in NumPy."""
    outputs = named_outputs(result, is_array=lambda value: isinstance(value, (jax.Array, np.ndarray)))
    return {name: to_numpy(leaf) for name, leaf in outputs.items()}
