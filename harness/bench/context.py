"""What has to be the same before two figures may be compared, and what tells how much a figure is worth."""

from __future__ import annotations

import os
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness import environment
from harness.bench.clock import Reading

OVERSUBSCRIBED = 1.2
"""Wall time by CPU time above which calls waited for a processor. On two cores with a load average of 7 to 15 the
median of a forward in one thread was 2.6; from run to run its wall time varied by 53 %, its CPU time by 4 %."""


@dataclass(frozen=True, slots=True)
class Context:
    """Where a figure was taken. precision: the mode, such as `float32` or `bfloat16`. accelerator: "" for the CPU.

    versions: package -> version. They are told and not held against a figure: they may be what is compared.
    """

    processor: str
    cores: int
    accelerator: str
    threads: int
    precision: str
    versions: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; `Context(**values)` is the same again."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Evidence:
    """How busy the machine was meanwhile; None where it does not tell.

    load_average: of a minute. steal_ratio: the share of the processors' time that the host of a virtual machine gave to
    others. oversubscription: wall time by CPU time, the median of the calls.
    """

    load_average: float | None
    steal_ratio: float | None
    oversubscription: float | None


@dataclass(frozen=True, slots=True)
class Ticks:
    """What the system has counted since it started: all of the processors' time, and what was stolen of it."""

    total: int
    stolen: int


def capture(*, threads: int | None = None, precision: str = "float32", accelerator: str = "") -> Context:
    """The present context. threads: those that a call may use (default: OMP_NUM_THREADS, or all cores)."""
    here = environment.capture()
    set_threads = os.environ.get("OMP_NUM_THREADS", "")
    return Context(
        processor=str(here["processor"]),
        cores=int(here["cores"]),
        accelerator=accelerator,
        threads=threads or (int(set_threads) if set_threads.isdigit() else int(here["cores"])),
        precision=precision,
        versions={"python": str(here["python"]), **here["packages"]},
    )


def refused(one: Context, other: Context) -> str | None:
    """Why figures of the two may not be compared, or None."""
    for name, words in _SAME.items():
        first, second = getattr(one, name), getattr(other, name)
        if first != second:
            return f"taken {words}: {first or 'none'!r} and {second or 'none'!r}"
    return None


def differing(one: Context, other: Context) -> dict[str, tuple[str, str]]:
    """Package -> both versions, of those that differ; "" where it is not installed."""
    names = sorted({*one.versions, *other.versions})
    both = {name: (one.versions.get(name, ""), other.versions.get(name, "")) for name in names}
    return {name: pair for name, pair in both.items() if pair[0] != pair[1]}


def ticks() -> Ticks | None:
    """The system's count now; None where it does not tell."""
    try:
        counted = [int(word) for word in Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]]
        return Ticks(sum(counted), counted[7])
    except (OSError, ValueError, IndexError):
        return None


def evidence(began: Ticks | None, readings: Sequence[Reading]) -> Evidence:
    """How busy the machine was since `began`, and what that did to the readings."""
    now = ticks()
    counted = now.total - began.total if began and now else 0
    ratios = [each.wall_seconds / each.cpu_seconds for each in readings if each.cpu_seconds > 0]
    return Evidence(
        load_average=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        steal_ratio=(now.stolen - began.stolen) / counted if began and now and counted else None,
        oversubscription=statistics.median(ratios) if ratios else None,
    )


def oversubscribed(context: Context, found: Evidence) -> str | None:
    """Why wall time says nothing here, or None. Of a call that waits for an accelerator, the load alone tells."""
    if not context.accelerator and (found.oversubscription or 0.0) > OVERSUBSCRIBED:
        return f"wall time is {found.oversubscription:.1f} times CPU time: the calls wait for a processor"
    if (found.load_average or 0.0) > context.cores:
        return f"the load average is {found.load_average:.1f} on {context.cores} cores"
    return None


_SAME = {
    "processor": "on different processors",
    "cores": "with different numbers of cores",
    "accelerator": "on different accelerators",
    "threads": "with different numbers of threads",
    "precision": "in different precision modes",
}
