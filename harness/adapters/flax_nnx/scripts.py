"""Say how a script builds an NNX module and calls it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flax import nnx

from harness.adapters.code import UNSET, Code, attribute
from harness.adapters.jax import scripts
from harness.adapters.protocols import Array, Recipe, UnsupportedError

LOAD = (
    "named = [(path, leaf, '.'.join(map(str, path))) for path, leaf in nnx.to_flat_state(nnx.state(module))]",
    "held = [(path, leaf.replace(jnp.asarray(weights[name]))) for path, leaf, name in named if name in weights]",
    "nnx.update(module, nnx.from_flat_state(held))",
)


def recipe(model: Any, path: str, held: Mapping[str, Array], given: Mapping[str, Any], *, output: str) -> Recipe:
    """The submodule at `path`, built alone, or taken out of the smallest module around it that can be built."""
    every = {".".join(map(str, place)): module for place, module in nnx.iter_modules(model)}
    start = f"{path}." if path else ""
    weights = {name[len(start) :]: array for name, array in held.items() if name.startswith(start)}
    reasons: dict[str, None] = {}
    around, inside = path, ""
    while True:
        code = Code(imports={"from flax import nnx": None})
        try:
            made = _constructed(code, every[around], around)
            break
        except (UnsupportedError, KeyError) as error:
            reasons[str(error)] = None
        if not around:
            raise UnsupportedError("; ".join(reasons))
        around, _, last = around.rpartition(".")
        inside = (f"[{last}]" if last.isdigit() else f".{last}") + inside
    lines = [f"module = {made}{inside}", *(LOAD if weights else ()), "module.eval()"]
    return scripts.recipe(
        code, type(every[path]), lines, given=given, output=output, weights=weights, call="module(ARGUMENTS)"
    )


def _constructed(code: Code, module: Any, path: str) -> str:
    cls = type(module)
    if cls.__name__ in ("List", "Sequential", "Dict"):
        raise UnsupportedError(f"{cls.__name__} is a container")

    def value_of(name: str) -> Any:
        if name == "rngs":
            return nnx.Rngs
        return UNSET if name.endswith("_init") else attribute(module, name, path)

    def expression(value: Any) -> str:
        if value is nnx.Rngs:
            return "nnx.Rngs(0)"
        return scripts.argument(code, value, inside)

    def inside(value: Any) -> str:
        return _constructed(code, value, path) if isinstance(value, nnx.Module) else code.expression(value)

    made = code.constructed(cls, value_of, expression)
    if not cls.__module__.startswith("flax.nnx."):
        return made
    del code.imports[f"from {cls.__module__} import {cls.__name__}"]
    return f"nnx.{made}"
