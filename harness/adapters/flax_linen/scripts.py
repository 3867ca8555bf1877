"""Say how a script builds a linen module and applies it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import flax.linen as nn

from harness.adapters.code import Code, same
from harness.adapters.jax import scripts
from harness.adapters.jax.names import Names
from harness.adapters.protocols import Array, Recipe


def recipe(
    module: nn.Module, path: str, names: Names, held: Mapping[str, Array], given: Mapping[str, Any], *, output: str
) -> Recipe:
    """A module with its fields and what stands under its path in the variables."""
    code = Code(imports={"from flax.traverse_util import unflatten_dict": None})
    inside = path.split(".") if path else []
    weights = {}
    for name, (collection, *place) in names.paths.items():
        if place[: len(inside)] == inside:
            weights["/".join([collection, *place[len(inside) :]])] = held[name]
    lines = [f"module = {_constructed(code, module)}"]
    variables = 'unflatten_dict({name: jnp.asarray(array) for name, array in weights.items()}, sep="/")'
    lines += [f"variables = {variables if weights else '{}'}"]
    return scripts.recipe(
        code,
        type(module),
        lines,
        given=given,
        output=output,
        weights=weights,
        call="module.apply(variables, ARGUMENTS)",
    )


def _constructed(code: Code, module: nn.Module) -> str:
    parts = []
    for each in dataclasses.fields(module):
        # Weights are loaded, however they would be drawn.
        if each.name in ("parent", "name") or each.name.endswith("_init") or not each.init:
            continue
        value = getattr(module, each.name)
        default = each.default if each.default is not dataclasses.MISSING else _made(each.default_factory)
        if not same(value, default):
            parts.append(f"{each.name}={scripts.argument(code, value, lambda value: _expression(code, value))}")
    cls = type(module)
    if cls.__module__.startswith("flax.linen."):
        code.imports["import flax.linen as nn"] = None
        return f"nn.{cls.__name__}({', '.join(parts)})"
    return f"{code.name(cls)}({', '.join(parts)})"


def _expression(code: Code, value: Any) -> str:
    return _constructed(code, value) if isinstance(value, nn.Module) else code.expression(value)


def _made(factory: Any) -> Any:
    return dataclasses.MISSING if factory is dataclasses.MISSING else factory()
