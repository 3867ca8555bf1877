"""`harness bench compare` against a revision, an environment, a wheel and a second path, of calls that are small."""

import importlib.util
import json
import subprocess
import sys
import venv

import pytest

from harness.cli import main
from harness.errors import SpecError
from harness.report.change import duration
from harness.versions.base import read_base
from suites.selftest.test_versions import wheel

CODE = """
import package
def work(): return lambda: sum(range(package.COUNT))
def fixed(): return lambda: sum(range(20000))
"""
ELSEWHERE = """
try:
    from elsewhere import COUNT
except ImportError:
    COUNT = 26000
"""
EAGER = "pytorch-eager-forward-float32-cpu"
CASE = """
title = "a case"
reference.factory = "timed:work"
port.factory = "timed:work"
inputs.factory = "timed:work"
"""
FAIR = ["--delta", "0.1", "--limit", "20", "--timeout", "60"]


def git(folder, *arguments):
    name = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(folder), *name, *arguments], check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """Two revisions, of which the second does 30 % more; the working tree is the second."""
    root = tmp_path / "repository"
    root.mkdir()
    (root / "pyproject.toml").write_text("")
    (root / "timed.py").write_text(CODE)
    git(root, "init", "-q", "-b", "main")
    for tag, count in (("old", 20000), ("new", 26000)):
        (root / "package.py").write_text(f"COUNT = {count}\n")
        git(root, "add", ".")
        git(root, "commit", "-q", "-m", tag)
        git(root, "tag", tag)
    monkeypatch.chdir(root)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return root


@pytest.fixture
def run(repository, capsys):
    def call(*arguments):
        status = main(["bench", "compare", *arguments, *FAIR])
        return status, *capsys.readouterr()

    return call


def test_a_revision(repository, run):
    status, text, _ = run("old", "--call", "timed:work", "--call", "timed:fixed")
    lines = text.splitlines()
    assert status == 1, text
    assert max(map(len, lines)) <= 80
    assert lines[0].strip() == "against the revision old"
    assert lines[2].startswith("timed:work ")
    assert lines[2].rstrip().endswith("slower")
    assert lines[3].rstrip().endswith("unchanged")
    assert lines[4].startswith("cpu time on ")
    assert lines[4].endswith(", threads 1, float32")
    assert "times CPU time" in lines[5]
    assert run("new", "--call", "timed:work")[0] == 0
    (repository / "package.py").write_text("COUNT = 15000\n")  # what is not committed is what is timed
    assert "faster" in run("old", "--call", "timed:work")[1]
    listed = subprocess.run(["git", "worktree", "list"], cwd=repository, capture_output=True, text=True, check=True)
    assert len(listed.stdout.splitlines()) == 1


def test_markdown_of_the_same(repository, run):
    (repository / "added.py").write_text("def work(): return lambda: sum(range(20000))\n")
    calls = [word for name in ("timed:work", "timed:fixed", "added:work") for word in ("--call", name)]
    assert run("old", *calls, "--markdown", "reports/speed.md")[0] == 1
    lines = (repository / "reports/speed.md").read_text().splitlines()
    assert lines[0] == "## Speed: 1 slower, 1 inconclusive, 1 unchanged"
    assert lines[2] == "Against the revision old, in turn with it."
    outcomes = [line.split(" | ")[0] for line in lines if line.startswith("| ") and "outcome" not in line]
    assert outcomes == ["| ✗ slower", "| ✓ unchanged", "| ? inconclusive"]
    assert "- added:work: before, 'added:work': ModuleNotFoundError: No module named 'added'" in lines
    assert any(line.startswith("cpu time on ") and "times CPU time" in line for line in lines)


def test_json_alone_with_all_readings(run):
    status, text, _ = run("old", "--call", "timed:work", "--json")
    found = json.loads(text)
    assert (status, found["schema"], found["base"]["kind"]) == (1, 1, "revision")
    (one,) = found["comparisons"]
    assert (one["name"], one["outcome"], one["clock"]) == ("timed:work", "slower", "cpu")
    assert 1.2 < one["ratio"]["value"] < 1.4
    assert len(one["quads"]) >= 16
    assert one["contexts"][0]["threads"] == 1


def test_what_a_revision_lacks_is_inconclusive_and_the_others_go_on(repository, run):
    (repository / "added.py").write_text("def work(): return lambda: sum(range(20000))\n")
    status, text, _ = run("old", "--call", "added:work", "--call", "timed:fixed")
    assert status == 3
    said = "added:work: before, 'added:work': ModuleNotFoundError: No module named 'added'"
    assert said in " ".join(text.split())
    assert "unchanged" in text


