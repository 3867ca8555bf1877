"""Two layers in PyTorch and in Flax, for what the bench does with any case: both are built in no time."""

from __future__ import annotations

from typing import Any

import flax.linen
import numpy as np
import torch

WIDTH = 64


class Layers(torch.nn.Module):
    """The reference."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = torch.nn.Linear(WIDTH, WIDTH), torch.nn.Linear(WIDTH, WIDTH)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"y": self.second(torch.nn.functional.gelu(self.first(x)))}


class Port(flax.linen.Module):
    """The port."""

    @flax.linen.compact
    def __call__(self, x: Any) -> dict[str, Any]:
        hidden = flax.linen.gelu(flax.linen.Dense(WIDTH, name="first")(x), approximate=False)
        return {"y": flax.linen.Dense(WIDTH, name="second")(hidden)}


def port(reference: torch.nn.Module) -> tuple[Port, dict[str, Any]]:
    """The port with the reference's weights."""
    layers = dict(reference.named_children())
    weights = {
        name: {"kernel": layer.weight.detach().numpy().T.copy(), "bias": layer.bias.detach().numpy().copy()}
        for name, layer in layers.items()
    }
    return Port(), weights


def inputs() -> dict[str, np.ndarray]:
    """A batch of two rows."""
    return {"x": np.random.default_rng(0).normal(size=(2, 5, WIDTH)).astype(np.float32)}
