"""Watch a case: look at it again whenever one of its files changes.

The looks are made in a process of their own that stays warm. Before each, every module of the repository is forgotten
there, and all of them are imported anew, so that none holds on to the old code of another, as `importlib.reload` would
let it. A fork of a process in which only libraries are loaded would be cleaner still, and takes 10 s where this takes
1: XLA compiles everything again there, and its threads do not survive a fork.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

POLL_SECONDS = 0.1
"""How often files are looked at: some dozens, of which a person changes one at a time."""
SETTLED_SECONDS = 0.05
"""How long a change waits for a further one: an editor may write a file in several steps."""


@dataclass(frozen=True, slots=True)
class Look:
    """What one look found. start: the step that it began with; "" for the whole walk.

    walk: as `harness.porting.steps.Walk.to_dict`; without one, error says why. seconds: with what was asked of the
    worker. cold: whether the worker was new. files: what the case is made of.
    """

    start: str
    seconds: float
    cold: bool
    files: tuple[str, ...]
    walk: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""
    exit_status: int = 3

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @property
    def first(self) -> str:
        """The first step that does not pass, or ""."""
        return str(self.walk.get("first") or "")

    @property
    def failing(self) -> Mapping[str, Any]:
        """That step, with all that is known of it."""
        return next((step for step in self.walk.get("steps", ()) if step["step"] == self.first), {})


def watch(
    case: str,
    root: Path,
    *,
    show: Callable[[Look], None],
    meet: Callable[[Mapping[str, Any]], None] | None = None,
    once: bool = False,
) -> int:
    """Look at the case now and after every change, until interrupted; the exit status of the last look.

    show: is given each look; meet: each step when it is done. once: one look, and no waiting.
    """
    status, start = 3, ""
    files: tuple[str, ...] = ()
    with Worker(root) as worker:
        try:
            while True:
                began, before = time.time_ns(), _times(files)
                found = worker.look(case, start, meet)
                show(found)
                status, start = found.exit_status, start if found.error else found.first
                files = found.files or files or tuple(map(str, root.rglob("*.py")))
                if once:
                    return status
                _wait(files, before, began)
        except KeyboardInterrupt:
            return status


class Worker:
    """The warm process; started when it is asked, and again when it has died or may remember too much."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def look(self, case: str, start: str, meet: Callable[[Mapping[str, Any]], None] | None = None) -> Look:
        """One look; where a library refused what it knows from before, once more in a new process."""
        began = time.perf_counter()
        cold = self.process is None
        answer = self._asked(case, start, meet)
        if answer.get("stale"):
            self.stop()
            cold, answer = True, self._asked(case, start, meet)
        return Look(
            start=start,
            seconds=time.perf_counter() - began,
            cold=cold,
            files=tuple(answer.get("files", ())),
            walk=answer.get("walk", {}),
            error=answer.get("error", ""),
            exit_status=answer.get("walk", answer).get("exit_status", 3),
        )

    def stop(self) -> None:
        """End the process, whatever it is doing."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def _asked(self, case: str, start: str, meet: Callable[[Mapping[str, Any]], None] | None) -> dict[str, Any]:
        """The last line of the answer; if the process died, that."""
        if self.process is None:
            # In a session of its own, so that Ctrl-C reaches this process alone, which then ends the other.
            self.process = subprocess.Popen(
                [sys.executable, "-m", "harness.porting.worker"],
                cwd=self.root,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"case": case, "root": str(self.root), "start": start}) + "\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            answer: dict[str, Any] = json.loads(line)
            if answer["event"] == "done":
                return answer
            if meet is not None:
                meet(answer)
        status = self.process.wait()
        self.process = None
        return {"error": f"the process that looks at the case died (status {status}); it is started again"}


def _wait(files: Iterable[str], before: Mapping[str, int], began: int) -> None:
    """Until one of the files is not what it was before, or was written since `began`; and until that is over."""
    while not any(now != before.get(name, now if now <= began else 0) for name, now in _times(files).items()):
        time.sleep(POLL_SECONDS)
    changed: dict[str, int] = {}
    while changed != (changed := _times(files)):
        time.sleep(SETTLED_SECONDS)


def _times(files: Iterable[str]) -> dict[str, int]:
    """When each file was written, in nanoseconds; 0 for one that is not there."""
    return {name: Path(name).stat().st_mtime_ns if Path(name).exists() else 0 for name in files}
