"""The known divergences: those of the register, and those that a run has found."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.errors import SpecError, closest
from harness.parity.compare import Verdict
from harness.register import Row
from harness.report.detail import read_detail
from harness.report.diagnosis import diagnosis_shown
from harness.report.run import read_run

MODULES = 400
"""As `diagnosis_shown` takes it: the most faults of one case that are listed."""


@dataclass(frozen=True, slots=True)
class Divergence:
    """One cause. id: of the register's row, or `CASE:MODULE` of what a run found.

    cases: that show it. module: at fault, in the reference; empty where that is not known. where: file and line, or
    the module in the port. proof: the test that shows it, or what the diagnosis proved. remedy: the change to make.
    """

    id: str
    cases: tuple[str, ...]
    module: str
    where: str
    cause: str
    error: float
    scale: float
    proof: str
    remedy: str = ""
    field: str = ""
    link: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "cases": list(self.cases)}

    def __str__(self) -> str:
        return f"{self.id}  {self.where}  {self.cause}  off by {self.error:.3g} of {self.scale:.3g}  {self.proof}"


def registered(rows: Iterable[Row]) -> Iterator[Divergence]:
    """Those of the register."""
    for row in rows:
        yield Divergence(
            id=row.id,
            cases=row.subjects,
            module=row.module,
            where=row.where,
            cause=row.cause,
            error=row.error,
            scale=row.scale,
            proof=row.proof,
            remedy=row.remedy,
            field=row.field,
            link=row.link,
        )


def found(folder: Path) -> Iterator[Divergence]:
    """Those of the run in `folder`: of each case that does not agree, the modules at fault, those alike as one.

    Raises:
        RecordError: the folder holds no run, or a file of it cannot be read.
    """
    for result in read_run(folder).results:
        detail = read_detail(folder, result) if result.verdict is not Verdict.AGREE else None
        shown = diagnosis_shown(detail.diagnosis, limit=MODULES) if detail else None
        for fault in shown.faults if shown else ():
            proved = fault.proof
            yield Divergence(
                id=f"{result.case}:{fault.path}",
                cases=(result.case,),
                module=fault.path,
                where=fault.port_path or "the model itself",
                cause=f"{proved.name}: {proved.detail}" if proved else fault.how,
                error=fault.error,
                scale=fault.scale,
                proof=f"explains the error to {proved.after:.1g}" if proved else "not proved",
            )


def chosen(divergences: Sequence[Divergence], identity: str) -> Divergence:
    """The divergence of that id.

    Raises:
        SpecError: there is none; close ids are offered.
    """
    by_id = {each.id: each for each in divergences}
    if identity not in by_id:
        raise SpecError(f"divergence {identity!r}", "not known", todo=closest(identity, by_id))
    return by_id[identity]
