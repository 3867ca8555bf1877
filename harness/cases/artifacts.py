"""An artifact, a checkpoint, tokenizer or data set pinned by name, revision and sha256; fetched once, verified always.

The files are fetched under a lock into a temporary folder, verified as they are copied, and renamed into the cache
whole. They are only ever copied and hashed: nothing is imported, unpickled or run.
"""

from __future__ import annotations

import errno
import hashlib
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from harness.cases.sources import Source, SourceError, check_name, opened
from harness.errors import ArtifactError, SpecError, closest
from harness.files import cache_folder, locked, sha256_of
from harness.reader import build, load, specification
from harness.settings import Repository

__all__ = ["Artifact", "File", "Source", "fetch", "find_artifact", "read_artifacts"]


@specification
class File:
    """One file.

    name: its path inside the artifact's folder. bytes: its size. sha256: of its content, 64 hexadecimal digits.
    """

    name: str
    bytes: int
    sha256: str

    def __post_init__(self) -> None:
        check_name(self.name)
        if self.bytes < 0:
            raise ValueError(f"bytes = {self.bytes}: want the size of the file")
        if not re.fullmatch(r"[0-9a-f]{64}", self.sha256):
            raise ValueError(f"sha256 = {self.sha256!r}: want 64 hexadecimal digits in lower case")


@specification
class Artifact:
    """What is pinned, and where it may come from.

    name: the table's. title: for people. license: under which it is given. files: what it consists of.
    sources: the places that may give it, in the order in which they are tried.
    """

    name: str
    title: str
    license: str
    files: tuple[File, ...]
    sources: tuple[Source, ...]

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", self.name):
            raise ValueError(f"the name {self.name!r}: want small letters, digits, '.', '_' and '-'")
        if not self.files or not self.sources:
            raise ValueError("want at least one file and one source")
        names = [file.name for file in self.files]
        for name in names:
            if names.count(name) > 1 or any(other.startswith(f"{name}/") for other in names):
                raise ValueError(f"two files want the path {name!r}")

    @property
    def key(self) -> str:
        """The name of its folder in the cache: another content is another folder."""
        pins = "\n".join(sorted(f"{file.sha256} {file.name}" for file in self.files))
        return f"{self.name}-{hashlib.sha256(pins.encode()).hexdigest()[:12]}"

    @property
    def total_bytes(self) -> int:
        return sum(file.bytes for file in self.files)


def read_artifacts(file: Path) -> dict[str, Artifact]:
    """The artifacts that `file` pins, by name.

    Raises:
        SpecError: an unknown key (with the closest known one), a wrong type or value, each with its line.
    """
    artifacts = {}
    for name, table in load(file).items():
        if not isinstance(table, dict):
            raise SpecError(str(file), f"{name} = {table!r} is no artifact", todo=f"Write a table [{name}].")
        if "name" in table:
            raise SpecError(str(file), f"unknown key '{name}.name'", todo="An artifact is called as its table is.")
        artifacts[name] = build(Artifact, {**table, "name": name}, file=file, at=(name,))
    return artifacts


def find_artifact(repository: Repository, name: str) -> Artifact:
    """The artifact called `name`.

    Raises:
        SpecError: there is none (close names are offered), or the file is wrong.
    """
    artifacts = read_artifacts(repository.artifacts)
    if name not in artifacts:
        todo = closest(name, artifacts)
        raise SpecError(f"artifact {name!r}", f"not known in {repository.artifacts}", todo=todo)
    return artifacts[name]


def fetch(
    artifact: Artifact, *, root: Path, cache: Path | None = None, progress: Callable[[str], None] | None = None
) -> Path:
    """The folder in the cache that holds exactly the pinned files, each verified in this call.

    root: the root of the repository, from which `path` sources are named. cache: `cache_folder()` unless given.
    progress: told of every file that is copied, every source that fails, and of a cached copy that was altered.

    Raises:
        ArtifactError: no source gives the files (with each one's reason), or the cache has no room or is not writable.
    """
    shelf = (cache or cache_folder()).absolute() / "artifacts"
    folder = shelf / artifact.key
    if not any(_leftovers(folder)) and _fault(artifact, folder) is None:
        return folder
    try:
        with locked(shelf / f".{artifact.key}.lock"):
            # Under the lock nobody else is at work on this artifact: what lies there was left by a killed process.
            for leftover in _leftovers(folder):
                shutil.rmtree(leftover)
            # Another process may have fetched it while this one waited.
            fault = _fault(artifact, folder)
            if fault is not None:
                _fetch(artifact, folder, fault, root=root, progress=progress or _silent)
            return folder
    except OSError as error:
        raise _cache_error(artifact, shelf, error) from error


