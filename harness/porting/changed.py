"""Which cases a change touches: those of whose files one differs from a revision of git, and which file that is."""

from __future__ import annotations

import ast
import subprocess
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from importlib.util import resolve_name
from pathlib import Path, PurePosixPath
from typing import Any

from harness.cases.spec import Case, case_names, find_cases
from harness.errors import RunError, SpecError, closest
from harness.porting.sources import factories_of
from harness.settings import Repository


@dataclass(frozen=True, slots=True)
class Changed:
    """What differs from a base. base: as it was named. revision: the commit at which both parted.

    cases: name of a case that is touched -> why: files, artifacts, rows of the register. among: how many cases there
    are. others: how many further files differ.
    """

    base: str
    revision: str
    cases: Mapping[str, tuple[str, ...]]
    among: int
    others: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def changed_cases(base: str, repository: Repository) -> Changed:
    """The cases that are touched by what differs between the working tree and where it parted from `base`.

    A case is touched if one of these differs: its file, its rules, what makes it and every module of the repository
    that this imports, its artifacts' pins, its rows of the register, or a file that the settings call `shared`. The
    harness itself is left out.

    Raises:
        SpecError: there is no such revision, no commit that both come from, or no case.
        RunError: git is not there, or refused.
    """
    root = repository.root.resolve()
    revision = _parted(base, root)
    differing = _differing(revision, root)
    names = case_names(repository)
    if not names:
        raise SpecError(str(repository.cases), "holds no case", todo="Name the folder in [tool.harness].")
    imports, tables = _Imports(root), list(_tables(differing, revision, repository))
    shared = {file for file in differing for each in repository.settings.shared if fnmatchcase(file, each)}
    touched, told = {}, set(shared)
    for case in find_cases(repository, *names):
        files = differing & {*_own(case, repository), *imports.files(_modules(case))} | shared
        parts = [table for table in tables if case.name in table.cases or table.name in case.artifacts.values()]
        told |= files | {table.file for table in parts}
        if why := (*sorted(files), *(f"{table.file}: {table.name}" for table in parts)):
            touched[case.name] = why
    return Changed(base, revision, touched, len(names), len(differing - told))


@dataclass(frozen=True, slots=True)
class _Table:
    """A table that differs, of a file that cases share: an artifact, or a row of the register with its subjects."""

    file: str
    name: str
    cases: tuple[str, ...] = ()


@dataclass(slots=True)
class _Imports:
    """Which files a module stands on, by the imports that its text names, also those inside functions."""

    root: Path
    known: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def files(self, modules: Iterator[str]) -> set[str]:
        """The files where these modules and all that they import may lie: one that was removed is no longer there."""
        found: set[str] = set()
        waiting, seen = list(modules), set[str]()
        while waiting:
            module = waiting.pop()
            if module in seen or f"{module}.".startswith("harness."):
                continue
            seen.add(module)
            for file in _places(module):
                found.add(file)
                waiting += self._imported(file)
        return found

    def _imported(self, file: str) -> tuple[str, ...]:
        if file not in self.known:
            self.known[file] = tuple(_imported(self.root, file)) if (self.root / file).is_file() else ()
        return self.known[file]


def _places(module: str) -> Iterator[str]:
    """The files of a module and of the packages around it, from the root, or from `src` in it."""
    for folder in (PurePosixPath(), PurePosixPath("src")):
        for part in module.split("."):
            folder /= part
            yield f"{folder}.py"
            yield f"{folder}/__init__.py"


def _imported(root: Path, file: str) -> Iterator[str]:
    """The modules that a file may import; of one that cannot be parsed, none: whoever imports it says why."""
    try:
        tree = ast.parse((root / file).read_bytes())
    except (SyntaxError, ValueError):
        return
    package = ".".join(PurePosixPath(file).parent.parts)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            try:
                module = resolve_name("." * node.level + (node.module or ""), package.removeprefix("src."))
            except ImportError:
                continue
            # What is taken from a package may be a module of it.
            yield from (f"{module}.{each.name}" for each in node.names)


def _modules(case: Case) -> Iterator[str]:
    return (factory.factory.partition(":")[0] for factory in factories_of(case))


def _own(case: Case, repository: Repository) -> list[str]:
    rules = [repository.conversions / f"{case.conversion}.toml"] if case.conversion else []
    return [name for file in (case.file, *rules) for name in _named(file, repository.root)]


def _named(file: Path, root: Path) -> list[str]:
    """The file by its path from the root, as git names it; nothing for one outside."""
    file = file.resolve()
    return [file.relative_to(root.resolve()).as_posix()] if file.is_relative_to(root.resolve()) else []


def _tables(differing: set[str], revision: str, repository: Repository) -> Iterator[_Table]:
    """The artifacts and the rows of the register that were added, changed or removed."""
    for file in sorted(differing):
        path = repository.root / file
        if path == repository.artifacts:
            before, now = _said_by(revision, file, repository.root)
            yield from (_Table(file, name) for name in {**before, **now} if before.get(name) != now.get(name))
        elif path.parent == repository.register and path.suffix == ".toml":
            before, now = (table.get("row", []) for table in _said_by(revision, file, repository.root))
            rows = [row for row in (*before, *now) if row not in before or row not in now]
            # A row that changed is among them twice, and may have concerned others before.
            concerned: dict[str, tuple[str, ...]] = {}
            for row in rows:
                name = str(row.get("id"))
                concerned[name] = (*concerned.get(name, ()), *row.get("subjects", ()))
            yield from (_Table(file, name, cases) for name, cases in concerned.items())


def _said_by(revision: str, file: str, root: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a TOML file said in the revision, and says now; nothing where it is not there, or is no TOML."""
    there, here = _git(root, "show", f"{revision}:./{file}"), root / file
    texts = (there.stdout if not there.returncode else "", here.read_text("utf-8") if here.is_file() else "")
    tables = []
    for text in texts:
        try:
            tables.append(tomllib.loads(text))
        except tomllib.TOMLDecodeError:
            tables.append({})
    return tables[0], tables[1]


def _parted(base: str, root: Path) -> str:
    """The commit that the working tree and the base both come from."""
    place = f"--changed {base}"
    _said(root, "rev-parse", "--git-dir")
    if _git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{base}^{{commit}}").returncode:
        known = _said(root, "for-each-ref", "--format=%(refname:short)").split()
        todo = f"Fetch it (in a workflow, `fetch-depth: 0`), or name another. {closest(base, known)}"
        raise SpecError(place, "is no revision that git knows here", todo=todo)
    found = _git(root, "merge-base", "--end-of-options", base, "HEAD")
    if found.returncode:
        raise SpecError(
            place, "has no commit in common with HEAD", todo="Fetch more of it (in a workflow, `fetch-depth: 0`)."
        )
    return found.stdout.strip()


def _differing(revision: str, root: Path) -> set[str]:
    """The files below the root that were changed, added or removed since, also what is not committed."""
    changed = _said(root, "diff", "--name-only", "--no-renames", "--relative", "-z", revision, "--")
    new = _said(root, "ls-files", "--others", "--exclude-standard", "-z")
    return {name for name in (changed + new).split("\0") if name}


def _said(root: Path, *arguments: str) -> str:
    done = _git(root, *arguments)
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
        raise RunError(f"git {arguments[0]}", said[-1], todo=f"Run it in a clone that git can read; this is {root}.")
    return done.stdout


def _git(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise RunError("git", "is not installed", todo="Install it: what changed is known from its history.") from None
