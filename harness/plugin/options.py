"""What the plugin adds to pytest's command line, and its markers."""

from __future__ import annotations

import os

import pytest

TRUE = ("1", "y", "yes", "t", "true", "on")
"""The values of RUN_SLOW that mean yes, as transformers reads it."""

MARKERS = (
    "case(*patterns): run the test once for every case whose name matches, with the fixture `case`",
    "slow: takes long; runs with RUN_SLOW=1 or --run-slow",
    "gpu: needs a GPU",
    "tpu: needs a TPU",
    "hub: needs the Hugging Face Hub; skipped while HF_HUB_OFFLINE is set",
)


def add(parser: pytest.Parser) -> None:
    """Add the options to the group `harness`."""
    group = parser.getgroup("harness", "parity of ported models")
    group.addoption("--run-slow", action="store_true", help="run the tests marked slow, as RUN_SLOW=1 does")
    group.addoption("--report-dir", metavar="DIR", help="write the record and the report of this run to DIR")
    group.addoption(
        "--shard", default="", metavar="K/N", help="run part K of N of the tests, split by a hash of their ids"
    )
    group.addoption(
        "--changed", default="", metavar="BASE", help="run the tests of those cases that differ from git's BASE, alone"
    )
    group.addoption("--resume", action="store_true", help="keep the finished results of a killed run in the report dir")
    group.addoption("--isolate-cases", action="store_true", help="run every case in a process of its own")
    group.addoption(
        "--case-timeout", type=float, default=0.0, metavar="SECONDS", help="end an isolated case after that long"
    )
    group.addoption(
        "--strict-skips", action="store_true", help="fail if a slow test was skipped without an allowed reason"
    )
    group.addoption("--bench-alone", action="store_true", help="measure every path in a process of its very own")
    group.addoption("--bench-threads", type=int, default=1, metavar="N", help="threads of every path (1)")
    group.addoption(
        "--bench-timeout", type=float, default=600.0, metavar="SECONDS", help="end a path that takes longer (600)"
    )
    group.addoption(
        "--bench-memory",
        type=float,
        default=0.0,
        metavar="GIB",
        help="end a path that holds more (3/4 of all)",
    )
    group.addoption("--harness-profile", default="", metavar="NAME", help="the profile's name, for the record")
    group.addoption("--goes-on", action="store_true", help="internal: add to the run in the report dir, which goes on")
    group.addoption("--isolated-child", default="", metavar="FILE", help="internal: write the reports to FILE")


def add_markers(config: pytest.Config) -> None:
    """Register the markers, so that strict markers know them."""
    for line in MARKERS:
        config.addinivalue_line("markers", line)


def run_slow(config: pytest.Config) -> bool:
    """Whether slow tests run."""
    return bool(config.getoption("run_slow")) or is_true(os.environ.get("RUN_SLOW", ""))


def is_true(value: str) -> bool:
    """Whether a variable's value means yes.

    >>> is_true("Yes"), is_true("0"), is_true("")
    (True, False, False)
    """
    return value.strip().lower() in TRUE
