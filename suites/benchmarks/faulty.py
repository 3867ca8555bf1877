"""Small models of which one path goes wrong: what `torch.export` is given differs, as where a model asks whether it is
being compiled.
"""

from __future__ import annotations

import os
import signal
import time

import numpy as np
import torch

WIDTH = 64


class Faulty(torch.nn.Module):
    """Two layers; where it is exported, `fault` happens."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = torch.nn.Linear(WIDTH, WIDTH), torch.nn.Linear(WIDTH, WIDTH)
        self.fault = fault

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = torch.nn.functional.gelu(self.first(x))
        if not torch.compiler.is_compiling():
            return self.second(hidden)
        if self.fault == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        if self.fault == "hang":
            time.sleep(600)
        if self.fault == "memory":
            kept = []
            while True:
                kept.append(b"x" * (1 << 27))
        if self.fault == "nan":
            return self.second(hidden) * float("nan")
        if self.fault == "faster":
            return hidden  # the second layer is left out
        if self.fault == "tanh":
            return self.second(torch.nn.functional.gelu(self.first(x), approximate="tanh"))
        raise ValueError(f"a fault that is planted: {self.fault}")


def model(fault: str) -> Faulty:
    """The model."""
    return Faulty(fault)


def inputs() -> dict[str, np.ndarray]:
    """A batch of two rows, of which activations are of order one."""
    return {"x": np.random.default_rng(0).normal(size=(2, 5, WIDTH)).astype(np.float32)}
