"""`harness merge --again`: paths that were measured once more stand beside the first; the history takes the mean."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.cli import main
from harness.report.nights import Seen, read_nights
from harness.report.run import exit_status, read_run
from suites.selftest.report_runs import result, write_run


def timed(case: str, seconds: float, yardstick: float, verdict: str = "agree", **values: Any) -> dict[str, Any]:
    """A line of a path: what it took beside the yardstick of its run."""
    metrics = {"median_seconds": seconds, "yardstick_seconds": yardstick, "threads": 1, "precision": "float32"}
    test = f"suites/benchmarks/test_paths.py::test_on_the_cpu[{case}]"
    return result(case, verdict, suite="benchmarks", test=test, metrics=metrics, **values)


def part(folder: Path, shard: str, *lines: dict[str, Any], ended: bool = True, **environment: Any) -> Path:
    """The folder of a shard, on a machine of its own."""
    write_run(folder, *lines, ended=ended)
    first, *others = (folder / "events.jsonl").read_text().splitlines()
    event = json.loads(first)
    event["run"] |= {"shard": shard, "profile": "paths" if folder.name == "again" else "slow"}
    event["environment"] |= environment
    (folder / "events.jsonl").write_text("\n".join([json.dumps(event), *others]) + "\n")
    return folder


@pytest.fixture
def night(tmp_path: Path) -> Path:
    """Two shards on two machines; each measures its path, and later once more."""
    other = {"processor": "another", "cores": 4}
    part(tmp_path / "1/part", "1/2", timed("x", 0.02, 0.01), result("y"))
    part(tmp_path / "1/again", "1/2", timed("x", 0.16, 0.02))
    part(tmp_path / "2/part", "2/2", timed("z", 0.09, 0.01), **other)
    part(tmp_path / "2/again", "2/2", timed("z", 0.01, 0.01), **other)
    return tmp_path


def merge(place: Path, *again: str, shards: tuple[str, ...] = ("1", "2")) -> int:
    parts = [str(place / number / "part") for number in shards]
    more = ["--again", *(str(place / number / "again") for number in again)] if again else []
    return main(["merge", *parts, *more, "-o", str(place / "history/run")])


def seen(place: Path) -> dict[str, Seen]:
    (found,) = read_nights(place / "history").runs
    return {key[1]: each for key, each in found.seen.items()}


def ratio(found: Seen) -> float:
    assert found.cost is not None
    assert found.cost.yardstick_seconds is not None
    return found.cost.seconds / found.cost.yardstick_seconds


def test_both_results_stand_in_the_run_and_the_history_takes_their_mean(night: Path, capsys: Any) -> None:
    assert merge(night, "1", "2") == 0
    assert capsys.readouterr().err == "harness: merged shards 1, 2 of 2; again 1, 2 of 2\n"
    run = read_run(night / "history/run")
    assert [each.case for each in run.results] == ["x", "y", "z", "x", "z"]
    assert (run.shard, run.tests_total, run.status) == ("1, 2 of 2; again 1, 2 of 2", 3, "complete")
    found = seen(night)
    assert ratio(found["x"]) == pytest.approx(4.0)
    assert ratio(found["z"]) == pytest.approx(3.0)
    assert "--again" in run.command
    assert main(["report", str(night / "history/run")]) == 0
    assert read_run(night / "history/run").results == run.results


def test_without_the_second_a_path_has_the_time_of_the_first(night: Path) -> None:
    assert merge(night) == 0
    assert ratio(seen(night)["x"]) == pytest.approx(2.0)


def test_a_time_is_told_with_the_machine_on_which_it_was_taken(night: Path) -> None:
    merge(night, "1", "2")
    costs = {name: each.cost for name, each in seen(night).items() if each.cost}
    assert {name: (cost.context.processor, cost.context.cores) for name, cost in costs.items()} == {
        "x": ("A processor with a rather long name @ 2.60GHz", 8),
        "z": ("another", 4),
    }
    metrics = [dict(each.metrics) for each in read_run(night / "history/run").results if each.case != "z"]
    assert not any("processor" in each for each in metrics)


def test_times_of_two_machines_have_no_mean(night: Path) -> None:
    part(night / "3/again", "1/2", timed("x", 0.16, 0.02), processor="another")
    merge(night, "3", "2")
    assert ratio(seen(night)["x"]) == pytest.approx(2.0)


def test_what_is_wrong_the_second_time_alone_counts(night: Path) -> None:
    part(night / "3/again", "1/2", timed("x", 0.16, 0.02, "diverge", reason="why"))
    assert merge(night, "3", "2") == 1
    assert (seen(night)["x"].standing, seen(night)["x"].reason) == ("diverge", "why")


@pytest.mark.parametrize(
    ("again", "shards", "told"),
    [
        (("1",), ("1", "2"), "1, 2 of 2; again 1 of 2, 2 missing"),
        (("1", "2"), ("1",), "1 of 2, 2 missing; again 1, 2 of 2"),
    ],
)
def test_a_shard_that_is_missing_either_time_is_said(
    night: Path, again: tuple[str, ...], shards: tuple[str, ...], told: str
) -> None:
    assert merge(night, *again, shards=shards) == 3
    run = read_run(night / "history/run")
    assert (run.status, run.shard, exit_status(run)) == ("interrupted", told, 3)
    assert f"shard {told}" in (night / "history/run/summary.md").read_text()


def test_a_second_time_that_was_killed_leaves_the_whole_incomplete(night: Path) -> None:
    part(night / "3/again", "1/2", timed("x", 0.16, 0.02), ended=False)
    assert merge(night, "3", "2") == 3
    assert ratio(seen(night)["x"]) == pytest.approx(4.0)


def test_what_does_not_go_together_is_refused(night: Path, capsys: Any) -> None:
    assert merge(night, "1", "1") == 2
    assert "holds shard 1/2, as does" in capsys.readouterr().err
    part(night / "3/again", "1/2", timed("x", 0.16, 0.02), python="2.7")
    assert merge(night, "3") == 2
    assert "again: Python is 2.7, where" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["merge", str(night / "1/part"), "--again", "-o", str(night / "out")])
    assert not (night / "history").exists()
