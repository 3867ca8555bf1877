"""What a call takes: wall time, CPU time of the whole process, and a device's own time where it has a clock."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

from harness.errors import RunError

Clock = Literal["wall", "cpu", "device"]


@runtime_checkable
class HasDeviceClock(Protocol):
    """A callable whose work is done by a device with a clock of its own, such as CUDA's events."""

    def device_seconds(self) -> float | None:
        """What the latest call took there; waits until it is done."""


@dataclass(frozen=True, slots=True)
class Clocks:
    """The clocks, in nanoseconds. cpu: of all threads of the process, so that other processes do not count."""

    wall: Callable[[], int] = time.perf_counter_ns
    cpu: Callable[[], int] = time.process_time_ns


@dataclass(frozen=True, slots=True)
class Reading:
    """What one call took, in seconds; device_seconds is None where the device has no clock of its own."""

    wall_seconds: float
    cpu_seconds: float
    device_seconds: float | None = None

    def seconds(self, clock: Clock) -> float:
        """The time by that clock.

        Raises:
            RunError: the device has no clock.
        """
        found = {"wall": self.wall_seconds, "cpu": self.cpu_seconds, "device": self.device_seconds}[clock]
        if found is None:
            raise RunError("device clock", "the call gave no time of a device", todo="Judge by the clock 'cpu'.")
        return found


def read(call: Callable[[], Any], *, calls: int = 1, clocks: Clocks | None = None) -> tuple[Reading, Any]:
    """What a call takes, as the mean of `calls` in a row, and what the last one returned.

    What the devices have not yet computed of its result is awaited inside of the clocks, each time: JAX hands work over
    and returns.

    Raises:
        RunError: a clock went backwards.
        ValueError: there is no call to time.
    """
    if calls < 1:
        raise ValueError(f"calls must be at least 1, got {calls}")
    clocks = clocks or Clocks()
    device_clock = call if isinstance(call, HasDeviceClock) else None
    device: float | None = None
    wall, cpu = clocks.wall(), clocks.cpu()
    for _ in range(calls):
        output = awaited(call())
        if device_clock is not None and (took := device_clock.device_seconds()) is not None:
            device = (device or 0.0) + took
    cpu, wall = _since(cpu, clocks.cpu(), "CPU"), _since(wall, clocks.wall(), "wall")
    if device is not None and device < 0:
        raise _backwards("device", f"a call took {device!r} seconds")
    share = 1 / calls
    return Reading(wall / 1e9 * share, cpu / 1e9 * share, None if device is None else device * share), output


def awaited(value: Any) -> Any:
    """The value, once the devices have computed every array in it, whichever framework of those that are loaded."""
    jax: Any = sys.modules.get("jax")
    torch: Any = sys.modules.get("torch")
    if jax is not None:
        jax.block_until_ready(value)
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return value


@contextmanager
def collection_off() -> Iterator[None]:
    """While open, no garbage collection by itself; one that is asked for looks only at what was made since.

    Without that, one takes 0.1 s where transformers is loaded.
    """
    was_on, frozen = gc.isenabled(), gc.get_freeze_count()
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        if not frozen:
            gc.unfreeze()
        if was_on:
            gc.enable()


def _since(began: int, ended: int, name: str) -> int:
    if ended < began:
        raise _backwards(name, f"it went from {began} to {ended} nanoseconds while a call ran")
    return ended - began


def _backwards(name: str, problem: str) -> RunError:
    return RunError(f"{name} clock", problem, todo="Nothing can be timed with it: use a machine whose clock is steady.")
