"""Two processes in lockstep: a slower side is found, and whatever goes wrong in one becomes a reason."""

import os
import sys
from pathlib import Path

import pytest

from harness.bench.abba import Terms
from harness.bench.lockstep import Running, Side, compare_sides
from harness.bench.pipe import DiedError

SIDES = """
import os, signal, sys, time
import numpy as np

def work(count=20000):
    return lambda: sum(range(count))

def talking():
    print("building")
    def call():
        print("calling")
        return sum(range(20000))
    return call

def array(value=0.0, later=0):
    left = [later]
    def call():
        left[0] -= 1
        return {"states": (np.zeros(3), np.array([1.0, value if left[0] < 0 else 0.0]))}
    return call

def crashing():
    return lambda: os.kill(os.getpid(), signal.SIGSEGV)

def ending():
    def call():
        print("the driver gave up", file=sys.stderr)
        os._exit(7)
    return call

def killed():
    return lambda: os.kill(os.getpid(), signal.SIGKILL)

def hanging():
    return lambda: time.sleep(60)

def raising():
    return lambda: 1 / 0

def greedy():
    return lambda: bytearray(2**40)

def number():
    return 3

def named():
    import harness
    if harness.OWN != "the side's":
        raise ValueError(harness)
    return lambda: sum(range(20000))

def threads():
    seen = [os.environ["OMP_WAIT_POLICY"], os.environ.get("COLOUR"), len(os.sched_getaffinity(0))]
    def call():
        if len(os.sched_getaffinity(0)) != 1:
            raise RuntimeError(f"may run on {os.sched_getaffinity(0)}")
        return sum(range(20000))
    return call

def lying():
    from pathlib import Path
    if not int(Path("/proc/self/personality").read_text(), 16) & 0x0040000:
        raise RuntimeError("lies at a random place")
    return lambda: sum(range(20000))

class OnAnAccelerator:
    context = {"accelerator": "a GPU", "precision": "bfloat16", "threads": 1}
    def __init__(self, seconds): self.seconds = seconds
    def __call__(self): return sum(range(3000))
    def device_seconds(self): return self.seconds

def accelerated(seconds=0.01):
    return OnAnAccelerator(seconds)
"""


@pytest.fixture
def side(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    (tmp_path / "sides.py").write_text(SIDES)

    def make(name, _label="B", **arguments):
        return Side(_label, f"sides:{name}", arguments, path=(tmp_path,), folder=tmp_path)

    return make


def judged(one, other, **options):
    """Of small calls, which the place of a loop in memory makes a few percent slower: what matters here is a fifth."""
    return compare_sides(one, other, terms=Terms(limit_seconds=20, delta=0.1), **options)


def test_a_slower_side_is_found_and_an_equal_one_is_not(side):
    slower = judged(side("work"), side("work", count=26000))
    assert slower.outcome == "slower", slower.reason
    assert 1.2 < slower.ratio.value < 1.4
    assert slower.contexts[0].versions["python"] == ".".join(map(str, sys.version_info[:3]))
    equal = judged(side("work"), side("work"))
    assert equal.outcome == "unchanged", (equal.reason, equal.ratio)
    faster = judged(side("work", count=26000), side("work"))
    assert faster.outcome == "faster", (faster.reason, faster.ratio)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("crashing", "crashed with SIGSEGV"),
        ("ending", "ended with status 7: the driver gave up"),
        ("killed", "killed from outside (SIGKILL), as the system does when memory runs out"),
        ("hanging", "hangs: no answer within 1.5 seconds"),
        ("raising", "ZeroDivisionError: division by zero"),
        ("greedy", "out of memory"),
        ("number", "TypeError: 'sides:number' returned a int, wanted a callable without arguments"),
        ("nothing", "AttributeError: module 'sides' has no attribute 'nothing'"),
    ],
)
def test_what_goes_wrong_becomes_a_reason(side, name, reason):
    found = judged(side("work"), side(name), timeout_seconds=1.5, memory_bytes=2**33)
    assert (found.outcome, found.ratio) == ("inconclusive", None)
    assert found.reason.startswith(f"B, 'sides:{name}': {reason}"), found.reason


def test_nan_on_either_side_and_in_any_round(side):
    nan = float("nan")
    assert judged(side("array", value=nan), side("array")).reason == "B, 'sides:array': an output holds NaN"
    assert judged(side("array"), side("array", value=nan, later=40)).reason.endswith("an output holds NaN")
    assert judged(side("array"), side("array", value=float("inf"))).quads


def test_memory_is_limited(side):
    assert judged(side("work"), side("work"), memory_bytes=2**20).reason != ""
    assert judged(side("work"), side("work"), memory_bytes=2**33).quads


def test_no_module_and_no_interpreter(side, tmp_path):
    absent = Side("B", "no_such_module:work", path=(tmp_path,))
    assert "ModuleNotFoundError: No module named 'no_such_module'" in judged(side("work"), absent).reason
    nowhere = Side("B", "sides:work", python=tmp_path / "python")
    assert "cannot be started: [Errno 2] No such file" in judged(side("work"), nowhere).reason


def test_what_a_call_prints_is_no_answer(side):
    assert judged(side("talking"), side("talking")).quads


def test_a_side_finds_its_own_module_of_any_name(side, tmp_path):
    """A revision of this very project is timed with the worker of the present one."""
    (tmp_path / "harness.py").write_text('OWN = "the side\'s"')
    assert judged(side("named"), side("work")).quads


def test_both_sides_run_on_one_processor_and_idle_threads_sleep(side):
    assert judged(side("threads"), side("threads")).quads


def test_both_sides_lie_at_the_same_place_in_memory(side):
    """With random places two processes of one call differ, for as long as they live."""
    import ctypes

    if sys.platform != "linux" or ctypes.CDLL(None).personality(0xFFFFFFFF) == -1:
        pytest.skip("needs a Linux that lets a process choose how it lies in memory")
    assert judged(side("lying"), side("lying")).reason == ""


def test_contexts_that_may_not_be_compared_are_refused(side):
    found = judged(side("work"), side("accelerated"))
    assert (found.outcome, found.reason) == ("inconclusive", "taken on different accelerators: 'none' and 'a GPU'")
    assert found.quads == ()


def test_a_device_is_judged_by_its_own_time(side):
    found = judged(side("accelerated"), side("accelerated", seconds=0.012))
    assert (found.clock, found.outcome) == ("device", "slower")
    assert found.ratio.value == pytest.approx(1.2)


def test_a_process_and_its_children_end_with_the_comparison(side, tmp_path):
    (tmp_path / "sides.py").write_text(
        "import subprocess\n"
        "def work():\n"
        "    child = subprocess.Popen(['sleep', '60'])\n"
        "    open('child', 'w').write(str(child.pid))\n"
        "    return lambda: None\n"
    )
    with Running(side("work")) as running:
        running.start()
        running.built()
        child = Path(f"/proc/{(tmp_path / 'child').read_text()}")
        assert child.exists()
    assert not running_still(child)
    assert running.piped.process is None


def running_still(process):
    return process.exists() and (process / "stat").read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_side_that_is_gone_is_said(side):
    with Running(side("work")) as running:
        running.start()
        running.built()
        os.kill(running.pid, 15)
        running.piped.process.wait()
        with pytest.raises(DiedError, match="crashed with SIGTERM"):
            running.run()
