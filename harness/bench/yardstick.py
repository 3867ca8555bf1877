"""What this machine can do at most, measured in the same run: the largest matrix product and copy of a framework."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from harness.adapters.timed import yardstick
from harness.bench.clock import Clock, read

SIZES = {"cpu": (1024, 1 << 26), "gpu": (8192, 1 << 30), "tpu": (8192, 1 << 30)}
"""Device -> (width of the matrices, bytes that are copied): both far beyond any cache, and done in a tenth of a second
by one core, in bfloat16 by software too."""
SECONDS = 0.3
"""For which each is repeated, five times at least; the best counts, since a peak is asked for."""


@dataclass(frozen=True, slots=True)
class Peaks:
    """flops_per_second: of a matrix product; bytes_per_second: read and written by a copy. Both by the clock that
    decides, so that on a CPU a second is one of its time.
    """

    flops_per_second: float
    bytes_per_second: float


def peaks(framework: str, *, device: str, precision: str, clock: Clock) -> Peaks:
    """The peaks in that precision; of the copy, which has none, in bytes."""
    width, size = SIZES[device]
    yard = yardstick(framework, device=device, precision=precision)
    return Peaks(
        flops_per_second=2 * width**3 / _best(yard.matmul(width), clock),
        bytes_per_second=2 * size / _best(yard.copy(size), clock),
    )


def _best(call: Callable[[], Any], clock: Clock) -> float:
    """The least time of a call, in seconds, after one that does not count."""
    call()
    ends, found = time.perf_counter() + SECONDS, list[float]()
    while time.perf_counter() < ends or len(found) < 5:
        found.append(read(call)[0].seconds(clock))
    return min(found)
