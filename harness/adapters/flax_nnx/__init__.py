"""Flax NNX modules."""

from __future__ import annotations

from flax import nnx

from harness.adapters.flax_nnx.run import NnxModel


def adapt(model: nnx.Module, *, device: str, precision: str) -> NnxModel:
    """An `nnx.Module` as something that runs on `device`."""
    return NnxModel(model, device=device, precision=precision)


__all__ = ["NnxModel", "adapt"]
