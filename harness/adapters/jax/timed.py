"""A JAX model made ready to be timed: op by op, under `jit`, compiled ahead of time, or over a mesh of devices."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from harness.adapters.decoding import CACHES, cache_in, not_causal
from harness.adapters.jax.arrays import to_jax, to_numpy
from harness.adapters.jax.model import JaxModel
from harness.adapters.jax.program import Program, arrays_of, is_weight
from harness.adapters.jax.session import find_device, session
from harness.adapters.protocols import Array, Chunk, UnsupportedError
from harness.adapters.timed import Job
from harness.errors import DeviceError

COMPILING = "/jax/core/compile/backend_compile_duration"
"""The event of one program compiled; the two others are what comes before."""
BEFORE = ("/jax/core/compile/jaxpr_trace_duration", "/jax/core/compile/jaxpr_to_mlir_module_duration")

Function = Callable[..., Any]
"""(weights, arrays) -> (outputs by name, what the call made beside: a cache, new weights, None)."""


@dataclass(slots=True)
class Compiled:
    """What JAX has compiled in this process."""

    programs: int = 0
    seconds: float = 0.0

    def note(self, event: str, duration_secs: float, **_: Any) -> None:
        self.programs += event == COMPILING
        self.seconds += duration_secs if event in (COMPILING, *BEFORE) else 0.0


@cache
def compiled() -> Compiled:
    """What has been compiled since this was first asked: JAX counts for the whole process, and so does this."""
    found = Compiled()
    jax.monitoring.register_event_duration_secs_listener(found.note)
    return found


def compiled_programs() -> int:
    """How many programs JAX has compiled so far, in this process."""
    return compiled().programs


@dataclass(slots=True)
class JaxCall:
    """See `Ready`. function: what is called with `given`; plain: the same, which can be lowered."""

    function: Function
    plain: Function
    given: tuple[Any, ...]
    device: jax.Device
    held_bytes: int
    after_a_step: bool = False
    compile_seconds: float | None = None

    def before(self) -> None:
        """A call changes nothing."""

    def __call__(self) -> Any:
        return jax.block_until_ready(self.function(*self.given))  # type: ignore[no-untyped-call]

    def device_seconds(self) -> float | None:
        return None

    def outputs(self) -> dict[str, Array]:
        found, made = self()
        if self.after_a_step:
            found, _ = self.function(made, *self.given[1:])
        return {name: to_numpy(leaf) for name, leaf in found.items()}

    def flops(self) -> float | None:
        analysis = jax.jit(self.plain).lower(*self.given).cost_analysis()
        count = dict(analysis or {}).get("flops", 0.0)
        return float(count) if count > 0 else None

    def compilations(self) -> int:
        return compiled_programs()

    def compiling_seconds(self) -> float | None:
        return compiled().seconds

    def device_peak_bytes(self) -> int | None:
        if self.device.platform == "cpu":
            return None
        # By the compiler's account, on each device: the allocator's peak is of all that ran before, too, for ever.
        program: Any = self.function
        program = program.lower(*self.given).compile() if hasattr(program, "lower") else program
        if not hasattr(program, "memory_analysis"):
            return None
        held = program.memory_analysis()
        beside = held.temp_size_in_bytes - held.alias_size_in_bytes
        return int(held.argument_size_in_bytes + held.output_size_in_bytes + beside)


def lacks(model: JaxModel, job: Job) -> str:
    """Why the model cannot be run so here, or ""."""
    try:
        find_device(model.device)
    except DeviceError:
        return f"needs a {model.device.upper()}: JAX sees none"
    devices = len(jax.devices(model.device))
    if job.way == "mesh" and devices < 2:
        return f"a mesh needs several devices: JAX sees {devices} of the kind {model.device!r}"
    if job.way == "mesh" and job.work in ("prefill", "decode"):
        return f"a mesh divides the batch of forward and train, not of {job.work}"
    if job.precision == "float64":
        return "the truth in float64 is computed in PyTorch alone"
    stepwise = job.work in ("prefill", "decode")
    kind: Any = model.kind
    return not_causal(getattr(kind, "model", None) or kind.module, kind.accepts()) if stepwise else ""


@contextmanager
def ready(model: JaxModel, inputs: Mapping[str, Any], job: Job) -> Iterator[JaxCall]:
    """See `Timed.ready`."""
    compiled()
    with session(device=model.device, precision=model.precision):
        program = model.kind.program(dtype="" if job.precision == "float32" else job.precision)
        weights = {name: _short(value, job.precision) for name, value in program.weights.items()}
        every = {name: _short(value, job.precision) for name, value in to_jax(inputs).items()}
        function, arrays = _function(model, program, weights, every, job)
        device = find_device(model.device)
        given = _placed((weights, *arrays), job.way, device, whole=1 if job.work != "train" else 2)
        held = sum(each.nbytes for each in jax.tree.leaves(weights))
        compile_seconds = None
        called: Function = function if job.way == "op-by-op" else jax.jit(function)
        if job.way == "aot":
            start = time.perf_counter()
            called = jax.jit(function).lower(*given).compile()
            compile_seconds = time.perf_counter() - start
        yield JaxCall(called, function, given, device, held, job.work == "train", compile_seconds)


@dataclass(frozen=True, slots=True)
class Yard:
    """See `Yardstick`."""

    device: str
    precision: str

    def matmul(self, size: int) -> JaxCall:
        one = jnp.ones((size, size), self.precision)
        return self._call(lambda one, other: (jnp.matmul(one, other, precision="highest"), None), one, one)

    def copy(self, size: int) -> JaxCall:
        # A copy as it stands may be left out by the compiler; adding a number that it does not know may not. It writes
        # into the array of the call before, given away: the first touch of fresh memory costs more than any copy. Into
        # the source itself it would be twice as fast, since a processor reads what it writes to elsewhere.
        none = jnp.zeros(())
        add = jax.jit(lambda source, _target, none: source + none, donate_argnums=1, keep_unused=True)
        source, *held = (jax.device_put(jnp.ones(size // 4), find_device(self.device)) for _ in range(2))

        def run() -> tuple[Any, None]:
            held[0] = add(source, held[0], none)
            return held[0], None

        return JaxCall(run, run, (), find_device(self.device), held_bytes=0)

    def _call(self, function: Function, *arrays: Any) -> JaxCall:
        device = find_device(self.device)
        return JaxCall(jax.jit(function), function, jax.device_put(arrays, device), device, held_bytes=0)


@dataclass(slots=True)
class _Step:
    """A causal model's step: what it is given, beside the weights."""

    arrays: dict[str, Any]
    fixed: dict[str, Any] = field(default_factory=dict)


