"""Write a folder of simulated nights: measured noise, and faults that are planted.

`python -m suites.benchmarks.history_nights DIR` writes 200 nights and prints what was planted. What it writes are runs'
records, as a run writes them; what was planted stands in none of them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from suites.benchmarks.history_detection import draw, measured

BEGAN = datetime(2025, 1, 1, 2, tzinfo=UTC)
PROCESSOR, OTHER_PROCESSOR = "A processor @ 2.60GHz", "Another processor @ 3.40GHz"


@dataclass(frozen=True, slots=True)
class Planted:
    """What is wrong, when. steps: case -> night and ratio. off: case -> first and last night on which it diverges.

    broken: the night whose record is cut in the middle. machine: the first night on another machine, on which
    everything takes `machine_ratio` times as long. torch: the first night with a newer version. late: a night whose
    clock is a year behind.
    """

    nights: int = 200
    cases: int = 40
    steps: dict[str, tuple[int, float]] = field(
        default_factory=lambda: {"case-003": (60, 1.10), "case-011": (120, 1.15), "case-020": (194, 1.12)}
    )
    off: dict[str, tuple[int, int]] = field(
        default_factory=lambda: {
            "case-001": (30, 49),
            "case-002": (199, 199),
            "case-005": (150, 198),
            "case-007": (90, 199),
        }
    )
    broken: int | None = 77
    machine: int | None = 140
    machine_ratio: float = 1.7
    torch: int | None = 199
    late: int | None = 100


def write(folder: Path, planted: Planted, *, seed: int = 0, noise: np.ndarray | None = None) -> Path:
    """Write the nights, each a folder with its record and logs."""
    noise = measured() if noise is None else noise
    random = np.random.default_rng(seed)
    names = [f"case-{number:03d}" for number in range(planted.cases)]
    base = {name: float(random.uniform(0.002, 0.2)) for name in names}
    ratios = {name: draw(noise, planted.nights, random) for name in names}
    for night in track(range(planted.nights), "writing nights"):
        # A busy machine: the yardstick and the call slow down together, by up to a third.
        load = float(random.uniform(1.0, 1.3))
        results = [_parity(name, night, planted, random) for name in names]
        results += [_speed(name, base[name], float(ratios[name][night]), load, night, planted) for name in names]
        text = json.dumps(_record(night, planted, results))
        if night == planted.broken:
            text = text[: len(text) // 2]
        place = folder / f"night-{night:04d}"
        place.mkdir(parents=True, exist_ok=True)
        (place / "run.json").write_text(text, encoding="utf-8")
        (place / "install.log").write_text("Collecting torch\nSuccessfully installed torch\n", encoding="utf-8")
        (place / "pytest.log").write_text(f"{len(results)} results\nthe run of night {night}\n", encoding="utf-8")
    return folder


def _record(night: int, planted: Planted, results: list[dict[str, Any]]) -> dict[str, Any]:
    started = BEGAN + timedelta(days=night - (365 if night == planted.late else 0))
    fails = any(result["verdict"] == "diverge" for result in results)
    is_new = planted.machine is not None and night >= planted.machine
    return {
        "schema": 1,
        "run": {
            "id": f"night{night:04d}",
            "started": started.isoformat(),
            "finished": (started + timedelta(minutes=20)).isoformat(),
            "profile": "nightly",
            "command": "harness run --profile nightly",
            "status": "complete",
            "exit_status": int(fails),
            "seconds": 1200.0,
            "not_run": [],
            "failed": [],
            "tests_total": len(results),
        },
        "environment": {
            "python": "3.11.9",
            "processor": OTHER_PROCESSOR if is_new else PROCESSOR,
            "cores": 8,
            "packages": {"torch": "2.14.0" if planted.torch is not None and night >= planted.torch else "2.13.0"},
            "revision": {"commit": hashlib.sha1(str(night).encode()).hexdigest(), "number": 1000 + night},
        },
        "results": results,
    }


def _parity(name: str, night: int, planted: Planted, random: np.random.Generator) -> dict[str, Any]:
    first, last = planted.off.get(name, (-1, -2))
    is_off = first <= night <= last
    error = float(2e-5 * random.lognormal(0, 0.3)) * (1000 if is_off else 1)
    reason = "the output is off" if is_off else ""
    return _result("parity", name, "forward", "diverge" if is_off else "agree", reason, {"error": error, "floor": 3e-5})


def _speed(name: str, base: float, noise: float, load: float, night: int, planted: Planted) -> dict[str, Any]:
    from_night, ratio = planted.steps.get(name, (planted.nights, 1.0))
    machine = planted.machine_ratio if planted.machine is not None and night >= planted.machine else 1.0
    seconds = base * load * machine * noise * (ratio if night >= from_night else 1.0)
    metrics = {
        "median_seconds": seconds,
        "low_seconds": seconds * 0.99,
        "high_seconds": seconds * 1.01,
        "yardstick_seconds": 0.007 * load,
        "threads": 1,
        "precision": "float32",
        "accelerator": "",
    }
    return _result("benchmarks", name, "pytorch-eager-forward-float32-cpu", "agree", "", metrics)


def _result(suite: str, case: str, check: str, verdict: str, reason: str, metrics: dict[str, Any]) -> dict[str, Any]:
    return {
        "suite": suite,
        "case": case,
        "check": check,
        "title": case,
        "test": f"suites/{suite}/test_it.py::test_it[{case}]",
        "verdict": verdict,
        "registered": [],
        "reason": reason,
        "metrics": metrics,
        "seconds": 1.0,
        "files": [],
        "repeat": f"harness check {case}",
        "key": "0" * 64,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--nights", type=int, default=200)
    parser.add_argument("--cases", type=int, default=40)
    options = parser.parse_args()
    planted = Planted(nights=options.nights, cases=options.cases)
    write(options.folder, planted)
    print(planted)


if __name__ == "__main__":
    main()
