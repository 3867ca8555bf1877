"""Tap a torch module through forward hooks; tensors in and out of NumPy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from harness.adapters.leaves import named_tap
from harness.adapters.protocols import Array, Tap


@contextmanager
def tapped(module: torch.nn.Module, tap: Tap) -> Iterator[None]:
    """While open, what every submodule puts out goes to `tap` under its dotted path, copied at once.

    The copy cannot wait: a later layer may work in place on the same memory.
    """
    with watched(module, lambda name, leaf: tap(name, to_numpy(leaf))):
        yield


@contextmanager
def watched(module: torch.nn.Module, tell: Callable[[str, torch.Tensor], None]) -> Iterator[None]:
    """While open, what every submodule puts out goes to `tell` under its dotted path, as it is.

    A module that is reachable under two names is watched under the first.
    """
    handles = []

    def watch(path: str, submodule: torch.nn.Module) -> None:
        def hook(_module: torch.nn.Module, _arguments: Any, output: Any) -> None:
            for name, leaf in named_tap(path, output, is_array=torch.is_tensor).items():
                tell(name, leaf)

        handles.append(submodule.register_forward_hook(hook))

    try:
        for path, submodule in module.named_modules():
            if path:
                watch(path, submodule)
        yield
    finally:
        for handle in handles:
            handle.remove()


def to_tensor(value: Any, device: torch.device) -> Any:
    """An array of any framework as a tensor on `device`; what is no array stays as it is."""
    if torch.is_tensor(value):
        return value.to(device)
    if hasattr(value, "__array__"):
        # copied, since a view of a read-only array makes torch warn, and a model may write to its inputs
        return torch.from_numpy(np.array(value)).to(device)
    return value


def to_numpy(tensor: torch.Tensor) -> Array:
    """A copy in NumPy; types that NumPy does not have become float32, which holds them exactly."""
    return np.array(view(tensor))


def view(tensor: torch.Tensor) -> Array:
    """The same, without a copy where none is needed: for reading only, and only while the tensor stays as it is."""
    tensor = tensor.detach()
    if tensor.is_floating_point() and tensor.dtype not in (torch.float16, torch.float32, torch.float64):
        tensor = tensor.float()
    array: Array = tensor.cpu().numpy()
    return array
