"""Run Flax models, functional by nature: nothing of the user's changes."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from harness.adapters.calling import bind
from harness.adapters.flax_linen.taps import tapped
from harness.adapters.jax.arrays import collect, to_jax, to_numpy
from harness.adapters.jax.session import session
from harness.adapters.jax.wide import run_wide, wide
from harness.adapters.protocols import Array, Tap, Wide

INFERENCE = {"deterministic": True, "train": False, "training": False, "use_running_average": True}
"""What linen modules call their switch between training and inference, and its value in inference."""


@dataclass(frozen=True, slots=True)
class TransformersFlaxModel:
    """A `FlaxPreTrainedModel` as something that runs."""

    model: Any
    device: str = "cpu"
    precision: str = "highest"

    def run(self, inputs: Mapping[str, Any], *, tap: Tap | None = None) -> dict[str, Array]:
        with _opened(self.device, self.precision, tap):
            return collect(self.model(**to_jax(inputs)))

    def run_wide(self, inputs: Mapping[str, Any], *, nudge: int | None = None) -> Wide:
        """The outputs in float64. The model's own module is replaced meanwhile by one whose type is float64."""
        module = self.model._module
        with _opened(self.device, self.precision, None), jax.enable_x64(True):
            self.model._module = _wide_module(module)
            try:
                return run_wide(
                    lambda params, arrays: self.model(**arrays, params=params),
                    wide(self.model.params, nudge=nudge),
                    wide(to_jax(inputs)),
                )
            finally:
                self.model._module = module

    def describe(self) -> str:
        return f"Flax {type(self.model).__name__}"


@dataclass(frozen=True, slots=True)
class LinenModel:
    """A linen module with its variables as something that runs.

    variables: `{"params": ...}` with further collections, or the parameters alone.
    """

    module: nn.Module
    variables: Mapping[str, Any]
    device: str = "cpu"
    precision: str = "highest"

    def run(self, inputs: Mapping[str, Any], *, tap: Tap | None = None) -> dict[str, Array]:
        with _opened(self.device, self.precision, tap):
            return collect(self._apply(self.module, self._collections(), to_jax(inputs)))

    def run_wide(self, inputs: Mapping[str, Any], *, nudge: int | None = None) -> Wide:
        """The outputs in float64."""
        with _opened(self.device, self.precision, None), jax.enable_x64(True):
            module = _wide_module(self.module)
            return run_wide(
                lambda variables, arrays: self._apply(module, variables, arrays),
                wide(self._collections(), nudge=nudge),
                wide(to_jax(inputs)),
            )

    def _collections(self) -> Mapping[str, Any]:
        return self.variables if "params" in self.variables else {"params": self.variables}

    def _apply(self, module: nn.Module, variables: Mapping[str, Any], arrays: Mapping[str, Any]) -> Any:
        parameters = inspect.signature(type(module).__call__).parameters
        switches = {name: value for name, value in INFERENCE.items() if name in parameters and name not in arrays}
        positional, named = bind(module.__call__, arrays)
        return module.apply(variables, *positional, **(named | switches))

    def describe(self) -> str:
        return f"Flax linen {type(self.module).__name__}"


def _opened(device: str, precision: str, tap: Tap | None) -> ExitStack:
    stack = ExitStack()
    stack.enter_context(session(device=device, precision=precision))
    if tap is not None:
        stack.enter_context(tapped(lambda name, leaf: tap(name, to_numpy(leaf))))
    return stack


def _wide_module(module: nn.Module) -> nn.Module:
    """The module with its own `dtype`, if it has one, set to float64; children that it makes get theirs from it."""
    return module.clone(dtype=jnp.float64) if getattr(module, "dtype", None) is not None else module
