"""Both sides on the same processors: two that look alike may differ by a fifth, for as long as a comparison lasts."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def choose(threads: int) -> frozenset[int]:
    """As many processors as a side has threads, of those that this process may use and last did; empty if it cannot."""
    if not hasattr(os, "sched_getaffinity"):
        return frozenset()
    free = sorted(os.sched_getaffinity(0))
    with suppress(OSError, ValueError, IndexError):
        # Field 39 of proc_pid_stat(5): where the system put this process, which knows how busy the others are.
        last = int(Path("/proc/self/stat").read_text(encoding="ascii").rpartition(")")[2].split()[36])
        free.sort(key=lambda each: each != last)
    return frozenset(free[:threads])


@contextmanager
def pinned(processes: Iterable[int], processors: frozenset[int]) -> Iterator[None]:
    """While open, all threads of the processes, 0 for this one, run on these processors alone; then as before."""
    before: dict[int, set[int]] = {}
    try:
        for process in processes if processors else ():
            for thread in _threads(process):
                with suppress(ProcessLookupError):
                    before[thread] = os.sched_getaffinity(thread)
                    os.sched_setaffinity(thread, processors)
        yield
    finally:
        for thread, mask in before.items():
            with suppress(OSError):
                os.sched_setaffinity(thread, mask)


def _threads(process: int) -> list[int]:
    return [int(each.name) for each in Path(f"/proc/{process or 'self'}/task").iterdir()]
