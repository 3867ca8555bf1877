"""What a change is held against: a git revision, an environment, a wheel, or a second path in the same environment."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from harness.bench.lockstep import Side
from harness.bench.path import every_path
from harness.errors import RunError, SpecError, closest

Kind = Literal["revision", "environment", "wheel", "path"]


@dataclass(frozen=True, slots=True)
class Base:
    """What the word on the command line names. place: the file or folder, or the revision's full name."""

    kind: Kind
    word: str
    place: str


def read_base(word: str, root: Path, *, of_a_case: bool = False) -> Base:
    """What the word names, in this order: a wheel, an environment, a factory, a revision; of a case also a path.

    Raises:
        SpecError: nothing of these.
    """
    file = Path(word).expanduser()
    if word.endswith(".whl"):
        if not file.is_file():
            raise SpecError(f"BASE {word!r}", "there is no such wheel", todo="Give the path of the file.")
        return Base("wheel", word, str(file.resolve()))
    if python := _python(file):
        return Base("environment", word, str(python))
    if is_factory(word):
        return Base("path", word, word)
    if revision := _git(root, "rev-parse", "--verify", "--quiet", f"{word}^{{commit}}"):
        return Base("revision", word, revision)
    paths = [str(path) for path in every_path()] if of_a_case else []
    if word in paths:
        return Base("path", word, word)
    known = _git(root, "for-each-ref", "--format=%(refname:short)").split()
    problem = "is no git revision, wheel, environment (a folder with bin/python) or module:factory"
    problem += ", and no path" if of_a_case else ""
    raise SpecError(f"BASE {word!r}", problem, todo=_instead(word, known, paths, root))


def is_factory(word: str) -> bool:
    """Whether the word has the form MODULE:FACTORY."""
    return re.fullmatch(r"[\w.]+:\w+", word) is not None


def here(name: str, factory: str, arguments: dict[str, object], root: Path) -> Side:
    """The side as it is now: the code of the working tree, in the present environment."""
    given = [Path(each).resolve() for each in os.environ.get("PYTHONPATH", "").split(os.pathsep) if each]
    return Side(name, factory, arguments, path=(*_own(root), *given), folder=root)


@contextmanager
def sides_of(base: Base, sides: Sequence[Side], root: Path) -> Iterator[list[Side]]:
    """The same sides as they are in the base; while open, its files are there.

    Raises:
        RunError: it could not be made, and why.
    """
    if base.kind == "path":
        yield [_other_path(base, side) for side in sides]
    elif base.kind == "environment":
        yield [replace(side, python=Path(base.place)) for side in sides]
    elif base.kind == "wheel":
        python, own = _installed(Path(base.place))
        # Before the working tree, which may hold the same package.
        yield [replace(side, python=python, path=(own, *side.path)) for side in sides]
    else:
        with _worktree(base, root) as top:
            whole = Path(_git(root, "rev-parse", "--show-toplevel"))
            yield [_moved(side, whole, top) for side in sides]


def _other_path(base: Base, side: Side) -> Side:
    if ":" in base.word:
        return replace(side, factory=base.word, arguments={})
    return replace(side, arguments={**side.arguments, "path": base.word})


def _moved(side: Side, whole: Path, top: Path) -> Side:
    """The side with every folder inside the repository taken from the other tree."""

    def moved(folder: Path) -> Path:
        return top / folder.relative_to(whole) if folder.is_relative_to(whole) else folder

    # Before the packages of the environment, of which one may be this repository, installed editable.
    path = tuple(moved(folder) for folder in side.path)
    return replace(side, path=tuple(dict.fromkeys((*_own(moved(side.folder)), *path))), folder=moved(side.folder))


def _own(root: Path) -> list[Path]:
    """Where a repository keeps its modules: its root, and `src`."""
    return [root, *(folder for folder in (root / "src",) if folder.is_dir())]


@contextmanager
def _worktree(base: Base, root: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="harness-") as folder:
        top = Path(folder).resolve() / "tree"
        command = ["git", "-C", str(root), "worktree"]
        done = subprocess.run(
            [*command, "add", "--detach", str(top), base.place], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise RunError(f"revision {base.word!r}", f"cannot be laid out: {done.stderr.strip()}", todo="See git.")
        try:
            yield top
        finally:
            subprocess.run([*command, "remove", "--force", str(top)], capture_output=True, check=False)


def _installed(wheel: Path) -> tuple[Path, Path]:
    """The Python of an environment with the wheel laid over the present one, and where its own packages lie."""
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename

    from harness.versions.environments import environment_for

    try:
        package, version, *_ = parse_wheel_filename(wheel.name)
    except InvalidWheelFilename as error:
        raise SpecError(f"BASE {wheel.name!r}", str(error), todo="Name the file as its builder did.") from None
    python = environment_for(package, str(version), wheel=wheel).python
    command = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return python, Path(done.stdout.strip())


def _python(file: Path) -> Path | None:
    """The interpreter of an environment, by its folder or its own file; a link stays one, since it names the folder."""
    inside = file / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if inside.is_file():
        return inside.absolute()
    return file.absolute() if file.is_file() and file.name.startswith("python") and os.access(file, os.X_OK) else None


def _instead(word: str, revisions: Sequence[str], paths: Sequence[str], root: Path) -> str:
    """What to do about a BASE that names nothing."""
    if not revisions and not paths:
        return "Run it inside a repository that has a commit."
    near = closest(word, [*revisions, *paths], otherwise=closest(word, revisions))
    shallow = _git(root, "rev-parse", "--is-shallow-repository") == "true"
    return f"{near} The clone is shallow: `git fetch --unshallow` gets what it lacks." if shallow else near


def _git(root: Path, *arguments: str) -> str:
    """What git says, or "" where it refuses or is not there."""
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
