"""Where the files of a port stand in a repository, and writing all of them or none."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from harness.errors import SpecError
from harness.files import write_atomic
from harness.reader import load
from harness.settings import Repository

ANY_CASE = re.compile(r"""mark\.case\(\s*["']\*["']""")
"""A test that takes in every case."""


@dataclass(frozen=True, slots=True)
class Places:
    """The files of one port. module_name: as Python imports it. is_tested: a test takes in every case already.

    model: the module of an original by the configuration of a hub's model.
    """

    case: Path
    rules: Path
    module: Path
    module_name: str
    model: Path
    test: Path
    is_tested: bool

    @property
    def package(self) -> Path:
        """What makes the module's folder a package, so that no other of its name is found first."""
        return self.module.with_name("__init__.py")

    def refuse(self, place: str) -> None:
        """Nothing, unless one of the files is there.

        Raises:
            SpecError: one is.
        """
        there = [file for file in (self.case, self.rules, self.module, self.model, self.test) if file.exists()]
        if there:
            raise SpecError(place, f"{there[0]} is there already", todo="Choose another name, or give --force.")


def places_of(name: str, repository: Repository, *, place: str) -> Places:
    """The places for a case called `name`.

    Raises:
        SpecError: it is no name, or the repository has no pyproject.toml or no pytest.
    """
    word = name.replace("-", "_")
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", word):
        raise SpecError(place, f"{name!r} is no name", todo="Use letters, digits, - and _, a letter first.")
    root = repository.root
    if not (root / "pyproject.toml").is_file():
        raise SpecError(place, f"there is no pyproject.toml in {root} or above", todo="Run `harness init` there first.")
    if find_spec("pytest") is None:
        raise SpecError(place, "pytest is not installed, which runs the case", todo="Run `pip install pytest`.")
    folder = repository.cases.parent
    parts = folder.relative_to(root).parts
    if not all(part.isidentifier() for part in parts):
        problem = f"{folder} cannot be imported from, since its name is no identifier"
        raise SpecError(place, problem, todo="Set `cases` in [tool.harness] to another folder.")
    tests = root / tests_folder(root)
    return Places(
        case=repository.cases / f"{name}.toml",
        rules=repository.conversions / f"{name}.toml",
        module=folder / f"{word}.py",
        module_name=".".join([*parts, word]),
        model=folder / f"{word}_model.py",
        test=tests / f"test_{word}.py",
        is_tested=any(
            ANY_CASE.search(file.read_text(encoding="utf-8"))
            for file in (*tests.rglob("test_*.py"), *root.glob("test_*.py"))
        ),
    )


def tests_folder(root: Path) -> str:
    """Where pytest looks for tests in a repository: the first of its `testpaths`, or `tests`."""
    table = load(root / "pyproject.toml") if (root / "pyproject.toml").is_file() else {}
    paths = table.get("tool", {}).get("pytest", {}).get("ini_options", {}).get("testpaths", [])
    first = paths.split() if isinstance(paths, str) else paths
    return str(first[0]) if first else "tests"


def write_all(files: Mapping[Path, str]) -> None:
    """Write every file, or none: if one cannot be written, the others are again what they were.

    Raises:
        RecordError: the disk refused.
    """
    with tentative(files):
        pass


@contextmanager
def tentative(files: Mapping[Path, str]) -> Iterator[None]:
    """Write every file; if that fails, or something is raised while open, all are again what they were.

    Raises:
        RecordError: the disk refused.
    """
    before: dict[Path, bytes | None] = {}
    try:
        for file, text in files.items():
            before[file] = file.read_bytes() if file.exists() else None
            write_atomic(file, text)
        yield
    except BaseException:
        for file, old in before.items():
            if old is not None:
                write_atomic(file, old)
            elif file.is_file():
                file.unlink()
        raise
