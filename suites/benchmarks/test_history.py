"""How well steps are found in simulated histories, and what a dashboard of many nights costs."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from suites.benchmarks.history_detection import draw, measured, simulate
from suites.benchmarks.history_nights import Planted, write
from suites.benchmarks.history_noise import NOISE


def test_a_step_of_a_tenth_is_found_within_five_nights() -> None:
    """A few histories, in seconds; `python -m suites.benchmarks.history_detection` looks at three hundred."""
    found = simulate(measured(), histories=20, step=0.1)
    assert found.found_ratio >= 0.85
    assert found.false_alarm_ratio <= 0.05


@pytest.mark.slow
@pytest.mark.parametrize("file", [NOISE, NOISE.with_name("history_noise_again.json")], ids=["chosen on", "not seen"])
def test_the_figures_of_the_history(file: Path) -> None:
    found = simulate(measured(file), histories=300, step=0.1)
    print(found)  # noqa: T201
    assert found.found_ratio >= 0.95
    assert found.false_alarm_ratio <= 0.02


def test_without_a_step_none_is_found() -> None:
    """The simulation can fail: what is counted as found is not there in series that never change."""
    assert simulate(measured(), histories=20, step=0.0).found_ratio <= 0.05


def test_draws_keep_neighbours_together() -> None:
    drawn = draw(np.arange(100.0), 20, np.random.default_rng(0))
    assert (np.diff(drawn.reshape(4, 5), axis=1) == 1).all()


@pytest.mark.slow
def test_a_thousand_nights_of_five_hundred_results(tmp_path: Path) -> None:
    """The limits: 20 s of CPU for the whole site, and 2 MB for the start page."""
    planted = Planted(nights=1000, cases=250, machine=700, torch=999, steps={"case-003": (400, 1.1)}, broken=None)
    write(tmp_path / "nights", planted)
    command = [sys.executable, "-m", "harness", "dashboard", str(tmp_path / "nights"), "--out", str(tmp_path / "site")]
    began, before = time.perf_counter(), _cpu_seconds()
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    wall, cpu = time.perf_counter() - began, _cpu_seconds() - before
    size = (tmp_path / "site/index.html").stat().st_size
    print(f"\n{cpu:.1f} s of CPU, {wall:.1f} s of wall time, start page {size / 1e6:.3f} MB")  # noqa: T201
    told = json.loads(done.stdout)
    assert (told["nights"], told["results"]) == (1000, 500)
    assert cpu < 20
    assert size < 2_000_000


def _cpu_seconds() -> float:
    import resource

    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
