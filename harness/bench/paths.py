"""The paths of a case: its sides built once, each made ready to run as a path says; and why others are not there."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from harness.adapters.choose import adapt
from harness.adapters.decoding import token_name
from harness.adapters.protocols import Array, Chunk, UnsupportedError
from harness.adapters.timed import Job, Ready, Timed, Work
from harness.bench.path import BenchPath, parse
from harness.cases.mapping import translate
from harness.cases.spec import Case, find_case
from harness.errors import RunError
from harness.parity.case import Parts
from harness.settings import Repository, find_repository

PORTS = ("reference", "port")


@dataclass(slots=True)
class Sides:
    """The sides of a case, each built when a path of its framework is asked for; and one call's inputs for both."""

    case: Case
    parts: Parts
    inputs: Mapping[str, Any]
    _built: dict[str, Any] = field(default_factory=dict)

    def side(self, name: str, *, device: str = "cpu") -> Any:
        """The adapted reference or port, on that device."""
        if name not in self._built:
            reference = name == "reference"
            self._built[name] = self.parts.reference() if reference else self.parts.port(self._model("reference"))
        return adapt(self._built[name], device=device, place=f"case {self.case.name!r}, {name}")

    def named(self, path: BenchPath) -> str:
        """Which side runs the path: the first of its framework.

        Raises:
            UnsupportedError: neither does.
        """
        found = []
        for name in PORTS:
            side = self.side(name)
            if isinstance(side, Timed) and side.framework == path.framework:
                return name
            found.append(side.describe())
        raise UnsupportedError(f"neither side of the case is of {path.framework}: {' and '.join(found)}")

    def chunk(self, work: Work) -> Chunk | None:
        """The tokens of a step: all but the last, or the last.

        Raises:
            UnsupportedError: there are no tokens, or only one.
        """
        if work not in ("prefill", "decode"):
            return None
        length = np.shape(self.inputs[token_name(self.inputs)])[1]
        if length < 2:
            raise UnsupportedError("one token alone has nothing before it, which could be in a cache")
        return Chunk(0, length - 1) if work == "prefill" else Chunk(length - 1, length)

    def items(self, work: Work) -> tuple[int, str]:
        """How many things a call works on, and what: tokens, or rows of the batch."""
        rows = next(np.shape(value)[0] for value in self.inputs.values() if np.ndim(value))
        try:
            length = int(np.shape(self.inputs[token_name(self.inputs)])[1])
        except UnsupportedError:
            return rows, "rows"
        chunk = self.chunk(work)
        return rows * (chunk.stop - chunk.start if chunk else length), "tokens"

    def _model(self, name: str) -> Any:
        self.side(name)
        return self._built[name]


def open_case(name: str, repository: Repository, *, devices: int = 1) -> Sides:
    """The sides of the case of that name. devices: those that are to divide the batch, which is repeated to that end.

    Raises:
        SpecError: there is no such case.
    """
    case = find_case(repository, name)
    parts = Parts(case, repository)
    inputs = parts.inputs()
    call = inputs if isinstance(inputs, Mapping) else inputs[0]
    return Sides(case, parts, repeated(call, devices))


