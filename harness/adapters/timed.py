"""What the bench asks of a model: to be made ready for one kind of call, and to be called. No framework here."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Literal, Protocol, runtime_checkable

from harness.adapters.protocols import Array, Chunk

Work = Literal["forward", "train", "prefill", "decode"]
Way = Literal["eager", "compile", "export", "op-by-op", "jit", "aot", "mesh"]
WAYS: dict[str, tuple[Way, ...]] = {
    "pytorch": ("eager", "compile", "export"),
    "jax": ("op-by-op", "jit", "aot", "mesh"),
}
"""Framework -> how a model of it can be run, the plainest first."""


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be run.

    precision: float32, bfloat16 or, as the truth, float64. chunk: of the tokens in `prefill` and `decode`: those before
    its start are in the cache. cotangents: output -> array, for `train`, whose loss is sum(output x cotangent); rate:
    how far a step of SGD goes.
    """

    way: Way
    work: Work = "forward"
    precision: str = "float32"
    chunk: Chunk | None = None
    cotangents: Mapping[str, Array] = field(default_factory=dict)
    rate: float = 0.0


class Ready(Protocol):
    """One kind of call, everything it is given already on the device.

    compile_seconds: what was compiled before the first call; None where that call compiles. held_bytes: the weights.
    """

    compile_seconds: float | None
    held_bytes: int

    def before(self) -> None:
        """Puts back what a call changes (weights, a cache): outside of the clock."""

    def __call__(self) -> Any:
        """One call; when it returns, its outputs are there."""

    def device_seconds(self) -> float | None:
        """What the latest call took by the device's own clock; None where it has none."""

    def outputs(self) -> dict[str, Array]:
        """What is held against the reference: the outputs of a call; of `train`, those after one step."""

    def flops(self) -> float | None:
        """Floating point operations of a call, as the framework counts them; None where it cannot."""

    def compilations(self) -> int:
        """How many programs the framework has compiled so far, in this process."""

    def compiling_seconds(self) -> float | None:
        """How long it has compiled so far; None where it does not tell."""

    def device_peak_bytes(self) -> int | None:
        """The most that the device has held; None where that is the host's own memory, or nobody tells."""


@runtime_checkable
class Timed(Protocol):
    """Can be made ready to be timed."""

    framework: str

    def lacks(self, job: Job) -> str:
        """Why the model cannot be run so here, or ""."""

    def ready(self, inputs: Mapping[str, Any], job: Job) -> AbstractContextManager[Ready]:
        """While open, the call is ready; afterwards the model is bit for bit what it was.

        Raises:
            UnsupportedError: the model has no such call.
        """


class Yardstick(Protocol):
    """What the machine can do at most, by the framework's own means."""

    def matmul(self, size: int) -> Any:
        """A call that multiplies two matrices (size, size): 2 size^3 operations."""

    def copy(self, size: int) -> Any:
        """A call that copies `size` bytes: reads as many and writes as many."""


def yardstick(framework: str, *, device: str, precision: str) -> Yardstick:
    """The yardsticks of the framework on that device."""
    made: Yardstick = import_module(f"harness.adapters.{framework}.timed").Yard(device, precision)
    return made


@contextmanager
def pinned(count: int) -> Iterator[None]:
    """While open, PyTorch uses that many threads, if it is loaded; JAX has read the variable NPROC when it started."""
    torch: Any = sys.modules.get("torch")
    before = torch.get_num_threads() if torch else 0
    try:
        if torch:
            torch.set_num_threads(count)
        yield
    finally:
        if torch:
            torch.set_num_threads(before)


def precision_mode() -> str:
    """How the frameworks that are loaded compute what is given to them, for figures to be compared with their like."""
    torch: Any = sys.modules.get("torch")
    jax: Any = sys.modules.get("jax")
    modes = []
    if torch is not None:
        modes.append(f"torch {torch.get_default_dtype()} {torch.get_float32_matmul_precision()}")
    if jax is not None:
        wide = "x64" if jax.config.jax_enable_x64 else "x32"
        modes.append(f"jax {wide} {jax.config.jax_default_matmul_precision or 'default'}")
    return "; ".join(modes) or "python"


def compilations() -> int:
    """How many programs the frameworks that are loaded have compiled so far, in this process."""
    return sum(int(module.compiled_programs()) for module in _loaded())


def compiling_seconds() -> float | None:
    """How long they have compiled so far; None where none of them tells."""
    found = [module.compiled().seconds for module in _loaded() if hasattr(module, "compiled")]
    return sum(found) if found else None


def _loaded() -> list[Any]:
    packages = {"torch": "pytorch", "jax": "jax"}
    return [import_module(f"harness.adapters.{own}.timed") for each, own in packages.items() if each in sys.modules]
