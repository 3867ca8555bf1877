"""A trace: what one run of one model put out, by name, in order."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.adapters.protocols import Runs
from harness.errors import HarnessError, RunError, origin

Array = npt.NDArray[Any]

LIMIT_BYTES = 2 << 30
"""Taps that are kept in memory: those of SmolLM2-135M on 8 sequences of 128 tokens are 1.8 GB."""


@dataclass(frozen=True, slots=True)
class Trace:
    """The declared outputs and the taps of a run, each name -> array, in the order in which they came.

    shapes: of every tap, also of those that were handed on and not kept. folder: where taps lie that had no room in
    memory; it goes when the trace goes.
    """

    outputs: Mapping[str, Array]
    taps: Mapping[str, Array] = field(default_factory=dict)
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    seconds: float = 0.0
    folder: TemporaryDirectory[str] | None = None


def record(
    model: Runs,
    inputs: Mapping[str, Any],
    *,
    meet: Callable[[str, Array], None] | None = None,
    limit_bytes: int = LIMIT_BYTES,
) -> Trace:
    """Run `model` on one call's `inputs` and keep what it puts out.

    A module that is called twice gives `path` and `path#2`.

    meet: is given each tap as it comes, instead of its being kept: of two traces one at most need be whole.
    limit_bytes: taps beyond that go to a temporary folder, from where they are read when they are used.

    Raises:
        RunError: the model raised, or put out no array at all.
    """
    kept = _Kept(limit_bytes)
    calls: dict[str, int] = {}
    shapes: dict[str, tuple[int, ...]] = {}

    def keep(path: str, array: Array) -> None:
        calls[path] = calls.get(path, 0) + 1
        name = path if calls[path] == 1 else f"{path}#{calls[path]}"
        shapes[name] = array.shape
        (meet or kept.put)(name, array)

    start = time.perf_counter()
    try:
        outputs = model.run(inputs, tap=keep)
    except HarnessError:
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
    return Trace(outputs, kept.arrays, shapes, seconds, kept.folder)


@dataclass(slots=True)
class _Kept:
    """Arrays in memory up to a limit, and in files beyond."""

    limit_bytes: int
    arrays: dict[str, Array] = field(default_factory=dict)
    held_bytes: int = 0
    folder: TemporaryDirectory[str] | None = None

    def put(self, name: str, array: Array) -> None:
        self.held_bytes += array.nbytes
        if self.held_bytes <= self.limit_bytes:
            self.arrays[name] = array
            return
        self.folder = self.folder or TemporaryDirectory(prefix="harness-trace-")
        file = Path(self.folder.name) / f"{len(self.arrays)}.npy"
        np.save(file, array, allow_pickle=False)
        self.arrays[name] = np.load(file, mmap_mode="r", allow_pickle=False)


def _shapes(inputs: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {np.shape(value)}" for name, value in inputs.items())
