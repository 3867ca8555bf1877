"""Run Flax models, functional by nature: nothing of the user's changes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from harness.adapters.calling import bind
from harness.adapters.flax_linen.session import session
from harness.adapters.flax_linen.taps import tapped
from harness.adapters.flax_linen.wide import islands, wide, wide_module
from harness.adapters.leaves import named_outputs
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
            return _collect(self.model(**_to_jax(inputs)))

    def run_wide(self, inputs: Mapping[str, Any], *, nudge: int | None = None) -> Wide:
        """The outputs in float64. The model's own module is replaced meanwhile by one whose type is float64."""
        module = self.model._module
        with _opened(self.device, self.precision, None), jax.enable_x64(True):
            self.model._module = wide_module(module)
            try:
                return _wide(
                    lambda params, arrays: self.model(**arrays, params=params),
                    wide(self.model.params, nudge=nudge),
                    wide(_to_jax(inputs)),
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
            return _collect(self._apply(self.module, self._collections(), _to_jax(inputs)))

    def run_wide(self, inputs: Mapping[str, Any], *, nudge: int | None = None) -> Wide:
        """The outputs in float64."""
        with _opened(self.device, self.precision, None), jax.enable_x64(True):
            module = wide_module(self.module)
            return _wide(
                lambda variables, arrays: self._apply(module, variables, arrays),
                wide(self._collections(), nudge=nudge),
                wide(_to_jax(inputs)),
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


def to_numpy(leaf: Any) -> Array:
    """A copy in NumPy; bfloat16 and shorter types become float32, which holds them exactly."""
    array: Array = np.array(leaf)
    # JAX's own types (bfloat16, float8) have no kind of NumPy's: they report "V", or "f" with a name of their own.
    foreign = array.dtype.kind == "V" or array.dtype.name.startswith(("bfloat", "float8"))
    return array.astype(np.float32) if foreign else array


def _opened(device: str, precision: str, tap: Tap | None) -> ExitStack:
    stack = ExitStack()
    stack.enter_context(session(device=device, precision=precision))
    if tap is not None:
        stack.enter_context(tapped(lambda name, leaf: tap(name, to_numpy(leaf))))
    return stack


def _wide(call: Callable[..., Any], parameters: Any, arrays: Any) -> Wide:
    def outputs(parameters: Any, arrays: Any) -> dict[str, Any]:
        return named_outputs(call(parameters, arrays), is_array=lambda value: isinstance(value, jax.Array))

    # The arrays leave JAX inside its float64 mode: outside, the first operation would make them float32.
    return Wide(_collect(outputs(parameters, arrays)), islands(outputs, parameters, arrays))


def _collect(result: Any) -> dict[str, Array]:
    outputs = named_outputs(result, is_array=lambda value: isinstance(value, (jax.Array, np.ndarray)))
    return {name: to_numpy(leaf) for name, leaf in outputs.items()}


def _to_jax(inputs: Mapping[str, Any]) -> dict[str, Any]:
    return {name: jnp.asarray(np.asarray(v)) if hasattr(v, "__array__") else v for name, v in inputs.items()}