def test_the_folder_src_and_a_folder_below_the_top_of_the_repository(repository, run, monkeypatch):
    below = repository / "project"
    (below / "src").mkdir(parents=True)
    (below / "pyproject.toml").write_text("")
    for tag, count in (("early", 20000), ("late", 26000)):
        (below / "src/inner.py").write_text(f"def work(): return lambda: sum(range({count}))\n")
        git(repository, "add", ".")
        git(repository, "commit", "-q", "-m", tag)
        git(repository, "tag", tag)
    monkeypatch.chdir(below)
    assert run("early", "--call", "inner:work")[0] == 1
    status, text, _ = run("late", "--call", "inner:work")
    assert status == 0, text


def test_a_second_path(run):
    assert run("timed:fixed", "--call", "timed:work")[0] == 1
    assert run("timed:work", "--call", "timed:fixed")[0] == 0


@pytest.mark.skipif(importlib.util.find_spec("pip") is None, reason="pip is not installed")
def test_a_wheel_is_found_before_the_working_tree_and_anew_when_it_is_another(repository, run, tmp_path, monkeypatch):
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    wheel(tmp_path / "wheels", "package", "1.0", "COUNT = 20000\n")
    file = tmp_path / "wheels/package-1.0-py3-none-any.whl"
    status, text, _ = run(str(file), "--call", "timed:work")
    assert status == 1, text
    assert f"againstthewheel{file}" in "".join(text.split())
    wheel(tmp_path / "wheels", "package", "1.0", "COUNT = 26000\n")
    assert run(str(file), "--call", "timed:work")[0] == 0
    with pytest.raises(SpecError, match=r"gone.whl'?: there is no such wheel. Give the path of the file."):
        read_base("gone.whl", repository)


def test_an_environment_without_this_harness(repository, run, tmp_path):
    venv.create(tmp_path / "other", symlinks=True)
    own = next((tmp_path / "other").glob("lib/python*/site-packages"))
    (own / "elsewhere.py").write_text("COUNT = 20000\n")
    (repository / "package.py").write_text(
        "try:\n    from elsewhere import COUNT\nexcept ImportError:\n    COUNT = 26000\n"
    )
    for word in (tmp_path / "other", tmp_path / "other/bin/python"):
        status, text, _ = run(str(word), "--call", "timed:work")
        assert status == 1, text
        assert "numpy: none before, " in text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["old"], "nothing to time. Give --call MODULE:FACTORY, or --case NAME --path NAME."),
        (["old", "--case", "minilm"], "--case and --path go together"),
        (["oldd", "--call", "timed:work"], "BASE 'oldd': is no git revision, wheel, environment"),
        (["timed:fixed", "--call", "timed:work", "--call", "timed:fixed"], "one path, and 2 to hold against it"),
        (["old", "--call", "timed:work", "--delta", "-1"], "delta is -1.0. Give a ratio below 1"),
        (["old", "--call", "timed:work", "--timeout", "0"], "--threads, --timeout and --memory are not above 0"),
        (["old", "--call", "timed.work"], "--call 'timed.work': names no function of a module. Write MODULE:FACTORY."),
        (["old", "--case", "nun", "--path", EAGER], "case 'nun': not found in"),
        (["old", "--case", "no*", "--path", EAGER], "case 'no*': names 2 cases. Name one."),
        (["old", "--case", "one", "--path", EAGER + "s"], f"there is none of that name. Did you mean {EAGER!r}?"),
        ([EAGER[1:], "--case", "none", "--path", EAGER], f"and no path. Did you mean {EAGER!r}?"),
    ],
)
def test_misuse_is_said(repository, arguments, said, capsys):
    (repository / "fixtures/cases").mkdir(parents=True)
    for name in ("none", "no", "one"):
        (repository / f"fixtures/cases/{name}.toml").write_text(CASE)
    assert main(["bench", "compare", *arguments]) == 2
    found = capsys.readouterr()
    assert said in found.err
    assert found.out == ""


def test_a_close_name_is_offered(repository):
    with pytest.raises(SpecError, match="Did you mean 'old'?"):
        read_base("olds", repository)


def test_a_shallow_clone_says_how_to_get_the_rest(repository, tmp_path):
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{repository}", "shallow")
    assert read_base("HEAD", tmp_path / "shallow").kind == "revision"
    with pytest.raises(SpecError, match=r"The clone is shallow: `git fetch --unshallow` gets"):
        read_base("HEAD~1", tmp_path / "shallow")


def test_a_path_of_a_case_is_told_from_a_revision(repository):
    assert read_base("old", repository, of_a_case=True).kind == "revision"
    assert read_base("pytorch-eager-forward-float32-cpu", repository, of_a_case=True).kind == "path"


def test_durations():
    assert [duration(each) for each in (12.3456, 0.0123456, 1.23e-5, 1.23e-8)] == [
        "12.3 s",
        "12.3 ms",
        "12.3 us",
        "12.3 ns",
    ]


def test_the_interpreter_is_this_one_unless_another_is_named(repository):
    from harness.versions.base import here

    assert str(here("a", "timed:work", {}, repository).python) == sys.executable
