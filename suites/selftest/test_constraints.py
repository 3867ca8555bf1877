"""What every environment of tox.ini installs to test with is pinned: a new version of it fails no run by itself."""

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["constraints", "constraints-current", "constraints-originals"])
def test_the_packages_of_the_selftest_are_pinned(name):
    lines = (ROOT / f"{name}.txt").read_text().splitlines()
    pinned = {canonicalize_name(Requirement(line).name) for line in lines if line and not line.startswith("#")}
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]["selftest"]
    assert {canonicalize_name(Requirement(each).name) for each in wanted} <= pinned
