"""Every step of the workflows, run once as it stands: in a small repository; of tox and pip, in a clone of this one."""

from __future__ import annotations

import configparser
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from harness.report.run import Run, read_run
from harness.report.shards import Shard
from suites.docs.test_workflows import ACTION, ROOT, TEMPLATE, UNPUBLISHED, WORKFLOWS, environments, read, runs, steps
from suites.selftest.conftest import CASE, TEST, TOYS
from suites.selftest.test_shards import MANY

PROFILES = """
[tool.harness.profiles.quick]
suites = ["test_cases.py"]
[tool.harness.profiles.slow]
suites = ["test_cases.py", "test_many.py"]
run_slow = true
[tool.harness.profiles.paths]
suites = ["test_many.py"]
"""
NAMES = [f"check-{number}" for number in range(6)]
GH = '#!/bin/sh\necho "$@" >> called\n'
DYING = """
import os, signal
def pytest_runtest_call(item):
    if os.environ.get("DIES", "none") in item.nodeid:
        os.kill(os.getpid(), signal.SIGKILL)
"""


class Place:
    """A small repository in git in which the steps of the workflows are run as they stand, with its first commit."""

    def __init__(self, root: Path) -> None:
        self.root = root
        this = f'#!/bin/sh\nPYTHONPATH={ROOT}:. exec {sys.executable} -m harness "$@"\n'
        for name, text in (("bin/harness", this), (".tox/shared/bin/harness", this), ("bin/gh", GH)):
            self.write(name, text).chmod(0o755)
        self.write("pyproject.toml", PROFILES)
        self.write("toys.py", TOYS)
        self.write("test_cases.py", TEST)
        self.write("test_many.py", MANY.format(names=NAMES))
        self.write("conftest.py", DYING)
        self.write("fixtures/cases/one.toml", CASE.format(reference="reference", port="agreeing", inputs="inputs"))
        self.write("fixtures/cases/two.toml", CASE.format(reference="reference", port="agreeing", inputs="inputs"))
        self.write(".gitignore", "\n".join(["__pycache__", "/bin", "/.tox", "/reports", "/summary", "/called"]))
        assert self.bash("git init --quiet -b main; git add .; git commit --quiet --message begun") == 0

    def write(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def read(self, name: str) -> str:
        return (self.root / name).read_text(encoding="utf-8")

    def record(self, name: str) -> Run:
        return read_run(self.root / name)

    def step(self, workflow: str, name: str, **variables: str) -> int:
        """Run the step of that name; its exit status. variables: those that the workflow makes of its expressions."""
        (file,) = [each for each in (*WORKFLOWS, ACTION, TEMPLATE) if each.name == workflow]
        (found,) = [each for each in steps(file) if each.get("name") == name]
        assert "${{" not in found["run"], "an expression is put into a command: give it as a variable"
        shell = found.get("shell") or read(file).get("defaults", {}).get("run", {}).get("shell")
        text = f"set -o pipefail\n{found['run']}" if shell == "bash" else found["run"]
        return self.bash(text, folder=found.get("working-directory", "."), **variables)

    def bash(self, text: str, *, folder: str = ".", **variables: str) -> int:
        """Run lines in a shell, up to the first that fails; its exit status."""
        own = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "RUN_SLOW"))}
        # Only our plugin: loading all that are installed would take longer than the runs.
        own |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_PLUGINS": "harness.plugin"}
        own |= {f"GIT_{who}_{what}": "a" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        own |= {"PATH": f"{self.root / 'bin'}{os.pathsep}{os.environ['PATH']}"}
        done = subprocess.run(
            ["bash", "-e", "-c", text],
            cwd=self.root / folder,
            env={**own, "GITHUB_STEP_SUMMARY": str(self.root / "summary"), **variables},
            capture_output=True,
            text=True,
            check=False,
        )
        sys.stdout.write(done.stdout + done.stderr)
        return done.returncode


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


class TestPullRequest:
    def test_what_is_told_is_the_summary_and_the_comment(self, place: Place) -> None:
        place.write("fixtures/cases/two.toml", place.read("fixtures/cases/two.toml") + "\n")
        assert place.bash("harness run --report-dir reports/latest") == 0
        assert place.bash("harness run --profile slow --changed HEAD --report-dir reports/changed") == 0
        place.write("reports/speed.md", "## Speed: 2 unchanged\n")
        assert place.step("pull-request.yml", "tell") == 0
        comment = place.read("reports/comment.md")
        assert "1 of 2 cases is touched by what changed since HEAD" in comment
        assert "- two: fixtures/cases/two.toml" in comment
        assert comment.endswith("## Speed: 2 unchanged\n")
        assert place.read("summary").endswith(comment)
        assert "All 2 results agree." in place.read("summary")
        assert place.step("pull-request.yml", "comment", NUMBER="7") == 0
        assert place.read("called") == "pr comment 7 --edit-last --create-if-none --body-file comment.md\n"

    def test_what_is_missing_is_said_and_what_is_long_is_cut(self, place: Place) -> None:
        place.write("reports/speed.md", "x" * 100_000)
        assert place.step("pull-request.yml", "tell") == 0
        comment = place.read("reports/comment.md")
        assert comment.startswith("There is no changed/summary.md: the log of the job says why.")
        assert len(comment) == 65_000


class TestNightly:
    """Three shards on one machine, merged, published, kept and told."""

    def night(self, place: Place, *numbers: int, **variables: str) -> None:
        """What the job of each shard leaves."""
        for number in numbers:
            place.write("install.log", f"installed {number}")
            assert place.step("nightly.yml", "shard", SHARD=f"{number}/3", **variables) == 0
            assert place.step("nightly.yml", "again", SHARD=f"{number}/3") == 0
            assert place.step("nightly.yml", "log") == 0
            (place.root / "shards").mkdir(exist_ok=True)
            (place.root / "reports").rename(place.root / f"shards/shard-{number}")

    def history(self, place: Place) -> None:
        """The branch, begun as docs/ci.md says, and checked out beside."""
        assert place.bash("git init --quiet --bare origin; git remote add origin origin") == 0
        text = (ROOT / "docs/ci.md").read_text(encoding="utf-8")
        (begin,) = re.findall(r"<!-- in a repository of your own -->\n```bash\n(.*?)```", text, re.DOTALL)
        assert place.bash(begin) == 0
        assert place.bash("git switch --quiet main; git clone --quiet --branch history origin history") == 0

    def test_three_shards_become_a_run_of_the_history(self, place: Place) -> None:
        self.history(place)
        text = place.read("fixtures/cases/two.toml")
        place.write("fixtures/cases/two.toml", text.replace("toys:agreeing", "toys:diverging"))
        self.night(place, 1, 2, 3)
        assert place.step("nightly.yml", "merge") == 0
        run = place.record("reports/latest")
        assert (run.status, run.shard) == ("complete", "1, 2, 3 of 3; again 1, 2, 3 of 3")
        assert sorted(each.check for each in run.results) == sorted([*NAMES, *NAMES, "forward", "forward"])
        assert "1 of 14 results fails." in place.read("summary")
        assert place.read("reports/latest/install.log") == "installed 1installed 2installed 3"
        assert place.step("nightly.yml", "publish") == 0
        assert (place.root / "site/index.html").is_file()
        assert place.step("nightly.yml", "keep") == 0
        assert place.bash("git ls-tree -r --name-only history > ../called", folder="origin") == 0
        assert {name.rpartition("/")[2] for name in place.read("called").split()} == {"run.json", "install.log"}
        place.write("called", "")
        assert place.step("nightly.yml", "tell") == 0
        assert place.read("called").startswith("issue create --title New divergences on ")
        # Once more: the run is kept already, and nothing is committed.
        assert place.step("nightly.yml", "publish") == 0
        assert place.step("nightly.yml", "keep") == 0

    @pytest.mark.slow
    def test_a_shard_that_is_missing_and_one_that_was_killed_are_said(self, place: Place) -> None:
        """And the night is kept all the same."""
        self.history(place)
        dying = next(name for name in NAMES if Shard(2, 3).holds(f"test_many.py::test_it[{name}]"))
        self.night(place, 1)
        self.night(place, 2, DIES=f"[{dying}]")
        assert place.step("nightly.yml", "merge") == 0
        run = place.record("reports/latest")
        assert (run.status, run.shard) == ("interrupted", "1, 2 of 3, 3 missing; again 1, 2 of 3, 3 missing")
        summary = place.read("summary")
        assert summary.startswith("## Interrupted: ")
        assert "shard 1, 2 of 3, 3 missing" in summary
        assert "left to other shards" in summary
        assert "- 1 test: the run ended while it ran" in summary
        assert place.step("nightly.yml", "publish") == 0
        assert place.step("nightly.yml", "keep") == 0

    def test_misuse_and_a_night_without_any_shard_fail(self, place: Place) -> None:
        assert place.step("nightly.yml", "shard", SHARD="4/3") != 0
        assert place.step("nightly.yml", "merge") != 0

    def test_an_issue_is_opened_for_what_is_new_alone(self, place: Place) -> None:
        for text, calls in (("# Night\n\nNothing changed.\n", 0), ("# Night\n\n## New\n\n- x\n", 1)):
            place.write("site/news.md", text)
            place.write("called", "")
            assert place.step("nightly.yml", "tell") == 0
            assert place.read("called").count("issue create --title") == calls


class TestAccelerators:
    def test_where_there_is_none_nothing_was_compared(self, place: Place) -> None:
        place.write("test_many.py", place.read("test_many.py").replace("@pytest", "@pytest.mark.gpu\n@pytest", 1))
        assert place.step("accelerators.yml", "run", MARKER="gpu") == 3
        assert place.step("accelerators.yml", "tell") == 0
        assert "nothing was compared" in place.read("summary")
        assert "- 6 tests: needs a GPU: no framework sees one" in place.read("summary")


class TestForOthers:
    """The action, and the workflow that `harness init` writes."""

    def test_the_action_runs_a_profile_and_what_differs_from_a_base(self, place: Place) -> None:
        inputs = {"PROFILE": "quick", "REPORT": "reports/latest"}
        assert place.step("action.yml", "run", BASE="", **inputs) == 0
        assert "All 2 results agree." in place.read("summary")
        assert not (place.root / "reports/latest-changed").exists()
        assert place.step("action.yml", "run", BASE="HEAD", **inputs) == 0
        assert "No case is touched." in place.read("summary")
        text = place.read("fixtures/cases/two.toml")
        place.write("fixtures/cases/two.toml", text.replace("toys:agreeing", "toys:diverging"))
        assert place.step("action.yml", "run", BASE="HEAD", **inputs) == 1
        assert "The one result fails." in place.read("summary")
        assert place.step("action.yml", "run", BASE="no-such", **inputs) == 2

    def test_what_init_writes_runs_and_tells(self, place: Place) -> None:
        assert place.step("parity.yml", "run") == 0
        assert place.step("parity.yml", "tell") == 0
        assert "All 2 results agree." in place.read("summary")


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(environments() - {"report"}))
def test_the_commands_of_an_environment_of_tox(name: str, tmp_path: Path) -> None:
    """As tox says them, in a clone whose last commit touches a case; test_docs.py runs `report`, by tox itself."""
    assert "tox run -e report" in (ROOT / "README.md").read_text(encoding="utf-8")
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    with (clone / "fixtures/ports/nnx/resnet.py").open("a", encoding="utf-8") as stream:
        stream.write("\n\n# Touched.\n")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
    subprocess.run([*git, "commit", "--all", "--quiet", "--message", "touch a case"], cwd=clone, check=True)
    told = subprocess.run(
        ["tox", "config", "-e", name, "-k", "commands", "--", *(["HEAD~1"] if name in ("changed", "speed") else [])],
        cwd=clone, capture_output=True, text=True, check=True,
    )  # fmt: skip
    commands = configparser.ConfigParser()
    commands.read_string(told.stdout)
    found = commands[f"testenv:{name}"]["commands"].strip()
    assert found
    variables = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_XDIST", "RUN_SLOW"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euc", found], cwd=clone, env={**variables, "PATH": path, "PYTHONPATH": str(clone)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    said = f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    # Whether two equal sides differ by noise is not for a test of the commands.
    assert done.returncode in ((0, 1, 3) if name == "speed" else (0,)), said
    if name == "changed":
        run = read_run(clone / "reports/changed")
        assert dict((run.changed or {})["cases"]) == {"nnx-resnet": ["fixtures/ports/nnx/resnet.py"]}
        assert {each.case for each in run.results} == {"nnx-resnet"}
    if name == "speed":
        text = (clone / "reports/speed.md").read_text(encoding="utf-8")
        assert len(re.findall(r"^\| . \w+ \|.*%.*\|$", text, re.MULTILINE)) == 4, text


@pytest.mark.slow
def test_what_pip_installs(tmp_path: Path) -> None:
    """Every such step as it stands, each in an environment of its own; of the action with the smallest extra."""
    files = (*WORKFLOWS, ACTION, TEMPLATE)
    texts = {text for file in files for _, text in runs(file) if text.startswith("pip install ")} - {UNPUBLISHED}
    assert len(texts) == 3
    for number, text in enumerate(sorted(texts)):
        subprocess.run([sys.executable, "-m", "venv", str(tmp_path / str(number))], check=True)
        path = f"{tmp_path / str(number) / 'bin'}{os.pathsep}{os.environ['PATH']}"
        variables = {**os.environ, "PATH": path, "HARNESS": str(ROOT), "EXTRAS": "dashboard"}
        done = subprocess.run(
            ["bash", "-ec", text], cwd=ROOT, env=variables, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{text}: {done.stderr}"
