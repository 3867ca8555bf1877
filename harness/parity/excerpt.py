"""The least of a call that shows an error: one row of it, and its first tokens. It costs the least to run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.adapters.decoding import TOKENS
from harness.parity.compare import Array


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A row of a call, how many of its tokens (0 where the call has none), and how many at its end, of padding."""

    row: int
    tokens: int
    padding: int = 0

    def __str__(self) -> str:
        tokens = f", its first {self.tokens} tokens" if self.tokens else ""
        return f"row {self.row + 1}{tokens}" + (f" and {self.padding} of padding" if self.padding else "")

    def of(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The inputs cut to it. What has neither an element a row nor one a token stays as it is."""
        rows, length = size(inputs)
        kept = [*range(self.tokens), *range(length - self.padding, length)]

        def cut(array: Array) -> Array:
            if array.ndim and len(array) == rows:
                array = array[self.row : self.row + 1]
            for axis in {2: (1,), 3: (1,), 4: (2, 3)}.get(array.ndim, ()) if length else ():
                if array.shape[axis] == length:
                    array = array.take(kept, axis)
            return array

        return {name: cut(np.asarray(each)) if hasattr(each, "shape") else each for name, each in inputs.items()}


def size(inputs: Mapping[str, Any]) -> tuple[int, int]:
    """Rows and tokens of a call; of one without tokens the rows of its largest array."""
    name = next((name for name in TOKENS if name in inputs and np.ndim(inputs[name]) > 1), None)
    if name is not None:
        rows, length = np.shape(inputs[name])[:2]
        return rows, length
    shapes = [np.shape(each) for each in inputs.values() if hasattr(each, "shape") and np.ndim(each)]
    return (max(shapes, key=np.prod)[0], 0) if shapes else (0, 0)