def _fetch(artifact: Artifact, folder: Path, fault: str, *, root: Path, progress: Callable[[str], None]) -> None:
    altered = f"the cached copy was altered ({fault})" if folder.exists() else ""
    if altered:
        progress(f"{artifact.name}: {altered}, it is fetched again")
    _check_room(artifact, folder.parent)
    failures = []
    for source in artifact.sources:
        try:
            return _prepare(artifact, source, folder, root=root, progress=progress)
        except SourceError as error:
            failures.append(f"{source.label}: {error}")
            progress(f"{artifact.name}: not from {failures[-1]}")
    reasons = "; ".join(f"({number}) {failure}" for number, failure in enumerate(failures, start=1))
    problem = f"{altered and altered + ', and '}no source gives its files: {reasons}"
    raise ArtifactError(f"artifact {artifact.name!r}", problem, todo=_todo(artifact))


def _prepare(artifact: Artifact, source: Source, folder: Path, *, root: Path, progress: Callable[[str], None]) -> None:
    """Copy the files beside `folder`, verify them, and put them in its place in one step."""
    with TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.", suffix=_PARTIAL) as name:
        temporary = Path(name)
        whole, download = temporary / "files", temporary / "download"
        whole.mkdir()
        download.mkdir()
        with opened(source, root=root, temporary=download) as content:
            for file in artifact.files:
                progress(f"{artifact.name}: {file.name} ({file.bytes:,} bytes) from {source.label}")
                with closing(content(file.name)) as chunks:
                    _copy(chunks, file, whole / file.name)
        if folder.exists():
            folder.replace(temporary / "replaced")
        whole.replace(folder)


def _copy(chunks: Iterator[bytes], file: File, target: Path) -> None:
    """Write the chunks to `target`, no more than the pinned size, and verify them on the way."""
    target.parent.mkdir(parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    with target.open("xb") as stream:
        for chunk in chunks:
            size += len(chunk)
            if size > file.bytes:
                raise SourceError(f"{file.name!r} is longer than the pinned {file.bytes} bytes")
            digest.update(chunk)
            stream.write(chunk)
    mismatch = _mismatch(file, size, digest.hexdigest())
    if mismatch is not None:
        raise SourceError(mismatch)


def _fault(artifact: Artifact, folder: Path) -> str | None:
    """What makes the folder's content other than pinned; None if nothing does."""
    try:
        for file in artifact.files:
            path = folder / file.name
            if path.is_symlink() or not path.is_file():
                return f"{file.name!r} is missing"
            size = path.stat().st_size
            mismatch = _mismatch(file, size, sha256_of(path) if size == file.bytes else "")
            if mismatch is not None:
                return mismatch
        # A loader reads whatever it knows by name: one more file can change a tokenizer as much as an altered one.
        pinned = {folder / file.name for file in artifact.files}
        for path in sorted(folder.rglob("*")):
            if not path.is_dir() and path not in pinned and not path.name.startswith("."):
                return f"{path.relative_to(folder).as_posix()!r} does not belong there"
    except OSError as error:
        return f"it cannot be read: {error}"
    return None


def _mismatch(file: File, size: int, sha256: str) -> str | None:
    if size < file.bytes:
        return f"{file.name!r} is truncated: {size} of {file.bytes} bytes"
    if size > file.bytes:
        return f"{file.name!r} has {size} bytes, want {file.bytes}"
    if sha256 != file.sha256:
        return f"{file.name!r} has the sha256 {sha256}, want {file.sha256}"
    return None


def _leftovers(folder: Path) -> Iterator[Path]:
    return folder.parent.glob(f".{folder.name}.*{_PARTIAL}")


def _check_room(artifact: Artifact, shelf: Path) -> None:
    free = shutil.disk_usage(shelf).free
    if free < artifact.total_bytes:
        missing = f"{artifact.total_bytes - free:,} bytes are missing"
        problem = f"needs {artifact.total_bytes:,} bytes in {shelf}, where {free:,} are free: {missing}"
        raise ArtifactError(f"artifact {artifact.name!r}", problem, todo=_ROOM)


def _cache_error(artifact: Artifact, shelf: Path, error: OSError) -> ArtifactError:
    place = f"artifact {artifact.name!r}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ArtifactError(place, f"the disk ran full while its files were written to {shelf}", todo=_ROOM)
    todo = "Set HARNESS_CACHE to a folder that can be written, or mend this one."
    return ArtifactError(place, f"cannot be kept in {shelf} ({error})", todo=todo)


def _todo(artifact: Artifact) -> str:
    names = ", ".join(file.name for file in artifact.files)
    variables = [source.variable for source in artifact.sources if source.variable]
    remedies = [f"set the variable {name} to a folder with {names}" for name in variables]
    if any(source.hub or source.wheel for source in artifact.sources):
        remedies.append("connect once: what is fetched is kept")
    text = ", or ".join(remedies) or f"put {names} there"
    return f"{text[0].upper()}{text[1:]}."


def _silent(said: str) -> None:
    """Nobody listens."""


_PARTIAL = ".partial"
_ROOM = "Free some space or set HARNESS_CACHE to a folder that has room."
