"""Two sides, each in a process of its own with its own Python and packages, of which one runs at a time."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from harness.bench import affinity, worker
from harness.bench.abba import Judgement, Progress, Terms, alternate
from harness.bench.clock import Reading
from harness.bench.context import Context, refused
from harness.bench.pipe import DiedError, Piped
from harness.errors import RunError

STEADY = {"OMP_WAIT_POLICY": "PASSIVE", "PYTHONHASHSEED": "0"}
"""Of both sides: idle threads sleep while the other side runs, and sets are in the same order."""

TODO = "Run it by itself, with the same Python."


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
        variables = {**os.environ, **STEADY, **side.variables}
        variables.pop("PYTHONPATH", None)
        command = [str(side.python), "-P", str(worker.__file__)]
        self.place = f"{side.name}, {side.factory!r}"
        self.piped = Piped(command, folder=side.folder, variables=variables, todo=TODO)

    def __enter__(self) -> Running:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.piped.stop()

    def start(self) -> None:
        """Start the process, which begins to build the call.

        Raises:
            DiedError: there is no such interpreter.
        """
        try:
            self.piped.start()
        except OSError as error:
            raise DiedError(self.place, f"cannot be started: {error}", todo=TODO) from error
        self._say(asked_of(self.side, memory_bytes=self.memory_bytes))

    def built(self) -> Context:
        """Where the call runs, once it is built.

        Raises:
            DiedError: it cannot be built, and why.
        """
        return Context(**self._hear()["context"])

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self.piped.pid

    def run(self, calls: int = 1) -> Reading:
        """What a call takes, the mean of `calls` in a row.

        Raises:
            DiedError: it raised, died, did not end in time, or returned NaN.
        """
        self._say({"calls": calls})
        return Reading(*self._hear()["reading"])

    def _say(self, asked: Mapping[str, Any]) -> None:
        self.piped.say(asked, place=self.place)

    def _hear(self) -> dict[str, Any]:
        answer = self.piped.hear(place=self.place, timeout_seconds=self.timeout_seconds)
        if "failed" in answer:
            raise DiedError(self.place, answer["failed"], todo=TODO)
        return answer


def asked_of(side: Side, *, memory_bytes: int = 0) -> dict[str, Any]:
    """What the worker is told first."""
    path = [str(folder) for folder in side.path]
    return {"factory": side.factory, "arguments": dict(side.arguments), "path": path, "memory_bytes": memory_bytes}