def repeated(inputs: Mapping[str, Any], devices: int) -> dict[str, Any]:
    """The inputs with rows from the beginning put once more after the last, until the devices divide the batch.

    >>> repeated({"x": np.arange(3)}, 4)["x"].tolist()
    [0, 1, 2, 0]
    """
    arrays = {name: np.asarray(value) for name, value in inputs.items() if hasattr(value, "__array__")}
    rows = max((len(value) for value in arrays.values() if value.ndim), default=0)
    wanted = -(-rows // devices) * devices
    chosen = np.arange(wanted) % max(rows, 1)
    more = {name: value[chosen] for name, value in arrays.items() if value.ndim and len(value) == rows}
    return {**inputs, **more}


def job_of(sides: Sides, path: BenchPath, *, cotangents: Mapping[str, Array], rate: float) -> Job:
    """What the path has its side run. cotangents, rate: of `train`, and of nothing else; by the reference's names."""
    mapping = sides.case.mapping if sides.named(path) == PORTS[1] else {}
    given = {translate(name, mapping): each for name, each in cotangents.items()} if path.work == "train" else {}
    return Job(path.way, path.work, path.precision, sides.chunk(path.work), given, rate)


def refusal(sides: Sides, path: BenchPath) -> str:
    """Why the case has no such path here, or "": the framework, the device, the compiler, the model's kind."""
    try:
        name = sides.named(path)
        if why := sides.side(name, device=path.device).lacks(Job(path.way, path.work, path.precision)):
            return str(why)
        sides.chunk(path.work)
    except UnsupportedError as error:
        return str(error)
    return _too_large(sides, name, path)


@contextmanager
def ready(sides: Sides, path: BenchPath, job: Job) -> Iterator[Ready]:
    """While open, the call of the path.

    Raises:
        UnsupportedError: there is none, and why.
    """
    if why := refusal(sides, path):
        raise UnsupportedError(why)
    with sides.side(sides.named(path), device=path.device).ready(sides.inputs, job) as call:
        yield call


class TimedPath:
    """A path as a callable, for whoever times callables: `harness bench compare` does so in a process of its own.

    context: what the figures were taken in. The call puts back what it changed, which is part of what is timed.
    """

    def __init__(self, call: Ready, context: Mapping[str, Any]) -> None:
        self.call, self.context = call, context

    def __call__(self) -> Any:
        self.call.before()
        return self.call()

    def device_seconds(self) -> float | None:
        return self.call.device_seconds()


def timed(*, case: str, path: str, devices: int = 1) -> TimedPath:
    """The path of the case of the current repository, ready, for as long as it is held.

    devices: see `open_case`.

    Raises:
        SpecError: there is no such case or path. RunError: the case has no such path, and why.
    """
    chosen = parse(path)
    sides = open_case(case, find_repository(Path.cwd()), devices=devices)
    stack = ExitStack()
    try:
        cotangents = _ones(sides) if chosen.work == "train" else {}
        call = stack.enter_context(ready(sides, chosen, job_of(sides, chosen, cotangents=cotangents, rate=1e-6)))
    except UnsupportedError as error:
        raise RunError(f"case {case!r}, path {path!r}", str(error), todo="Choose another path.") from None
    made = TimedPath(call, {"precision": chosen.precision, "accelerator": accelerator(chosen)} | _threads())
    weakref.finalize(made, stack.close)
    return made


def accelerator(path: BenchPath) -> str:
    """What the figures of a path were taken on beside the CPU; "" for the CPU itself."""
    if path.device == "cpu":
        return ""
    from harness.adapters.choose import device_name

    return device_name(path.device, framework=path.framework)


def _ones(sides: Sides) -> dict[str, Array]:
    """A cotangent for every declared output of the reference: what a step costs does not depend on its values."""
    outputs = sides.side("reference").run(sides.inputs)
    declared = sides.case.outputs or tuple(outputs)
    return {name: np.ones_like(outputs[name], np.float64) / outputs[name].size for name in declared}


def _threads() -> dict[str, int]:
    count = os.environ.get("OMP_NUM_THREADS", "")
    return {"threads": int(count)} if count.isdigit() else {}


def _too_large(sides: Sides, name: str, path: BenchPath) -> str:
    """Why a mesh of the host's own devices is not made: each of them holds all weights, and in training more."""
    if path.way != "mesh" or path.device != "cpu":
        return ""
    from harness.environment import capture

    devices = int(os.environ.get("JAX_NUM_CPU_DEVICES", "1"))
    held = sum(each.array.nbytes for each in sides.side(name).weights().values())
    wanted, memory = held * devices * (3 if path.work == "train" else 1), capture()["memory_bytes"] or 0
    if wanted <= memory / 4:
        return ""
    return f"the weights, on each of {devices} virtual devices, take {wanted / 2**30:.0f} GiB of {memory / 2**30:.0f}"
