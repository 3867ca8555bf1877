"""Runs kept in a data set of the Hub, against the stand-in on loopback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import pytest

from harness.adapters.hub import TOKEN, Hub
from harness.report import finish
from suites.selftest.report_runs import result, write_run

pytestmark = pytest.mark.skipif(
    find_spec("huggingface_hub") is None, reason="needs huggingface_hub 0.30, which is not installed"
)
DATA = "datasets/owner/nights"


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as made:
        yield made


def history(hub: Hub, folder: Path, *arguments: str, token: str = TOKEN) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, since the client reads the Hub's address when it is imported."""
    variables = {
        **os.environ,
        "HF_ENDPOINT": hub.endpoint,
        "HF_HOME": str(folder / "hf"),
        "HF_TOKEN": token,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_OFFLINE": "0",
        "NO_PROXY": "127.0.0.1",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    command = [sys.executable, "-m", "harness", "history", *arguments, "--json"]
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)


def run(folder: Path, case: str) -> Path:
    finish(write_run(folder / case, result(case)))
    (folder / case / "install.log").write_text("installed")
    return folder / case


def test_runs_are_pushed_once_and_pulled_once(hub: Hub, tmp_path: Path) -> None:
    names = []
    for case in ("x", "y"):
        done = history(hub, tmp_path, "push", str(run(tmp_path, case)), "hub:owner/nights")
        assert done.returncode == 0, done.stderr
        names += json.loads(done.stdout)["runs"]
    commits = len(hub.repositories[DATA].commits)
    assert json.loads(history(hub, tmp_path, "push", str(tmp_path / "x"), "hub:owner/nights").stdout)["runs"] == []
    assert len(hub.repositories[DATA].commits) == commits
    done = history(hub, tmp_path, "pull", "hub:owner/nights", "here")
    assert sorted(json.loads(done.stdout)["runs"]) == sorted(names)
    assert (tmp_path / "here" / names[0] / "install.log").read_text() == "installed"
    assert json.loads(history(hub, tmp_path, "pull", "hub:owner/nights", "here").stdout)["runs"] == []


def test_eight_writers_at_once_lose_nothing(hub: Hub, tmp_path: Path) -> None:
    """Four runs, each pushed by two; the Hub is busy with another commit at first."""
    hub.busy = 3
    runs = [str(run(tmp_path, case)) for case in "abcd"] * 2
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda each: history(hub, tmp_path, "push", each, "hub:owner/nights"), runs))
    assert [each.stderr for each in done if each.returncode] == []
    kept = {name.split("/")[1] for name in hub.repositories[DATA].commits[-1][1]}
    assert len(kept) == 4
    assert {name for each in done for name in json.loads(each.stdout)["runs"]} == kept


def test_what_is_busy_for_too_long_is_told(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import HfApi

    from harness.report import keeping

    hub.busy = 99
    waited: list[float] = []
    monkeypatch.setattr(keeping.time, "sleep", waited.append)
    monkeypatch.setattr(keeping, "_hub", lambda: HfApi(endpoint=hub.endpoint, token=TOKEN))
    with pytest.raises(keeping.HistoryError, match=r"412.*A commit has happened since"):
        keeping.push(run(tmp_path, "x"), "hub:owner/nights")
    assert waited == list(keeping.WAITS)
    assert hub.busy == 99 - len(keeping.WAITS) - 1


def test_what_else_lies_there_is_not_fetched(hub: Hub, tmp_path: Path) -> None:
    history(hub, tmp_path, "push", str(run(tmp_path, "x")), "hub:owner/nights")
    held = hub.repositories[DATA]
    held.commit({**held.commits[-1][1], "runs/../../out/run.json": b"{}", "README.md": b"", "runs/a/other.py": b""})
    done = history(hub, tmp_path, "pull", "hub:owner/nights", "here")
    assert len(json.loads(done.stdout)["runs"]) == 1, done.stderr
    assert len(list((tmp_path / "here").iterdir())) == 1


def test_a_refusal_is_told_and_leaves_nothing(hub: Hub, tmp_path: Path) -> None:
    done = history(hub, tmp_path, "push", str(run(tmp_path, "x")), "hub:owner/nights", token="hf_wrong")
    assert done.returncode == 3
    assert "harness: data set owner/nights: " in done.stderr
    assert "hf auth login" in done.stderr
    done = history(hub, tmp_path, "pull", "hub:owner/none", "here")
    assert (done.returncode, (tmp_path / "here").exists()) == (3, False)
