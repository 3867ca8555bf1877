"""Flax linen: models of transformers, and bare modules with their parameters."""

from __future__ import annotations

from typing import Any

from harness.adapters.flax_linen.run import Linen, TransformersFlax
from harness.adapters.jax.model import JaxModel
from harness.errors import BuildError


def adapt(model: Any, *, device: str, precision: str) -> JaxModel:
    """A transformers Flax model, or a pair (linen module, params), as something that runs on `device`.

    Raises:
        BuildError: a linen module came without its parameters.
    """
    if isinstance(model, tuple) and len(model) == 2:
        return JaxModel(Linen(*model), device=device, precision=precision)
    if hasattr(model, "params") and hasattr(model, "module"):
        return JaxModel(TransformersFlax(model), device=device, precision=precision)
    raise BuildError(
        f"linen module {type(model).__name__}", "came without its parameters", todo="Give the pair (module, params)."
    )


__all__ = ["adapt"]
