"""Histories: which changes of level are told, in which order runs stand, and what becomes of files that are no runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.bench.context import Context
from harness.bench.history.changes import changes
from harness.bench.history.series import Point, fingerprint, series_of
from harness.bench.history.yardstick import layers, ratio
from harness.errors import RecordError, SpecError
from harness.report import finish
from harness.report.cost import Cost, cost_of
from harness.report.dashboard.story import environment_changes, story
from harness.report.keeping import pull, push
from harness.report.nights import log, read_nights
from suites.selftest.report_runs import result, write_run

HERE = Context("A processor", 8, "", 1, "float32", {})


def noisy(*levels: tuple[int, float], spread: float = 0.02, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return np.concatenate([level * np.exp(random.normal(0, spread, count)) for count, level in levels])


def record(started: str = "2025-03-14T09:00:00+00:00", *lines: Mapping[str, Any], **values: Any) -> dict[str, Any]:
    run = {"id": started, "started": started, "profile": "nightly", "status": "complete", "exit_status": 0}
    return {"schema": 1, "run": run, "environment": {}, "results": list(lines)} | values


def keep(folder: Path, name: str, told: Any) -> Path:
    file = folder / f"{name}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(told if isinstance(told, str) else json.dumps(told), encoding="utf-8")
    return file


class TestChanges:
    def test_a_step_is_found_where_it_is(self) -> None:
        (found,) = changes(noisy((30, 1.0), (10, 1.1)))
        assert found.at == pytest.approx(30, abs=1)
        assert found.low < 1.1 < found.high

    def test_several_are_found_in_order(self) -> None:
        found = changes(noisy((30, 1.0), (30, 1.2), (30, 1.0), (30, 0.7)))
        assert [each.at for each in found] == pytest.approx([30, 60, 90], abs=1)
        assert [each.ratio for each in found] == pytest.approx([1.2, 1 / 1.2, 0.7], abs=0.02)

    @pytest.mark.parametrize("series", [[], [1.0], [1.0, 2.0] * 3, [1.0] * 50])
    def test_what_is_too_short_or_the_same_has_none(self, series: list[float]) -> None:
        assert changes(series) == []

    def test_one_bad_night_is_no_change(self) -> None:
        series = noisy((40, 1.0))
        series[20] = 3.0
        assert changes(series) == []

    def test_a_step_is_found_beside_a_bad_night(self) -> None:
        series = noisy((40, 1.0), (40, 1.1))
        series[20] = series[60] = 2.0
        assert [each.at for each in changes(series)] == pytest.approx([40], abs=1)

    @pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
    def test_what_is_no_time_is_refused(self, value: float) -> None:
        with pytest.raises(ValueError, match="finite and above zero"):
            changes([1.0, value])

    @given(st.lists(st.floats(1e-6, 1e6), max_size=60), st.floats(1e-3, 1e3))
    def test_the_unit_does_not_matter(self, series: list[float], unit: float) -> None:
        assert [each.at for each in changes(series)] == [each.at for each in changes([unit * each for each in series])]


class TestSeries:
    def test_times_are_divided_by_the_yardstick_of_the_same_run(self) -> None:
        load = noisy((60, 1.0), spread=0.5)
        points = [Point(i, 0.01 * load[i], 0.009 * load[i], 0.011 * load[i], 0.002 * load[i], HERE) for i in range(60)]
        (found,) = series_of(points)
        assert found.values == pytest.approx([5.0] * 60)
        assert found.lows == pytest.approx([4.5] * 60)
        assert found.steps == ()

    def test_another_machine_begins_another_series(self) -> None:
        other = Context("Another processor", 8, "", 1, "float32", {})
        points = [Point(i, 0.01 if i < 30 else 0.02, 0.01, 0.02, 0.002, HERE if i < 30 else other) for i in range(60)]
        found = series_of(points)
        assert [each.nights for each in found] == [tuple(range(30)), tuple(range(30, 60))]
        assert [each.steps for each in found] == [(), ()]

    def test_another_yardstick_begins_another_series(self) -> None:
        """A step of the yardstick is no step of the path."""
        points = [
            Point(i, 0.01, 0.01, 0.01, *((0.002, HERE, "a") if i < 30 else (0.001, HERE, "b"))) for i in range(60)
        ]
        assert [(each.nights[0], each.steps) for each in series_of(points)] == [(0, ()), (30, ())]

    def test_without_a_yardstick_no_change_is_told(self) -> None:
        (found,) = series_of([Point(i, 0.01 if i < 30 else 0.02, 0.01, 0.02, None, HERE) for i in range(60)])
        assert not found.is_relative
        assert found.steps == ()

    def test_a_step_lies_between_two_nights(self) -> None:
        values = noisy((30, 1.0), (30, 1.3), spread=0.001)
        (found,) = series_of([Point(2 * i, values[i], 0.0, 2.0, 1.0, HERE) for i in range(60)])
        assert [(step.before, step.after) for step in found.steps] == [(58, 60)]

    def test_the_yardstick_is_work_that_stays_the_same(self) -> None:
        call = layers()
        assert np.isfinite(call()).all()
        assert (call() == layers()()).all()

    def test_each_round_is_compared_with_its_own(self) -> None:
        assert ratio([2.0, 20.0, 5.0], [1.0, 10.0, 2.0]) == 2.0
        with pytest.raises(ValueError, match="as many rounds"):
            ratio([1.0], [])


class TestReading:
    def test_folders_and_files_at_any_depth(self, tmp_path: Path) -> None:
        finish(write_run(tmp_path / "a/run", result("x")))
        write_run(tmp_path / "b", result("x", "diverge"), ended=False)
        keep(tmp_path / "c", "one", record("2025-03-15T00:00:00+00:00", result("y")))
        (tmp_path / "README.md").write_text("a branch")
        keep(tmp_path / ".git", "hidden", "{")
        found = read_nights(tmp_path)
        assert [night.name for night in found.runs] == ["a/run", "b", "c/one"]
        assert [night.status for night in found.runs][:2] == ["complete", "interrupted"]
        assert found.unreadable == ()

    @pytest.mark.parametrize(
        ("told", "reason"),
        [
            ('{"schema": 1, "run"', "is no whole JSON"),
            ("[]", "is not the record of a run"),
            ("[" * 100_000, "is no whole JSON"),
            ('{"benchmarks": []}', "is not the record of a run"),
            (record(schema=99), "has schema 99, of a newer harness; this one reads up to 1"),
            (record("yesterday"), "began at 'yesterday', which is no time"),
            (record("2025-03-14T09:00:00", {"suite": "a"}), "the result's 'case' is None"),
            (record("2025-03-14T09:00:00", result("x", "good")), "unknown verdict 'good'"),
            (record("2025-03-14T09:00:00", result("x", metrics=[1])), "'list' object has no attribute 'get'"),
        ],
    )
    def test_what_is_no_run_is_told_and_the_rest_is_read(self, told: Any, reason: str, tmp_path: Path) -> None:
        keep(tmp_path, "good", record("2025-03-14T09:00:00", result("x")))
        keep(tmp_path, "bad", told)
        found = read_nights(tmp_path)
        assert [night.name for night in found.runs] == ["good"]
        assert [each.place for each in found.unreadable] == ["bad.json"]
        assert reason in found.unreadable[0].reason

    def test_older_records_lack_keys(self, tmp_path: Path) -> None:
        line = {"suite": "a", "case": "b", "check": "c", "verdict": "agree"}
        keep(tmp_path, "old", {"schema": 0, "run": {"started": "2025-01-01T00:00:00"}, "results": [line]})
        (night,) = read_nights(tmp_path).runs
        assert night.seen["a", "b", "c"].standing == "agree"

    def test_nothing_to_read_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(RecordError, match="holds no run that can be read"):
            read_nights(tmp_path)
        keep(tmp_path, "bad", "{")
        with pytest.raises(RecordError, match=r"bad\.json: is no whole JSON"):
            read_nights(tmp_path)
        with pytest.raises(RecordError, match="is no folder"):
            read_nights(tmp_path / "none")

    def test_commits_order_what_clocks_do_not(self, tmp_path: Path) -> None:
        for number, day in ((1, 10), (2, 2), (3, 12)):
            revision = {"revision": {"commit": f"c{number}", "number": number}}
            keep(tmp_path, f"n{number}", record(f"2025-03-{day:02d}T00:00:00", environment=revision))
        keep(tmp_path, "without", record("2025-03-11T00:00:00"))
        found = read_nights(tmp_path).runs
        assert [night.name for night in found] == ["n1", "n2", "without", "n3"]
        assert [night.clock_differs for night in found] == [False, True, False, False]

    def test_time_zones_are_one_time(self, tmp_path: Path) -> None:
        keep(tmp_path, "later", record("2025-03-14T01:00:00-08:00"))
        keep(tmp_path, "earlier", record("2025-03-14T08:30:00+00:00"))
        assert [night.name for night in read_nights(tmp_path).runs] == ["earlier", "later"]

    def test_a_copy_counts_once_and_another_run_of_the_same_second_too(self, tmp_path: Path) -> None:
        keep(tmp_path, "a", record("2025-03-14T09:00:00", result("x")))
        shutil.copy(tmp_path / "a.json", tmp_path / "b.json")
        keep(tmp_path, "c", record("2025-03-14T09:00:00", result("y")))
        found = read_nights(tmp_path)
        assert [night.name for night in found.runs] == ["a", "c"]
        assert found.unreadable[0].reason == "is the same run as a, which counts once"

    def test_of_several_results_of_a_claim_the_worst_counts(self, tmp_path: Path) -> None:
        lines = [result("x"), result("x", "diverge", reason="why"), result("x")]
        keep(tmp_path, "a", record("2025-03-14T09:00:00", *lines))
        assert read_nights(tmp_path).runs[0].seen["parity", "x", "forward"].reason == "why"

    def test_a_path_that_is_measured_twice_in_a_night_has_the_mean(self, tmp_path: Path) -> None:
        def times(seconds: float, yardstick: float) -> dict[str, Any]:
            metrics = {"median_seconds": seconds, "yardstick_seconds": yardstick, "threads": 1, "precision": "float32"}
            return result("x", metrics=metrics)

        keep(tmp_path, "a", record("2025-03-14T09:00:00", times(0.02, 0.01), times(0.16, 0.02)))
        cost = read_nights(tmp_path).runs[0].seen["parity", "x", "forward"].cost
        assert cost is not None
        assert cost.yardstick_seconds is not None
        assert cost.seconds / cost.yardstick_seconds == pytest.approx(4.0)

    def test_the_two_logs_are_kept_apart(self, tmp_path: Path) -> None:
        finish(write_run(tmp_path / "a", result("x")))
        (tmp_path / "a/install.log").write_text("installed")
        (tmp_path / "a/pytest.log").write_text("passed")
        keep(tmp_path, "b", record())
        told = {
            night.name: [log(night, kind) for kind in ("installation", "run")] for night in read_nights(tmp_path).runs
        }
        assert told == {"a": ["installed", "passed"], "b": ["", ""]}


class TestCost:
    def cost(self, **metrics: Any) -> Cost | None:
        given = {"median_seconds": 0.02, "threads": 1} | metrics
        return cost_of(given, {"processor": "A processor", "cores": 8})

    @pytest.mark.parametrize(
        ("metrics", "yardstick", "seconds"),
        [
            ({"yardstick_seconds": 0.007, "peak_flops_per_second": 1e9}, "yardstick_seconds", 0.007),
            ({"yardstick_seconds": None, "peak_flops_per_second": 1e9}, "peak_flops_per_second", 1e-9),
            ({"yardstick_seconds": "nan", "peak_flops_per_second": "inf"}, "", None),
            ({"yardstick_seconds": -1}, "", None),
            ({}, "", None),
        ],
    )
    def test_the_yardstick_timed_in_turn_counts_before_the_peak(
        self, metrics: dict[str, Any], yardstick: str, seconds: float | None
    ) -> None:
        found = self.cost(**metrics)
        assert found is not None
        assert (found.yardstick, found.yardstick_seconds) == (yardstick, seconds)

    @pytest.mark.parametrize("seconds", [None, 0, -1.0, "nan", "inf", "soon", [1], "1e999"])
    def test_what_is_no_time_is_none(self, seconds: object) -> None:
        assert self.cost(median_seconds=seconds) is None

    def test_two_accelerators_are_two_contexts(self) -> None:
        one, other = self.cost(accelerator="NVIDIA A100"), self.cost(accelerator="NVIDIA H200")
        assert one is not None
        assert other is not None
        assert fingerprint(one.context) != fingerprint(other.context)


class TestStory:
    def test_what_is_new_and_what_was_mended(self, tmp_path: Path) -> None:
        for day, verdicts in enumerate(("aada", "adda", "dadi"), start=1):
            lines = [
                result(f"case-{n}", {"a": "agree", "d": "diverge", "i": "inconclusive"}[v])
                for n, v in enumerate(verdicts)
            ]
            keep(tmp_path, f"n{day}", record(f"2025-03-{day:02d}T00:00:00", *lines))
        told = story(read_nights(tmp_path))
        assert [course.key[1] for course in told.news.appeared] == ["case-0", "case-3"]
        assert [course.key[1] for course in told.news.mended] == ["case-1"]
        spells = {
            course.key[1]: [(s.first, s.last, s.mended_on, s.count) for s in course.spells] for course in told.courses
        }
        assert spells == {
            "case-0": [(2, None, None, 1)],
            "case-1": [(1, 1, 2, 1)],
            "case-2": [(0, None, None, 3)],
            "case-3": [(2, None, None, 1)],
        }

    def test_what_is_not_there_any_more_is_told(self, tmp_path: Path) -> None:
        keep(tmp_path, "n1", record("2025-03-01T00:00:00", result("x"), result("y")))
        keep(tmp_path, "n2", record("2025-03-02T00:00:00", result("x")))
        assert story(read_nights(tmp_path)).news.gone == (("parity", "y", "forward"),)

    def test_a_new_version_is_told_and_a_commit_is_not(self, tmp_path: Path) -> None:
        for day, version in ((1, "2.13.0"), (2, "2.14.0")):
            environment = {"packages": {"torch": version}, "cores": 8, "revision": {"commit": str(day)}}
            keep(tmp_path, f"n{day}", record(f"2025-03-{day:02d}T00:00:00", environment=environment))
        one, other = read_nights(tmp_path).runs
        assert environment_changes(one, other) == {"packages / torch": ("2.13.0", "2.14.0")}


class TestKeeping:
    def test_a_run_is_kept_once_and_fetched_once(self, tmp_path: Path) -> None:
        run = write_run(tmp_path / "run", result("x"))
        finish(run)
        (run / "install.log").write_text("installed")
        name = push(run, str(tmp_path / "history"))
        assert {file.name for file in (tmp_path / "history" / name).iterdir()} == {"run.json", "install.log"}
        assert push(run, str(tmp_path / "history")) == ""
        assert pull(str(tmp_path / "history"), tmp_path / "here") == [name]
        assert pull(str(tmp_path / "history"), tmp_path / "here") == []
        assert [night.name for night in read_nights(tmp_path / "here").runs] == [name]

    def test_two_writers_of_the_same_second_do_not_meet(self, tmp_path: Path) -> None:
        names = set()
        for case in ("x", "y"):
            run = write_run(tmp_path / case, result(case))
            finish(run)
            names.add(push(run, str(tmp_path / "history")))
        assert len(names) == 2
        assert len(read_nights(tmp_path / "history").runs) == 2

    def test_a_killed_run_is_kept_as_far_as_it_came(self, tmp_path: Path) -> None:
        run = write_run(tmp_path / "run", result("x"), ended=False)
        name = push(run, str(tmp_path / "history"))
        assert read_nights(tmp_path / "history" / name).runs[0].status == "interrupted"

    def test_no_run_and_no_place(self, tmp_path: Path) -> None:
        with pytest.raises(RecordError, match="holds neither"):
            push(tmp_path, str(tmp_path / "history"))
        with pytest.raises(RecordError, match="is no folder"):
            pull(str(tmp_path / "none"), tmp_path / "here")
        with pytest.raises(SpecError, match=r"'owner' is no name of a data set\. Write hub:OWNER/NAME"):
            pull("hub:owner", tmp_path / "here")