def _function(
    model: JaxModel, program: Program, weights: Mapping[str, Any], inputs: Mapping[str, Any], job: Job
) -> tuple[Function, tuple[Any, ...]]:
    """What is called, and the arrays it is called with after the weights: nothing is closed over."""
    if job.work == "train":
        arrays, fixed = _divided(inputs)
        parts = {name: jnp.asarray(each, job.precision) for name, each in job.cotangents.items()}
        return partial(_trained, program, fixed), (jnp.asarray(job.rate, job.precision), arrays, parts)
    if job.work == "forward":
        arrays, fixed = _divided(inputs)
        return partial(_outputs, program, fixed, None), (arrays,)
    assert job.chunk is not None
    steps = model.kind.stepping(inputs, dtype="" if job.precision == "float32" else job.precision)
    first = job.chunk if job.work == "prefill" else Chunk(0, job.chunk.start)
    arrays, fixed = _divided({**steps.given(first), **steps.empty})
    if job.work == "prefill":
        return partial(_outputs, program, fixed, steps.cache), (arrays,)
    _, filled = _outputs(program, fixed, steps.cache, dict(weights), arrays)
    arrays, fixed = _divided({**steps.given(job.chunk), steps.cache: filled})
    return partial(_outputs, program, fixed, steps.cache), (arrays,)


def _outputs(
    program: Program, fixed: Mapping[str, Any], name: str | None, weights: Any, arrays: Any
) -> tuple[dict[str, Any], Any]:
    """The outputs and, where `name` is that of its argument, the cache."""
    result, _ = program.apply(weights, {**arrays, **fixed}, None)
    found = {key: leaf for key, leaf in arrays_of(result).items() if not key.startswith(CACHES)}
    return found, None if name is None else cache_in(result, name)


def _trained(
    program: Program, fixed: Mapping[str, Any], weights: Any, rate: Any, arrays: Any, cotangents: Any
) -> tuple[dict[str, Any], Any]:
    """The outputs, and the weights after a step of SGD on sum(output x cotangent); in inference mode."""
    parameters, buffers = program.divided_weights(weights)

    def loss(parameters: Any) -> tuple[Any, dict[str, Any]]:
        outputs, _ = _outputs(program, fixed, None, {**buffers, **parameters}, arrays)
        return sum(jnp.sum(outputs[name] * each) for name, each in cotangents.items()), outputs

    gradients, outputs = jax.grad(loss, has_aux=True)(parameters)
    stepped = {name: value - rate * gradients[name] for name, value in parameters.items()}
    return outputs, {**buffers, **stepped}


def _placed(given: tuple[Any, ...], way: str, device: jax.Device, *, whole: int) -> Any:
    """The arguments on the device; on a mesh the first `whole` on every device, of the rest to each a part of the
    batch.
    """
    if way != "mesh":
        return jax.device_put(given, device)
    found = jax.devices(device.platform)
    sizes = {array.shape[0] for array in jax.tree.leaves(given[whole:])}
    if any(size % len(found) for size in sizes):
        raise UnsupportedError(f"a batch of {sorted(sizes)} is not divided by {len(found)} devices")
    mesh = Mesh(np.array(found), ("batch",))
    axes: Any = PartitionSpec  # of which JAX does not say what it takes
    copies = jax.device_put(given[:whole], NamedSharding(mesh, axes()))
    return (*copies, *jax.device_put(given[whole:], NamedSharding(mesh, axes("batch"))))


def _divided(inputs: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The arrays and trees of arrays; and the switches, which a program has fixed."""
    fixed = {name: value for name, value in inputs.items() if isinstance(value, (bool, str, type(None)))}
    return {name: value for name, value in inputs.items() if name not in fixed}, fixed


def _short(value: Any, precision: str) -> Any:
    return value.astype(precision) if is_weight(value) and precision != "float32" else value
