"""Measures paths of one case in a process of its own, one after the other: told by lines of JSON, and answering so.

What the models print goes to standard error.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TextIO

from harness.adapters.protocols import UnsupportedError
from harness.adapters.timed import pinned
from harness.bench import context, measure
from harness.bench.clock import Clock
from harness.bench.history.yardstick import layers
from harness.bench.path import BenchPath, parse
from harness.bench.paths import Sides, accelerator, job_of, open_case, ready, refusal
from harness.bench.result import Measured, PathResult
from harness.bench.truth import Truths
from harness.bench.yardstick import Peaks, peaks
from harness.environment import release_memory
from harness.errors import HarnessError
from harness.settings import find_repository


def main() -> None:
    """Answer until standard input ends."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)
        serve(sys.stdin, answers)


def serve(asked: Iterable[str], answers: TextIO) -> None:
    """Build what the first line names; for each further line measure the path that it names."""
    lines = iter(asked)
    try:
        bench = Bench(**json.loads(next(lines)))
        _say(answers, {"built": True})
    except Exception as error:
        _say(answers, {"failed": told(error)})
        return
    for line in lines:
        try:
            answer = bench.answer(**json.loads(line))
        except UnsupportedError as error:
            answer = {"lacks": str(error)}
        except Exception as error:
            answer = {"failed": told(error)}
        _say(answers, answer)


class Bench:
    """The sides of a case with the truth about them and the machine's peaks, all made when they are first needed."""

    def __init__(self, *, root: str, case: str, devices: int = 1, threads: int = 1) -> None:
        self.threads = threads
        self.sides: Sides = open_case(case, find_repository(Path(root)), devices=devices)
        self.truths = Truths(self.sides)
        self.peaks: dict[tuple[str, str, str], Peaks] = {}

    def answer(self, *, path: str, **rounds: Any) -> dict[str, Any]:
        """The result of the path, or what the case lacks for it. rounds: as `measure` takes them."""
        chosen = parse(path)
        if why := refusal(self.sides, chosen):
            return {"lacks": why}
        with pinned(self.threads):
            return {"result": self.measured(chosen, rounds).to_dict()}

    def measured(self, path: BenchPath, rounds: dict[str, Any]) -> PathResult:
        """Its figures and its verdict."""
        cotangents, rate = self.truths.step() if path.work == "train" else ({}, 0.0)
        self.truths.outputs(path.work, path.precision)  # before, so that its memory is not counted
        clock = clock_of(path)
        peak = self._peaks(path, clock)
        release_memory()
        name = f"{self.sides.case.name}, {path}"
        # An accelerator has another pace than the processor: what is told beside its times is its peak.
        yardstick = layers() if clock == "cpu" else None
        with ready(self.sides, path, job_of(self.sides, path, cotangents=cotangents, rate=rate)) as call:
            found = measure.measure(
                call, place=name, compile_seconds=call.compile_seconds, yardstick=yardstick, **rounds
            )
            device_peak = call.device_peak_bytes()
            flops, outputs = call.flops(), call.outputs()
            held = call.held_bytes
        if path.way == "compile":
            found = measure.first_minus_steady(found)
        standing = self.truths.judge(path, outputs)
        items, unit = self.sides.items(path.work)
        here = context.capture(threads=self.threads, precision=path.precision, accelerator=accelerator(path))
        figures = Measured(found, clock, here, peak, items, unit, flops, held, device_peak)
        return PathResult(
            self.sides.case.name,
            path,
            standing.verdict,
            standing.reason,
            standing.error,
            standing.scale,
            standing.allowed,
            figures,
        )

    def _peaks(self, path: BenchPath, clock: Clock) -> Peaks:
        key = (path.framework, path.device, path.precision)
        if key not in self.peaks:
            self.peaks[key] = peaks(path.framework, device=path.device, precision=path.precision, clock=clock)
        return self.peaks[key]


def clock_of(path: BenchPath) -> Clock:
    """The clock that decides: on a CPU its own time, to which other processes add nothing; else the device's."""
    if path.device == "cpu":
        return "cpu"
    return "device" if path.framework == "pytorch" and path.device == "gpu" else "wall"


def told(error: Exception) -> str:
    """The error as the reason of a result."""
    if isinstance(error, MemoryError):
        return f"out of memory{f': {error}' if str(error) else ''}"
    return str(error) if isinstance(error, HarnessError) else f"{type(error).__name__}: {error}"


def _say(answers: TextIO, value: dict[str, Any]) -> None:
    answers.write(json.dumps(value) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
