"""A case that crashes takes no other along; a run that was killed goes on where it stopped."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest


def results(toys, folder="out"):
    lines = (toys.root / folder / "results.jsonl").read_text().splitlines()
    return {line["case"]: line for line in map(json.loads, lines)}


def test_a_worker_that_is_killed_gives_an_inconclusive_result_with_the_signal(toys):
    toys.case("a-good")
    toys.case("b-dying", "dying")
    toys.case("c-bad", "diverging")
    done = toys.pytest("--isolate-cases", "--report-dir=out")
    done.assert_outcomes(passed=1, failed=2)
    found = results(toys)
    assert {name: line["verdict"] for name, line in found.items()} == {
        "a-good": "agree",
        "b-dying": "inconclusive",
        "c-bad": "diverge",
    }
    assert "the worker process was killed by SIGKILL" in found["b-dying"]["reason"]
    assert found["c-bad"]["files"]


def test_a_worker_that_runs_out_of_memory_is_inconclusive(toys):
    toys.write(
        "greedy.py",
        """
        import resource
        def port():
            def model(x):
                resource.setrlimit(resource.RLIMIT_AS, (10**9, 10**9))
                return bytearray(10**10)
            return model
        """.replace("\n        ", "\n"),
    )
    file = toys.case("greedy")
    file.write_text(file.read_text().replace("toys:agreeing", "greedy:port"))
    toys.pytest("--isolate-cases", "--report-dir=out").assert_outcomes(failed=1)
    assert results(toys)["greedy"]["verdict"] == "inconclusive"
    assert "MemoryError" in results(toys)["greedy"]["reason"]


def test_a_worker_that_takes_too_long_is_ended(toys):
    toys.write("sleepy.py", "import time\ndef port():\n    return lambda x: time.sleep(60)\n")
    file = toys.case("sleepy")
    file.write_text(file.read_text().replace("toys:agreeing", "sleepy:port"))
    toys.pytest("--isolate-cases", "--case-timeout=3", "--report-dir=out").assert_outcomes(failed=1)
    assert "was ended after 3 seconds" in results(toys)["sleepy"]["reason"]


def test_isolated_results_are_those_of_one_process(toys):
    toys.case("bad", "diverging")
    toys.row("bad", error=0.1)
    toys.case("good")
    toys.pytest("--isolate-cases", "--report-dir=apart").assert_outcomes(passed=1, xfailed=1)
    toys.pytest("--report-dir=together").assert_outcomes(passed=1, xfailed=1)
    for name, line in results(toys, "apart").items():
        other = results(toys, "together")[name]
        for key in ("verdict", "registered", "reason", "key", "test"):
            assert line[key] == other[key]


def test_harness_run_isolates_on_demand_and_reports_the_crash(toys):
    toys.case("a-good")
    toys.case("b-dying", "dying")
    done = toys.harness("run", "--isolate", "--report-dir=out")
    assert done.ret == 3
    assert "SIGKILL" in done.stdout.str()
    record = json.loads((toys.root / "out/run.json").read_text())
    assert (record["run"]["status"], len(record["results"])) == ("complete", 2)


SLEEPING = """
import time
from pathlib import Path
import toys

def port():
    with Path("calls.txt").open("a") as stream:
        stream.write("x")
    time.sleep({seconds})
    return toys.agreeing()
