"""Every command and example in the documents works as it stands."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("**/*.md")), ROOT / "reports/README.md"]
FENCE = re.compile(r"(?:<!-- (?P<mark>[\w ,./-]+) -->\n)?```(?P<language>\w+)\n(?P<text>.*?)```", re.DOTALL)


def blocks(language, *, marked=()):
    """The fenced blocks of a language; those under an HTML comment only if its text is among `marked`."""
    return [
        pytest.param(match["text"], id=f"{document.relative_to(ROOT)}-{number}")
        for document in DOCUMENTS
        for number, match in enumerate(FENCE.finditer(document.read_text()), start=1)
        if match["language"] == language and (match["mark"] in marked if marked else match["mark"] is None)
    ]


def run(text, folder):
    """Run the block's lines in a shell, with this interpreter's commands found first, as if no worker ran this test.

    In one of pytest-xdist nothing is timed.
    """
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text],
        cwd=folder,
        env=variables | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"


@pytest.mark.parametrize("text", blocks("bash"))
def test_commands(text):
    run(text, ROOT)


@pytest.mark.slow
def test_commands_from_a_fresh_clone(tmp_path, monkeypatch):
    """The README's own two commands, one after the other, where nothing has been prepared."""
    commands = blocks("bash", marked=("from a fresh clone", "from the same clone"))
    assert len(commands) == 2
    monkeypatch.delenv("RUN_SLOW", raising=False)
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(tmp_path / "clone")], check=True)
    for command in commands:
        run(command.values[0], tmp_path / "clone")
    assert (tmp_path / "clone/reports/latest/index.html").exists()


@pytest.mark.slow
@pytest.mark.parametrize("text", blocks("bash", marked=("takes minutes", "with a package index")))
def test_commands_that_take_long(text):
    run(text, ROOT)


@pytest.mark.parametrize("text", blocks("python"))
def test_examples(text, pytester):
    """An example with tests is run by pytest in a folder of its own, any other as a script."""
    for found in re.findall(r"^import (\w+)|^from (\w+)", text, re.MULTILINE):
        package = "".join(found)
        # Looked for and not imported: pytester makes this process forget it, and torch cannot be imported twice.
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    file = pytester.makepyfile(test_example=text)
    if "def test_" in text:
        assert pytester.runpytest_subprocess("-p", "no:cacheprovider", file).ret == 0
    else:
        assert pytester.runpython(file).ret == 0


@pytest.mark.parametrize("text", blocks("toml"))
def test_toml(text, tmp_path):
    """A case in the documents is read as a case is, a task as a task."""
    assert tomllib.loads(text)
    if "[data]" in text:
        from harness.zeroshot.task import read_task

        (tmp_path / "example.toml").write_text(text)
        read_task(tmp_path / "example.toml")
    if "[reference]" in text:
        from harness import read_case

        (tmp_path / "example.toml").write_text(text)
        read_case(tmp_path / "example.toml")


def test_blocks_are_found_and_every_language_is_tested():
    languages = {match["language"] for document in DOCUMENTS for match in FENCE.finditer(document.read_text())}
    assert {"bash", "python", "toml"} <= languages <= {"bash", "diff", "python", "toml", "text", "yaml"}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_and_files_exist(document):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)|src=\"([^\"]+)\"", document.read_text()):
        name = "".join(target)
        if not name.startswith(("http:", "https:")):
            assert (document.parent / name).exists(), f"{document.name} links to {name}"


def test_bash_is_there():
    assert shutil.which("bash")
