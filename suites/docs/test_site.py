"""The reference is what the code says, and the documents are a site without a broken link."""

import dataclasses
import importlib
import pkgutil
import shutil
import subprocess
import sys
import typing
from pathlib import Path

import pytest

import harness

DOCS = Path(__file__).parents[2] / "docs"
NO_TOML = {"Repository", "Setting", "Claim", "Module", "Wide", "Run", "Entry", "Index"}
"""Specifications that no person writes: what the code makes, and the index of a trace, which is JSON."""


@pytest.fixture
def generate(monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS))
    return importlib.import_module("generate")


def test_the_reference_is_what_the_code_says(generate):
    written = {str(page.relative_to(DOCS / "reference")): page.read_text() for page in DOCS.glob("reference/**/*.md")}
    assert written == generate.pages(), "python docs/generate.py writes it"


def test_every_command_and_every_key_is_there(generate):
    found = generate.pages()
    assert "## `tolerance.atol`" in found["files/case.md"]
    assert "*a number; by default `0.001`*" in found["files/case.md"]
    assert "## `profiles.NAME.run_slow`" in found["files/settings.md"]
    assert "## `rule[].rotary`" in found["files/conversion.md"]
    assert "`--report-dir` `DIR`" in found["commands/run.md"]
    described = {kind for each in generate.KINDS for kind in reached(generate, generate.specification_of(each))}
    assert {kind.__name__ for kind in specifications() - described} - NO_TOML == set()


def test_a_key_that_is_not_described_is_named(generate):
    @dataclasses.dataclass
    class Kind:
        """one, two: said. three: and a word: with a colon."""

        one: int
        two: int
        three: int
        four: int

    with pytest.raises(LookupError, match=r"Kind says nothing of \['four'\]"):
        generate.meanings(Kind)
    del Kind.__dataclass_fields__["four"]
    assert generate.meanings(Kind) == {"one": "Said.", "two": "Said.", "three": "And a word: with a colon."}


@pytest.fixture
def sphinx():
    for name in ("sphinx", "furo", "myst_parser"):
        pytest.importorskip(name, reason="needs the dependency group `docs`")
    return [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-n"]


def test_the_site_has_no_broken_link(sphinx, tmp_path):
    done = subprocess.run([*sphinx, DOCS, tmp_path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    pages = [page.read_text() for page in tmp_path.glob("**/*.html")]
    assert len(pages) > 20
    assert not any('<script src="http' in page or '<link href="http' in page for page in pages)


def test_a_broken_link_is_found(sphinx, tmp_path):
    shutil.copytree(DOCS, tmp_path / "docs")
    for name in ("README.md", "LICENSE"):
        shutil.copy(DOCS.parent / name, tmp_path)
    with (tmp_path / "docs/cases.md").open("a") as page:
        page.write("\n[nowhere](no-such-page.md) and [no heading](verdict.md#no-such-heading)\n")
    done = subprocess.run([*sphinx, tmp_path / "docs", tmp_path / "site"], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "no-such-page.md" in done.stderr
    assert "no-such-heading" in done.stderr


def specifications():
    """Every class of the engine that is read from a file."""
    found = set()
    for module in pkgutil.walk_packages(harness.__path__, "harness."):
        if "adapters" in module.name or module.name.endswith("__main__"):
            continue
        for each in vars(importlib.import_module(module.name)).values():
            if isinstance(each, type) and hasattr(each, "__pydantic_config__") and not each.__name__.startswith("_"):
                found.add(each)
    return found


def reached(generate, specification):
    """The specification, and those inside it."""
    inner = [generate.inner(hint)[0] for hint in typing.get_type_hints(specification).values()]
    return {specification}.union(*(reached(generate, each) for each in inner if each is not None))
