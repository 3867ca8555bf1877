"""The rows of a data set, wherever it lies: a file, an artifact, the Hub."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path

from harness.cases.artifacts import fetch, find_artifact
from harness.errors import ArtifactError, MissingError, SpecError, closest
from harness.settings import Repository
from harness.zeroshot.task import Data, Task
from harness.zeroshot.templates import Row

ENDINGS = {".jsonl": "jsonl", ".csv": "csv", ".parquet": "parquet"}


def rows_of(task: Task, repository: Repository, data: Data, *, at: tuple[str, ...]) -> list[tuple[str, Row]]:
    """The rows of `data`, which stands under the keys `at` of the task; each with its place, for messages.

    Raises:
        SpecError: the file or data set is not there, is not of its format, or holds no row.
        ArtifactError: an artifact or data set could not be had. MissingError: a package that reads it is not installed.
    """
    if data.hub:
        rows = list(_of_hub(data, task.place(*at, "hub")))
    else:
        key, files = _files(task, repository, data, at)
        place = task.place(*at, key)
        kind = data.format or ENDINGS.get(files[0].suffix, "")
        if not kind:
            told = ", ".join(sorted(ENDINGS))
            problem = f"{files[0].name} ends in none of {told}"
            raise SpecError(place, problem, todo="Say its `format`: jsonl, csv, parquet or lines.")
        for file in files:
            if not file.is_file():
                raise SpecError(place, f"no file {str(file)!r}", todo="Check the path, seen from the task's file.")
        try:
            rows = list(_READERS[kind](files))
        except (UnicodeDecodeError, csv.Error) as error:
            raise SpecError(str(files[0]), f"cannot be read as {kind}: {error}", todo="Mend the file.") from None
    if not rows:
        raise SpecError(task.place(*at), "the data set has no row", todo="Name one with rows.")
    return rows


def _files(task: Task, repository: Repository, data: Data, at: tuple[str, ...]) -> tuple[str, list[Path]]:
    if data.file:
        return "file", [task.file.parent / name for name in (data.file, data.beside) if name]
    artifact = find_artifact(repository, data.artifact)
    names = [file.name for file in artifact.files]
    chosen = data.member or (names[0] if len(names) == 1 else "")
    for name in filter(None, (chosen or "?", data.beside)):
        if name not in names:
            problem = f"artifact {data.artifact!r} has no file {name!r}" if chosen else "which file of the artifact?"
            raise SpecError(task.place(*at, "member"), problem, todo=closest(name, names))
    folder = fetch(artifact, root=repository.root)
    return "artifact", [folder / name for name in (chosen, data.beside) if name]


def _jsonl(files: list[Path]) -> Iterator[tuple[str, Row]]:
    for number, line in enumerate(files[0].read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        place = f"{files[0]}:{number}"
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise SpecError(place, f"not JSON: {error}", todo="Write a JSON object a line.") from None
        if not isinstance(row, dict):
            raise SpecError(place, f"{row!r} is no JSON object", todo="Write a JSON object a line.")
        yield place, row


def _csv(files: list[Path]) -> Iterator[tuple[str, Row]]:
    with files[0].open(encoding="utf-8", newline="") as stream:
        reader = csv.DictReader(stream)
        for row in reader:
            place = f"{files[0]}:{reader.line_num}"
            if None in row or None in row.values():
                want = len(reader.fieldnames or ())
                raise SpecError(place, f"has not {want} fields, as the head has", todo="Mend the line.")
            yield place, row


def _parquet(files: list[Path]) -> Iterator[tuple[str, Row]]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        todo = "Install parity-harness[zeroshot]."
        raise MissingError(str(files[0]), "needs the package pyarrow, which is not installed", todo=todo) from None
    try:
        table = parquet.read_table(files[0])
    except ArrowException as error:
        raise SpecError(str(files[0]), f"is no Parquet file: {error}", todo="Mend or replace the file.") from None
    for number, row in enumerate(table.to_pylist(), start=1):
        yield f"{files[0]}, row {number}", row


def _lines(files: list[Path]) -> Iterator[tuple[str, Row]]:
    texts = [file.read_text(encoding="utf-8").splitlines() for file in files]
    if len({len(lines) for lines in texts}) > 1:
        told = " and ".join(f"{len(lines)} in {file.name}" for file, lines in zip(files, texts))
        raise SpecError(str(files[0]), f"not as many lines in both files: {told}", todo="Give a line for a line.")
    for number, lines in enumerate(zip(*texts), start=1):
        if any(line.strip() for line in lines):
            yield f"{files[0]}:{number}", dict(zip(("line", "beside"), lines))


def _of_hub(data: Data, place: str) -> Iterator[tuple[str, Row]]:
    try:
        from datasets import load_dataset
    except ImportError:
        todo = "Install parity-harness[zeroshot]."
        raise MissingError(place, "needs the package datasets, which is not installed", todo=todo) from None
    try:
        rows = load_dataset(data.hub, data.configuration or None, split=data.split, revision=data.revision or None)
    except Exception as error:  # whatever a network, a gate, a name or a full disk does is the reason
        problem = f"the data set {data.hub!r} could not be had: {type(error).__name__}: {' '.join(str(error).split())}"
        todo = "Check name, split and connection; a local copy is named by `file`."
        raise ArtifactError(place, problem, todo=todo) from error
    for number, row in enumerate(rows, start=1):
        yield f"{data.hub} {data.split}, row {number}", row


_READERS: dict[str, Callable[[list[Path]], Iterator[tuple[str, Row]]]] = {
    "jsonl": _jsonl,
    "csv": _csv,
    "parquet": _parquet,
    "lines": _lines,
}
