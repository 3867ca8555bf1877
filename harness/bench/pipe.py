"""A process that answers questions, a line of JSON each, within a limit of time and of memory; then it is gone."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from harness.environment import held_bytes
from harness.errors import RunError

TICK_SECONDS = 0.1
"""Between two looks at the memory of a process, each of which reads one line of a file."""


class DiedError(RunError):
    """The process crashed, hung, took more memory than it may or could not do what was asked; others go on."""


class Piped:
    """The process; as a context, it and those that it started are ended at the end.

    command: answers every line on its standard input with one on its standard output. variables: its environment, the
    whole of it. memory_bytes: the most that it may hold in the machine's memory; 0 for no limit, as where the system
    does not tell. todo: what to do about its death.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        folder: Path,
        variables: Mapping[str, str],
        memory_bytes: int = 0,
        todo: str = "The other paths go on; run this one by itself to see what it says.",
    ) -> None:
        self.command, self.folder, self.variables = command, folder, variables
        self.memory_bytes, self.todo = memory_bytes, todo
        self.said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 closed by stop
        self.process: subprocess.Popen[bytes] | None = None
        self.unread = b""

    def __enter__(self) -> Piped:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def start(self) -> Piped:
        """The same, running.

        Raises:
            OSError: there is no such command or folder.
        """
        self.process = subprocess.Popen(
            self.command,
            cwd=self.folder,
            env=self.variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.said,
            start_new_session=True,
        )
        return self

    def stop(self) -> None:
        """End the process, whatever it is doing, and those that it started."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.communicate()
            self.process = None
        self.said.close()

    @property
    def pid(self) -> int:
        """The number of the process, which is also that of its group."""
        assert self.process is not None
        return self.process.pid

    def ask(self, value: Mapping[str, Any], *, place: str, timeout_seconds: float) -> dict[str, Any]:
        """The answer; see `say` and `hear`."""
        self.say(value, place=place)
        return self.hear(place=place, timeout_seconds=timeout_seconds)

    def say(self, value: Mapping[str, Any], *, place: str) -> None:
        """Give it a question, which it will answer meanwhile.

        Raises:
            DiedError: it is gone, and why; `place` says who was asked.
        """
        assert self.process is not None
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(value).encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise DiedError(place, self._ending(), todo=self.todo) from None

    def hear(self, *, place: str, timeout_seconds: float) -> dict[str, Any]:
        """The answer to the earliest question that has none yet.

        Raises:
            DiedError: there is none within that time, and why.
        """
        answer: dict[str, Any] = json.loads(self._line(place, timeout_seconds))
        return answer

    def _line(self, place: str, timeout_seconds: float) -> bytes:
        assert self.process is not None
        assert self.process.stdout is not None
        pipe, ends = self.process.stdout.fileno(), time.monotonic() + timeout_seconds
        while b"\n" not in self.unread:
            if time.monotonic() > ends:
                raise DiedError(place, f"hangs: no answer within {timeout_seconds:g} seconds", todo=self.todo)
            held = (held_bytes(self.pid) or 0) if self.memory_bytes else 0
            if held > self.memory_bytes:
                of = f"{held / 2**30:.2f} GiB of the {self.memory_bytes / 2**30:.2f} allowed"
                raise DiedError(place, f"out of memory: it held {of}", todo=self.todo)
            if not select.select([pipe], [], [], TICK_SECONDS)[0]:
                continue
            part = os.read(pipe, 1 << 16)
            if not part:
                raise DiedError(place, self._ending(), todo=self.todo)
            self.unread += part
        line, _, self.unread = self.unread.partition(b"\n")
        return line

    def _ending(self) -> str:
        """How it ended, with the last line of what it said."""
        assert self.process is not None
        status = self.process.wait()
        if status == -signal.SIGKILL:
            return "killed from outside (SIGKILL), as the system does when memory runs out"
        how = f"crashed with {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        self.said.seek(0)
        lines = [line for line in self.said.read().decode(errors="replace").splitlines() if line.strip()]
        return f"{how}: {lines[-1].strip()}" if lines else how
