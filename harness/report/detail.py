"""What lies behind one result: the rows of its taps and outputs, read from `cases/NAME.json`."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import RecordError
from harness.report.diagnosis import Diagnosis, read_diagnosis
from harness.report.further import Further, read_further
from harness.report.run import Result


@dataclass(frozen=True, slots=True)
class Row:
    """One pair that was compared, as `harness.parity.compare.Difference` measured it.

    error64: the error with both sides in float64, floor: what rounding does to the reference in float32; None where
        there is none.
    worst: index, reference and port of the element farthest off, or None.
    """

    name: str
    port_name: str
    shape: tuple[int, ...]
    error: float
    scale: float
    relative: float
    error64: float | None
    floor: float | None
    outside: int
    compared: int
    not_finite: int
    verdict: str
    reason: str
    worst: tuple[str, float, float] | None

    @property
    def finite(self) -> bool:
        """Whether every element was a number on both sides, or the same infinity."""
        return not self.not_finite and math.isfinite(self.error)

    @property
    def is_outside(self) -> bool:
        """Whether the tolerance is broken."""
        return self.verdict == "diverge"


@dataclass(frozen=True, slots=True)
class Detail:
    """All that the record of a result holds beyond the result; what it does not hold is empty."""

    file: str
    text: str
    reference: str
    port: str
    device: str
    precision: str
    atol: float | None
    rtol: float
    tolerance_reason: str
    coverage: float | None
    unmatched: tuple[str, ...]
    excused: Mapping[str, str]
    seconds: Mapping[str, float]
    outputs: tuple[Row, ...]
    taps: tuple[Row, ...]
    first: str | None
    further: Further
    diagnosis: Diagnosis


def read_detail(folder: Path, result: Result) -> Detail | None:
    """The detail of a result, or None where it has none.

    Raises:
        RecordError: its file cannot be read, or lies outside the folder.
    """
    name, document = read_document(folder, result)
    try:
        return _detail(document, name) if name else None
    except (ValueError, TypeError, AttributeError, KeyError, OverflowError) as error:
        raise RecordError(name, f"cannot be read ({error})", todo="Run the case again.") from error


def read_document(folder: Path, result: Result) -> tuple[str, Mapping[str, Any]]:
    """The name of a result's file and what it holds as JSON; "" and nothing where there is none.

    Raises:
        RecordError: the file cannot be read, holds no object, or lies outside the folder.
    """
    name = next((file for file in result.files if file.startswith("cases/") and file.endswith(".json")), "")
    if not name or not (folder / name).exists():
        return "", {}
    # The record says which file to open, and a record may come from anywhere.
    if not (folder / name).resolve().is_relative_to(folder.resolve()):
        raise RecordError(name, "lies outside the run's folder", todo="Mend the result's 'files'.")
    try:
        document = json.loads((folder / name).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise RecordError(name, f"cannot be read ({error})", todo="Run the case again.") from error
    if not isinstance(document, dict):
        raise RecordError(name, "holds no object", todo="Run the case again.")
    return name, document


def pick(rows: Sequence[Row], limit: int, *, first: str | None = None) -> list[Row]:
    """At most about `limit` of the rows, in order: the ends, the first that is off, the worst, an even selection."""
    if len(rows) <= limit:
        return list(rows)
    by_error = sorted(range(len(rows)), key=lambda i: (rows[i].finite, -rows[i].error))
    chosen = {0, len(rows) - 1, *by_error[: limit // 3]}
    chosen.update(i for i, row in enumerate(rows) if row.name == first)
    step = len(rows) / max(1, limit - len(chosen))
    chosen.update(int(i * step) for i in range(max(0, limit - len(chosen))))
    return [rows[i] for i in sorted(chosen)]


def _detail(document: Mapping[str, Any], file: str) -> Detail:
    tolerance = document.get("tolerance") or {}
    taps = tuple(map(_row, document.get("taps") or ()))
    first = document.get("first") or next((row.name for row in taps if row.is_outside), None)
    return Detail(
        file=file,
        text=str(document.get("text") or ""),
        reference=str(document.get("reference") or ""),
        port=str(document.get("port") or ""),
        device=str(document.get("device") or ""),
        precision=str(document.get("precision") or ""),
        atol=None if tolerance.get("atol") is None else float(tolerance["atol"]),
        rtol=float(tolerance.get("rtol") or 0.0),
        tolerance_reason=str(tolerance.get("reason") or ""),
        coverage=None if document.get("coverage") is None else float(document["coverage"]),
        unmatched=tuple(map(str, document.get("unmatched") or ())),
        excused={str(key): str(why) for key, why in (document.get("excused") or {}).items()},
        seconds={str(key): float(value) for key, value in (document.get("seconds") or {}).items()},
        outputs=tuple(map(_row, document.get("outputs") or ())),
        taps=taps,
        first=None if first is None else str(first),
        further=read_further(document),
        diagnosis=read_diagnosis(document),
    )


def _row(values: Mapping[str, Any]) -> Row:
    error, scale = float(values.get("error", math.nan)), float(values.get("scale", math.nan))
    worst = values.get("worst")
    return Row(
        name=str(values["name"]),
        port_name=str(values.get("port_name") or values["name"]),
        shape=tuple(map(int, values.get("shape") or ())),
        error=error,
        scale=scale,
        relative=float(values.get("relative", error / scale if scale else math.nan)),
        error64=_rounding(values, "error64"),
        floor=_rounding(values, "floor"),
        outside=int(values.get("outside") or 0),
        compared=int(values.get("compared") or 0),
        not_finite=int(values.get("not_finite") or 0) + int(values.get("both_nan") or 0),
        verdict=str(values.get("verdict") or ""),
        reason=str(values.get("reason") or ""),
        worst=_worst(worst) if worst else None,
    )


def _rounding(values: Mapping[str, Any], key: str) -> float | None:
    found = (values.get("rounding") or {}).get(key)
    return None if found is None else float(found)


def _worst(values: Mapping[str, Any]) -> tuple[str, float, float]:
    index = ", ".join(str(int(i)) for i in values.get("index") or ())
    return f"[{index}]", float(values["reference"]), float(values["port"])
