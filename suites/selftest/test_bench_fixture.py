"""The fixture `bench` on pytest-benchmark: what it stores, what it costs, and what it refuses."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pytest_benchmark", reason="needs pytest-benchmark 5.1, which is not installed")

TEST = """
def test_it(bench):
    found = bench(sum, range(1000))
    assert len(found.readings) >= 5
"""


@pytest.fixture(autouse=True)
def of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """An inner run does not know that this one may be a worker's, for which pytest-benchmark would rest."""
    for name in ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT", "PYTEST_XDIST_TESTRUNUID"):
        monkeypatch.delenv(name, raising=False)


def run(pytester: pytest.Pytester, *options: str) -> pytest.RunResult:
    """In a process of its own: what the plugins load once is then loaded as in a user's."""
    return pytester.runpytest_subprocess("-p", "no:cacheprovider", *options, timeout=120)


def stored(pytester: pytest.Pytester, *options: str) -> dict[str, Any]:
    run(pytester, "--benchmark-json=b.json", *options).assert_outcomes(passed=1)
    (found,) = json.loads(Path("b.json").read_text())["benchmarks"]
    return dict(found)


def test_the_figures_stand_in_the_json_of_pytest_benchmark(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(TEST)
    found = stored(pytester)
    ours = found["extra_info"]["harness"]
    assert found["stats"]["rounds"] == len(ours["samples"]["readings"]) >= 5
    assert found["stats"]["data"] == [each["cpu_seconds"] for each in ours["samples"]["readings"]]
    assert ours["context"]["threads"] == 1
    assert ours["context"]["precision"] == "python"
    assert ours["samples"]["evidence"].keys() == {"load_average", "steal_ratio", "oversubscription"}


def test_its_options_and_its_marker_hold(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("import pytest\n@pytest.mark.benchmark(group='g', max_time=0, min_rounds=7)" + TEST)
    found = stored(pytester, "--benchmark-only")
    assert (found["group"], found["stats"]["rounds"]) == ("g", 7)


def test_disabled_it_runs_once_and_stores_nothing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(bench):\n    assert len(bench(sum, [1]).readings) == 1")
    found = run(pytester, "--benchmark-disable")
    found.assert_outcomes(passed=1)
    assert "Rounds" not in found.stdout.str()


def test_measuring_twice_in_a_test_fails(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(bench):\n    bench(sum, [1])\n    bench(sum, [1])")
    found = run(pytester)
    found.assert_outcomes(failed=1)
    found.stdout.fnmatch_lines(["*measured twice in one test, first by bench(...): use two tests*"])


def test_under_xdist_it_fails_with_the_command(pytester: pytest.Pytester) -> None:
    pytest.importorskip("xdist", reason="needs pytest-xdist 3.6, which is not installed")
    file = pytester.makepyfile(TEST)
    found = run(pytester, "-n", "1")
    found.assert_outcomes(errors=1)
    found.stdout.fnmatch_lines(
        [f"*nothing can be timed while other tests run beside it: run `pytest -n 0 '{file.name}'`*"]
    )


def test_an_unknown_path_fails_with_the_closest(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(bench):\n    bench('a-case', 'jax-jit-forward-float32-cpus')")
    found = run(pytester)
    found.assert_outcomes(failed=1)
    found.stdout.fnmatch_lines(["*Did you mean 'jax-jit-forward-float32-cpu'*"])


def test_what_is_neither_a_path_nor_a_call_is_misuse(pytester: pytest.Pytester) -> None:
    path = "'a-case', 'jax-jit-forward-float32-cpu'"
    calls = ["'a-case'", f"{path}, 3", f"{path}, seconds=3", "3, 4", ""]
    pytester.makepyfile("".join(f"def test_{n}(bench):\n    bench({call})\n" for n, call in enumerate(calls)))
    found = run(pytester)
    found.assert_outcomes(failed=5)
    todo = 'Call it as bench("a-case", "a-path") or bench(function, [*]arguments).'
    found.stdout.fnmatch_lines([f"bench: got {call or 'nothing'}. {todo}" for call in calls])
    assert "plugin/bench.py" not in found.stdout.str()


def test_a_call_runs_on_as_many_processors_as_it_is_said_to(pytester: pytest.Pytester) -> None:
    """The threads of a library that nobody tells how many to take, such as NumPy's, too."""
    pytester.makepyfile(
        "import os\ndef test_it(bench):\n"
        "    seen = []\n"
        "    bench(lambda: seen.append(len(os.sched_getaffinity(0))))\n"
        "    print('used', set(seen), 'afterwards', len(os.sched_getaffinity(0)))\n"
    )
    if not hasattr(os, "sched_getaffinity"):
        pytest.skip("needs a system that tells on which processors a process may run")
    found = run(pytester, "-s")
    found.assert_outcomes(passed=1)
    found.stdout.fnmatch_lines([f"*used {{1}} afterwards {len(os.sched_getaffinity(0))}*"])


NOT_COMPARED = [
    ("told['context']['processor'] = 'another'", "taken on different processors: *"),
    ("told['context']['cores'] = 96", "taken with different numbers of cores: *"),
    ("told['context']['threads'] = 7", "taken with different numbers of threads: 1 and 7"),
    ("told['context']['precision'] = 'torch float64'", "taken in different precision modes: *"),
    ("told.clear()", "it does not say where it was taken"),
    ("del told['context']['threads']", "it does not say where it was taken"),
    ("told['context'] = 3", "it does not say where it was taken"),
    ("told['clock'] = 'wall'", "taken by different clocks: 'cpu' and 'wall'"),
    ("stats.update(rounds=0, data=[])", "it has no rounds"),
    ("stats.update(median=0.0)", "its median is 0.0 seconds"),
    ("stats.update(median=float('nan'))", "its median is nan seconds"),
    ("del stats['median']", "its median is None seconds"),
]
"""What is done to a saved baseline, and why it is not compared."""


def test_a_baseline_from_elsewhere_or_worth_nothing_is_refused(pytester: pytest.Pytester) -> None:
    count = len(NOT_COMPARED)
    pytester.makepyfile(
        f"import pytest\n@pytest.mark.parametrize('number', range({count}))\n"
        "@pytest.mark.benchmark(max_time=0)\ndef test_it(number, bench):\n    bench(sum, range(1000))\n"
    )
    run(pytester, "--benchmark-save=base").assert_outcomes(passed=count)
    run(pytester, "--benchmark-compare").assert_outcomes(passed=count)
    (file,) = Path().glob(".benchmarks/*/*base.json")
    document = json.loads(file.read_text())
    saved = {each["name"]: each for each in document["benchmarks"]}
    for number, (change, _) in enumerate(NOT_COMPARED):
        each = saved[f"test_it[{number}]"]
        exec(change, {"told": each["extra_info"]["harness"], "stats": each["stats"]})
    file.write_text(json.dumps(document))
    found = run(pytester, "--benchmark-compare", "--benchmark-compare-fail=median:1%")
    found.assert_outcomes(failed=count)
    found.stdout.fnmatch_lines([f"*is not compared: {why}. Save a new one here.*" for _, why in NOT_COMPARED])
    assert "regressed" not in found.stdout.str()


def test_its_own_overhead_is_under_a_hundredth_of_a_millisecond() -> None:
    """1 % of a path that takes 1 ms: what a call that does nothing seems to take."""
    from harness.bench.measure import InProcess, measure

    found = measure(InProcess(lambda: None), place="nothing", least=100)
    for clock in ("wall", "cpu"):
        assert found.median(clock).value < 1e-5  # type: ignore[arg-type]
