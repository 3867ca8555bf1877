"""Changes to a scheduler's source, as data: corrections that prove a cause, and planted faults that must be caught."""

from __future__ import annotations

from dataclasses import field, replace
from pathlib import Path

from harness.adapters.sampling import Replaced
from harness.reader import build, load, specification
from harness.schedulers.rows import Row


@specification
class Correction:
    """One change, in one place of the source or in two.

    id: of the register's row whose cause it proves, or of the fault. rows: what it concerns, as `row.check` (a
        correction) or `row` (a fault). note: what the fault is.
    old, new: the text in the installed source, found exactly once, and what it becomes; also_old, also_new: a second.
    """

    id: str
    rows: tuple[str, ...]
    old: str
    new: str
    also_old: str = ""
    also_new: str = ""
    note: str = ""

    def applied(self, row: Row) -> Row:
        """The row with its scheduler's source changed."""
        edits = [Replaced(self.old, self.new)]
        if self.also_old:
            edits.append(Replaced(self.also_old, self.also_new))
        return replace(row, edits=tuple(edits))


@specification
class _File:
    correction: tuple[Correction, ...] = field(default=())


def read_corrections(file: Path) -> tuple[Correction, ...]:
    """The entries under `[[correction]]` of a TOML file.

    Raises:
        SpecError: an unknown key or a wrong value, with its line.
    """
    found: _File = build(_File, load(file), file=file)
    return found.correction
