"""A torch module made ready to be timed: eager, under torch.compile, or from torch.export."""

from __future__ import annotations

import copy
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch._dynamo.utils import counters
from torch.utils.flop_counter import FlopCounterMode

from harness.adapters.calling import argument_names, bind
from harness.adapters.decoding import cache_in, cache_name, encoded_in, not_causal, step_inputs
from harness.adapters.leaves import named_outputs
from harness.adapters.protocols import Array, Chunk
from harness.adapters.pytorch.session import as_users_run, find_device, full_float32
from harness.adapters.pytorch.taps import to_numpy, to_tensor
from harness.adapters.pytorch.training import trainable
from harness.adapters.pytorch.wide import Lift, shortened, wide, widened
from harness.adapters.timed import Job

TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float64": torch.float64}
EVENTS: Callable[[], Any] = partial(torch.cuda.Event, enable_timing=True)
"""Makes what a GPU notes the time in when it comes to it."""


@dataclass(slots=True)
class TorchCall:
    """See `Ready`. run: the call; plain: the same without a compiler. restore: puts back what it changes."""

    run: Callable[[], Any]
    plain: Callable[[], Any]
    device: torch.device
    held_bytes: int
    restore: Callable[[], None] = lambda: None
    after_a_step: bool = False
    compile_seconds: float | None = None
    events: Callable[[], Any] = EVENTS
    _marks: tuple[Any, Any] | None = None

    def before(self) -> None:
        self.restore()

    def __call__(self) -> Any:
        if self.device.type == "cpu":
            return self.run()
        self._marks = (self.events(), self.events())
        self._marks[0].record()
        found = self.run()
        self._marks[1].record()
        self._marks[1].synchronize()
        return found

    def device_seconds(self) -> float | None:
        return None if self._marks is None else self._marks[0].elapsed_time(self._marks[1]) / 1e3

    def outputs(self) -> dict[str, Array]:
        self.before()
        found = self()
        if self.after_a_step:  # what the second step puts out was computed with what the first made of the weights
            found = self()
            self.before()
        return {name: to_numpy(leaf) for name, leaf in _named(found).items()}

    def flops(self) -> float | None:
        self.before()
        with FlopCounterMode(display=False) as counter:
            self.plain()
        self.before()
        return float(counter.get_total_flops()) or None

    def compilations(self) -> int:
        return compiled_programs()

    def compiling_seconds(self) -> float | None:
        return None

    def device_peak_bytes(self) -> int | None:
        return torch.cuda.max_memory_allocated() if self.device.type == "cuda" else None


def lacks(module: torch.nn.Module, job: Job, device: str) -> str:
    """Why the module cannot be run so here, or ""."""
    if device == "tpu":
        return "needs a TPU: this harness runs PyTorch on none"
    if device == "gpu" and not torch.cuda.is_available():
        return "needs a GPU: PyTorch sees none"
    if job.way == "compile":
        named = os.environ.get("CXX", "")
        if device == "cpu" and not any(shutil.which(each) for each in (named, "g++", "clang++") if each):
            return "needs a C++ compiler, for torch.compile: install g++"
    if job.way == "export" and job.work != "forward":
        return f"torch.export keeps a program of the forward pass, which has no {job.work}"
    stepwise = job.work in ("prefill", "decode")
    return not_causal(module, argument_names(type(module), "forward")) if stepwise else ""


@contextmanager
def ready(module: torch.nn.Module, inputs: Mapping[str, Any], job: Job, *, device: str) -> Iterator[TorchCall]:
    """See `Timed.ready`."""
    with as_users_run(module, device=device) as target, _typed(module, job.precision):
        accepted = argument_names(type(module), "forward")
        given = {name: _typed_input(to_tensor(value, target), job.precision) for name, value in inputs.items()}
        if target.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        held = sum(each.numel() * each.element_size() for each in (*module.parameters(), *module.buffers()))
        if job.work == "train":
            with trainable(module) as parameters:
                call = _training(module, given, job, parameters, target, held)
                try:
                    yield call
                finally:
                    call.restore()
            return
        with torch.no_grad(), _lifted(job):
            if job.chunk is not None and job.work == "prefill":
                given = step_inputs(given, job.chunk, accepted)
            if job.chunk is not None and job.work == "decode":
                yield _decoding(module, given, job, target, held)
                return
            if job.way == "export" and "use_cache" in accepted:
                given["use_cache"] = False  # a program puts out arrays, and no cache object
            runner, seconds = _compiled(module, given, job.way)
            yield TorchCall(
                run=partial(_call, runner, module, given),
                plain=partial(_call, module, module, given),
                device=target,
                held_bytes=held,
                compile_seconds=seconds,
            )


def compiled_programs() -> int:
    """How many graphs torch.compile has compiled so far, in this process."""
    return int(counters["stats"]["unique_graphs"])


