"""`harness run --changed BASE`: which cases a change touches and why, their tests alone, and no success unseen."""

import json
import subprocess

import pytest

from harness import find_repository
from harness.cli import main
from harness.errors import RunError, SpecError
from harness.porting.changed import changed_cases
from suites.selftest.conftest import TEST

TOGETHER = """
from harness.adapters.toy.layers import Layers
from .layers import shift

def reference():
    return Layers({"shift": shift})

def port():
    import parts.late
    return Layers({"shift": parts.late.shift})

def inputs():
    import numpy as np
    return {"x": np.ones((2, 3), dtype=np.float32)}
"""
CASE = """
title = "a toy"
[reference]
factory = "parts.together:reference"
[port]
factory = "parts.together:port"
[inputs]
factory = "parts.together:inputs"
"""
SLOW = """

@pytest.mark.slow
@pytest.mark.case("whole")
def test_slowly(case, parity):
    parity(case)

def test_of_no_case():
    raise AssertionError
"""


def git(folder, *arguments):
    name = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(folder), *name, *arguments], check=True, capture_output=True)


def commit(toys, tag):
    git(toys.root, "add", ".")
    git(toys.root, "commit", "-q", "--allow-empty", "-m", tag)
    git(toys.root, "tag", tag)


@pytest.fixture
def begun(toys, monkeypatch):
    """Three cases of `toys.py`, and one, `whole`, whose factories import other modules of the repository."""
    toys.case("one")
    toys.case("two")
    toys.case("pinned", before='conversion = "rules"\nartifacts = { weights = "weights" }\n')
    toys.write("fixtures/cases/whole.toml", CASE)
    toys.write("parts/__init__.py", "")
    toys.write("parts/together.py", TOGETHER)
    toys.write("parts/layers.py", "from parts.deep import by\n\ndef shift(x):\n    return x + by\n")
    toys.write("parts/late.py", "def shift(x):\n    return x + 1\n")
    toys.write("parts/deep.py", "by = 1\n")
    toys.write("parts/unused.py", "")
    toys.write("fixtures/conversions/rules.toml", "[[rule]]\n")
    toys.write("fixtures/artifacts.toml", '[weights]\ntitle = "a"\n[other]\ntitle = "b"\n')
    toys.write("test_cases.py", (toys.root / "test_cases.py").read_text() + SLOW)
    toys.write(".gitignore", "__pycache__\n/out/\n/again/\n/std*\n")
    profiles = '[tool.harness.profiles.{}]\nsuites = ["test_cases.py"]\nrun_slow = {}\n'
    settings = '[tool.harness]\nshared = ["pins*.txt"]\n'
    toys.write("pyproject.toml", settings + profiles.format("slow", "true") + profiles.format("quick", "false"))
    git(toys.root, "init", "-q", "-b", "main")
    commit(toys, "begun")
    monkeypatch.chdir(toys.root)
    return toys


def touched(toys, base="begun"):
    return dict(changed_cases(base, find_repository(toys.root)).cases)


