"""What lies in a history beside whole runs: it is listed or understood, and the rest is never lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.report import finish
from harness.report.dashboard import build, story
from harness.report.keeping import pull, push
from harness.report.nights import Nights, read_nights
from suites.selftest.report_runs import HOSTILE, result, write_run
from suites.selftest.test_history import keep, record

METRICS = {
    "error": 1e-6,
    "floor": 1e-5,
    "median_seconds": 0.02,
    "low_seconds": 0.01,
    "yardstick_seconds": 0.01,
    "threads": 1,
}
ENVIRONMENT = {
    "processor": "A processor",
    "cores": 8,
    "memory_bytes": 1 << 34,
    "packages": {"torch": "2"},
    "revision": {"commit": "c", "number": 3},
}
WHOLE = record(
    "2025-03-14T09:00:00",
    result("x", metrics=METRICS),
    result("y", "diverge", metrics=METRICS),
    environment=ENVIRONMENT,
)
VALUES: list[Any] = [
    *(None, True, 0, -1, 10**400, float("nan"), float("inf"), "", "nan", "1e999", "\ud800", HOSTILE, "x" * 5000),
    *([], [1], [[]], {}, {"a": {"b": [1]}}, "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2025-02-30"),
]


def places(told: Any, place: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The way to every value inside."""
    inner = told.items() if isinstance(told, dict) else enumerate(told) if isinstance(told, list) else ()
    for name, value in inner:
        yield (*place, name)
        yield from places(value, (*place, name))


def beside(bad: bytes | Any, *, site: bool = False) -> Nights:
    """The history of a good run and that file."""
    with TemporaryDirectory() as folder:
        keep(Path(folder), "good", record("2025-03-15T09:00:00", result("x")))
        (Path(folder) / "bad.json").write_bytes(bad if isinstance(bad, bytes) else json.dumps(bad).encode())
        found = read_nights(Path(folder))
        if site:
            assert "index.html" in dict(build(story(found)))
    assert "good" in [night.name for night in found.runs]
    assert len(found.runs) + len(found.unreadable) == 2
    return found


@settings(deadline=None)
@given(st.integers(0, len(json.dumps(WHOLE)) - 1))
def test_a_record_that_is_cut_anywhere(end: int) -> None:
    assert [each.place for each in beside(json.dumps(WHOLE).encode()[:end]).unreadable] == ["bad.json"]


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes(content: bytes) -> None:
    beside(content)


@settings(deadline=None, max_examples=25)
@given(st.sampled_from(list(places(WHOLE))), st.sampled_from(VALUES))
def test_a_record_with_any_value_anywhere(place: tuple[str | int, ...], value: Any) -> None:
    """It is read or listed; and what is read can be shown."""
    told = json.loads(json.dumps(WHOLE))
    inner = told
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = value
    beside(told, site=True)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("started", "0001-01-01T00:00:00+14:00"),
        ("seconds", 10**400),
        ("memory_bytes", 10**400),
        ("memory_bytes", -(10**400)),
        ("torch", "\ud800"),
        ("number", 10**400),
        ("median_seconds", 10**400),
    ],
)
def test_values_that_once_lost_the_whole_site(name: str, value: Any) -> None:
    told = json.loads(json.dumps(WHOLE))
    parts = (told["run"], told["environment"], *told["environment"].values(), told["results"][0]["metrics"])
    part = next((part for part in parts if isinstance(part, dict) and name in part), told["run"])
    part[name] = value
    beside(told, site=True)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is no whole JSON"),
        (b"\x89PNG\r\n\x1a\n\x00", "is no whole JSON"),
        (b'{"a":' * 400 + b"1" + b"}" * 400, "recursion limit"),
        (b'{"a": 1' + b"0" * 5000 + b"}", "is no whole JSON"),
        (json.dumps({"schema": 1, "run": {"started": "2025-01-01"}, "results": [3]}).encode(), "result 0 is 3"),
    ],
)
def test_what_is_no_record(content: bytes, reason: str) -> None:
    assert reason in beside(content, site=True).unreadable[0].reason


def test_a_mark_at_the_beginning_and_half_a_character_are_read() -> None:
    told = json.dumps({**WHOLE, "environment": {"processor": "\udcff"}})
    assert beside(b"\xef\xbb\xbf" + told.encode(), site=True).unreadable == ()


