"""What the scripts of JAX libraries share: arguments of modules as Python, and the recipe around them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from harness.adapters.code import Code, arguments, chosen, place_of
from harness.adapters.protocols import Array, Recipe

ARRAY = "jnp.asarray(LEAF)"
TYPE = "jnp.{type}"
"""Stands where a module is made for float32, and may be made for float64 instead."""


def argument(code: Code, value: Any, following: Callable[[Any], str]) -> str:
    """An argument of a module's constructor; `following` where it is no type.

    Raises:
        UnsupportedError: it cannot be said in Python.
    """
    dtype = _dtype(value)
    if dtype is None:
        return following(value)
    code.imports["import jax.numpy as jnp"] = None
    return TYPE if dtype == jnp.float32 else f"jnp.{dtype.name}"


def recipe(
    code: Code,
    cls: type,
    lines: Sequence[str],
    *,
    given: Mapping[str, Any],
    output: str,
    weights: Mapping[str, Array],
    call: str,
) -> Recipe:
    """The recipe of a module that the lines build; `call` has its arguments in the place of ARGUMENTS."""
    after = chosen(output)
    body = [
        *lines,
        f"result = {call.replace('ARGUMENTS', arguments(given, cls.__call__, ARRAY))}",
        f"return np.asarray({f'result{after}' if after else 'first(result)'})",
    ]
    text = "def NAME(weights, inputs):\n" + "".join(f"    {line}\n" for line in body)
    return Recipe(
        imports=("import jax", "import jax.numpy as jnp", *code.imports),
        folders=tuple(code.folders),
        text=text.replace(TYPE, "jnp.float32"),
        text64=text.replace(TYPE, "jnp.float64"),
        double=('jax.config.update("jax_enable_x64", True)',),
        weights=weights,
        called=cls.__name__,
        where=place_of(cls),
    )


def _dtype(value: Any) -> Any:
    """The type that a value is, if it is one of NumPy's or JAX's."""
    if isinstance(value, np.dtype):
        return value
    named = isinstance(value, type) and issubclass(value, np.generic)
    return jnp.dtype(value) if named or type(value).__name__ == "_ScalarMeta" else None
