"""The state in which a torch module is run for parity, and its return to what it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

from harness.errors import DeviceError


@contextmanager
def inference(module: torch.nn.Module, *, device: str, precision: str) -> Iterator[torch.device]:
    """Open a session: eval mode, no gradients, the device and precision asked for; then restore all of them.

    Yields the torch device.

    Raises:
        DeviceError: there is no such device here.
    """
    target = find_device(device)
    with ExitStack() as stack:
        stack.enter_context(_placed(module, target))
        stack.enter_context(_evaluating(module))
        stack.enter_context(_layer_by_layer())
        stack.enter_context(torch.no_grad())
        if precision == "highest":
            stack.enter_context(full_float32())
        yield target


@contextmanager
def as_users_run(module: torch.nn.Module, *, device: str) -> Iterator[torch.device]:
    """The same to be timed: in full float32, but with every kernel that a user gets; gradients are the caller's own."""
    target = find_device(device)
    with _placed(module, target), _evaluating(module), full_float32():
        yield target


def find_device(device: str) -> torch.device:
    """The torch device for `cpu` or `gpu`.

    Raises:
        DeviceError: there is none.
    """
    if device == "cpu":
        return torch.device("cpu")
    if device == "gpu" and torch.cuda.is_available():
        return torch.device("cuda")
    raise DeviceError(f"device {device!r}", "PyTorch sees no such device", todo="Run the case where there is one.")


@contextmanager
def full_float32() -> Iterator[None]:
    """While open, matrix products and convolutions in float32 use all of its bits, TF32 none of the time."""
    before = (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32)
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


@contextmanager
def _layer_by_layer() -> Iterator[None]:
    """While open, `nn.TransformerEncoder` calls its layers as they are written, instead of one kernel for all of it.

    That kernel hands nested tensors from layer to layer, which nothing outside can read.
    """
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


@contextmanager
def _evaluating(module: torch.nn.Module) -> Iterator[None]:
    # module.train(mode) would set all children alike: a model may have frozen some of them.
    modes = [(child, child.training) for child in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for child, training in modes:
            child.training = training


@contextmanager
def _placed(module: torch.nn.Module, device: torch.device) -> Iterator[None]:
    homes = {tensor.device for tensor in (*module.parameters(), *module.buffers())}
    if homes <= {device} or (device.type == "cuda" and all(home.type == "cuda" for home in homes)):
        yield
        return
    if len(homes) > 1:
        names = ", ".join(sorted(map(str, homes)))
        raise DeviceError("module", f"its parameters lie on several devices ({names})", todo="Move them to one first.")
    module.to(device)
    try:
        yield
    finally:
        module.to(homes.pop())
