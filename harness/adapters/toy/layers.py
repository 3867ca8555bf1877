"""A chain of named NumPy layers, small enough to plant any fault in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from harness.adapters.protocols import Array, Tap


@dataclass(frozen=True, slots=True)
class Layers:
    """Named functions, each applied to what the one before put out; the last one's is the output."""

    layers: Mapping[str, Callable[[Array], Array]]
    output: str = "output"

    def __call__(self, x: Array, *, tap: Tap | None = None, **_further: Array) -> dict[str, Array]:
        """Apply every layer to `x`; further inputs, such as a mask, are taken and not used."""
        for name, layer in self.layers.items():
            x = layer(x)
            if tap is not None:
                tap(name, x)
        return {self.output: x}
