"""Changes to a scheduler's source, as data: corrections that prove a cause, and planted faults that must be caught."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.adapters.source import Replaced
from harness.errors import SpecError, closest
from harness.reader import build, load, specification


@specification
class Correction:
    """A text of a scheduler's installed source, found there exactly once, and the text in its place.

    id: of the register's row whose cause it proves, or of the fault; several of one id and scheduler are made together.
    scheduler: its class. old, new: the text, and what stands in its place.
    row: of the table, where the fault is planted. note: what the fault is.
    """

    id: str
    scheduler: str
    old: str
    new: str
    row: str = ""
    note: str = ""


@specification
class Corrections:
    """A file of corrections.

    correction: each a change; those of one id and scheduler are made together.
    """

    correction: tuple[Correction, ...]

    def ids(self) -> tuple[str, ...]:
        """Every id once, in order."""
        return tuple(dict.fromkeys(entry.id for entry in self.correction))

    def by_scheduler(self) -> dict[tuple[str, str], tuple[Replaced, ...]]:
        """(id, scheduler) -> the changes, in the file's order."""
        keys = dict.fromkeys((entry.id, entry.scheduler) for entry in self.correction)
        return {(id, scheduler): self.of([id], scheduler) for id, scheduler in keys}  # noqa: A001

    def of(self, ids: Sequence[str], scheduler: str) -> tuple[Replaced, ...]:
        """Those of the ids that change this scheduler, in the order of the ids.

        Raises:
            SpecError: there is none of an id, for any scheduler.
        """
        for id in ids:  # noqa: A001
            if id not in self.ids():
                raise SpecError(f"correction {id!r}", "not in the file", todo=closest(id, self.ids()))
        return tuple(
            Replaced(entry.old, entry.new)
            for id in ids  # noqa: A001
            for entry in self.correction
            if (entry.id, entry.scheduler) == (id, scheduler)
        )


def read_corrections(file: Path) -> Corrections:
    """The corrections of a TOML file, each under `[[correction]]`.

    Raises:
        SpecError: an unknown key or a wrong value, with its line.
    """
    corrections: Corrections = build(Corrections, load(file), file=file)
    return corrections