@dataclass(frozen=True, slots=True)
class Yard:
    """See `Yardstick`."""

    device: str
    precision: str

    def matmul(self, size: int) -> TorchCall:
        one, other, product = (torch.ones(size, size, dtype=TYPES[self.precision], device=self._at) for _ in range(3))

        def run() -> torch.Tensor:
            with full_float32():
                return torch.mm(one, other, out=product)

        return self._call(run)

    def copy(self, size: int) -> TorchCall:
        source, target = (torch.ones(size // 4, dtype=torch.float32, device=self._at) for _ in range(2))
        return self._call(lambda: target.copy_(source))

    @property
    def _at(self) -> torch.device:
        return find_device(self.device)

    def _call(self, run: Callable[[], Any]) -> TorchCall:
        return TorchCall(run, run, self._at, held_bytes=0)


@dataclass(slots=True)
class _Cache:
    """A cache of which every call gets a copy, since it writes into it; made outside of the clock."""

    filled: Any
    copy: Any = field(default=None)

    def renew(self) -> None:
        self.copy = copy.deepcopy(self.filled)


def _decoding(
    module: torch.nn.Module, inputs: Mapping[str, Any], job: Job, device: torch.device, held: int
) -> TorchCall:
    """The chunk with what lies before it in the cache."""
    assert job.chunk is not None
    accepted = argument_names(type(module), "forward")
    name = cache_name(accepted)
    result = _call(module, module, step_inputs(inputs, Chunk(0, job.chunk.start), accepted))
    cache = _Cache(cache_in(result, name))
    given = {**step_inputs(inputs, job.chunk, accepted), **encoded_in(result, accepted)}
    runner, _ = _compiled(module, given, job.way)
    return TorchCall(
        run=lambda: _call(runner, module, {**given, name: cache.copy}),
        plain=lambda: _call(module, module, {**given, name: cache.copy}),
        device=device,
        held_bytes=held,
        restore=cache.renew,
    )


def _training(
    module: torch.nn.Module,
    inputs: Mapping[str, Any],
    job: Job,
    parameters: Mapping[str, torch.nn.Parameter],
    device: torch.device,
    held: int,
) -> TorchCall:
    """Forwards, backwards, and a step of SGD; in inference mode, so that no chance is in it."""
    every = list(parameters.values())
    kept = [each.detach().clone() for each in every]
    weights = {name: torch.from_numpy(each).to(device, TYPES[job.precision]) for name, each in job.cotangents.items()}
    rule = torch.optim.SGD(every, lr=job.rate)
    runner, _ = _compiled(module, inputs, job.way)

    def step(runner: Any) -> dict[str, torch.Tensor]:
        with _lifted(job):
            found = _named(_call(runner, module, inputs))
            loss = torch.stack([(found[name] * each).sum() for name, each in weights.items()]).sum()
            loss.backward()  # type: ignore[no-untyped-call]
            rule.step()
            rule.zero_grad()
        return {name: each.detach() for name, each in found.items()}

    def restore() -> None:
        with torch.no_grad():
            torch._foreach_copy_([each.detach() for each in every], kept)

    return TorchCall(
        run=partial(step, runner),
        plain=partial(step, module),
        device=device,
        held_bytes=held,
        restore=restore,
        after_a_step=True,
    )


def _compiled(module: torch.nn.Module, inputs: Mapping[str, Any], way: str) -> tuple[Any, float | None]:
    """What is called instead of the module, and how long it took to make."""
    if way == "compile":
        torch.compiler.reset()  # what an earlier path has compiled must not stand ready
        return torch.compile(module), None
    if way == "export":
        start = time.perf_counter()
        positional, named = bind(module.forward, inputs)
        program = torch.export.export(module, positional, dict(named)).module()
        return program, time.perf_counter() - start
    return module, None


def _call(runner: Any, module: torch.nn.Module, inputs: Mapping[str, Any]) -> Any:
    positional, named = bind(module.forward, inputs)
    return runner(*positional, **named)


def _typed(module: torch.nn.Module, precision: str) -> Any:
    if precision == "float64":
        return widened(module)
    return shortened(module, torch.bfloat16) if precision == "bfloat16" else nullcontext()


def _typed_input(value: Any, precision: str) -> Any:
    if precision == "float64":
        return wide(value)
    short = torch.is_tensor(value) and value.dtype == torch.float32 and precision == "bfloat16"
    return value.to(torch.bfloat16) if short else value


def _lifted(job: Job) -> Any:
    """In float64, without the places where a model computes in float32 whatever its type is."""
    return Lift() if job.precision == "float64" else nullcontext()


def _named(result: Any) -> dict[str, torch.Tensor]:
    return named_outputs(result, is_array=torch.is_tensor)
