"""What a run shows of the register: every row that explains results, with its cause, place and remedy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import RecordError
from harness.report.detail import read_document
from harness.report.run import Result

TOLD = ("kind", "cause", "where", "remedy", "proof", "link")
"""What is told of a row."""


@dataclass(frozen=True, slots=True)
class Defect:
    """A row of the register that explains results. subjects: of each its title, check and place in the page."""

    id: str
    kind: str
    cause: str
    where: str
    remedy: str
    proof: str
    link: str
    subjects: tuple[tuple[str, str, str], ...]


def defects(found: Iterable[tuple[Result, str, Mapping[str, Any]]]) -> tuple[Defect, ...]:
    """Every row of the register that a result names, in that order, with what it says as far as the files tell.

    found: results, each with its place in the page and what its file holds.
    """
    told: dict[str, Mapping[str, Any]] = {}
    subjects: dict[str, list[tuple[str, str, str]]] = {}
    for result, place, document in found:
        register = document.get("register")
        rows = [row for row in register if isinstance(row, Mapping)] if isinstance(register, list) else []
        by_id = {str(row.get("id")): row for row in rows}
        for identity in result.registered:
            told[identity] = by_id.get(identity) or told.get(identity) or {"cause": result.reason}
            subjects.setdefault(identity, []).append((result.title or result.case, result.check, place))
    return tuple(
        Defect(
            id=identity,
            **{name: str(row.get(name) or "") for name in TOLD},
            subjects=tuple(dict.fromkeys(subjects[identity])),
        )
        for identity, row in told.items()
    )


def document_of(folder: Path, result: Result) -> Mapping[str, Any]:
    """What a result's file holds; nothing where it cannot be read, which is said where the result stands."""
    try:
        return read_document(folder, result)[1]
    except RecordError:
        return {}
