"""Two sides in turn, A B B A, until it is clear whether they cost the same: the judge of a change.

A quad meets both sides in the same state of the machine, and drift within it cancels. More quads are taken until the
outcome is clear, or the limit of CPU time is reached.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from harness.bench import affinity, statistics
from harness.bench import context as contexts
from harness.bench.clock import Clock, Reading, collection_off, read
from harness.bench.context import Context, Evidence
from harness.bench.statistics import Estimate
from harness.bench.worker import has_nan
from harness.errors import RunError

Outcome = Literal["unchanged", "faster", "slower", "inconclusive"]
Round = Callable[[int], Reading]
"""Runs one side so many times in a row; the mean of a call."""
Progress = Callable[[int, int], None]
"""Is told how many quads are done, of at most how many."""

LOOKS = (16, 32, 48, 64)
"""Numbers of quads after which the outcome may be clear; p is multiplied by how many there are. Over 26 unchanged
pairs, each also cut and mirrored, a first look after 8 quads told four changes in 104, where this told none."""
APART = 0.008
"""By how much two processes of one call may differ for as long as they live, as a ratio less 1: by how they happen to
lie in memory. A change is told if it is clearly more. Over 40 unchanged pairs of 100 quads, each cut and mirrored, one
was told without this, and none with it."""
ROUND_SECONDS = 0.004
"""CPU time of a round at least: shorter calls are run several times in it. It is about that of the forward on which the
judge was measured (suites/benchmarks/detection.py)."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How a change is judged.

    delta: the largest change that is told as none, as a ratio less 1: half of one that matters, which is then found.
    alpha: how often a run without any change may tell one by chance.
    among: of how many comparisons the run consists.
    limit_seconds: CPU time of both sides, each one's first call apart. clock: None for the device's own, or CPU time.
    """

    delta: float = 0.025
    alpha: float = 0.02
    limit_seconds: float = 2.0
    among: int = 1
    clock: Clock | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name, wanted in (("delta", 0 < self.delta < 1), ("alpha", 0 < self.alpha < 1), ("among", self.among >= 1)):
            if not wanted:
                raise ValueError(f"{name} is {getattr(self, name)!r}")
        if not self.limit_seconds > 0:
            raise ValueError(f"limit_seconds is {self.limit_seconds!r}")


@dataclass(frozen=True, slots=True)
class Judgement:
    """What was found of B beside A.

    ratio: B's median by A's; None where nothing could be timed. p: that they differ by at most `APART`, corrected for
    the looks. quads: the readings, each a call's mean of `calls`. cpu_seconds: of all calls but the first of each side.
    """

    outcome: Outcome
    reason: str
    terms: Terms
    clock: Clock = "cpu"
    ratio: Estimate | None = None
    p: float = 1.0
    quads: tuple[tuple[Reading, ...], ...] = ()
    calls: int = 1
    cpu_seconds: float = 0.0
    contexts: tuple[Context, Context] | None = None
    evidence: Evidence | None = None

    def seconds(self) -> tuple[float, float]:
        """The median of a call of A and of B."""
        times = [[each.seconds(self.clock) for each in quad] for quad in self.quads]
        a = statistics.median([time for quad in times for time in (quad[0], quad[3])])
        b = statistics.median([time for quad in times for time in (quad[1], quad[2])])
        return a.value, b.value

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, the raw readings too, each as [wall, CPU, device] seconds."""
        whole = asdict(replace(self, quads=()))
        whole["quads"] = [
            [[each.wall_seconds, each.cpu_seconds, each.device_seconds] for each in quad] for quad in self.quads
        ]
        return whole


def alternate(
    a: Round, b: Round, terms: Terms, *, contexts_of: tuple[Context, Context], progress: Progress | None = None
) -> Judgement:
    """Warm both sides up, then take quads until the outcome is clear.

    Raises:
        RunError: a side cannot be run, or a clock went backwards.
    """
    began = contexts.ticks()
    both = [_warmed(side, limit_seconds=terms.limit_seconds / 4) for side in (a, b)]
    warm = [each for side in both for each in side]
    clock = terms.clock or _clock(warm, contexts_of)
    calls = _calls(warm, clock)
    spent = sum(each.cpu_seconds for each in warm)
    dearest = 4 * calls * max(statistics.median([each.cpu_seconds for each in side]).value for side in both)
    quads: list[tuple[Reading, ...]] = []
    found = Judgement("inconclusive", "", terms, clock, calls=calls, contexts=contexts_of)
    for wanted in LOOKS:
        while len(quads) < wanted and spent + dearest <= terms.limit_seconds:
            quads.append(tuple(side(calls) for side in (a, b, b, a)))
            cost = calls * sum(each.cpu_seconds for each in quads[-1])
            spent, dearest = spent + cost, max(dearest, cost)
            if progress is not None:
                progress(len(quads), LOOKS[-1])
        if len(quads) < LOOKS[0]:
            needed = spent + dearest * (LOOKS[0] - len(quads))
            problem = f"{terms.limit_seconds:g} s of CPU time are enough for {len(quads)} of {LOOKS[0]} quads"
            problem += f": it takes a limit of about {needed:.2g} s"
            return replace(found, reason=problem, quads=tuple(quads), cpu_seconds=spent)
        evidence = contexts.evidence(began, [each for quad in quads for each in quad])
        found = judge(replace(found, quads=tuple(quads), cpu_seconds=spent, evidence=evidence))
        if found.outcome != "inconclusive" or len(quads) < wanted:
            break
    return found


