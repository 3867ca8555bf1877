"""What a path costs and whether it computes what it should: one result, as processes and the record hand it on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from harness.bench.clock import Clock
from harness.bench.context import Context
from harness.bench.measure import Samples, samples_of
from harness.bench.path import BenchPath, parse
from harness.bench.statistics import Estimate
from harness.bench.yardstick import Peaks
from harness.parity.compare import Verdict, plain
from harness.register import Row, explained

WORDS = ("precision", "accelerator")
"""Figures in words that the record holds."""


@dataclass(frozen=True, slots=True)
class Measured:
    """The figures of a path.

    clock: the one that decides: `cpu` on a CPU, `device` on a GPU with a clock of its own, else `wall`.
    items, unit: what a call works on: tokens, or rows of a batch. flops: operations of a call, as the framework counts
    them. held_bytes: the weights, which a call reads once at least. device_peak_bytes: None where that is the CPU.
    """

    samples: Samples
    clock: Clock
    context: Context
    peaks: Peaks
    items: int
    unit: str
    flops: float | None
    held_bytes: int
    device_peak_bytes: int | None

    @property
    def median(self) -> Estimate:
        """Seconds of a call by the clock that decides, with its interval."""
        return self.samples.median(self.clock)

    def metrics(self) -> dict[str, Any]:
        """The figures of a line in the record, and of pytest-benchmark's `extra_info`."""
        found, samples = self.median, self.samples
        return {
            "clock": self.clock,
            "median_seconds": found.value,
            "low_seconds": found.low,
            "high_seconds": found.high,
            "wall_seconds": samples.median("wall").value,
            "cpu_seconds": samples.median("cpu").value,
            "rounds": len(samples.readings),
            "warm_up": samples.warm_up,
            "recompiled": samples.recompiled,
            "compile_seconds": samples.compile_seconds,
            "first_seconds": samples.first_seconds,
            "yardstick_seconds": samples.yardstick_seconds(self.clock),
            "items_per_second": self.items / found.value,
            "unit": self.unit,
            "flops": self.flops,
            "flops_ratio": self.flops and self.flops / found.value / self.peaks.flops_per_second,
            "bytes_ratio": self.held_bytes / found.value / self.peaks.bytes_per_second,
            "peak_flops_per_second": self.peaks.flops_per_second,
            "peak_bytes_per_second": self.peaks.bytes_per_second,
            "host_peak_bytes": samples.host_peak_bytes,
            "host_before_bytes": samples.host_before_bytes,
            "device_peak_bytes": self.device_peak_bytes,
            "threads": self.context.threads,
            "precision": self.context.precision,
            "accelerator": self.context.accelerator,
            "oversubscription": samples.evidence.oversubscription,
            "load_average": samples.evidence.load_average,
        }


@dataclass(frozen=True, slots=True)
class PathResult:
    """A path of a case: its figures, or why there are none; and the verdict on what it put out.

    error, scale, allowed: of the worst output: how far it is from the reference, on which values, and how much of that
    rounding explains.
    """

    case_name: str
    path: BenchPath
    verdict: Verdict
    reason: str
    error: float = 0.0
    scale: float = 0.0
    allowed: float = 0.0
    measured: Measured | None = None

    @property
    def case(self) -> str:
        """How the record names what was measured."""
        return self.case_name

    @property
    def check(self) -> str:
        """The path."""
        return str(self.path)

    @property
    def title(self) -> str:
        """For people."""
        return f"{self.case_name}: {self.path}"

    @property
    def subject(self) -> str:
        """How the register names the claim."""
        return f"{self.case_name}.{self.path}"

    def registered(self, rows: Sequence[Row]) -> tuple[str, ...]:
        """The ids of those rows of the register that explain it; nothing explains an inconclusive one."""
        if self.verdict is Verdict.INCONCLUSIVE:
            return ()
        return explained(self.error, rows, agrees=self.verdict is Verdict.AGREE)

    def metrics(self) -> dict[str, Any]:
        """The figures of the result's line in the record: numbers, and the words without which times of two runs would
        be compared that may not be.
        """
        found = {"error": self.error, "scale": self.scale, "allowed": self.allowed} | self.figures()
        told = plain(found).items()
        return {name: value for name, value in told if not isinstance(value, str) or name in WORDS}

    def figures(self) -> dict[str, Any]:
        """All figures, those in words too; none where nothing could be measured."""
        return self.measured.metrics() if self.measured else {}

    def to_dict(self) -> dict[str, Any]:
        """The result's own file, and what one process tells another."""
        told = {
            "case": self.case_name,
            "path": str(self.path),
            "verdict": self.verdict.value,
            "reason": self.reason,
            "error": self.error,
            "scale": self.scale,
            "allowed": self.allowed,
            "figures": self.figures(),
            "measured": asdict(self.measured) if self.measured else None,
        }
        return dict(plain({"text": str(self), "outputs": [], "taps": [], "bench": told}))

    def __str__(self) -> str:
        lines = [f"{self.title}: {self.verdict.value.replace('_', ' ')}"]
        lines += [f"  why         {self.reason}"] if self.reason else []
        if self.measured:
            lines += [f"  {label:<12}{text}" for label, text in _told(self.measured)]
            lines.append(f"  error       {self.error:.3g} on values up to {self.scale:.3g}")
        return "\n".join(lines)


def result_of(values: dict[str, Any]) -> PathResult:
    """What `PathResult.to_dict` gave."""
    told = values["bench"]
    numbers = {name: float(told[name]) for name in ("error", "scale", "allowed")}
    held = told["measured"]
    measured = None
    if held:
        parts = {"samples": samples_of(held["samples"]), "context": Context(**held["context"])}
        measured = Measured(**{**held, **parts, "peaks": Peaks(**held["peaks"])})
    verdict = Verdict(told["verdict"])
    return PathResult(told["case"], parse(told["path"]), verdict, told["reason"], measured=measured, **numbers)


def _told(measured: Measured) -> list[tuple[str, str]]:
    figures = measured.metrics()
    compiling = figures["compile_seconds"]
    ratio = figures["flops_ratio"]
    peak = measured.device_peak_bytes if measured.context.accelerator else measured.samples.host_peak_bytes
    of_peak = "-" if ratio is None else f"{ratio:.0%} of a matrix product, {figures['bytes_ratio']:.0%} of a copy"
    low, high = (1e3 * figures[name] for name in ("low_seconds", "high_seconds"))
    return [
        ("speed", f"{1e3 * figures['median_seconds']:.3g} ms ({low:.3g} to {high:.3g}) by the {measured.clock} clock"),
        ("", f"{figures['items_per_second']:.3g} {measured.unit} a second, {figures['rounds']} rounds"),
        ("compiling", "-" if compiling is None else f"{compiling:.2g} s"),
        ("memory", "-" if peak is None else f"{peak / 2**20:.0f} MiB at most"),
        ("of peak", of_peak),
    ]
