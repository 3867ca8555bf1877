"""What one kind of call costs: compiling and the first call apart, then rounds of the steady state, all kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from harness.adapters.timed import compilations, compiling_seconds
from harness.bench import context
from harness.bench.clock import Clock, Reading, collection_off, read
from harness.bench.statistics import Estimate, median
from harness.environment import held_bytes, peak_bytes
from harness.errors import RunError

LEAST, MOST, SECONDS = 5, 200, 1.0
"""Rounds: at least and at most so many, in between for so many seconds. Five is the fewest of which a bootstrap
interval of the median says anything; two hundred of a millisecond take a fifth of a second."""

STABLE, WARM_CALLS, WARM_SECONDS = 0.1, 20, 3.0
"""Warm-up ends when two calls in a row differ from the one before by at most a tenth; or after so many, or so long."""

LONG_SECONDS, LONG_LEAST = 1.0, 3
"""A call as long as that is made so many times at least, and no more: a step of training takes seconds."""


class Call(Protocol):
    """What is measured; see `harness.adapters.timed.Ready`, of which any callable is the least."""

    def before(self) -> None: ...

    def __call__(self) -> Any: ...

    def compilations(self) -> int: ...

    def compiling_seconds(self) -> float | None: ...


@dataclass(frozen=True, slots=True)
class InProcess:
    """A function with its arguments as a call."""

    function: Callable[..., Any]
    arguments: Sequence[Any] = ()
    keywords: Mapping[str, Any] = field(default_factory=dict)

    def before(self) -> None:
        """Nothing has to be put back."""

    def __call__(self) -> Any:
        return self.function(*self.arguments, **self.keywords)

    def compilations(self) -> int:
        return compilations()

    def compiling_seconds(self) -> float | None:
        return compiling_seconds()


@dataclass(frozen=True, slots=True)
class Samples:
    """One measured call.

    readings: of every round, in order. compile_seconds: what the compiler took, before the first call or in it; None
    where nothing was compiled, or nobody tells. first_seconds: of the first call, with what it compiled. warm_up: calls
    before the rounds. recompiled: rounds that were thrown away since something was compiled in them.
    host_peak_bytes: the most that the process held meanwhile; host_before_bytes: what it held before.
    """

    readings: tuple[Reading, ...]
    compile_seconds: float | None
    first_seconds: float
    warm_up: int
    recompiled: int
    host_peak_bytes: int | None
    host_before_bytes: int | None
    evidence: context.Evidence

    def seconds(self, clock: Clock) -> list[float]:
        """By that clock, of every round."""
        return [each.seconds(clock) for each in self.readings]

    def median(self, clock: Clock) -> Estimate:
        """The median of the rounds with its interval, in seconds by that clock."""
        return median(self.seconds(clock))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; `samples_of` reads them."""
        return asdict(self)


def samples_of(values: dict[str, Any]) -> Samples:
    """What `to_dict` gave."""
    readings = tuple(Reading(**each) for each in values["readings"])
    return Samples(**{**values, "readings": readings, "evidence": context.Evidence(**values["evidence"])})


def measure(
    call: Call,
    *,
    place: str,
    compile_seconds: float | None = None,
    seconds: float = SECONDS,
    least: int = LEAST,
    most: int = MOST,
) -> Samples:
    """The samples of a call.

    place: what is measured, for messages. compile_seconds: what was compiled before. seconds, least, most: of the
    rounds.

    Raises:
        RunError: a clock went backwards; or something was compiled in most of the rounds.
        ValueError: no round is wanted.
    """
    if least < 1 or most < least:
        raise ValueError(f"wanted at least one round, got least={least} and most={most}")
    before_bytes, began = held_bytes(), context.ticks()
    _forget_peak()
    compiled = call.compiling_seconds()
    call.before()
    first, _ = read(call)
    told = call.compiling_seconds()
    if compile_seconds is None and compiled is not None and told is not None:
        # What is traced inside of something else is told twice.
        compile_seconds = min(told - compiled, first.wall_seconds)
    warm_up = _warm(call)
    if warm_up[-1].wall_seconds > LONG_SECONDS:
        least = min(least, LONG_LEAST)
    readings, recompiled = _rounds(call, seconds=seconds, least=least, most=most)
    if recompiled > len(readings):
        problem = f"something was compiled in {recompiled} of {recompiled + len(readings)} rounds"
        raise RunError(place, problem, todo="Give every call the same shapes and types, or pad them to the same.")
    return Samples(
        readings=tuple(readings),
        compile_seconds=compile_seconds,
        first_seconds=first.wall_seconds,
        warm_up=len(warm_up),
        recompiled=recompiled,
        host_peak_bytes=peak_bytes(),
        host_before_bytes=before_bytes,
        evidence=context.evidence(began, readings),
    )


def first_minus_steady(samples: Samples) -> Samples:
    """The samples with the first call, less a steady one, as the time of compiling: of a compiler that tells none."""
    steady = samples.median("wall").value
    return replace(samples, compile_seconds=max(0.0, samples.first_seconds - steady))


def _warm(call: Call) -> list[Reading]:
    """Call until it takes the same time; the readings of all these calls."""
    found: list[Reading] = []
    ends = time.perf_counter() + WARM_SECONDS
    while len(found) < WARM_CALLS and (not found or time.perf_counter() < ends):
        call.before()
        found.append(read(call)[0])
        if len(found) >= 3 and _near([each.cpu_seconds for each in found[-3:]]):
            break
    return found


def _near(times: Sequence[float]) -> bool:
    return all(abs(each - times[0]) <= STABLE * times[0] for each in times)


def _rounds(call: Call, *, seconds: float, least: int, most: int) -> tuple[list[Reading], int]:
    """The rounds in which nothing was compiled, and how many others there were."""
    readings: list[Reading] = []
    recompiled = 0
    with collection_off():
        for _ in _until(seconds, least, most):
            call.before()
            programs = call.compilations()
            reading, _ = read(call)
            if call.compilations() > programs:
                recompiled += 1
            else:
                readings.append(reading)
    return readings, recompiled


def _until(seconds: float, least: int, most: int) -> Iterator[int]:
    ends = time.perf_counter() + seconds
    for number in range(most):
        if number >= least and time.perf_counter() > ends:
            return
        yield number


def _forget_peak() -> None:
    """Let the peak begin anew, so that it is that of what comes, where the system allows it."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return
