"""A trace: what one run of one model put out, by name, in order."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.adapters.protocols import Runs
from harness.errors import RunError, origin

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Trace:
    """The declared outputs and the taps of a run, each name -> array, in the order in which they came."""

    outputs: Mapping[str, Array]
    taps: Mapping[str, Array] = field(default_factory=dict)
    seconds: float = 0.0


def record(model: Runs, inputs: Mapping[str, Any], *, taps: bool = True) -> Trace:
    """Run `model` on one call's `inputs` and keep what it puts out.

    A module that is called twice gives `path` and `path#2`.

    Raises:
        RunError: the model raised, or put out no array at all.
    """
    kept: dict[str, Array] = {}
    calls: dict[str, int] = {}

    def keep(path: str, array: Array) -> None:
        calls[path] = calls.get(path, 0) + 1
        kept[path if calls[path] == 1 else f"{path}#{calls[path]}"] = array

    start = time.perf_counter()
    try:
        outputs = model.run(inputs, tap=keep if taps else None)
    except RunError:
        raise
    except Exception as error:
        raise RunError(
            model.describe(),
            f"raised {type(error).__name__} when called with {_shapes(inputs)}: {error} (at {origin(error)})",
            todo="Call the model with these inputs by hand; mend the inputs or the model.",
        ) from error
    seconds = time.perf_counter() - start
    if not outputs:
        raise RunError(model.describe(), "put out no array", todo="Return arrays, by name if there are several.")
    return Trace(outputs=outputs, taps=kept, seconds=seconds)


def _shapes(inputs: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {np.shape(value)}" for name, value in inputs.items())
