"""Changes to the installed source that prove a registered cause, as data."""

from __future__ import annotations

from pathlib import Path

from harness.adapters.sampling import Replaced
from harness.reader import build, load, specification


@specification
class Correction:
    """One place to change. id: of the register's row. scheduler: its class. old: found exactly once; becomes `new`."""

    id: str
    scheduler: str
    old: str
    new: str


@specification
class _File:
    correction: tuple[Correction, ...]


Corrections = dict[tuple[str, str], tuple[Replaced, ...]]
"""(id of the register's row, class) -> the changes."""


def read_corrections(file: Path) -> Corrections:
    """The corrections of a TOML file, each under `[[correction]]`; several of one row and class are made together.

    Raises:
        SpecError: an unknown key or a wrong value, with its line.
    """
    found: Corrections = {}
    for entry in build(_File, load(file), file=file).correction:
        key = entry.id, entry.scheduler
        found[key] = (*found.get(key, ()), Replaced(entry.old, entry.new))
    return found
