"""The judge, on sides whose cost is known: what it says of a change, of none, and when it says nothing."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest

from harness import bench
from harness.bench import affinity, statistics
from harness.bench.abba import APART, LOOKS, Terms, alternate, correct, judge
from harness.bench.clock import Reading
from harness.bench.context import Context
from harness.errors import RunError

HERE = Context("a processor", 2, "", 1, "float32", {})


class Simulated:
    """Two sides that cost 10 ms and `slower` times that, on a machine that is up to twice as slow by turns."""

    def __init__(self, slower=1.0, *, noise=0.01, waits=1.0, seconds=0.01, device=False, seed=0):
        self.slower, self.noise, self.waits, self.seconds, self.device = slower, noise, waits, seconds, device
        self.drawn = np.random.default_rng(seed)
        self.order = []

    def a(self, calls):
        return self._took("a", 1.0)

    def b(self, calls):
        return self._took("b", self.slower)

    def _took(self, name, cost):
        machine = 1.5 + 0.5 * np.sin(len(self.order) / 20)
        self.order.append(name)
        took = self.seconds * cost * machine * np.exp(self.drawn.normal(0, self.noise))
        return Reading(took * self.waits, took, took / 10 if self.device else None)

    def judged(self, **terms):
        return alternate(self.a, self.b, Terms(**terms), contexts_of=(HERE, HERE))


@pytest.mark.parametrize(
    ("slower", "outcome"), [(1.0, "unchanged"), (1.05, "slower"), (1.1, "slower"), (0.9, "faster"), (0.95, "faster")]
)
def test_outcomes(slower, outcome):
    found = Simulated(slower).judged(limit_seconds=100)
    assert (found.outcome, found.reason) == (outcome, "")
    assert found.ratio.low <= found.ratio.value <= found.ratio.high
    assert found.ratio.value == pytest.approx(slower, rel=0.02)


def test_sides_alternate_so_that_drift_cancels():
    sides = Simulated()
    found = sides.judged(limit_seconds=100)
    rounds = "".join(sides.order[-4 * len(found.quads) :])
    assert rounds == "abba" * len(found.quads)
    times = [0.01 * 1.001**number for number in range(4 * 64)]  # 29 % slower at the end than in the beginning
    quads = np.array(times).reshape(-1, 4)
    assert statistics.ratio(quads).value == pytest.approx(1, abs=1e-5)


def test_false_alarms_are_few_and_changes_are_found():
    """The figures of the real thing are those of suites/benchmarks/detection.py; here the sides have no bias."""
    told = [Simulated(seed=seed, noise=0.03).judged(limit_seconds=100).outcome for seed in range(20)]
    assert told.count("slower") + told.count("faster") == 0
    found = [Simulated(1.05, seed=seed, noise=0.03).judged(limit_seconds=100).outcome for seed in range(20)]
    assert found.count("slower") >= 17
    assert "faster" not in found


def test_a_change_within_delta_is_none():
    assert Simulated(1.015).judged(limit_seconds=100).outcome == "unchanged"
    assert Simulated(1.015, noise=0.002).judged(limit_seconds=100, delta=0.005).outcome == "slower"


@pytest.mark.parametrize(("change", "outcome"), [(0.9, "inconclusive"), (1.5, "slower")])
def test_what_two_processes_differ_by_is_no_change(change, outcome):
    side = Simulated(1 + change * APART, noise=0.002)
    assert side.judged(limit_seconds=100, delta=0.005).outcome == outcome


def test_noise_gets_more_quads_and_then_nothing_is_said():
    quiet = Simulated(noise=0.002).judged(limit_seconds=100)
    loud = Simulated(1.04, noise=0.6).judged(limit_seconds=100)
    assert len(quiet.quads) < len(loud.quads) == LOOKS[-1]
    assert loud.outcome == "inconclusive"
    assert ", after 64 quads" in loud.reason


def test_the_limit_of_cpu_time_holds_with_warming_up():
    sides = Simulated(noise=0.6)
    found = sides.judged(limit_seconds=2.0)
    assert 1.8 < found.cpu_seconds <= 2.0
    assert len(found.quads) < LOOKS[-1]
    few = Simulated(1.5, seconds=0.1).judged(limit_seconds=2.0)
    assert few.outcome == "inconclusive"
    assert few.reason.startswith("2 s of CPU time are enough for ")
    assert "of 16 quads: it takes a limit of about " in few.reason
    needed = float(few.reason.split()[-2])
    assert Simulated(1.5, seconds=0.1).judged(limit_seconds=needed).outcome == "slower"


def test_many_comparisons_take_stronger_evidence_each():
    alone = Simulated(1.06, noise=0.05).judged(limit_seconds=100)
    among = Simulated(1.06, noise=0.05).judged(limit_seconds=100, among=1000)
    assert alone.outcome == among.outcome == "slower"
    assert len(among.quads) > len(alone.quads)
    assert among.p * 1000 <= 0.01 < alone.p * 1000


def test_a_run_of_many_is_corrected():
    weak = replace(Simulated(1.1).judged(limit_seconds=100), p=0.01)
    assert [each.outcome for each in correct([weak])] == ["slower"]
    run = correct([weak] + [Simulated(seed=seed).judged(limit_seconds=100) for seed in range(40)])
    assert run[0].outcome == "inconclusive"
    assert run[0].reason == "of 41 comparisons one may be so by chance"
    assert {each.outcome for each in run[1:]} == {"unchanged"}
    assert correct([]) == []


def test_wall_time_decides_nothing_while_the_machine_is_oversubscribed(monkeypatch):
    monkeypatch.setattr(os, "getloadavg", lambda: (0.5, 0.5, 0.5))
    slower = Simulated(1.3, waits=2.0).judged(limit_seconds=100, clock="wall")
    assert slower.outcome == "inconclusive"
    assert slower.reason.startswith("wall time says nothing here: wall time is 2.0 times CPU time")
    assert Simulated(1.3, waits=2.0).judged(limit_seconds=100).outcome == "slower"
    assert Simulated(1.3).judged(limit_seconds=100, clock="wall").outcome == "slower"


def test_a_device_is_judged_by_its_own_time():
    found = Simulated(1.1, device=True).judged(limit_seconds=100)
    assert (found.clock, found.outcome) == ("device", "slower")
    assert found.seconds()[0] < 0.005
    assert Simulated(1.1, device=True).judged(limit_seconds=100, clock="cpu").clock == "cpu"
    with pytest.raises(RunError, match="the call gave no time of a device"):
        Simulated().judged(clock="device")


def test_short_calls_are_run_several_times_a_round():
    assert Simulated(seconds=1e-5).judged(limit_seconds=100).calls > 30
    assert Simulated(seconds=0.01).judged(limit_seconds=100).calls == 1


def test_a_call_that_waits_is_not_run_a_million_times():
    class Waiting:
        def run(self, calls):
            return Reading(0.5, 0.0)

    found = alternate(Waiting().run, Waiting().run, Terms(), contexts_of=(HERE, HERE))
    assert (found.outcome, found.reason, found.calls) == ("inconclusive", "a round took no cpu time", 1)


def test_the_first_call_may_compile():
    """It takes a minute, and neither the limit nor the outcome hears of it."""

    class Compiling(Simulated):
        def a(self, calls):
            first = not self.order
            return Reading(60.0, 60.0) if first and not self.order.append("a") else super().a(calls)

    found = Compiling(1.1).judged()
    assert (found.outcome, found.cpu_seconds < 2.0) == ("slower", True)


def test_two_callables():
    found = bench.compare(lambda: sum(range(20_000)), lambda: sum(range(24_000)))
    assert found.outcome == "slower"
    assert 1.1 < found.ratio.value < 1.3
    assert found.evidence.oversubscription > 0
    whole = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert whole["outcome"] == "slower"
    assert np.array(whole["quads"], dtype=float).shape == (len(found.quads), 4, 3)
    assert whole["contexts"][0]["threads"] == 1


def test_what_fails_is_passed_on_and_the_process_is_as_it_was():
    before = affinity.choose(64)

    def fails():
        assert len(os.sched_getaffinity(0)) == 1
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        bench.compare(lambda: None, fails)
    assert affinity.choose(64) == before


def test_processors_are_those_that_may_be_used():
    assert len(affinity.choose(1)) == 1
    assert affinity.choose(1) < os.sched_getaffinity(0) or len(os.sched_getaffinity(0)) == 1
    assert affinity.choose(1000) == os.sched_getaffinity(0)


@pytest.mark.parametrize(
    "wrong", [{"delta": 0}, {"delta": -0.1}, {"delta": 1}, {"alpha": 0}, {"limit_seconds": 0}, {"among": 0}]
)
def test_terms_that_mean_nothing_are_refused(wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=f"{name} is {wrong[name]}"):
        Terms(**wrong)


def test_nothing_is_judged_of_no_quads():
    with pytest.raises(ValueError, match="shape"):
        judge(bench.Judgement("inconclusive", "", Terms()))


def constant(seconds, *, wall=1.0, first=()):
    """A side that takes so long, by wall time so many times that; its first calls take what `first` says."""
    left = iter(first)

    def run(calls):
        took = next(left, seconds)
        return Reading(took * wall, took)

    return run


def test_an_accelerator_without_a_clock_of_its_own_is_judged_by_wall_time():
    both = (replace(HERE, accelerator="a TPU"),) * 2
    found = alternate(constant(0.001), constant(0.001, wall=2.0), Terms(limit_seconds=9), contexts_of=both)
    assert found.clock == "wall"


def test_one_interrupted_call_of_the_warm_up_does_not_use_up_the_limit():
    slow_once = constant(1e-6, first=[1e-6, 0.005])
    assert alternate(slow_once, constant(1e-6), Terms(), contexts_of=(HERE, HERE)).outcome == "unchanged"


def test_the_warm_up_of_a_long_call_ends_at_the_limit():
    found = alternate(constant(5.0), constant(5.0), Terms(), contexts_of=(HERE, HERE))
    assert found.cpu_seconds <= 20


def test_nan_of_a_callable_is_no_outcome():
    whole = np.ones(20_000)
    found = bench.compare(lambda: whole + 1, lambda: whole + np.nan)
    assert (found.outcome, found.reason) == ("inconclusive", "B: an output holds NaN")