class TestWhichCases:
    @pytest.mark.parametrize(
        ("file", "text", "found"),
        [
            ("fixtures/cases/one.toml", "\n", {"one"}),
            ("toys.py", "\n", {"one", "two", "pinned"}),
            ("parts/together.py", "\n", {"whole"}),
            ("parts/layers.py", "\n", {"whole"}),
            ("parts/late.py", "\n", {"whole"}),
            ("parts/deep.py", "\n", {"whole"}),
            ("parts/__init__.py", "\n", {"whole"}),
            ("fixtures/conversions/rules.toml", "\n", {"pinned"}),
            ("pins-of-all.txt", "numpy==1\n", {"one", "two", "pinned", "whole"}),
            ("parts/unused.py", "\n", set()),
            ("test_cases.py", "\n", set()),
        ],
    )
    def test_a_file(self, begun, file, text, found):
        path = begun.root / file
        path.write_text((path.read_text() if path.exists() else "") + text)
        assert touched(begun) == dict.fromkeys(found, (file,))
        commit(begun, "changed")
        assert touched(begun) == dict.fromkeys(found, (file,))
        assert touched(begun, "changed") == {}
        path.unlink()
        removed = changed_cases("changed", find_repository(begun.root))
        # The file of a case that is gone is that of no case; any other is missed where it was.
        assert set(removed.cases) == found - {"one" if "one.toml" in file else ""}
        assert removed.others == (not removed.cases)

    def test_an_artifact_and_rows_of_the_register_touch_those_that_they_concern(self, begun):
        begun.write("fixtures/artifacts.toml", '[weights]\ntitle = "another"\n[other]\ntitle = "b"\n')
        assert touched(begun) == {"pinned": ("fixtures/artifacts.toml: weights",)}
        begun.write("fixtures/artifacts.toml", '[weights]\ntitle = "a"\n[other]\ntitle = "of no case"\n')
        assert touched(begun) == {}
        git(begun.root, "checkout", "fixtures")
        begun.row("one", error=0.1)
        assert touched(begun) == {"one": ("fixtures/register/toy-shift.toml: toy-shift",)}
        commit(begun, "row")
        begun.row("two", error=0.1)
        assert set(touched(begun, "row")) == {"one", "two"}
        (begun.root / "fixtures/register/toy-shift.toml").unlink()
        assert set(touched(begun, "row")) == {"one"}

    def test_what_the_base_has_gone_on_with_touches_nothing(self, begun):
        git(begun.root, "checkout", "-q", "-b", "work")
        begun.case("one", after="\n")
        commit(begun, "mine")
        git(begun.root, "checkout", "-q", "main")
        begun.case("two", after="\n")
        commit(begun, "theirs")
        git(begun.root, "checkout", "-q", "work")
        assert set(touched(begun, "main")) == {"one"}

    def test_a_file_that_cannot_be_parsed_and_a_cycle_of_imports(self, begun):
        begun.write("parts/deep.py", "import parts.together\nby = (\n")
        assert set(touched(begun)) == {"whole"}
        begun.write("parts/deep.py", "import parts.together\nfrom ...... import nothing\n")
        assert set(touched(begun)) == {"whole"}

    def test_a_repository_below_the_top_of_that_of_git(self, begun, tmp_path_factory):
        top = tmp_path_factory.mktemp("top")
        (top / "beside.py").write_text("")
        (top / "below").symlink_to(begun.root)
        subprocess.run(["cp", "-r", str(begun.root), str(top / "copied")], check=True)
        subprocess.run(["rm", "-rf", str(top / "copied/.git"), str(top / "below")], check=True)
        git(top, "init", "-q")
        git(top, "add", ".")
        git(top, "commit", "-q", "-m", "all")
        (top / "beside.py").write_text("1\n")
        (top / "copied/parts/deep.py").write_text("by = 2\n")
        begun.row("one", error=0.1)
        found = changed_cases("HEAD", find_repository(top / "copied"))
        assert dict(found.cases) == {"whole": ("parts/deep.py",)}

    @pytest.mark.parametrize(
        ("base", "said"),
        [
            ("begum", "--changed begum: is no revision that git knows here. Fetch it .* Did you mean 'begun'?"),
            ("-h", "--changed -h: is no revision that git knows here"),
            ("0" * 40, "--changed 0{40}: is no revision that git knows here"),
        ],
    )
    def test_a_base_that_is_not_there_is_said(self, begun, base, said):
        with pytest.raises(SpecError, match=said):
            changed_cases(base, find_repository(begun.root))

    def test_what_git_cannot_tell_is_never_nothing(self, begun, monkeypatch):
        git(begun.root, "checkout", "-q", "--orphan", "alone")
        commit(begun, "alone-one")
        with pytest.raises(SpecError, match="has no commit in common with HEAD. Fetch more of it"):
            changed_cases("main", find_repository(begun.root))
        subprocess.run(["mv", ".git", "elsewhere"], check=True)
        monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(begun.root.parent))
        with pytest.raises(RunError, match=r"git rev-parse: .*not a git repository"):
            changed_cases("main", find_repository(begun.root))
        monkeypatch.setenv("PATH", str(begun.root))
        with pytest.raises(RunError, match="git: is not installed"):
            changed_cases("main", find_repository(begun.root))

    def test_a_repository_without_cases_has_nothing_to_pass(self, begun):
        subprocess.run(["rm", "-r", "fixtures/cases"], check=True)
        with pytest.raises(SpecError, match="holds no case"):
            changed_cases("begun", find_repository(begun.root))


