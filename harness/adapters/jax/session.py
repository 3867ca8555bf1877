"""The state in which JAX runs for parity."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import jax

from harness.errors import DeviceError


@contextmanager
def session(*, device: str, precision: str) -> Iterator[None]:
    """While open, computations of this thread run on `device`, matrix products in full float32 if asked for.

    Raises:
        DeviceError: there is no such device here.
    """
    with jax.default_device(find_device(device)):
        if precision != "highest":
            yield
            return
        with jax.default_matmul_precision("highest"):
            yield


def find_device(device: str) -> jax.Device:
    """The first JAX device of the kind `cpu`, `gpu` or `tpu`.

    Raises:
        DeviceError: there is none.
    """
    try:
        return jax.devices(device)[0]
    except RuntimeError:
        raise DeviceError(
            f"device {device!r}", "JAX sees no such device", todo="Run the case where there is one."
        ) from None
