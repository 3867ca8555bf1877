"""Find the adapter for an object, importing the framework that made it and no other."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from importlib import import_module
from typing import Any

from harness.adapters.protocols import Runs
from harness.errors import BuildError, DeviceError

KINDS = (
    ("torch.nn.modules.module.Module", "harness.adapters.pytorch"),
    ("transformers.modeling_flax_utils.FlaxPreTrainedModel", "harness.adapters.flax_linen"),
    ("flax.linen.module.Module", "harness.adapters.flax_linen"),
    ("flax.nnx.module.Module", "harness.adapters.flax_nnx"),
)


def adapt(model: Any, *, device: str = "cpu", precision: str = "highest", place: str = "check") -> Runs:
    """`model` as something that runs: a torch module, a transformers Flax model, a pair (linen module, params), an
    NNX module, or any callable that returns named arrays.

    Raises:
        BuildError: no adapter takes the object.
    """
    subject = model[0] if isinstance(model, tuple) and model else model
    bases = {f"{base.__module__}.{base.__qualname__}" for base in type(subject).__mro__}
    for base, package in KINDS:
        if base in bases:
            adapted: Runs = import_module(package).adapt(model, device=device, precision=precision)
            return adapted
    if callable(model):
        from harness.adapters import toy

        return toy.adapt(model)
    raise BuildError(
        place,
        f"no adapter takes an object of type {type(model).__module__}.{type(model).__qualname__}",
        todo="Give a torch.nn.Module, a transformers Flax model, a pair (linen module, params), an nnx.Module, "
        "or a callable.",
    )


@contextmanager
def float64() -> Iterator[None]:
    """While open, arrays of float64 stay so in every framework that is loaded: JAX makes float32 of them otherwise."""
    jax = sys.modules.get("jax")
    with jax.enable_x64(True) if jax is not None else nullcontext():
        yield


@contextmanager
def as_a_script(*, double: bool) -> Iterator[None]:
    """While open, every framework that is loaded is as it is in a script of its own, or in one that has set it to
    float64; torch's random state is afterwards what it was.
    """
    torch = sys.modules.get("torch")
    with ExitStack() as stack:
        if double:
            stack.enter_context(float64())
        if torch is not None:
            stack.enter_context(torch.random.fork_rng(devices=[]))
            stack.callback(torch.set_default_dtype, torch.get_default_dtype())
            torch.set_default_dtype(torch.float64 if double else torch.float32)
        yield


def has_device(kind: str) -> bool:
    """Whether any installed framework sees a device of the kind `cpu`, `gpu` or `tpu`."""
    for package in ("harness.adapters.pytorch", "harness.adapters.jax"):
        try:
            import_module(f"{package}.session").find_device(kind)
        except (ImportError, DeviceError):
            continue
        return True
    return False


def device_name(kind: str, *, framework: str) -> str:
    """What the maker calls the device of that kind which the framework sees, such as `NVIDIA H200`."""
    device = import_module(f"harness.adapters.{framework}.session").find_device(kind)
    if framework == "jax":
        return str(device.device_kind)
    return str(import_module("torch").cuda.get_device_name(device))
