"""Flax in float64: the mode of JAX, the parameters, the modules' own type, and what stays float32 all the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

SHORT = ("float16", "bfloat16", "float32", "complex64")


def wide(tree: Any, *, nudge: int | None = None) -> Any:
    """The tree with every leaf of a shorter floating type in float64 (complex128). Call it under `jax.enable_x64`.

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


def wide_module(module: nn.Module) -> nn.Module:
    """The module with its own `dtype`, if it has one, set to float64; children that it makes get theirs from it."""
    return module.clone(dtype=jnp.float64) if getattr(module, "dtype", None) is not None else module


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
