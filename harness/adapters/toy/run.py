"""Run a callable; tap it if it is a chain of layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.adapters.calling import bind
from harness.adapters.leaves import named_outputs
from harness.adapters.protocols import (
    FORWARD,
    NOTHING,
    STORED,
    Array,
    Call,
    Leaves,
    Mode,
    Recipe,
    State,
    Tap,
    UnsupportedError,
    Wide,
)
from harness.adapters.toy.layers import Layers
from harness.adapters.toy.scripts import recipe


@dataclass(frozen=True, slots=True)
class PlainModel:
    """A callable as something that runs. What it returns is copied, so that it may reuse its buffers."""

    model: Callable[..., Any]

    def run(self, inputs: Mapping[str, Any], *, tap: Tap | None = None) -> dict[str, Array]:
        positional, named = bind(self.model, inputs)
        if isinstance(self.model, Layers):
            named["tap"] = tap
        result = self.model(*positional, **named)
        return {name: np.array(leaf) for name, leaf in named_outputs(result, is_array=_is_array).items()}

    def run_wide(self, inputs: Mapping[str, Any], *, state: State = STORED) -> Wide:
        """The outputs for the inputs in float64. Nobody sees into a callable: it counts as an island."""
        del state  # its weights, if it has any, stay where they are
        return Wide(self.run({name: _wide(value) for name, value in inputs.items()}), (f"inside {self.describe()}",))

    def replay(
        self,
        inputs: Mapping[str, Any],
        meet: Callable[[Call], None],
        *,
        feed: Mapping[str, Leaves] = NOTHING,
        graft: Mapping[str, Leaves] = NOTHING,
        state: State = STORED,
        mode: Mode = FORWARD,
    ) -> Mapping[str, Array]:
        del state, mode
        if not isinstance(self.model, Layers):
            raise UnsupportedError(f"{self.describe()} is a function, into which nobody sees")
        first = x = _wide(next(iter(inputs.values())))
        for name, layer in self.model.layers.items():
            given, x = x, np.array(layer(feed.get(name, {}).get("x", x)))
            meet(Call(name, "", "layer", {"x": given}, {"": x}))
            x = graft.get(name, {}).get("", x)
        meet(Call("", "", "Layers", {"x": first}, {"": x}))
        return {}

    def recipe(
        self, path: str, given: Mapping[str, Any], inputs: Mapping[str, Any], *, output: str, state: State = STORED
    ) -> Recipe:
        del inputs, state
        layers = self.model.layers if isinstance(self.model, Layers) else {}
        if path not in layers:
            raise UnsupportedError(f"{self.describe()} is made of functions, and of no class")
        return recipe(layers[path], given, output=output)

    def describe(self) -> str:
        return f"Python {getattr(self.model, '__name__', type(self.model).__name__)}"


def _is_array(value: Any) -> bool:
    return isinstance(value, (np.ndarray, np.generic, float, int)) or hasattr(value, "__array__")


def _wide(value: Any) -> Any:
    array = np.asarray(value) if _is_array(value) else None
    return array.astype(np.float64) if array is not None and array.dtype.kind == "f" else value
