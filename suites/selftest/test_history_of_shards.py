"""A run that was killed at a random moment, resumed and merged from three shards equals the undisturbed one."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from harness.cli import main
from harness.report.nights import read_nights
from suites.selftest.test_shards import MANY, NAMES

SECONDS = 120.0


def start(root: Path, *options: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_many.py", *options]
    paths = {"PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.Popen(
        command, cwd=root, env=os.environ | paths, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def kill_at(process: subprocess.Popen[bytes], file: Path, size: float) -> None:
    """Kill the run, as nothing can prevent (SIGKILL), when the file has so many bytes."""
    ends = time.monotonic() + SECONDS
    while not file.exists() or file.stat().st_size < size:
        assert process.poll() is None, "it ended before it was killed"
        assert time.monotonic() < ends
        time.sleep(0.001)
    process.kill()
    process.wait()


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 10))])
def test_killed_resumed_merged(seed: int, toys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What may differ is what a clock says, when the parts began and ended and what their tests took, and memory."""
    root, chance = Path(toys.root), random.Random(seed)
    slowly = MANY.format(names=NAMES).replace("    schedule(", "    import time\n    time.sleep(0.05)\n    schedule(")
    (root / "test_many.py").write_text(slowly)
    assert start(root, "--report-dir=runs/whole").wait() == 0
    for number in (1, 3):
        assert start(root, f"--shard={number}/3", f"--report-dir=parts/{number}").wait() == 0
    assert start(root, "--shard=2/3", "--report-dir=measured").wait() == 0
    options, size = ("--shard=2/3", "--report-dir=parts/2"), (root / "measured/events.jsonl").stat().st_size
    # Between the first byte and the last event, in which the run says that it ended.
    kill_at(start(root, *options), root / "parts/2/events.jsonl", chance.uniform(0, 0.9) * size)
    assert not (root / "parts/2/run.json").exists()
    assert start(root, *options, "--resume").wait() == 0
    monkeypatch.chdir(root)
    assert main(["merge", "parts/1", "parts/2", "parts/3", "-o", "runs/merged"]) == 0
    merged, whole = sorted(read_nights(root / "runs").runs, key=lambda night: night.name)
    assert merged.seen == whole.seen
    assert len(whole.seen) == len(NAMES)
    told = [json.loads((root / f"runs/{name}/run.json").read_text()) for name in ("merged", "whole")]
    for key in ("status", "exit_status", "tests_total", "not_run", "failed", "profile"):
        assert told[0]["run"][key] == told[1]["run"][key]
    assert told[0]["environment"] == told[1]["environment"]
    assert untimed(root / "runs/merged", told[0]) == untimed(root / "runs/whole", told[1])


def untimed(folder: Path, told: Any) -> list[str]:
    """The results without times, with what their files hold: those of a test that began twice have other names."""
    lines = []
    for line in told["results"]:
        metrics = line["metrics"] | {"peak_bytes": 0}
        files = [(folder / name).read_text() for name in line["files"]]
        lines.append(json.dumps(line | {"seconds": 0, "metrics": metrics, "files": files}))
    return sorted(lines)
