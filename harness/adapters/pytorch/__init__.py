"""PyTorch modules."""

from __future__ import annotations

import torch

from harness.adapters.pytorch.run import TorchModel


def adapt(model: torch.nn.Module, *, device: str, precision: str) -> TorchModel:
    """A `torch.nn.Module` as something that runs on `device` (cpu, gpu)."""
    return TorchModel(model, device=device, precision=precision)


__all__ = ["TorchModel", "adapt"]