def judge(found: Judgement) -> Judgement:
    """The same with the outcome that its quads allow; none where the clock is that of the wall on a busy machine."""
    terms, count = found.terms, len(found.quads)
    times = [[each.seconds(found.clock) for each in quad] for quad in found.quads]
    if min(map(min, times), default=1.0) <= 0:
        return replace(found, outcome="inconclusive", reason=f"a round took no {found.clock} time")
    p = min(1.0, statistics.p_value(times, least=APART) * len(LOOKS))
    estimate = statistics.ratio(times, confidence=1 - terms.alpha, seed=terms.seed)
    found = replace(found, p=p, ratio=estimate)
    size = max(estimate.value, 1 / estimate.value) - 1
    if found.clock == "wall" and found.contexts and found.evidence:
        busy = contexts.oversubscribed(found.contexts[0], found.evidence)
        if busy is not None:
            return replace(found, outcome="inconclusive", reason=f"wall time says nothing here: {busy}")
    if size > terms.delta:
        if p * terms.among <= terms.alpha and max(estimate.low, 1 / estimate.high) > 1 + APART:
            return replace(found, outcome="slower" if estimate.value > 1 else "faster", reason="")
        problem = f"off by {size:.1%}, which may be chance (p = {p:.2g})"
    elif max(estimate.high, 1 / estimate.low) - 1 < 1.5 * terms.delta:
        return replace(found, outcome="unchanged", reason="")
    else:
        problem = f"{estimate.low:.3f} to {estimate.high:.3f} is too wide for a delta of {terms.delta:g}"
    return replace(found, outcome="inconclusive", reason=f"{problem}, after {count} quads")


def correct(found: Sequence[Judgement]) -> list[Judgement]:
    """The judgements of one run, their p corrected for their number (Holm); a change that is lost is inconclusive."""
    corrected = statistics.holm([each.p for each in found]) if found else []
    return [
        replace(each, outcome="inconclusive", reason=f"of {len(found)} comparisons one may be so by chance", p=p)
        if each.outcome in ("faster", "slower") and p > each.terms.alpha
        else replace(each, p=p)
        for each, p in zip(found, corrected, strict=True)
    ]


def compare(
    a: Callable[[], Any],
    b: Callable[[], Any],
    *,
    terms: Terms | None = None,
    threads: int = 1,
    precision: str = "float32",
    progress: Progress | None = None,
) -> Judgement:
    """Whether b costs something else than a, both called here without arguments, in turn.

    threads: as many processors are used for both. A call that returns NaN makes it inconclusive. Two versions of one
    module need a process each: see `lockstep`.

    Raises:
        RunError: a clock went backwards.
    """
    here, terms = contexts.capture(threads=threads, precision=precision), terms or Terms()
    with affinity.pinned([0], affinity.choose(threads)), collection_off():
        try:
            sides = _round(a, "A"), _round(b, "B")
            return alternate(*sides, terms, contexts_of=(here, here), progress=progress)
        except NanError as error:
            return Judgement("inconclusive", f"{error.place}: {error.problem}", terms, contexts=(here, here))


class NanError(RunError):
    """A call put out what is no number."""


def _round(call: Callable[[], Any], name: str) -> Round:
    def run(calls: int) -> Reading:
        reading, output = read(call, calls=calls)
        if has_nan(output):
            raise NanError(name, "an output holds NaN", todo="Compare it with the other by `harness.check`.")
        return reading

    return run


def _clock(warm: Sequence[Reading], contexts_of: tuple[Context, Context]) -> Clock:
    """The one that decides: the device's own; of a device that has none, the wall's; else that of the CPU."""
    if all(each.device_seconds is not None for each in warm):
        return "device"
    return "wall" if contexts_of[0].accelerator else "cpu"


def _warmed(side: Round, *, limit_seconds: float) -> list[Reading]:
    """The first calls without the very first, which may compile; four, until none of three gains 5 % on those before.

    limit_seconds: of CPU time, after which there is no further.
    """
    side(1)
    taken = [side(1)]
    while len(taken) < 20 and sum(each.cpu_seconds for each in taken) < limit_seconds:
        if len(taken) > 3 and _fastest(taken[-3:], "cpu") >= 0.95 * _fastest(taken[:-3], "cpu"):
            break
        taken.append(side(1))
    return taken


def _calls(warm: Sequence[Reading], clock: Clock) -> int:
    """How many calls a round needs to take ROUND_SECONDS by the clock; of calls that mostly wait, fewer."""
    enough = math.ceil(ROUND_SECONDS / max(_fastest(warm, clock), 1e-9))
    return max(1, min(enough, int(50 * ROUND_SECONDS / max(_fastest(warm, "wall"), 1e-9))))


def _fastest(readings: Sequence[Reading], clock: Clock) -> float:
    return min(reading.seconds(clock) for reading in readings)
