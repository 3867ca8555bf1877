"""The workflows: what they call is there, what publishes the history runs, and their syntax is right."""

from __future__ import annotations

import configparser
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.cli import command_parsers
from harness.settings import find_repository
from suites.selftest.report_runs import result, write_run

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
ACTION = ROOT / "action.yml"


def read(file: Path) -> Any:
    return yaml.safe_load(file.read_text(encoding="utf-8"))


def steps(file: Path) -> list[dict[str, Any]]:
    told = read(file)
    if file == ACTION:
        return told["runs"]["steps"]
    return [step for job in told["jobs"].values() for step in job["steps"]]


def commands(file: Path, program: str) -> list[list[str]]:
    """The arguments of every call of a program."""
    lines = [line for step in steps(file) for line in step.get("run", "").splitlines()]
    calls = [re.search(rf"(?:^|/|\s){program} ([^|>]*?)\s*(?:\|\||>>|2>&1|\||$)", line) for line in lines]
    # What the workflow puts in is a word like any other.
    return [shlex.split(re.sub(r"\$\{\{.*?\}\}", "1", call[1])) for call in calls if call]


def test_there_are_workflows() -> None:
    assert {file.stem for file in WORKFLOWS} == {"pull-request", "nightly", "accelerators"}


@pytest.mark.parametrize("file", [*WORKFLOWS, ACTION], ids=lambda file: file.name)
def test_every_harness_command_is_one(file: Path) -> None:
    found = commands(file, "harness")
    assert found
    for name, *arguments in found:
        command_parsers()[name].parse_args(arguments)
        if "--profile" in arguments and (profile := arguments[arguments.index("--profile") + 1]) != "$PROFILE":
            find_repository(ROOT).profile(profile)


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_every_environment_of_tox_is_there(file: Path) -> None:
    settings = configparser.ConfigParser()
    settings.read(ROOT / "tox.ini")
    sections = " ".join(settings.sections())
    for arguments in commands(file, "tox"):
        assert re.search(rf"\b{arguments[arguments.index('-e') + 1]}\b", sections)


def test_the_workflow_of_the_readme_gives_the_action_inputs_that_it_has() -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(text.splitlines()) <= 10
    (step,) = [step for step in yaml.safe_load(text)["jobs"]["parity"]["steps"] if "parity-harness" in step["uses"]]
    assert set(step["with"]) <= set(read(ACTION)["inputs"])
    find_repository(ROOT).profile(step["with"]["profile"])


@pytest.mark.skipif(shutil.which("actionlint") is None, reason="needs actionlint 1.17.0, which is not installed")
def test_actionlint_finds_nothing() -> None:
    done = subprocess.run(["actionlint", *map(str, WORKFLOWS)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


class TestPublish:
    """The steps that merge, publish and keep, run as they stand, with two shards and a branch of a repository."""

    @pytest.fixture
    def place(self, tmp_path: Path) -> Path:
        for number, verdict in ((1, "agree"), (2, "diverge")):
            part = write_run(
                tmp_path / f"parts/part-{number}", result(f"case-{number}", verdict, test=f"t.py::t[{number}]")
            )
            (part / "install.log").write_text("installed")
        git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c"]
        subprocess.run([*git, "init", "--quiet", "--bare", "origin"], cwd=tmp_path, check=True)
        subprocess.run([*git, "clone", "--quiet", "origin", "history"], cwd=tmp_path, check=True, capture_output=True)
        return tmp_path

    def run(self, name: str, place: Path) -> subprocess.CompletedProcess[str]:
        step = next(step for step in steps(ROOT / ".github/workflows/nightly.yml") if step.get("name") == name)
        folder = place / step.get("working-directory", "")
        variables = {**os.environ, "GITHUB_STEP_SUMMARY": str(place / "summary"), "PYTHONPATH": str(ROOT)}
        command = ["bash", "-e", "-o", "pipefail", "-c", step["run"]]
        return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)

    @pytest.mark.skipif(shutil.which("harness") is None, reason="needs parity-harness 0.1.0, which is not installed")
    def test_they_run_in_order(self, place: Path) -> None:
        for name in ("merge", "publish", "keep"):
            done = self.run(name, place)
            assert done.returncode == 0, f"{name}: {done.stdout}{done.stderr}"
        assert (place / "site/index.html").is_file()
        assert "## New" in (place / "summary").read_text()
        kept = subprocess.run(
            ["git", "ls-tree", "-r", "--name-only", "HEAD"], cwd=place / "origin", capture_output=True, text=True
        )
        assert {name.rpartition("/")[2] for name in kept.stdout.split()} == {"run.json", "install.log"}
        # Once more: the run is kept already, and nothing is committed.
        for name in ("publish", "keep"):
            assert self.run(name, place).returncode == 0

    def test_an_issue_is_opened_for_what_is_new_alone(self, place: Path) -> None:
        gh = place / "bin/gh"
        gh.parent.mkdir()
        gh.write_text('#!/bin/sh\necho "$@" >> called\n')
        gh.chmod(0o755)
        (place / "site").mkdir()
        step = next(step for step in steps(ROOT / ".github/workflows/nightly.yml") if step.get("name") == "tell")
        for text, calls in (("# Night\n\nNothing changed.\n", 0), ("# Night\n\n## New\n\n- x\n", 1)):
            (place / "site/news.md").write_text(text)
            path = f"{gh.parent}:{os.environ['PATH']}"
            subprocess.run(["bash", "-e", "-c", step["run"]], cwd=place, env={**os.environ, "PATH": path}, check=True)
            called = (place / "called").read_text() if (place / "called").exists() else ""
            assert called.count("issue create --title") == calls
