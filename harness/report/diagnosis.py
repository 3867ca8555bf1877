"""Where the fault of a failing case is: the diagnosis in its record, and how much of it a page shows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.report.further import as_list, as_names, as_number
from harness.report.words import plural

FAULTS = 12
"""Modules at fault that are shown; more are wrong in a port that is wrong all over, and the table marks them all."""

OTHERS = 3
"""Further causes of one fault that are shown."""

MODULE_BYTES, FAULT_BYTES = 90, 600
"""What a module and a fault take in the page at the least. Measured: 97 and 623 with names of five letters."""


@dataclass(frozen=True, slots=True)
class Proof:
    """A cause that is proved, as `harness.parity.causes.Cause` holds it; before, after: relative errors."""

    name: str
    detail: str
    before: float
    after: float
    inputs: int
    others: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Fault:
    """A module at fault, as `harness.parity.localise.Faulty` holds it; an empty path is the model itself.

    A number that the record lacks is NaN. proof: of its cause, None where none is proved. description: of its error
    then. configured: what the configurations of both sides say of its cause.
    """

    path: str
    port_path: str
    kind: str
    check: str
    how: str
    error: float
    scale: float
    shape: tuple[int, ...]
    worst: tuple[int, ...]
    reference: float
    port: float
    probe: str
    proof: Proof | None
    description: str = ""
    configured: str = ""

    @property
    def is_measured(self) -> bool:
        """Whether there is an error: what is not there at all, such as an input that is not handed on, has none."""
        return not math.isnan(self.error)

    @property
    def has_scale(self) -> bool:
        """Whether the scale says something: an infinite error, as of other shapes, has none."""
        return math.isfinite(self.error) and math.isfinite(self.scale)


@dataclass(frozen=True, slots=True)
class ModuleRow:
    """A call of a module, as `harness.parity.localise.Module` holds it; its errors are relative.

    at_fault: whether its module is among those at fault.
    """

    path: str
    port_path: str
    kind: str
    local: float
    inherited: float
    amplification: float | None
    handed: float
    at_fault: bool

    @property
    def is_sound(self) -> bool:
        """Whether it computes, from the reference's inputs, what the reference's does."""
        return not self.at_fault and self.local == 0


@dataclass(frozen=True, slots=True)
class StepRow:
    """The whole port with one cause more mended, as `harness.parity.steps.Step` holds it; of the first, nothing is."""

    mended: str
    paths: tuple[str, ...]
    error: float
    scale: float
    rounding: bool


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The modules at fault, in the order of execution, and every module's share in the error; or why there is none."""

    faults: tuple[Fault, ...] = ()
    steps: tuple[StepRow, ...] = ()
    modules: tuple[ModuleRow, ...] = ()
    probe: str = ""
    runs: int = 0
    why_not: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether the record says nothing of a fault."""
        return not (self.faults or self.modules or self.why_not)

    @property
    def counts(self) -> str:
        """The modules of the table in one line; one that is called several times counts once.

        "33 modules: 2 at fault, 31 compute what the reference's do"
        """
        by_path: dict[str, list[ModuleRow]] = {}
        for row in self.modules:
            by_path.setdefault(plain(row.path), []).append(row)
        faulty = sum(rows[0].at_fault for rows in by_path.values())
        sound = sum(all(row.is_sound for row in rows) for rows in by_path.values())
        differ = len(by_path) - faulty - sound
        outside = sum(fault.path not in by_path for fault in self.faults)
        parts = [f"{faulty or 'none'} at fault" + (f" ({outside} more beside these)" if outside else "")]
        compute = "computes what the reference's does" if sound == 1 else "compute what the reference's do"
        parts += [f"{sound:,} {compute}"] if sound else []
        parts += [f"{differ:,} unclear"] if differ else []
        return f"{plural(len(by_path), 'module')}: {', '.join(parts)}"


@dataclass(frozen=True, slots=True)
class DiagnosisShown:
    """A diagnosis as far as the page has room for it. faults_left: the paths of the faults that are not shown."""

    diagnosis: Diagnosis
    faults: tuple[Fault, ...]
    faults_left: tuple[str, ...]
    modules: tuple[ModuleRow, ...]


def read_diagnosis(document: Mapping[str, Any]) -> Diagnosis:
    """The diagnosis of a case's file; an empty one where the file has none.

    Raises:
        ValueError, TypeError, AttributeError, KeyError: a part is not what `Diagnosis.to_dict` writes.
    """
    values = document.get("diagnosis") or {}
    proofs = {str(each["path"]): _proof(each) for each in as_list(values.get("causes"))}
    described = {
        str(each["path"]): "; ".join(as_names(each.get("said"))) for each in as_list(values.get("descriptions"))
    }
    configured = {str(path): str(words) for path, words in (values.get("configured") or {}).items()}
    faults = tuple(_fault(each, proofs, described, configured) for each in as_list(values.get("faulty")))
    paths = {fault.path for fault in faults}
    return Diagnosis(
        faults=faults,
        steps=tuple(_step(each) for each in as_list(values.get("steps"))),
        modules=tuple(_module(each, paths) for each in as_list(values.get("modules"))),
        probe=str(values.get("probe") or ""),
        runs=int(values.get("runs") or 0),
        why_not=str(values.get("why_not") or ""),
    )


def diagnosis_shown(diagnosis: Diagnosis, *, limit: int) -> DiagnosisShown | None:
    """The diagnosis with at most `limit` modules, those at fault first, and fewer faults where the limit is low.

    None where there is no diagnosis.
    """
    if diagnosis.is_empty:
        return None
    faults = _faults(diagnosis, limit)
    left = tuple(fault.path or "the model itself" for fault in diagnosis.faults if fault not in faults)
    return DiagnosisShown(diagnosis, faults, left, tuple(_chosen(diagnosis.modules, limit)))


def diagnosis_bytes(diagnosis: Diagnosis, *, limit: int) -> int:
    """What a diagnosis takes in the page at the least, with this limit."""
    return FAULT_BYTES * len(_faults(diagnosis, limit)) + MODULE_BYTES * min(len(diagnosis.modules), limit)


def plain(path: str) -> str:
    """The path without the number of the call.

    >>> plain("encoder.layer#2")
    'encoder.layer'
    """
    return path.split("#")[0]


def _faults(diagnosis: Diagnosis, limit: int) -> tuple[Fault, ...]:
    """As many as there is room for; of those that have one class and one cause, the first alone."""
    seen: set[tuple[str, str, str]] = set()
    chosen = []
    for fault in diagnosis.faults:
        key = (fault.kind, fault.proof.name, fault.proof.detail) if fault.proof else None
        if key is None or key not in seen:
            chosen.append(fault)
        if key is not None:
            seen.add(key)
    return tuple(chosen[: max(1, min(FAULTS, limit // 25))])


def _chosen(rows: Sequence[ModuleRow], limit: int) -> list[ModuleRow]:
    """In order: those at fault, then those that differ most by themselves, then an even selection."""
    if len(rows) <= limit:
        return list(rows)
    by_need = sorted(range(len(rows)), key=lambda i: (not rows[i].at_fault, rows[i].is_sound))
    needed = [i for i in by_need if not rows[i].is_sound][:limit]
    sound, room = [i for i in by_need if rows[i].is_sound], limit - len(needed)
    evenly = [sound[place * len(sound) // room] for place in range(room)]
    return [rows[i] for i in sorted((*needed, *evenly))]


def _fault(
    values: Mapping[str, Any],
    proofs: Mapping[str, Proof],
    described: Mapping[str, str],
    configured: Mapping[str, str],
) -> Fault:
    path = str(values["path"])
    return Fault(
        path=path,
        port_path=str(values.get("port_path", path)),
        kind=str(values.get("kind") or ""),
        check=str(values.get("check") or ""),
        how=str(values.get("how") or ""),
        error=as_number(values.get("error")),
        scale=as_number(values.get("scale")),
        shape=_whole(values.get("shape")),
        worst=_whole(values.get("worst")),
        reference=as_number(values.get("reference")),
        port=as_number(values.get("port")),
        probe=str(values.get("probe") or ""),
        proof=proofs.get(path),
        description=described.get(path, ""),
        configured=configured.get(path, ""),
    )


def _step(values: Mapping[str, Any]) -> StepRow:
    return StepRow(
        mended=str(values.get("mended") or ""),
        paths=as_names(values.get("paths")),
        error=as_number(values.get("error")),
        scale=as_number(values.get("scale")),
        rounding=values.get("rounding") is True,
    )


def _module(values: Mapping[str, Any], faulty: set[str]) -> ModuleRow:
    path, amplification = str(values["path"]), values.get("amplification")
    return ModuleRow(
        path=path,
        port_path=str(values.get("port_path", path)),
        kind=str(values.get("kind") or ""),
        local=as_number(values.get("local")),
        inherited=as_number(values.get("inherited")),
        amplification=None if amplification is None else float(amplification),
        handed=as_number(values.get("handed")),
        at_fault=plain(path) in faulty,
    )


def _proof(values: Mapping[str, Any]) -> Proof:
    return Proof(
        name=str(values.get("name") or ""),
        detail=str(values.get("detail") or ""),
        before=as_number(values.get("before")),
        after=as_number(values.get("after")),
        inputs=int(values.get("inputs") or 0),
        others=as_names(values.get("others")),
    )


def _whole(values: Any) -> tuple[int, ...]:
    return tuple(map(int, as_list(values)))
