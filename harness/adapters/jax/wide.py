"""JAX in float64: the weights cast, and what stays float32 all the same. Everything here runs under `enable_x64`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from harness.adapters.jax.arrays import collect
from harness.adapters.leaves import named_outputs
from harness.adapters.protocols import Wide

SHORT = ("float16", "bfloat16", "float32", "complex64")


def wide(tree: Any, *, nudge: int | None = None) -> Any:
    """The tree with every leaf of a shorter floating type in float64 (complex128).

    nudge: a seed, to move every value by up to half a unit in its last place.
    """
    generator = None if nudge is None else np.random.default_rng(nudge)

    def leaf(value: Any) -> Any:
        if not hasattr(value, "dtype") or value.dtype.name not in SHORT:
            return value
        if value.dtype.name == "complex64":
            return jnp.asarray(value, dtype=jnp.complex128)
        exact = jnp.asarray(value, dtype=jnp.float64)
        if generator is None:
            return exact
        size = jnp.abs(value)
        ulp = jnp.asarray(jnp.nextafter(size, jnp.full_like(size, jnp.inf)) - size, dtype=jnp.float64)
        return exact + jnp.where(jnp.isfinite(ulp), ulp, 0.0) * generator.uniform(-0.5, 0.5, value.shape)

    return jax.tree.map(leaf, tree)


def run_wide(call: Callable[[Any, Any], Any], weights: Any, arrays: Mapping[str, Any]) -> Wide:
    """The outputs of `call(weights, arrays)`, all of them wide, and its islands."""

    def outputs(weights: Any, arrays: Any) -> dict[str, Any]:
        return named_outputs(call(weights, arrays), is_array=lambda value: isinstance(value, jax.Array))

    # The arrays leave JAX inside its float64 mode: outside, the first operation would make them float32.
    return Wide(collect(outputs(weights, arrays)), islands(outputs, weights, arrays))


def islands(call: Callable[..., Any], *arguments: Any) -> tuple[str, ...]:
    """The primitives, with their counts, that make a short value when `call` is traced in float64.

    A conversion to float32 stands in the program as `convert_element_type`; a table that was computed in NumPy and
    stored short stands there as a constant.
    """
    program = jax.make_jaxpr(call)(*arguments)
    found = Counter(name for name in _short(program.jaxpr))
    found["constant"] += sum(getattr(value, "dtype", None) is not None and _is_short(value) for value in program.consts)
    return tuple(f"{name} x{count}" for name, count in sorted(found.items()) if count)


def _short(program: Any) -> Iterator[str]:
    for equation in program.eqns:
        if any(_is_short(variable.aval) for variable in equation.outvars):
            yield str(equation.primitive)
        for value in equation.params.values():
            for inner in value if isinstance(value, (tuple, list)) else (value,):
                inner = getattr(inner, "jaxpr", inner)
                if hasattr(inner, "eqns"):
                    yield from _short(inner)


def _is_short(value: Any) -> bool:
    return getattr(getattr(value, "dtype", None), "name", "") in SHORT
