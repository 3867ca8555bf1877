"""Runs put into a history, and fetched: a folder (of a git branch, of a shared disk) or a data set of the Hub.

A run is kept under a name made of its id and its content, and never changed: two writers never meet, and to put it
there twice is to put it there once.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import MissingError, RecordError, SpecError
from harness.files import write_folder
from harness.report.nights import LOGS, read_nights
from harness.report.run import read_run, write_record

if TYPE_CHECKING:
    from huggingface_hub import HfApi

Files = list[tuple[str, bytes]]

KEPT = ("run.json", *LOGS.values())
"""The files of a run that a history keeps."""

HUB = "hub:"
"""How a place begins that is a data set of the Hub; what follows is `owner/name`."""

BUSY = (409, 412, 429, 503)
"""How the Hub answers where others commit at the same time: such a commit changed nothing, and is tried again."""

WAITS = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds before each further attempt."""


class HistoryError(RecordError):
    """A history that could not be read or written, where it is kept."""


def push(run: Path, place: str) -> str:
    """Keep the run in the folder `run`: its record and its logs; the name it has there, "" if it was kept before.

    Raises:
        RecordError: there is no run, or the place refused. SpecError: the place is none.
        MissingError: the package huggingface_hub is not installed.
    """
    if not (run / "run.json").exists():
        read_run(run)
        write_record(run)
    files = {name: (run / name).read_bytes() for name in KEPT if (run / name).is_file()}
    name = _name(run, files)
    if not place.startswith(HUB):
        kept = Path(place) / name
        if kept.exists():
            return ""
        try:
            write_folder(kept, files.items(), mark="run.json")
        except RecordError:
            # Another may have put the same run there meanwhile, and as whole.
            if (kept / "run.json").exists():
                return ""
            raise
        return name
    return _push_to_hub(_repository(place), name, files)


def pull(place: str, folder: Path) -> list[str]:
    """Fetch the runs of `place` that are not in `folder` yet; their names.

    Raises:
        RecordError: the place cannot be read, or the folder not written. SpecError: the place is none.
        MissingError: the package huggingface_hub is not installed.
    """
    found = _on_hub(_repository(place)) if place.startswith(HUB) else _in_folder(Path(place))
    names = [name for name in sorted(found) if not (folder / name).exists()]
    for name in names:
        write_folder(folder / name, found[name](), mark="run.json")
    return names


def _in_folder(place: Path) -> dict[str, Callable[[], Files]]:
    if not place.is_dir():
        raise HistoryError(str(place), "is no folder", todo="Name the folder of a history, or hub:OWNER/NAME.")

    def fetch(run: Path) -> Files:
        return [(name, (run / name).read_bytes()) for name in KEPT if (run / name).is_file()]

    return {path.parent.name: partial(fetch, path.parent) for path in place.glob("*/run.json")}


def _on_hub(repository: str) -> dict[str, Callable[[], Files]]:
    hub = _hub()
    with _refusals(repository):
        listed = hub.list_repo_files(repository, repo_type="dataset")
    found: dict[str, list[str]] = {}
    for file in listed:
        match = re.fullmatch(r"runs/([\w.-]+)/([\w.-]+)", file)
        # What else lies there is not ours to fetch; nor is a name that leads out of the folder.
        if match and match[2] in KEPT and match[1].strip("."):
            found.setdefault(match[1], []).append(file)

    def fetch(files: list[str]) -> Files:
        with _refusals(repository):
            got = [Path(hub.hf_hub_download(repository, file, repo_type="dataset")) for file in files]
        return [(path.name, path.read_bytes()) for path in got]

    return {name: partial(fetch, files) for name, files in found.items() if f"runs/{name}/run.json" in files}


def _push_to_hub(repository: str, name: str, files: Mapping[str, bytes]) -> str:
    hub = _hub()
    from huggingface_hub import CommitOperationAdd
    from huggingface_hub.errors import HfHubHTTPError

    with _refusals(repository):
        hub.create_repo(repository, repo_type="dataset", exist_ok=True)
        if f"runs/{name}/run.json" in hub.list_repo_files(repository, repo_type="dataset"):
            return ""
        added = [CommitOperationAdd(f"runs/{name}/{file}", content) for file, content in files.items()]
        for wait in (*WAITS, None):
            try:
                hub.create_commit(repository, added, commit_message=f"Add the run {name}", repo_type="dataset")
                break
            except HfHubHTTPError as error:
                if wait is None or getattr(error.response, "status_code", 0) not in BUSY:
                    raise
                time.sleep(wait)
    return name


def _hub() -> HfApi:
    try:
        from huggingface_hub import HfApi
    except ImportError:
        todo = "Install parity-harness[zeroshot]."
        raise MissingError("history", "needs the package huggingface_hub, which is not installed", todo=todo) from None
    return HfApi()


@contextmanager
def _refusals(repository: str) -> Iterator[None]:
    """Whatever a network, a gate or a name does becomes the reason."""
    try:
        yield
    except Exception as error:
        problem = f"{type(error).__name__}: {' '.join(str(error).split())}"
        todo = "Check name, connection, and the token (`hf auth login`)."
        raise HistoryError(f"data set {repository}", problem, todo=todo) from error


def _repository(place: str) -> str:
    repository = place.removeprefix(HUB)
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        raise SpecError(place, f"{repository!r} is no name of a data set", todo="Write hub:OWNER/NAME.")
    return repository


def _name(run: Path, files: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256(b"".join(files[name] for name in sorted(files))).hexdigest()[:12]
    return f"{re.sub(r'[^0-9A-Za-z]+', '', read_nights(run).runs[0].id)[:40] or 'run'}-{digest}"