"""


def kill_while_running(toys, cases, *, finished, seconds=0.4):
    """Start `harness run`, wait for that many results, and kill it and its pytest."""
    toys.write("sleeping.py", SLEEPING.format(seconds=seconds))
    for number in range(cases):
        file = toys.case(f"case-{number}")
        file.write_text(file.read_text().replace("toys:agreeing", "sleeping:port"))
    process = subprocess.Popen(
        [sys.executable, "-m", "harness", "run", "--report-dir=out"],
        cwd=toys.root,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    path = toys.root / "out/results.jsonl"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and (not path.exists() or path.read_text().count("\n") < finished):
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return path.read_text().count("\n")


@pytest.mark.parametrize("finished", [1, 2, 3])
def test_a_killed_run_goes_on_without_repeating_or_losing_a_result(toys, finished):
    done = kill_while_running(toys, 4, finished=finished)
    (toys.root / "calls.txt").write_text("")
    again = toys.harness("run", "--report-dir=out")
    assert again.ret == 0
    assert "resuming the run in out" in again.stderr.str()
    lines = (toys.root / "out/results.jsonl").read_text().splitlines()
    assert sorted(json.loads(line)["case"] for line in lines) == [f"case-{number}" for number in range(4)]
    assert (toys.root / "calls.txt").read_text() == "x" * (4 - done)
    record = json.loads((toys.root / "out/run.json").read_text())
    assert (record["run"]["status"], len(record["results"])) == ("complete", 4)
    assert len(list((toys.root / "out/cases").iterdir())) == 4


def test_a_torn_line_is_run_again(toys):
    kill_while_running(toys, 3, finished=1)
    path = toys.root / "out/results.jsonl"
    path.write_text(path.read_text() + '{"suite": "x", "ca')
    assert toys.harness("run", "--report-dir=out").ret == 0
    lines = path.read_text().splitlines()
    assert sorted(json.loads(line)["case"] for line in lines) == [f"case-{number}" for number in range(3)]


def test_a_result_is_not_kept_when_its_case_or_code_changed(toys):
    done = kill_while_running(toys, 3, finished=1)
    assert done >= 1
    toys.write("sleeping.py", SLEEPING.format(seconds=0.01))
    (toys.root / "calls.txt").write_text("")
    assert toys.harness("run", "--report-dir=out").ret == 0
    assert (toys.root / "calls.txt").read_text() == "xxx"
    assert len((toys.root / "out/results.jsonl").read_text().splitlines()) == 3


def test_fresh_begins_again(toys):
    kill_while_running(toys, 2, finished=1)
    (toys.root / "calls.txt").write_text("")
    assert toys.harness("run", "--report-dir=out", "--fresh").ret == 0
    assert (toys.root / "calls.txt").read_text() == "xx"


def test_a_killed_run_can_be_reported_as_far_as_it_came(toys):
    done = kill_while_running(toys, 4, finished=2)
    shown = toys.harness("report", "out")
    assert shown.ret == 3
    record = json.loads((toys.root / "out/run.json").read_text())
    assert (record["run"]["status"], len(record["results"])) == ("interrupted", done)
    assert (toys.root / "out/index.html").exists()


def test_two_tests_of_one_case_keep_a_file_each_across_a_resumed_run(toys):
    toys.write("test_cases.py", TWO)
    kill_while_running(toys, 2, finished=1)
    assert toys.harness("run", "--report-dir=out").ret == 0
    lines = [json.loads(line) for line in (toys.root / "out/results.jsonl").read_text().splitlines()]
    files = [name for line in lines for name in line["files"]]
    assert (len(lines), len(set(files))) == (4, 4)
    assert sorted(path.name for path in (toys.root / "out/cases").iterdir()) == sorted(name[6:] for name in files)


TWO = """
import pytest

@pytest.mark.case("*")
def test_once(case, parity):
    parity(case)

@pytest.mark.case("*")
def test_twice(case, parity):
    parity(case)
"""


def test_a_killed_run_goes_on_under_xdist(toys):
    pytest.importorskip("xdist")
    done = kill_while_running(toys, 4, finished=2)
    (toys.root / "calls.txt").write_text("")
    assert toys.harness("run", "--report-dir=out", "--", "-p", "xdist", "-n2").ret == 0
    assert (toys.root / "calls.txt").read_text() == "x" * (4 - done)
    assert len((toys.root / "out/results.jsonl").read_text().splitlines()) == 4


def test_a_result_that_could_not_be_had_is_tried_again(toys):
    toys.case("a-raising", "raising")
    kill_while_running(toys, 3, finished=2)
    toys.case("a-raising")
    assert toys.harness("run", "--report-dir=out").ret == 0
    assert results(toys)["a-raising"]["verdict"] == "agree"
