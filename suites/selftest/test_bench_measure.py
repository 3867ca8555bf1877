"""Measuring a call: first and steady calls apart, rounds in which something was compiled left out."""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from harness.bench.clock import Reading
from harness.bench.measure import InProcess, Samples, first_minus_steady, measure, samples_of
from harness.errors import RunError


@dataclass
class Compiling:
    """A call during which something is compiled at the given calls; it takes a tenth of a second then."""

    at: Callable[[int], bool]
    calls: int = 0
    programs: int = 0
    seconds: float = 0.0
    order: list[str] = field(default_factory=list)

    def before(self) -> None:
        self.order.append("before")

    def __call__(self) -> None:
        self.order.append("call")
        if self.at(self.calls):
            self.programs += 1
            self.seconds += 0.01
            time.sleep(0.01)
        self.calls += 1

    def compilations(self) -> int:
        return self.programs

    def compiling_seconds(self) -> float | None:
        return self.seconds


def test_the_first_call_and_its_compiling_stand_apart() -> None:
    found = measure(Compiling(lambda number: number == 0), place="x", seconds=0, least=5)
    assert found.first_seconds >= 0.01
    assert found.compile_seconds == 0.01
    assert max(found.seconds("wall")) < 0.01
    assert len(found.readings) == 5


def test_what_was_compiled_beforehand_is_what_counts() -> None:
    found = measure(Compiling(lambda number: False), place="x", compile_seconds=3.0, least=5, seconds=0)
    assert found.compile_seconds == 3.0


def test_a_round_in_which_something_was_compiled_is_left_out() -> None:
    found = measure(Compiling(lambda number: number == 23), place="x", seconds=0, least=20, most=20)
    assert (found.recompiled, len(found.readings)) == (1, 19) or found.warm_up > 22


def test_a_call_that_always_compiles_is_refused() -> None:
    with pytest.raises(RunError, match=r"^x: something was compiled in 5 of 5 rounds\. Give every call the same"):
        measure(Compiling(lambda number: True), place="x", seconds=0, least=5)


def test_every_call_is_prepared() -> None:
    call = Compiling(lambda number: False)
    measure(call, place="x", seconds=0, least=5)
    assert call.order[::2] == ["before"] * (len(call.order) // 2)
    assert call.order[1::2] == ["call"] * (len(call.order) // 2)


def test_no_garbage_is_collected_in_rounds_and_it_is_on_again_afterwards() -> None:
    states: list[bool] = []
    measure(InProcess(lambda: states.append(gc.isenabled())), place="x", seconds=0, least=5)
    assert states[-5:] == [False] * 5
    assert states[0]
    assert gc.isenabled()


def test_garbage_is_collected_again_after_a_call_that_raises() -> None:
    calls = iter(range(100))

    def raising() -> None:
        if next(calls) > 50:
            raise ValueError("in a round")

    with pytest.raises(ValueError, match="in a round"):
        measure(InProcess(raising), place="x", seconds=0, least=99)
    assert gc.isenabled()


@pytest.mark.parametrize(("least", "most"), [(0, 5), (5, 4)])
def test_no_round_is_refused(least: int, most: int) -> None:
    with pytest.raises(ValueError, match="wanted at least one round"):
        measure(InProcess(lambda: None), place="x", least=least, most=most)


def busy(seconds: float) -> None:
    ends = time.process_time() + seconds
    while time.process_time() < ends:
        pass


class TestTheYardstick:
    def ordered(self, seconds: float) -> tuple[Samples, str]:
        """What a call of so many seconds gives, and the order of the call (c) and the yardstick (y)."""
        order = list[str]()

        def call() -> None:
            order.append("c")
            busy(seconds)

        def yardstick() -> None:
            order.append("y")
            busy(0.002)

        return measure(InProcess(call), place="x", seconds=0, least=5, yardstick=yardstick), "".join(order)

    def test_a_short_call_is_timed_alone_first(self) -> None:
        found, order = self.ordered(0.001)
        alone, turns = order.split("y", 1)
        assert len(alone) == 1 + found.warm_up + len(found.readings)
        assert "y" + turns == "yc" * len(found.turns)
        assert len(found.turns) >= 5

    def test_a_long_one_in_turn_from_the_first_round_on(self) -> None:
        found, order = self.ordered(0.06)
        assert order == "c" * (1 + found.warm_up) + "yc" * len(found.readings)
        assert [call for call, _ in found.turns] == list(found.readings)

    def test_it_is_what_the_call_takes_by_the_ratio_of_the_turns(self) -> None:
        found, _ = self.ordered(0.004)
        told = found.yardstick_seconds("cpu")
        assert told is not None
        # Half of the call, by however much the clock and the machine add to either.
        assert 0.3 < told / found.median("cpu").value < 0.8
        assert replace(found, turns=()).yardstick_seconds("cpu") is None

    def test_what_slows_the_turns_alone_does_not_change_it(self) -> None:
        """As a cache does that the yardstick takes from the call, whose figures are those of the plain rounds."""
        reading, slow = Reading(1.0, 1.0), Reading(4.0, 4.0)
        found = replace(self.ordered(0.0)[0], readings=(reading,) * 5, turns=((slow, Reading(2.0, 2.0)),) * 5)
        assert found.median("cpu").value == 1.0
        assert found.yardstick_seconds("cpu") == 0.5

    def test_a_turn_in_which_something_was_compiled_is_left_out(self) -> None:
        call = Compiling(lambda number: number % 3 == 0)
        found = measure(call, place="x", seconds=0, least=9, yardstick=lambda: None)
        assert 0 < len(found.turns) < 5


def test_samples_travel_as_json() -> None:
    found = measure(InProcess(lambda: None), place="x", seconds=0, least=5, yardstick=lambda: busy(0.001))
    assert found.turns
    again = samples_of(json.loads(json.dumps(found.to_dict())))
    assert isinstance(again, Samples)
    assert again == found


def test_a_compiler_that_tells_nothing_took_what_the_first_call_took_longer() -> None:
    calls = iter([0.05] + [0.0] * 1000)
    found = first_minus_steady(measure(InProcess(lambda: time.sleep(next(calls))), place="x", seconds=0, least=5))
    assert found.compile_seconds is not None
    assert 0.02 < found.compile_seconds <= found.first_seconds


def test_memory_is_what_was_held_while_it_ran() -> None:
    found = measure(InProcess(lambda: len(b"x" * (64 << 20))), place="x", seconds=0, least=5)
    if found.host_peak_bytes is None or found.host_before_bytes is None:
        pytest.skip("needs /proc: the system does not tell what a process holds")
    assert found.host_peak_bytes - found.host_before_bytes > 40 << 20
