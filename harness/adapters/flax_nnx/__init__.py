"""Flax NNX modules."""

from __future__ import annotations

from flax import nnx

from harness.adapters.flax_nnx.run import Nnx
from harness.adapters.jax.model import JaxModel


def adapt(model: nnx.Module, *, device: str, precision: str) -> JaxModel:
    """An `nnx.Module` as something that runs on `device`."""
    return JaxModel(Nnx(model), device=device, precision=precision)


__all__ = ["adapt"]
