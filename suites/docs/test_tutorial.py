"""The tutorial from its first line to its last: what it tells to write, to change and to run, and what that prints."""

from pathlib import Path

import pytest

from suites.docs.walk import steps, walk

TUTORIAL = Path(__file__).parents[2] / "docs/tutorial.md"


def test_the_tutorial_works_as_it_stands(tmp_path):
    for package in ("torch", "flax"):
        pytest.importorskip(package)
    found = list(steps(TUTORIAL.read_text()))
    assert [step.verb for step in found].count("run") >= 6
    assert sum(step.shown is not None for step in found) >= 5
    for step in found:
        walk(step, tmp_path)
