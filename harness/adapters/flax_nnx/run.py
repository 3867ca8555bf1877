"""Run an NNX module in inference mode.

Everything is done to a second module that is merged from the user's graph and state: it shares the arrays and nothing
else, so that the user's own is never touched.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from harness.adapters.calling import bind
from harness.adapters.flax_nnx.taps import tapped
from harness.adapters.jax.arrays import collect, to_jax, to_numpy
from harness.adapters.jax.session import session
from harness.adapters.jax.wide import SHORT, run_wide, wide
from harness.adapters.protocols import Array, Tap, Wide


@dataclass(frozen=True, slots=True)
class NnxModel:
    """An NNX module as something that runs."""

    module: nnx.Module
    device: str = "cpu"
    precision: str = "highest"

    def run(self, inputs: Mapping[str, Any], *, tap: Tap | None = None) -> dict[str, Array]:
        with session(device=self.device, precision=self.precision):
            module = nnx.merge(*nnx.split(self.module))
            nnx.Module.eval(module)  # type: ignore[no-untyped-call]
            if tap is None:
                return collect(_call(module, to_jax(inputs)))
            with tapped(module, lambda name, leaf: tap(name, to_numpy(leaf))):
                return collect(_call(module, to_jax(inputs)))

    def run_wide(self, inputs: Mapping[str, Any], *, nudge: int | None = None) -> Wide:
        """The outputs in float64: the state cast, and every submodule's own `dtype`."""
        with session(device=self.device, precision=self.precision), jax.enable_x64(True):
            graph, state = nnx.split(self.module)
            module = nnx.merge(graph, wide(state, nudge=nudge))
            nnx.Module.eval(module)  # type: ignore[no-untyped-call]
            for _, submodule in nnx.iter_modules(module):
                if jnp.dtype(getattr(submodule, "dtype", None) or "float64").name in SHORT:
                    submodule.__setattr__("dtype", jnp.float64)
            graph, state = nnx.split(module)
            return run_wide(lambda state, arrays: _call(nnx.merge(graph, state), arrays), state, wide(to_jax(inputs)))

    def describe(self) -> str:
        return f"Flax NNX {type(self.module).__name__}"


def _call(module: Any, arrays: Mapping[str, Any]) -> Any:
    positional, named = bind(module, arrays)
    return module(*positional, **named)
