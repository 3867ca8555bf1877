"""How well steps are found in histories simulated from measured noise.

`python -m suites.benchmarks.history_detection` prints how many 10 % steps are found within five nights, and in how
many series that never changed a step is told on any of their nights.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.progress import track

from harness.bench.history.changes import changes
from suites.benchmarks.history_noise import NOISE

HISTORIES, NIGHTS, BEFORE, WITHIN = 300, 60, 20, 5
BLOCK = 5
"""Rows of the measured noise that are drawn together, so that a night resembles the one before as it did there."""


@dataclass(frozen=True, slots=True)
class Found:
    """Of `histories` simulated ones: in how many a step was found in time, and in how many one was told wrongly."""

    histories: int
    step: float
    found_ratio: float
    false_alarm_ratio: float
    mean_nights: float


def simulate(noise: np.ndarray, *, histories: int, step: float, seed: int = 1) -> Found:
    """Look at each history again every night, as a nightly job does.

    noise: (processes,) ratios by the yardstick. A step counts as found if within five nights of it a change is told
    whose place is within two nights of the true one. A false alarm is any change told on any of 60 nights without one.
    """
    random = np.random.default_rng(seed)
    nights, false = list[int](), 0
    for _ in track(range(histories), f"{step:.0%}", disable=not sys.stderr.isatty()):
        quiet = draw(noise, NIGHTS, random)
        false += any(changes(quiet[:night]) for night in range(1, NIGHTS + 1))
        stepped = draw(noise, BEFORE + WITHIN, random)
        stepped[BEFORE:] *= 1 + step
        seen = [night for night in range(1, WITHIN + 1) if _is_seen(stepped[: BEFORE + night])]
        nights += seen[:1]
    return Found(
        histories=histories,
        step=step,
        found_ratio=len(nights) / histories,
        false_alarm_ratio=false / histories,
        mean_nights=float(np.mean(nights)) if nights else float("nan"),
    )


def draw(noise: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """`count` values in blocks of neighbours."""
    starts = random.integers(0, len(noise) - BLOCK + 1, -(-count // BLOCK))
    return np.concatenate([noise[start : start + BLOCK] for start in starts])[:count].copy()


def measured(file: Path = NOISE, *, processes: int = 2) -> np.ndarray:
    """Nights with a mean of one, each the geometric mean of that many measured times by their yardsticks.

    Those of a night were measured as far apart as the file allows: its parts are laid over each other.
    """
    rows = np.array(json.loads(file.read_text(encoding="utf-8"))["rows"])
    ratios = np.log(rows[:, 0] / rows[:, 1])
    count = len(ratios) // processes
    nights = np.exp(ratios[: count * processes].reshape(processes, count).mean(axis=0))
    return nights / nights.mean()


def _is_seen(series: np.ndarray) -> bool:
    return any(abs(change.at - BEFORE) <= 2 and change.ratio > 1 for change in changes(series))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--histories", type=int, default=HISTORIES)
    parser.add_argument("--step", type=float, action="append", help="default: 0.05 and 0.1")
    parser.add_argument("--noise", type=Path, default=NOISE, help="a file of history_noise.py")
    parser.add_argument("--processes", type=int, default=2, help="how many measure a path in a night (default: 2)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    noise = measured(options.noise, processes=options.processes)
    found = [simulate(noise, histories=options.histories, step=step) for step in options.step or (0.05, 0.1)]
    if options.json:
        print(json.dumps([asdict(each) for each in found], indent=1))
        return
    print(f"{len(noise)} nights of {options.processes} processes each: {noise.std():.2%} from one to the next")
    for each in found:
        print(
            f"{each.step:.0%} step: found within {WITHIN} nights in {each.found_ratio:.1%} of {each.histories} "
            f"histories, after {each.mean_nights:.1f} on average; false alarms in {each.false_alarm_ratio:.1%} of "
            f"series of {NIGHTS} nights"
        )


if __name__ == "__main__":
    main()
