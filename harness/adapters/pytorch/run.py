"""Run a torch module in inference mode and tap it through forward hooks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from harness.adapters.calling import bind
from harness.adapters.leaves import named_outputs, named_tap
from harness.adapters.protocols import Array, Tap, Wide
from harness.adapters.pytorch.session import inference
from harness.adapters.pytorch.wide import Lift, wide, widened


@dataclass(frozen=True, slots=True)
class TorchModel:
    """A torch module as something that runs; afterwards it is bit for bit what it was."""

    module: torch.nn.Module
    device: str = "cpu"
    precision: str = "highest"

    def run(self, inputs: Mapping[str, Any], *, tap: Tap | None = None) -> dict[str, Array]:
        with inference(self.module, device=self.device, precision=self.precision) as device, ExitStack() as stack:
            if tap is not None:
                stack.enter_context(tapped(self.module, tap))
            tensors = {name: to_tensor(value, device) for name, value in inputs.items()}
            positional, named = bind(self.module.forward, tensors)
            result = self.module(*positional, **named)
            outputs = named_outputs(result, is_array=torch.is_tensor)
            return {name: to_numpy(leaf) for name, leaf in outputs.items()}

    def run_wide(self, inputs: Mapping[str, Any], *, nudge: int | None = None) -> Wide:
        """The outputs in float64, with every conversion to a shorter type lifted that goes through torch."""
        with (
            inference(self.module, device=self.device, precision=self.precision) as device,
            widened(self.module, nudge=nudge),
        ):
            tensors = {name: wide(to_tensor(value, device)) for name, value in inputs.items()}
            positional, named = bind(self.module.forward, tensors)
            with Lift() as lift:
                result = self.module(*positional, **named)
            outputs = named_outputs(result, is_array=torch.is_tensor)
            islands = tuple(f"{name} x{count}" for name, count in sorted(lift.islands.items()))
            return Wide({name: to_numpy(leaf) for name, leaf in outputs.items()}, islands)

    def describe(self) -> str:
        return f"PyTorch {type(self.module).__name__}"


@contextmanager
def tapped(module: torch.nn.Module, tap: Tap) -> Iterator[None]:
    """While open, what every submodule puts out goes to `tap` under its dotted path, copied at once.

    The copy cannot wait: a later layer may work in place on the same memory. A module that is reachable under two
    names is tapped under the first.
    """
    handles = []

    def watch(path: str, submodule: torch.nn.Module) -> None:
        def hook(_module: torch.nn.Module, _arguments: Any, output: Any) -> None:
            for name, leaf in named_tap(path, output, is_array=torch.is_tensor).items():
                tap(name, to_numpy(leaf))

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
    tensor = tensor.detach()
    if tensor.is_floating_point() and tensor.dtype not in (torch.float16, torch.float32, torch.float64):
        tensor = tensor.float()
    return np.array(tensor.cpu().numpy())
