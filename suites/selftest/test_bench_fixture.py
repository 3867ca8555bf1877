"""The fixture `bench` on pytest-benchmark: what it stores, what it costs, and what it refuses."""

from __future__ import annotations

import json
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


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("processor", "another", "on different processors"),
        ("cores", 96, "with different numbers of cores"),
        ("threads", 7, "with different numbers of threads"),
        ("precision", "torch float64", "in different precision modes"),
    ],
)
def test_a_baseline_from_elsewhere_is_refused(name: str, value: object, reason: str, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(TEST)
    run(pytester, "--benchmark-save=base").assert_outcomes(passed=1)
    assert run(pytester, "--benchmark-compare").ret == 0
    (file,) = Path().glob(".benchmarks/*/*base.json")
    document = json.loads(file.read_text())
    document["benchmarks"][0]["extra_info"]["harness"]["context"][name] = value
    file.write_text(json.dumps(document))
    found = run(pytester, "--benchmark-compare", "--benchmark-compare-fail=median:1%")
    found.assert_outcomes(failed=1)
    found.stdout.fnmatch_lines([f"*is not compared: taken {reason}*"])
    assert "regressed" not in found.stdout.str()


def test_a_baseline_that_says_nothing_is_refused(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(TEST)
    run(pytester, "--benchmark-save=base").assert_outcomes(passed=1)
    (file,) = Path().glob(".benchmarks/*/*base.json")
    document = json.loads(file.read_text())
    document["benchmarks"][0]["extra_info"] = {}
    file.write_text(json.dumps(document))
    found = run(pytester, "--benchmark-compare")
    found.assert_outcomes(failed=1)
    found.stdout.fnmatch_lines(["*is not compared: it does not say where it was taken*"])


def test_its_own_overhead_is_under_a_hundredth_of_a_millisecond() -> None:
    """1 % of a path that takes 1 ms: what a call that does nothing seems to take."""
    from harness.bench.measure import InProcess, measure

    found = measure(InProcess(lambda: None), place="nothing", least=100)
    for clock in ("wall", "cpu"):
        assert found.median(clock).value < 1e-5  # type: ignore[arg-type]
