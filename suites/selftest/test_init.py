"""`harness init`: a repository begins with settings, an example, a test and a CI job, and nothing of it is lost."""

import json
import os
import subprocess
import sys
import tomllib
import zipfile
from importlib.util import find_spec

import pytest

from harness.cli import main
from harness.errors import SpecError
from harness.porting.init import init

WRITTEN = {
    "pyproject.toml",
    "parity/__init__.py",
    "parity/example.py",
    "parity/cases/example.toml",
    "tests/test_parity.py",
    ".github/workflows/parity.yml",
}


def files_in(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_an_empty_folder_becomes_a_repository_and_a_second_time_changes_nothing(tmp_path):
    first = init(tmp_path)
    assert set(first.written) == WRITTEN == set(files_in(tmp_path))
    assert (first.kept, first.todo) == ((), ())
    before = files_in(tmp_path)
    again = init(tmp_path)
    assert (again.written, set(again.kept)) == ((), WRITTEN)
    assert files_in(tmp_path) == before


PROJECT = """# ours: keep
[build-system]   # odd   spacing
requires = ["hatchling"]

[tool.pytest.ini_options]
testpaths = ["checks"]

[project]
name = "mine"
"""


@pytest.mark.parametrize("text", [PROJECT, PROJECT.rstrip("\n"), PROJECT.replace("\n", "\r\n"), "", "# no more\n"])
def test_a_pyproject_keeps_all_that_it_said(tmp_path, text):
    file = tmp_path / "pyproject.toml"
    file.write_bytes(text.encode())
    started = init(tmp_path)
    after = file.read_bytes().decode()
    assert after.startswith(text)
    found = tomllib.loads(after)
    assert found["tool"].pop("harness")["cases"] == "parity/cases"
    assert {key: value for key, value in found.items() if value} == tomllib.loads(text)
    tests = "checks" if "checks" in text else "tests"
    assert f"{tests}/test_parity.py" in started.written
    assert ("\r\n" in after) == ("\r\n" in text)
    assert "\n" not in after.replace("\r\n", "") or "\r\n" not in text


@pytest.mark.parametrize(
    "text", ["tool = { black = { line-length = 100 } }\n", "[tool]\nharness2 = 1\nx = { y = 1 }\n"]
)
def test_a_pyproject_with_no_place_for_the_table_is_left_and_that_is_said(tmp_path, text):
    file = tmp_path / "pyproject.toml"
    file.write_text(text)
    started = init(tmp_path)
    if file.read_text() == text:
        assert started.todo[0].startswith(
            "Add to pyproject.toml, which has no place for it at its end:\n\n[tool.harness]"
        )
    else:
        assert tomllib.loads(file.read_text())["tool"]["x"] == {"y": 1}


def test_settings_that_are_there_are_kept_and_followed(tmp_path):
    text = '[tool.harness]\ncases = "models/cases"\n'
    (tmp_path / "pyproject.toml").write_text(text)
    started = init(tmp_path)
    assert (tmp_path / "pyproject.toml").read_text() == text
    assert {"models/example.py", "models/cases/example.toml"} <= set(started.written)
    assert 'factory = "models.example:port"' in (tmp_path / "models/cases/example.toml").read_text()


def test_a_repository_with_cases_gets_no_example_and_one_with_a_test_of_all_no_second(tmp_path):
    (tmp_path / "pyproject.toml").write_text('[tool.harness]\ncases = "models/cases"\n')
    (tmp_path / "models/cases").mkdir(parents=True)
    (tmp_path / "models/cases/own.toml").write_text("")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/test_mine.py").write_text('import pytest\n@pytest.mark.case("*")\ndef test(case, parity): ...\n')
    started = init(tmp_path)
    assert started.written == (".github/workflows/parity.yml",)
    assert started.kept == ("pyproject.toml", "tests/test_mine.py")


def test_what_is_there_is_never_written_over(tmp_path):
    (tmp_path / "parity").mkdir()
    (tmp_path / "parity/example.py").write_text("MINE = 1\n")
    assert "parity/example.py" in init(tmp_path).kept
    assert (tmp_path / "parity/example.py").read_text() == "MINE = 1\n"


def test_trouble_is_said_and_nothing_is_written(tmp_path):
    with pytest.raises(SpecError, match="nowhere is no folder. Make it first."):
        init(tmp_path / "nowhere")
    (tmp_path / "pyproject.toml").write_text("[tool\n")
    with pytest.raises(SpecError, match=r"pyproject.toml: not TOML: .*line 1.* Mend the syntax there."):
        init(tmp_path)
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "inside").mkdir()
    with pytest.raises(SpecError, match=r"inside lies inside the repository .* Run `harness init .*`."):
        init(tmp_path / "inside")
    assert set(files_in(tmp_path)) == {"pyproject.toml"}


