"""Begin in a repository: settings, an example of a case, a test that runs every case, and a job for CI."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files as resources
from pathlib import Path
from typing import Any

from harness.errors import SpecError
from harness.porting.placing import ANY_CASE, tests_folder, write_all
from harness.reader import load
from harness.settings import find_repository


@dataclass(frozen=True, slots=True)
class Started:
    """What was written, what was there and stays as it is, and what a person has to do by hand."""

    written: tuple[str, ...]
    kept: tuple[str, ...]
    todo: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"schema": 1, "written": list(self.written), "kept": list(self.kept), "todo": list(self.todo)}


def init(root: Path) -> Started:
    """Write what is missing; a file that is there stays as it is, so that a second time changes nothing.

    A pyproject.toml that is there gets `[tool.harness]` at its end, if all that it said before it says then too.

    Raises:
        SpecError: the folder is none, lies inside a repository, or its pyproject.toml is no TOML.
        RecordError: the disk refused. Nothing is written then.
    """
    root = root.resolve()
    if not root.is_dir():
        raise SpecError("harness init", f"{root} is no folder", todo="Make it first.")
    around = find_repository(root).root
    if around != root:
        raise SpecError(
            "harness init", f"{root} lies inside the repository {around}", todo=f"Run `harness init {around}`."
        )
    tests = tests_folder(root)
    wanted = _example(root) | {f"{tests}/test_parity.py": _template("test_parity.txt")}
    wanted[".github/workflows/parity.yml"] = _template("parity.yml")
    kept = [name for name in wanted if (root / name).exists()]
    others = [file for file in sorted((root / tests).rglob("test_*.py")) if ANY_CASE.search(file.read_text("utf-8"))]
    if others and f"{tests}/test_parity.py" not in kept:
        del wanted[f"{tests}/test_parity.py"]
        kept.append(str(others[0].relative_to(root)))
    new = {root / name: text for name, text in wanted.items() if name not in kept}
    settings, todo = _settings(root / "pyproject.toml", _template("settings.toml").replace("TESTS", tests))
    if settings:
        new = {root / "pyproject.toml": settings, **new}
    elif not todo:
        kept = ["pyproject.toml", *kept]
    write_all(new)
    return Started(tuple(str(file.relative_to(root)) for file in new), tuple(kept), todo)


def _example(root: Path) -> dict[str, str]:
    """The example's files by their names, where the repository keeps its cases; none if it has cases already."""
    repository = find_repository(root)
    said = "harness" in _said(root / "pyproject.toml").get("tool", {})
    cases = Path(repository.settings.cases) if said else Path("parity/cases")
    folder = cases.parent
    if any((root / cases).glob("*.toml")) and not (root / cases / "example.toml").exists():
        return {}
    if not folder.parts or not all(part.isidentifier() for part in folder.parts):
        return {}
    module = ".".join([*folder.parts, "example"])
    return {
        str(folder / "__init__.py"): "",
        str(folder / "example.py"): _template("example.txt"),
        str(cases / "example.toml"): _template("example.toml").replace("MODULE", module),
    }


def _settings(file: Path, addition: str) -> tuple[str, tuple[str, ...]]:
    """The text of a pyproject.toml with our table at its end, or ""; and what to do where that cannot be done."""
    said = _said(file)
    if "harness" in said.get("tool", {}):
        return "", ()
    before = file.read_bytes().decode("utf-8") if file.exists() else ""
    end = "\r\n" if "\r\n" in before else "\n"
    gap = "" if not before else end if before.endswith("\n") else 2 * end
    after = before + gap + addition.replace("\n", end)
    if _only_adds(said, after):
        return after, ()
    return "", (f"Add to {file.name}, which has no place for it at its end:\n\n{addition}",)


def _only_adds(said: Mapping[str, Any], after: str) -> bool:
    """Whether the text says what was said, and `[tool.harness]`."""
    try:
        found = tomllib.loads(after)
    except tomllib.TOMLDecodeError:
        return False
    tools = {key: value for key, value in found["tool"].items() if key != "harness"}
    rest = {key: value for key, value in found.items() if key != "tool"}
    return rest | ({"tool": tools} if tools else {}) == {key: value for key, value in said.items() if value != {}}


def _said(file: Path) -> dict[str, Any]:
    return load(file) if file.exists() else {}


def _template(name: str) -> str:
    return (resources("harness.porting") / "templates" / name).read_text(encoding="utf-8")
