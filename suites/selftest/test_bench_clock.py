"""Clocks and readings, and the contexts whose figures may be compared."""

import gc
import time
from dataclasses import replace

import pytest

from harness.bench import context
from harness.bench.clock import Clocks, Reading, collection_off, read
from harness.bench.context import Context, Evidence, Ticks
from harness.errors import RunError

HERE = Context("a processor", 2, "", 1, "float32", {"torch": "2.13.0"})


def ticking(*nanoseconds):
    return iter(nanoseconds).__next__


def test_cpu_time_leaves_out_what_a_call_waits_and_wall_time_does_not():
    slept, _ = read(lambda: time.sleep(0.05))
    assert slept.wall_seconds >= 0.05 > 10 * slept.cpu_seconds
    worked, output = read(lambda: sum(range(300_000)))
    assert worked.cpu_seconds > 0.001
    assert output == sum(range(300_000))


def test_a_reading_is_the_mean_of_its_calls():
    clocks = Clocks(ticking(0, 3_000_000), ticking(0, 1_500_000))
    done = []
    assert read(lambda: done.append(0), calls=3, clocks=clocks)[0] == Reading(0.001, 0.0005)
    assert len(done) == 3
    with pytest.raises(ValueError, match="at least 1, got 0"):
        read(lambda: None, calls=0)


class OnADevice:
    def __init__(self, seconds):
        self.took = iter(seconds)

    def __call__(self):
        pass

    def device_seconds(self):
        return next(self.took)


def test_a_device_tells_its_own_time():
    reading, _ = read(OnADevice([0.25, 0.75]), calls=2)
    assert reading.seconds("device") == 0.5
    assert read(OnADevice([None]))[0].device_seconds is None
    with pytest.raises(RunError, match="no time of a device. Judge by the clock 'cpu'."):
        read(lambda: None)[0].seconds("device")


def test_a_clock_that_goes_backwards_is_refused():
    forwards = ticking(1, 2)
    for clocks, name in ((Clocks(ticking(5, 4), forwards), "wall"), (Clocks(ticking(1, 2), ticking(9, 7)), "CPU")):
        with pytest.raises(RunError, match=rf"{name} clock: it went from \d to \d nanoseconds while a call ran"):
            read(lambda: None, clocks=clocks)
    with pytest.raises(RunError, match="device clock: a call took -0.5 seconds"):
        read(OnADevice([-0.5]))


def test_collection_is_off_in_rounds_and_as_it_was_afterwards():
    def fails():
        with collection_off():
            seen.append(gc.isenabled())
            raise KeyError

    seen = []
    with pytest.raises(KeyError):
        fails()
    assert [*seen, gc.isenabled()] == [False, True]
    gc.disable()
    try:
        with collection_off():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"processor": "another"}, "taken on different processors: 'a processor' and 'another'"),
        ({"cores": 8}, "taken with different numbers of cores: 2 and 8"),
        ({"accelerator": "H200"}, "taken on different accelerators: 'none' and 'H200'"),
        ({"threads": 2}, "taken with different numbers of threads: 1 and 2"),
        ({"precision": "bfloat16"}, "taken in different precision modes: 'float32' and 'bfloat16'"),
    ],
)
def test_figures_of_another_context_are_refused(changed, said):
    assert context.refused(HERE, replace(HERE, **changed)) == said


def test_other_versions_are_told_and_not_refused():
    other = replace(HERE, versions={"torch": "2.14.1", "jax": "0.9.2"})
    assert context.refused(HERE, other) is None
    assert context.differing(HERE, other) == {"jax": ("", "0.9.2"), "torch": ("2.13.0", "2.14.1")}


def test_the_present_context(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    here = context.capture()
    assert (here.threads, here.precision, here.accelerator) == (3, "float32", "")
    assert Context(**here.to_dict()) == here
    assert here.cores >= 1
    assert here.versions["numpy"]
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert context.capture().threads == here.cores
    assert context.capture(threads=4, precision="bfloat16", accelerator="H200").threads == 4


def test_evidence_is_counted_between_two_moments(monkeypatch):
    monkeypatch.setattr(context, "ticks", lambda: Ticks(300, 60))
    found = context.evidence(Ticks(100, 10), [Reading(3.0, 1.0), Reading(2.0, 2.0), Reading(4.0, 2.0)])
    assert (found.steal_ratio, found.oversubscription) == (0.25, 2.0)
    monkeypatch.setattr(context, "ticks", lambda: None)
    assert context.evidence(Ticks(100, 10), [Reading(1.0, 0.0)]).steal_ratio is None


def test_the_system_counts():
    began = context.ticks()
    assert began is None or (0 <= began.stolen <= began.total)


def test_wall_time_says_nothing_on_a_machine_that_is_too_busy():
    assert context.oversubscribed(HERE, Evidence(1.0, 0.0, 1.1)) is None
    said = context.oversubscribed(HERE, Evidence(1.0, 0.0, 2.6))
    assert said == "wall time is 2.6 times CPU time: the calls wait for a processor"
    assert context.oversubscribed(HERE, Evidence(9.0, 0.0, 1.1)) == "the load average is 9.0 on 2 cores"
    waiting = replace(HERE, accelerator="H200")
    assert context.oversubscribed(waiting, Evidence(1.0, 0.0, 50.0)) is None
    assert context.oversubscribed(HERE, Evidence(None, None, None)) is None