def test_a_file_that_cannot_be_written_takes_the_others_back(tmp_path):
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    (tmp_path / ".github").write_text("a file where a folder is wanted")
    before = files_in(tmp_path)
    from harness.errors import RecordError

    with pytest.raises(RecordError, match="cannot be written"):
        init(tmp_path)
    assert files_in(tmp_path) == before


def test_the_workflow_is_yaml_with_a_job_that_runs_the_profile():
    import yaml

    from harness.porting.init import _template

    found = yaml.safe_load(_template("parity.yml"))
    assert set(found[True]) == {"push", "pull_request"}  # YAML 1.1 reads `on` as true
    steps = found["jobs"]["parity"]["steps"]
    assert next(step["uses"] for step in steps if "uses" in step).startswith("actions/checkout@")
    assert "harness run --profile quick --report-dir reports/latest" in [step.get("run") for step in steps]
    assert found["permissions"] == {"contents": "read"}


def test_the_command_says_what_it_did(tmp_path, capsys):
    assert main(["init", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "written        parity/cases/example.toml\n" in said
    assert "next: pytest, or harness check example" in said
    assert main(["init", str(tmp_path), "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)["kept"]) == WRITTEN


@pytest.mark.slow
def test_a_fresh_repository_with_nothing_of_ours_but_the_wheel(tmp_path, pytestconfig):
    """Built, unpacked and run as a user has it: init, pytest, a profile. What it depends on is from here."""
    if find_spec("hatchling") is None:
        pytest.skip("needs hatchling 1.25, which is not installed")
    python, folder, fresh = sys.executable, tmp_path / "package", tmp_path / "fresh"
    fresh.mkdir()
    wheel = [python, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(tmp_path)]
    subprocess.run([*wheel, str(pytestconfig.rootpath)], check=True, capture_output=True)
    (built,) = tmp_path.glob("*.whl")
    held = set(zipfile.ZipFile(built).namelist())
    assert {f"harness/porting/templates/{name}" for name in ("example.txt", "parity.yml", "settings.toml")} <= held
    install = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), str(built)]
    subprocess.run(install, check=True, capture_output=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "HARNESS"))}
    environment = kept | {"PYTHONPATH": str(folder), "HARNESS_CACHE": str(tmp_path / "cache")}

    def run(*command, status=0):
        done = subprocess.run(command, cwd=fresh, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == status, f"{done.stdout}\n{done.stderr}"
        return done.stdout

    run("git", "init", "--quiet", ".")
    assert run(python, "-c", "import harness; print(harness.__file__)").startswith(str(folder))
    run(python, "-m", "harness", "init")
    assert "example: AGREE" in run(python, "-m", "harness", "check", "example")
    assert "1 passed" in run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    run(python, "-m", "harness", "run", "--profile", "quick", "--report-dir", "reports/latest")
    assert (fresh / "reports/latest/index.html").is_file()
    # A port that is wrong fails the very same test.
    file = fresh / "parity/example.py"
    file.write_text(file.read_text().replace("1 - 2 /", "1 - 2.1 /"))
    assert "1 failed" in run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", status=1)
    assert "example: DIVERGE" in run(python, "-m", "harness", "check", "example", status=1)