def test_a_folder_that_may_not_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(tmp_path / "open", "good", record())
    (tmp_path / "closed").mkdir()
    plain = Path.iterdir

    def iterdir(path: Path) -> Any:
        if path.name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return plain(path)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    found = read_nights(tmp_path)
    assert [night.name for night in found.runs] == ["open/good"]
    assert [each.place for each in found.unreadable] == ["closed"]


def test_links_that_lead_round_and_files_that_never_end(tmp_path: Path) -> None:
    keep(tmp_path / "inner", "good", record())
    (tmp_path / "inner/round").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "nowhere.json").symlink_to(tmp_path / "none")
    os.mkfifo(tmp_path / "pipe.json")
    found = read_nights(tmp_path)
    assert [night.name for night in found.runs] == ["inner/good"]
    assert [(each.place, each.reason) for each in found.unreadable] == [
        ("nowhere.json", "is no file"),
        ("pipe.json", "is no file"),
    ]


@pytest.mark.parametrize("event", [{"event": "collected", "total": "many"}, {"event": "run", "run": [1]}])
def test_a_killed_run_that_tells_nonsense(event: dict[str, Any], tmp_path: Path) -> None:
    keep(tmp_path, "good", record())
    (tmp_path / "killed").mkdir()
    (tmp_path / "killed/events.jsonl").write_text(json.dumps(event) + "\n")
    found = read_nights(tmp_path)
    assert [night.name for night in found.runs] == ["good"]
    assert "tells something that no run tells" in found.unreadable[0].reason


@pytest.mark.parametrize("lines", [[], [result(HOSTILE * 20, "diverge", reason=HOSTILE * 500)]])
def test_a_history_of_one_run(lines: list[dict[str, Any]], tmp_path: Path) -> None:
    keep(tmp_path, "only", record("2025-03-14T09:00:00", *lines))
    told = story(read_nights(tmp_path))
    assert (told.news.mended, told.news.environment, told.news.steps) == ((), {}, ())
    assert len(told.news.appeared) == len(lines)
    assert "run/" in " ".join(name for name, _ in build(told))


def test_two_machines_in_turn_are_two_series_without_a_step(tmp_path: Path) -> None:
    for night in range(40):
        slow = night % 2
        environment = {"processor": f"processor {slow}", "cores": 8}
        metrics = METRICS | {"median_seconds": 0.02 * (1 + slow) * (1 + 0.01 * (night % 3))}
        told = record(f"2025-01-01T{night // 2:02d}:{30 * slow:02d}:00", result("x", metrics=metrics))
        keep(tmp_path, f"n{night:02d}", told | {"environment": environment})
    (course,) = story(read_nights(tmp_path)).courses
    assert [len(series.nights) for series in course.series] == [20, 20]
    assert course.steps == []


class TestPushing:
    def test_eight_writers_at_once_lose_nothing(self, tmp_path: Path) -> None:
        """Four runs, each put there by two."""
        runs = [write_run(tmp_path / case, result(case)) for case in "abcd"]
        for run in runs:
            finish(run)
        history = tmp_path / "history"
        with ThreadPoolExecutor(8) as pool:
            names = list(pool.map(lambda run: push(run, str(history)), runs * 2))
        found = read_nights(history)
        assert {night.name for night in found.runs} == set(names) - {""}
        assert (len(found.runs), found.unreadable) == (4, ())
        assert len([path for path in history.iterdir() if not path.name.startswith(".")]) == 4

    def test_one_that_is_killed_in_the_middle_leaves_nothing_to_see(self, tmp_path: Path) -> None:
        run = write_run(tmp_path / "run", result("x"))
        finish(run)
        (run / "pytest.log").write_text("passed")
        script = f"""
import os, signal
from pathlib import Path
from harness.report import keeping
whole = keeping.write_folder
def halved(folder, files, *, mark):
    def until_killed():
        for number, each in enumerate(files):
            if number:
                os.kill(os.getpid(), signal.SIGKILL)
            yield each
    return whole(folder, until_killed(), mark=mark)
keeping.write_folder = halved
keeping.push(Path({str(run)!r}), {str(tmp_path / "history")!r})
"""
        done = subprocess.run([sys.executable, "-c", script], check=False)
        assert done.returncode == -signal.SIGKILL
        assert len(list((tmp_path / "history").iterdir())) == 1
        assert pull(str(tmp_path / "history"), tmp_path / "here") == []
        name = push(run, str(tmp_path / "history"))
        assert [night.name for night in read_nights(tmp_path / "history").runs] == [name]
