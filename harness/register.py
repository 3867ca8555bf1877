"""The register: known divergences and loosened tolerances, one row a cause, each with its reason and proof."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Literal

from harness.environment import versions
from harness.errors import SpecError
from harness.reader import build, load, specification

GROWTH = 2.0
"""How far beyond the registered error a row still covers: the same fault measured on another processor differs in its
digits, not in its size; an error twice as large has another cause. Chosen, not measured."""


@specification
class Row:
    """One known cause of a divergence.

    id: short, unique. area: suite or part it belongs to. subjects: the cases it concerns.
    field, configuration: which output, parameter or setting shows it (one of the two).
    error, scale: max|reference - port| with this cause, and max|reference|, float32.
    float64: the same error with both sides in float64, where it has been measured.
    cause: what is wrong, in words. where: file:line of the installed version.
    module: at fault, in the reference, as the diagnosis names it. remedy: the change to make, for an issue upstream.
    proof: id of the test that shows it. kind: a defect, a decision of the port's authors, or a numerical limit.
    applies_to: package -> version specifier; the row holds where all of them do. link: the report upstream.
    """

    id: str
    area: str
    subjects: tuple[str, ...]
    field: str = ""
    configuration: str = ""
    error: float
    scale: float
    float64: float | None = None
    cause: str
    where: str
    proof: str
    kind: Literal["defect", "decision", "limit"]
    applies_to: Mapping[str, str]
    link: str = ""
    module: str = ""
    remedy: str = ""

    def __post_init__(self) -> None:
        from packaging.specifiers import InvalidSpecifier, SpecifierSet

        if not self.subjects:
            raise ValueError("a row has at least one subject")
        if not (self.error > 0 and self.scale > 0):
            raise ValueError("error and scale are positive numbers")
        if not self.applies_to:
            raise ValueError("applies_to names at least one package")
        for package, specifier in self.applies_to.items():
            try:
                SpecifierSet(specifier)
            except InvalidSpecifier:
                raise ValueError(f"applies_to: {specifier!r} is no version specifier for {package}") from None


@specification
class _File:
    row: tuple[Row, ...] = field(default=())


def read_register(folder: Path) -> tuple[Row, ...]:
    """All rows of the TOML files in `folder`, each under `[[row]]`, in the order of file names.

    Raises:
        SpecError: a wrong key or value, with its line; or two rows with one id.
    """
    rows: dict[str, Row] = {}
    for file in sorted(folder.glob("*.toml")):
        state = file.stat()
        for row in _rows(file, state.st_mtime_ns, state.st_size):
            if row.id in rows:
                raise SpecError(str(file), f"the id {row.id!r} is taken already", todo="Give the row another id.")
            rows[row.id] = row
    return tuple(rows.values())


@functools.lru_cache(maxsize=64)
def _rows(file: Path, _modified: int, _bytes: int) -> tuple[Row, ...]:
    """The rows of one file, read again when it has changed: every test asks for them."""
    return build(_File, load(file), file=file).row


def rows_for(subject: str, rows: Iterable[Row]) -> tuple[Row, ...]:
    """The rows that concern `subject` and hold for the installed versions."""
    return tuple(row for row in rows if subject in row.subjects and applies(row))


def applies(row: Row, installed: Mapping[str, str] | None = None) -> bool:
    """Whether every package that the row names is installed in a version that it names."""
    from packaging.specifiers import SpecifierSet

    found = versions(row.applies_to) if installed is None else installed
    return all(
        package in found and SpecifierSet(specifier).contains(found[package], prereleases=True)
        for package, specifier in row.applies_to.items()
    )


def explained(error: float, rows: Sequence[Row], *, agrees: bool) -> tuple[str, ...]:
    """The ids of those rows that explain a result with this error: all of them, or none.

    All of them if it agrees (a defect is mended: its rows must go) or if they cover its error.
    """
    return tuple(row.id for row in rows) if agrees or covered(error, rows) else ()


def covered(error: float, rows: Sequence[Row]) -> bool:
    """Whether rows explain an error of this size: at most `GROWTH` times the largest that they register."""
    return bool(rows) and error <= GROWTH * max(row.error for row in rows)
