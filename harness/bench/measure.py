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
from harness.bench.history.yardstick import ratio
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

TURN_SECONDS, TURN_MOST = 0.3, 40
"""Rounds in turn with the yardstick, after the others: for so long, at most so many, `LEAST` at least."""

APART_SECONDS = TURN_SECONDS / LEAST - 0.01
"""A call shorter than that is measured alone first. In turn with the yardstick, which takes its caches, a call of 0.6
ms took 2.3 times as long, one of 3 ms 1.33, of 8 ms 1.14, and of 61 ms 1.004 times: medians of 30 processes."""


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
    host_peak_bytes: the most that the process held meanwhile; host_before_bytes: what it held before. turns: the call
    and the yardstick, one after the other.
    """

    readings: tuple[Reading, ...]
    compile_seconds: float | None
    first_seconds: float
    warm_up: int
    recompiled: int
    host_peak_bytes: int | None
    host_before_bytes: int | None
    evidence: context.Evidence
    turns: tuple[tuple[Reading, Reading], ...] = ()

    def seconds(self, clock: Clock) -> list[float]:
        """By that clock, of every round."""
        return [each.seconds(clock) for each in self.readings]

    def median(self, clock: Clock) -> Estimate:
        """The median of the rounds with its interval, in seconds by that clock."""
        return median(self.seconds(clock))

    def yardstick_seconds(self, clock: Clock) -> float | None:
        """What the yardstick takes where a call takes the median: that by the ratio of both in turn, which varied by 5
        to 7 % over 30 processes; the ratio of their medians did by 13 to 17 %. None without a yardstick.
        """
        if not self.turns:
            return None
        call, yardstick = ([turn[side].seconds(clock) for turn in self.turns] for side in (0, 1))
        return self.median(clock).value / ratio(call, yardstick)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; `samples_of` reads them."""
        return asdict(self)


def samples_of(values: dict[str, Any]) -> Samples:
    """What `to_dict` gave."""
    readings = tuple(Reading(**each) for each in values["readings"])
    turns = tuple((Reading(**call), Reading(**yardstick)) for call, yardstick in values["turns"])
    evidence = context.Evidence(**values["evidence"])
    return Samples(**{**values, "readings": readings, "turns": turns, "evidence": evidence})


def measure(
    call: Call,
    *,
    place: str,
    compile_seconds: float | None = None,
    seconds: float = SECONDS,
    least: int = LEAST,
    most: int = MOST,
    yardstick: Callable[[], Any] | None = None,
) -> Samples:
    """The samples of a call.

    place: what is measured, for messages. compile_seconds: what was compiled before. seconds, least, most: of the
    rounds. yardstick: other work, timed in turn with the call where that disturbs it least.

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
    in_turn = yardstick if warm_up[-1].cpu_seconds >= APART_SECONDS else None
    readings, turns, recompiled = _rounds(call, in_turn, seconds=seconds, least=least, most=most)
    if recompiled > len(readings):
        problem = f"something was compiled in {recompiled} of {recompiled + len(readings)} rounds"
        raise RunError(place, problem, todo="Give every call the same shapes and types, or pad them to the same.")
    host_peak, evidence = peak_bytes(), context.evidence(began, readings)
    if yardstick is not None and in_turn is None:
        _, turns, _ = _rounds(call, yardstick, seconds=min(seconds, TURN_SECONDS), least=LEAST, most=TURN_MOST)
    return Samples(
        readings=tuple(readings),
        compile_seconds=compile_seconds,
        first_seconds=first.wall_seconds,
        warm_up=len(warm_up),
        recompiled=recompiled,
        host_peak_bytes=host_peak,
        host_before_bytes=before_bytes,
        evidence=evidence,
        turns=tuple(turns),
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


def _rounds(
    call: Call, yardstick: Callable[[], Any] | None, *, seconds: float, least: int, most: int
) -> tuple[list[Reading], list[tuple[Reading, Reading]], int]:
    """The rounds in which nothing was compiled, the same beside the yardstick's, and how many others there were."""
    readings, turns, recompiled = list[Reading](), list[tuple[Reading, Reading]](), 0
    with collection_off():
        for _ in _until(seconds, least, most):
            beside = read(yardstick)[0] if yardstick else None
            call.before()
            programs = call.compilations()
            reading, _ = read(call)
            if call.compilations() > programs:
                recompiled += 1
                continue
            readings.append(reading)
            if beside:
                turns.append((reading, beside))
    return readings, turns, recompiled


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