class TestRun:
    """The tests that are run, and how it ends."""

    def run(self, toys, *options, folder="out"):
        """By pytest, what is slow too; how it ended, and the record."""
        done = toys.pytest("test_cases.py", "--changed=begun", f"--report-dir={folder}", *options)
        return done.ret, json.loads((toys.root / folder / "run.json").read_text())

    def test_the_touched_case_alone_also_its_slow_test(self, begun):
        begun.write("parts/late.py", "def shift(x):\n    return x + 1.0\n")
        done = begun.harness("run", "--profile=slow", "--report-dir=out", "--changed=begun")
        found = json.loads((begun.root / "out/run.json").read_text())
        assert done.ret == 0
        assert sorted(each["test"] for each in found["results"]) == [
            "test_cases.py::test_case[whole]",
            "test_cases.py::test_slowly[whole]",
        ]
        assert found["run"]["changed"]["cases"] == {"whole": ["parts/late.py"]}
        done.stderr.fnmatch_lines(["touched: whole (parts/late.py)"])
        done.stdout.fnmatch_lines(["1 of 4 cases is touched by what changed since begun*"])
        assert "- whole: parts/late.py\n" in (begun.root / "out/summary.md").read_text()
        assert "1 of 4 cases is touched" in (begun.root / "out/index.html").read_text()

    def test_a_fault_in_what_it_imports_fails(self, begun):
        begun.write("parts/late.py", "def shift(x):\n    return x + 1.1\n")
        status, found = self.run(begun, "--run-slow")
        assert (status, found["run"]["exit_status"]) == (1, 1)
        assert [each["verdict"] for each in found["results"]] == ["diverge", "diverge"]

    def test_nothing_touched_is_said_and_succeeds(self, begun):
        begun.write("parts/unused.py", "1\n")
        status, found = self.run(begun)
        assert (status, found["run"]["exit_status"]) == (0, 0)
        assert (found["results"], found["run"]["tests_total"], found["run"]["changed"]["others"]) == ([], 0, 1)
        assert "## No case is touched.\n" in (begun.root / "out/summary.md").read_text()
        assert "None of 4 cases is touched by what changed since begun" in (begun.root / "out/summary.md").read_text()
        assert "; 1 changed file touches none." in (begun.root / "out/summary.md").read_text()

    def test_a_touched_case_that_no_test_checks_fails(self, begun):
        begun.write("test_cases.py", (begun.root / "test_cases.py").read_text().replace('case("*")', 'case("two")'))
        begun.case("one", after="\n")
        status, found = self.run(begun, "--run-slow")
        assert (status, found["run"]["exit_status"]) == (1, 3)
        (result,) = found["results"]
        assert (result["case"], result["verdict"], result["repeat"]) == ("one", "inconclusive", "harness check one")
        assert result["reason"].startswith("case 'one': is touched (fixtures/cases/one.toml), and no test of this")

    def test_a_slow_test_that_is_skipped_is_no_success(self, begun):
        begun.write("test_cases.py", (begun.root / "test_cases.py").read_text().replace('case("*")', 'case("two")'))
        begun.write("parts/late.py", "def shift(x):\n    return x + 1.0\n")
        found = self.run(begun)[1]
        assert found["run"]["exit_status"] == 3
        assert [each["reason"] for each in found["run"]["not_run"]] == ["slow: give --run-slow or set RUN_SLOW=1"]

    def test_a_base_that_is_unknown_ends_it_before_anything_is_run(self, begun, capsys):
        assert main(["run", "--changed", "begum", "--report-dir", "out"]) == 2
        assert "harness: --changed begum: is no revision" in capsys.readouterr().err
        assert not (begun.root / "out").exists()
        done = begun.pytest("--changed=begum", apart=True)
        assert done.ret == pytest.ExitCode.USAGE_ERROR
        done.stderr.fnmatch_lines(["ERROR: --changed begum: is no revision*"])

    def test_shards_of_it_are_merged_and_isolated_cases_are_the_same(self, begun):
        begun.case("one", after="\n")
        whole = self.run(begun, "--isolate-cases")[1]
        assert [each["case"] for each in whole["results"]] == ["one"]
        for number in (1, 2):
            self.run(begun, f"--shard={number}/2", folder=f"again/{number}")
        assert main(["merge", "again/1", "again/2", "-o", "out/merged"]) == 0
        merged = json.loads((begun.root / "out/merged/run.json").read_text())
        assert merged["run"]["changed"] == whole["run"]["changed"]
        assert [each["test"] for each in merged["results"]] == [each["test"] for each in whole["results"]]


@pytest.mark.parametrize("name", ["one", "two"])
def test_a_case_has_its_test_in_either_part_of_a_run(begun, name):
    """Of a profile that runs what is timed alone, neither part has the tests of all cases."""
    profile = '[tool.harness.profiles.quick]\nsuites = ["test_one.py"]\nalone = ["test_two.py"]\n'
    begun.write("pyproject.toml", profile)
    for each in ("one", "two"):
        begun.write(f"test_{each}.py", TEST.replace('"*"', f'"{each}"'))
    (begun.root / f"fixtures/cases/{name}.toml").open("a").write("\n")
    done = begun.harness("run", "--changed=begun", "--report-dir=out", "--json")
    run = json.loads(done.stdout.str())
    assert (done.ret, [each["case"] for each in run["results"]]) == (0, [name])
