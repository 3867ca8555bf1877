"""Two sides, each in a process of its own with its own Python and packages, of which one runs at a time."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from harness.bench import affinity, worker
from harness.bench.abba import Judgement, Progress, Terms, alternate
from harness.bench.clock import Reading
from harness.bench.context import Context, refused
from harness.errors import RunError

STEADY = {"OMP_WAIT_POLICY": "PASSIVE", "PYTHONHASHSEED": "0"}
"""Of both sides: idle threads sleep while the other side runs, and sets are in the same order."""


@dataclass(frozen=True, slots=True)
class Side:
    """What to time: a factory `module:function` that returns a callable without arguments, and where it finds its code.

    arguments: of the factory, as JSON. python: the interpreter, of any environment. path: folders in which modules are
    looked for before the environment's own. folder: where it runs. variables: of its environment.
    """

    name: str
    factory: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    python: Path = Path(sys.executable)
    path: tuple[Path, ...] = ()
    folder: Path = field(default_factory=Path.cwd)
    variables: Mapping[str, str] = field(default_factory=dict)


class SideError(RunError):
    """A side that crashed, hung, ran out of memory or returned NaN."""


def compare_sides(
    a: Side,
    b: Side,
    *,
    terms: Terms | None = None,
    timeout_seconds: float = 600.0,
    memory_bytes: int = 0,
    progress: Progress | None = None,
) -> Judgement:
    """Whether b costs something else than a: each in a process of its own, both on the same processors, in turn.

    A side that fails makes it inconclusive, with the reason; so do contexts whose figures may not be compared.
    timeout_seconds, memory_bytes: of each side, see `Running`.
    """
    with (
        Running(a, timeout_seconds=timeout_seconds, memory_bytes=memory_bytes) as first,
        Running(b, timeout_seconds=timeout_seconds, memory_bytes=memory_bytes) as second,
    ):
        return compare_running(first, second, terms=terms or Terms(), progress=progress)


def compare_running(a: Running, b: Running, *, terms: Terms, progress: Progress | None = None) -> Judgement:
    """The same of two sides that are not yet started."""
    try:
        a.start()
        b.start()
        contexts = a.built(), b.built()
        if why := refused(*contexts):
            return Judgement("inconclusive", why, terms, contexts=contexts)
        with affinity.pinned([a.pid, b.pid], affinity.choose(contexts[0].threads)):
            return alternate(a.run, b.run, terms, contexts_of=contexts, progress=progress)
    except RunError as error:
        return Judgement("inconclusive", f"{error.place}: {error.problem}", terms)


class Running:
    """A side that runs; as a context, it is ended at the end.

    timeout_seconds: of building it, and of each time it is asked. memory_bytes: of the process, 0 for no limit.
    """

    def __init__(self, side: Side, *, timeout_seconds: float = 600.0, memory_bytes: int = 0) -> None:
        self.side = side
        self.timeout_seconds = timeout_seconds
        self.memory_bytes = memory_bytes
        self.said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 closed by stop
        self.process: subprocess.Popen[bytes] | None = None
        self.unread = b""

    def __enter__(self) -> Running:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Start the process, which begins to build the call.

        Raises:
            SideError: there is no such interpreter.
        """
        side = self.side
        variables = {**os.environ, **STEADY, **side.variables}
        variables.pop("PYTHONPATH", None)
        try:
            self.process = subprocess.Popen(
                [str(side.python), "-P", str(worker.__file__)],
                cwd=side.folder,
                env=variables,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self.said,
                start_new_session=True,
            )
        except OSError as error:
            raise self._failed(f"cannot be started: {error}") from error
        self._ask(asked_of(side, memory_bytes=self.memory_bytes))

    def built(self) -> Context:
        """Where the call runs, once it is built.

        Raises:
            SideError: it cannot be built, and why.
        """
        return Context(**self._answer()["context"])

    @property
    def pid(self) -> int:
        """The number of the process."""
        assert self.process is not None
        return self.process.pid

    def run(self, calls: int = 1) -> Reading:
        """What a call takes, the mean of `calls` in a row.

        Raises:
            SideError: it raised, died, did not end in time, or returned NaN.
        """
        self._ask({"calls": calls})
        return Reading(*self._answer()["reading"])

    def stop(self) -> None:
        """End the process, whatever it is doing, and those that it started."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.communicate()
            self.process = None
        self.said.close()

    def _ask(self, asked: Mapping[str, Any]) -> None:
        assert self.process is not None
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(asked).encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise self._died() from None

    def _answer(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self._line())
        if "failed" in answer:
            raise self._failed(answer["failed"])
        return answer

    def _line(self) -> bytes:
        assert self.process is not None
        assert self.process.stdout is not None
        pipe, ends = self.process.stdout.fileno(), time.monotonic() + self.timeout_seconds
        while b"\n" not in self.unread:
            left = ends - time.monotonic()
            if left <= 0 or not select.select([pipe], [], [], left)[0]:
                raise self._failed(f"hangs: no answer within {self.timeout_seconds:g} seconds")
            part = os.read(pipe, 65536)
            if not part:
                raise self._died()
            self.unread += part
        line, _, self.unread = self.unread.partition(b"\n")
        return line

    def _died(self) -> SideError:
        assert self.process is not None
        status = self.process.wait()
        if status == -signal.SIGKILL:
            return self._failed("killed from outside (SIGKILL), as a system that runs out of memory does")
        how = f"died of {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        return self._failed(f"{how}{self._last_words()}")

    def _last_words(self) -> str:
        self.said.seek(0)
        lines = [line for line in self.said.read().decode(errors="replace").splitlines() if line.strip()]
        return f": {lines[-1].strip()}" if lines else ""

    def _failed(self, problem: str) -> SideError:
        return SideError(
            f"{self.side.name}, {self.side.factory!r}", problem, todo="Run it by itself, with the same Python."
        )


def asked_of(side: Side, *, memory_bytes: int = 0) -> dict[str, Any]:
    """What the worker is told first."""
    path = [str(folder) for folder in side.path]
    return {"factory": side.factory, "arguments": dict(side.arguments), "path": path, "memory_bytes": memory_bytes}
