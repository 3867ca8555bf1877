"""The workflows: what they call is there, every step is a command of tox or run by a test, their syntax is right."""

from __future__ import annotations

import configparser
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.cli import command_parsers
from harness.settings import find_repository

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
ACTION = ROOT / "action.yml"
TEMPLATE = ROOT / "harness/porting/templates/parity.yml"
"""What `harness init` writes."""
TOX = re.compile(
    r'tox run -e (\w+)( -- "\$BASE")?( --notest 2>&1 \| tee install\.log| --notest)?( \|\| test \$\? -eq 3)?'
)
UNPUBLISHED = 'pip install "parity-harness[torch,flax]"'
"""What a repository of another installs, from where its comment says."""


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


@pytest.mark.parametrize("file", [*WORKFLOWS, ACTION, TEMPLATE], ids=lambda file: file.name)
def test_every_harness_command_is_one(file: Path) -> None:
    found = commands(file, "harness")
    assert found
    for name, *arguments in found:
        command_parsers()[name].parse_args(arguments)
        if "--profile" in arguments and (profile := arguments[arguments.index("--profile") + 1]) != "$PROFILE":
            find_repository(ROOT).profile(profile)


def runs(file: Path) -> list[tuple[str, str]]:
    """The name and the commands of every step that has some."""
    return [(step.get("name", ""), step["run"].strip()) for step in steps(file) if "run" in step]


def environments() -> set[str]:
    """The environments of tox that the workflows run."""
    return {found[1] for file in WORKFLOWS for _, text in runs(file) if (found := TOX.fullmatch(text))}


def test_every_step_is_a_command_of_tox_or_run_by_a_test() -> None:
    """Save what changes the machine itself; what pip installs is installed there, in an environment of its own."""
    own = (ROOT / "suites/docs/test_workflow_steps.py").read_text(encoding="utf-8")
    run_there = set(re.findall(r'step\(\s*"([\w.-]+)", "(\w+)"', own))
    prepared = re.compile(r"sudo apt-get install [\w -]+|pip install [^\n]+")
    files = (*WORKFLOWS, ACTION, TEMPLATE)
    left = [(file.name, name, text) for file in files for name, text in runs(file) if not TOX.fullmatch(text)]
    assert {(file, name) for file, name, text in left if not prepared.fullmatch(text)} == run_there


def test_every_environment_of_tox_is_there() -> None:
    settings = configparser.ConfigParser()
    settings.read(ROOT / "tox.ini")
    there = set(re.findall(r"\w+", " ".join(settings.sections())))
    assert {"changed", "lint", "report", "selftest", "speed", "types"} == environments() <= there


def test_the_workflow_of_the_readme_gives_the_action_inputs_that_it_has() -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(text.splitlines()) <= 10
    (step,) = [step for step in yaml.safe_load(text)["jobs"]["parity"]["steps"] if "parity-harness" in step["uses"]]
    assert set(step["with"]) <= set(read(ACTION)["inputs"])
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert step["uses"] == f"OWNER/parity-harness@v{version}"


def test_every_input_of_the_action_is_told_with_its_default() -> None:
    text = (ROOT / "docs/ci.md").read_text(encoding="utf-8")
    told = dict(re.findall(r"^\| `([\w-]+)` \| (?:`(.*?)`)?[^|]*\|", text, re.MULTILINE))
    inputs = read(ACTION)["inputs"]
    assert {name: told.get(name) for name in inputs} == {name: each["default"] for name, each in inputs.items()}


def test_actions_are_of_one_version_everywhere() -> None:
    documents = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    texts = [file.read_text(encoding="utf-8") for file in (*WORKFLOWS, ACTION, TEMPLATE, *documents)]
    used = {each for text in texts for each in re.findall(r"uses: (actions/[\w-]+@v\d+)", text)}
    names = [each.partition("@")[0] for each in used]
    assert sorted(names) == sorted(set(names))


@pytest.mark.skipif(shutil.which("actionlint") is None, reason="needs actionlint 1.17.0, which is not installed")
def test_actionlint_finds_nothing() -> None:
    files = map(str, (*WORKFLOWS, TEMPLATE))
    done = subprocess.run(["actionlint", *files], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
