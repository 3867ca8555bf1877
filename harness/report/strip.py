"""Errors of the further claims on one axis that all rows share: `templates/claims.html` draws it.

The axis is log10 of error / scale, from 1e-17, below what float64 resolves, to 10. Places are percentages, so that a
strip is as wide as its cell. Zero lies at the left end.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from harness.report.further import Further, Line, Part, relative
from harness.tolerance import CONTRACT

LOW, HIGH = -17, 1
TICKS = (-15, -12, -9, -6, -3, 0)
"""The decades that carry a line and a label."""

PARTS = 12
"""Arrays shown of a claim that has many: the worst of them tell where it starts."""

WITH_PARTS = ("gradients", "train")
"""Checks whose arrays are parameters: theirs is the contract times the scale, and their arrays are worth a table."""

LINE_BYTES, PART_BYTES = 480, 330
"""What a claim and an array take in the page at the least. Measured: 610 and 380 with names of five letters; less where
nothing is drawn."""

Kind = Literal["value", "not finite", "none"]


@dataclass(frozen=True, slots=True)
class Strip:
    """One error. at: where its dot lies. allowed: where what rounding explains ends. contract: where its line stands.

    All in percent; None is not drawn. kind: "none" where nothing was measured.
    """

    at: float
    kind: Kind
    allowed: float | None
    contract: float | None


@dataclass(frozen=True, slots=True)
class PartRow:
    """An array of a claim, with its strip."""

    part: Part
    strip: Strip


@dataclass(frozen=True, slots=True)
class LineRow:
    """A claim with its strip, and the worst of its arrays."""

    line: Line
    strip: Strip
    parts: tuple[PartRow, ...]


@dataclass(frozen=True, slots=True)
class Claims:
    """The claims of a result as far as they are shown; left_out: how many more there are."""

    rows: tuple[LineRow, ...]
    left_out: int

    @property
    def with_parts(self) -> tuple[LineRow, ...]:
        """Those whose arrays have a table."""
        return tuple(row for row in self.rows if row.parts)

    @property
    def any_contract(self) -> bool:
        """Whether the contract is drawn, so that the legend explains it."""
        return any(row.strip.contract is not None for row in self.rows)


def claims(further: Further, *, limit: int) -> Claims | None:
    """The claims of a result, None where it makes none; at most `limit` of them, those that fail first.

    Of the arrays of a claim fewer are shown where the limit is low.
    """
    if not further.lines:
        return None
    chosen = _chosen(further.lines, limit)
    rows = tuple(_row(line, _parts(line, limit)) for line in chosen)
    return Claims(rows, len(further.lines) - len(chosen))


def least_bytes(further: Further, *, limit: int) -> int:
    """What the claims of a result take in the page at the least, with this limit."""
    return sum(LINE_BYTES + PART_BYTES * len(_parts(line, limit)) for line in _chosen(further.lines, limit))


def place(ratio: float) -> float | None:
    """Where a ratio lies on the axis, in percent; None for NaN. What lies beyond an end is drawn at it.

    >>> place(1e-8), place(0.0), place(1e30), place(float("nan"))
    (50.0, 0.0, 100.0, None)
    """
    if math.isnan(ratio):
        return None
    if ratio <= 10.0**LOW:
        return 0.0
    share = (math.log10(ratio) - LOW) / (HIGH - LOW) if math.isfinite(ratio) else 1.0
    return round(min(100.0, 100 * share), 1)


def ticks() -> list[tuple[float, str]]:
    """The places of the decades with their labels."""
    labels = [(10.0**exponent, f"1e{exponent}" if exponent else "1") for exponent in TICKS]
    return [(found, label) for value, label in labels if (found := place(value)) is not None]


def _chosen(lines: Sequence[Line], limit: int) -> list[Line]:
    if len(lines) <= limit:
        return list(lines)
    by_need = sorted(range(len(lines)), key=lambda i: (lines[i].verdict == "agree", i))
    return [lines[i] for i in sorted(by_need[:limit])]


def _parts(line: Line, limit: int) -> tuple[Part, ...]:
    return line.parts[: max(1, min(PARTS, limit // 25))] if line.check in WITH_PARTS else ()


def _row(line: Line, parts: Sequence[Part]) -> LineRow:
    allowed = place(relative(line.allowed, line.scale)) if line.scale else None
    return LineRow(
        line=line,
        strip=_strip(line.error, line.scale, allowed, _contract(line), is_measured=line.is_measured),
        parts=tuple(PartRow(part, _strip(part.error, part.scale, allowed, _contract(line))) for part in parts),
    )


def _strip(
    error: float, scale: float, allowed: float | None, contract: float | None, *, is_measured: bool = True
) -> Strip:
    at = place(relative(error, scale))
    kind: Kind = "value" if math.isfinite(error) else "not finite"
    if not is_measured or (at is None and kind == "value"):
        kind = "none"
    return Strip(100.0 if at is None or kind == "not finite" else at, kind, allowed, contract)


def _contract(line: Line) -> float | None:
    """The contract is absolute, so that it lies elsewhere on the relative axis of each claim, save for parameters.

    None where it does not hold: a mean over draws is measured in standard errors, of which its whole scale is allowed.
    """
    if not line.scale or line.allowed == line.scale:
        return None
    return place(CONTRACT if line.check in WITH_PARTS else relative(CONTRACT, line.scale))
