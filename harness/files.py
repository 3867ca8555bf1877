"""Everything that writes: whole files atomically, records by flushed lines; and the folder where things are kept."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.errors import RecordError


def write_atomic(path: Path, content: str | bytes) -> Path:
    """Write the whole file or nothing: readers see the old content or the new, never a part.

    Raises:
        RecordError: the folder or disk refused (the partial file is removed).
    """
    with replacing(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """While open, a file beside `path` to write to; afterwards, if nothing was raised, it stands in its place.

    Raises:
        RecordError: the folder or disk refused (the partial file is removed).
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(handle)
        temporary = Path(name)
        yield temporary
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except OSError as error:
        raise RecordError(str(path), f"cannot be written ({error.strerror})", todo=_remedy(error)) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_folder(folder: Path, files: Iterable[tuple[str, str | bytes]], *, mark: str) -> Path:
    """Write a folder of files, each a path in it and its content: all of them or, if anything is raised, none.

    A folder that is there is replaced only if it is empty or has the file `mark`, by which an earlier one is known.

    Raises:
        RecordError: the folder holds other things, or the disk refused.
    """
    if folder.exists() and not (folder / mark).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise RecordError(str(folder), f"holds other things, and no {mark}", todo="Name a new folder.")
    temporary = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
        new, old = temporary / "new", temporary / "old"
        new.mkdir()
        for name, content in files:
            (new / name).parent.mkdir(parents=True, exist_ok=True)
            (new / name).write_bytes(content.encode(errors="replace") if isinstance(content, str) else content)
        if folder.exists():
            folder.replace(old)
        try:
            new.replace(folder)
        except OSError:
            if old.exists():
                old.replace(folder)
            raise
    except OSError as error:
        raise RecordError(str(folder), f"cannot be written ({error.strerror})", todo=_remedy(error)) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
    return folder


def append_line(path: Path, *values: Mapping[str, Any]) -> None:
    """Append each value as a line of JSON, all in one write, flushed to disk.

    Raises:
        RecordError: the folder or disk refused.
    """
    lines = [json.dumps(value, allow_nan=False, separators=(",", ":")) + "\n" for value in values]
    try:
        with path.open("a", encoding="utf-8") as stream:
            stream.write("".join(lines))
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise RecordError(str(path), f"cannot be written ({error.strerror})", todo=_remedy(error)) from error


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The values that `append_line` wrote; a last line that a kill tore off is left out.

    Raises:
        RecordError: a line before the last is not a JSON object.
    """
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    values = []
    for number, line in enumerate(lines, start=1):
        try:
            value = json.loads(line) if line else None
        except json.JSONDecodeError:
            if number == len(lines):
                break
            value = line
        if isinstance(value, dict):
            values.append(value)
        elif value is not None:
            raise RecordError(f"{path}:{number}", "not a JSON object", todo="Remove the line, or the run's folder.")
    return values


def sha256_of(path: Path) -> str:
    """The sha256 of a file's content, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def cache_folder() -> Path:
    """Where fetched things are kept: HARNESS_CACHE, or the user's cache folder."""
    if chosen := os.environ.get("HARNESS_CACHE"):
        return Path(chosen).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("parity-harness", appauthor=False)


@contextmanager
def locked(path: Path, *, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold the lock file `path`, so that of two processes one waits for the other. waiting: called if it has to."""
    from filelock import FileLock, Timeout

    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0 if waiting else -1)
    except Timeout:
        (waiting or (lambda: None))()
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _remedy(error: OSError) -> str:
    import errno

    if error.errno == errno.ENOSPC:
        return "The disk is full: free some space, or name another folder."
    return "Check the folder and its permissions, or name another."
