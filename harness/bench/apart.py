"""Paths measured in processes of their own: one that crashes, hangs or takes all memory ends its own and no other."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from harness import environment
from harness.bench.path import BenchPath
from harness.bench.pipe import DiedError, Piped
from harness.bench.result import PathResult, result_of
from harness.parity.compare import Verdict

BUILD_SECONDS = 600.0
"""For fetching and building both sides of a case: SmolLM2-135M takes 40 s on a core that does other work too."""
PATH_SECONDS = 600.0
"""For a path: torch.compile took 107 s of two busy cores, for the forward pass of a small model alone."""
MESH = 8
"""Devices that are to divide the batch on a mesh: as many as a TPU v3-8 has cores; on a CPU they are virtual."""


@dataclass(frozen=True, slots=True)
class Lacks:
    """A path that the case does not have here, and why."""

    reason: str


class Apart:
    """Measures paths of cases of one repository; as a context, the process that does is ended at the end.

    A process is kept for the next path of the same case, unless it died: building both sides of a large model takes far
    longer than measuring one path of it. alone: each path has a process that is started for it and for nothing else.
    threads: of every path. timeout_seconds: of a path. memory_bytes: what the process may hold;
    by default three quarters of the machine's memory.
    """

    def __init__(
        self,
        root: Path,
        *,
        alone: bool = False,
        threads: int = 1,
        timeout_seconds: float = PATH_SECONDS,
        memory_bytes: int | None = None,
    ) -> None:
        self.root, self.alone, self.threads = root, alone, threads
        self.timeout_seconds = timeout_seconds
        self.memory_bytes = (
            int(0.75 * (environment.capture()["memory_bytes"] or 0)) if memory_bytes is None else memory_bytes
        )
        self.running: Piped | None = None
        self.kind: tuple[str, int] | None = None

    def __enter__(self) -> Apart:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def measure(self, case: str, path: BenchPath, **rounds: Any) -> PathResult | Lacks:
        """The result; what goes wrong becomes one, with its reason and without a verdict. rounds: see `measure`."""
        place = f"{case}, {path}"
        try:
            answer = self._process(case, path).ask(
                {"path": str(path), **rounds}, place=place, timeout_seconds=self.timeout_seconds
            )
        except DiedError as error:
            self.stop()
            return PathResult(case, path, Verdict.INCONCLUSIVE, error.problem)
        if self.alone:
            self.stop()
        if "lacks" in answer:
            return Lacks(answer["lacks"])
        if "failed" in answer:
            return PathResult(case, path, Verdict.INCONCLUSIVE, answer["failed"])
        return result_of(answer["result"])

    def stop(self) -> None:
        """End the process, if there is one."""
        if self.running is not None:
            self.running.stop()
        self.running = self.kind = None

    def _process(self, case: str, path: BenchPath) -> Piped:
        """That of the case, started if there is none.

        Raises:
            DiedError: it died, or could not build the case.
        """
        devices = MESH if path.way == "mesh" else 1
        if self.running is not None and self.kind == (case, devices):
            return self.running
        self.stop()
        command = [sys.executable, "-m", "harness.bench.serve"]
        self.running = Piped(
            command, folder=self.root, variables=self._variables(devices), memory_bytes=self.memory_bytes
        ).start()
        self.kind = (case, devices)
        given: dict[str, Any] = {"root": str(self.root), "case": case, "devices": devices, "threads": self.threads}
        answer = self.running.ask(given, place=case, timeout_seconds=BUILD_SECONDS)
        if "failed" in answer:
            raise DiedError(case, answer["failed"], todo="Run `harness check` on the case.")
        return self.running

    def _variables(self, devices: int) -> dict[str, str]:
        """The environment, with what the frameworks read when they start: threads, passive waiting, nothing compiled
        by an earlier run.
        """
        own = str(Path(__file__).parents[2])
        return {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(each for each in (own, os.environ.get("PYTHONPATH", "")) if each),
            **environment.threads(self.threads),
            "OMP_WAIT_POLICY": "PASSIVE",
            "JAX_NUM_CPU_DEVICES": str(devices),
            "JAX_ENABLE_COMPILATION_CACHE": "false",
            "TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1",
            "TORCHINDUCTOR_COMPILE_THREADS": str(self.threads),
            "TOKENIZERS_PARALLELISM": "false",
            "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        }
