"""The error along the layers, as the geometry of a chart: `templates/chart.html` draws it.

The width is a percentage, so that the chart is as wide as its page and its letters stay legible on a phone; the
height is in pixels. The vertical axis is log10. Zero, which has no logarithm, has a lane at the bottom; values that
are not numbers have one at the top.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.report.detail import Detail, Row

HEIGHT = 300
TOP, BOTTOM = 30.0, 272.0
"""Where the axis begins and ends, in pixels: above it the label of the first tap outside, below it the layers."""

LANE = 22.0
"""Height of the lanes for what is not a number and for zero."""

DECADES = 20
"""How many decades below the largest value the axis goes at most: float64 resolves 16."""

OUTPUT_STEP = 30
"""Pixels from one declared output to the next."""

NAME_LENGTH = 100
"""Characters of a name that a tooltip shows."""


@dataclass(frozen=True, slots=True)
class Point:
    """One pair. x: percent of the width for a tap, pixels for an output. y: pixels from the top.

    kind: "value", "zero" or "not finite". outside: whether it breaks the tolerance. rows: how many it stands for.
    floor: what rounding does to the reference in float32, drawn at `floor_y`; None where it is not known, or not above
        the axis' end.
    """

    x: float
    y: float
    kind: str
    outside: bool
    name: str
    error: float
    scale: float
    not_finite: int
    rows: int = 1
    floor: float | None = None
    floor_y: float | None = None


@dataclass(frozen=True, slots=True)
class Tick:
    """A line of the grid with its label: a decade, or a layer's number."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Chart:
    """What is drawn; paths are in thousandths of the width and pixels of the height.

    first: the first tap that is off. zero, not_finite: the lanes' heights, None where nothing is in them.
    rows_a_point: of how many taps a point is the worst.
    """

    points: tuple[Point, ...]
    outputs: tuple[Point, ...]
    error_path: str
    scale_path: str
    decades: tuple[Tick, ...]
    layers: tuple[Tick, ...]
    bounds: tuple[float, ...]
    tolerance: float | None
    tolerance_value: float | None
    first: Point | None
    zero: float | None
    not_finite: float | None
    rows_a_point: int
    height: int = HEIGHT

    @property
    def outputs_width(self) -> int:
        """Pixels that the declared outputs take at the right end."""
        return OUTPUT_STEP * (len(self.outputs) + 1) if self.outputs else 0

    @property
    def any_outside(self) -> bool:
        """Whether a ring stands in the chart, so that the legend explains it."""
        return any(point.outside and point.kind != "not finite" for point in self.points + self.outputs)

    @property
    def any_floor(self) -> bool:
        """Whether the floor of an output is drawn, so that the legend explains it."""
        return any(point.floor_y is not None for point in self.outputs)

    @property
    def column(self) -> float:
        """Percent of the width that belongs to one tap."""
        return 100 / max(1, len(self.points))


def chart(detail: Detail, *, limit: int = 400) -> Chart | None:
    """The chart of a result, None where it has neither taps nor outputs; at most about `limit` taps are points.

    Where there are more, a point is the worst of its neighbours: no fault is thinned out.
    """
    if not detail.taps and not detail.outputs:
        return None
    groups = _groups(detail.taps, limit, detail.first)
    chosen = [_worst(group, detail.first) for group in groups]
    axis = _Axis.around((*chosen, *detail.outputs), detail.atol)
    width = 100 / max(1, len(groups))
    points = tuple(
        axis.point(row, x=(i + 0.5) * width, rows=len(group)) for i, (row, group) in enumerate(zip(chosen, groups))
    )
    outputs = tuple(axis.point(row, x=OUTPUT_STEP * (i + 1.0)) for i, row in enumerate(detail.outputs))
    layers, bounds = _layers([row.name for row in chosen])
    return Chart(
        points=points,
        outputs=outputs,
        error_path=_path((point.x, point.y if point.kind != "not finite" else None) for point in points),
        scale_path=_path((point.x, axis.height_of(row.scale)) for point, row in zip(points, chosen)),
        decades=tuple(axis.ticks()),
        layers=layers,
        bounds=bounds,
        tolerance=axis.height_of(detail.atol) if detail.atol else None,
        tolerance_value=detail.atol or None,
        first=next((point for point in points if point.name == detail.first), None),
        zero=axis.zero,
        not_finite=axis.not_finite,
        rows_a_point=max(map(len, groups), default=1),
    )


@dataclass(frozen=True, slots=True)
class _Axis:
    """The vertical axis: whole decades `low` to `high` between two heights, and the lanes."""

    low: int
    high: int
    top: float
    bottom: float
    zero: float | None
    not_finite: float | None

    @staticmethod
    def around(rows: Sequence[Row], tolerance: float | None) -> _Axis:
        errors = [row.error for row in rows if row.finite]
        known = (*errors, *(row.scale for row in rows), *(row.floor for row in rows if row.floor is not None))
        values = [value for value in known if math.isfinite(value) and value > 0]
        values += [tolerance] if tolerance else []
        high = math.ceil(math.log10(max(values, default=1.0)) + 0.1)
        low = max(high - DECADES, math.floor(math.log10(min(values, default=1e-3)) - 0.1))
        top = TOP + (LANE if any(not row.finite for row in rows) else 0)
        # An error below the last decade is drawn as zero is.
        bottom = BOTTOM - (LANE if any(error < 10.0**low for error in errors) else 0)
        return _Axis(
            low=low,
            high=high,
            top=top,
            bottom=bottom,
            zero=None if bottom == BOTTOM else BOTTOM - 4,
            not_finite=None if top == TOP else TOP + 4,
        )

    def height_of(self, value: float) -> float | None:
        """Where a value is drawn; None for one that is not a positive number on the axis."""
        if not math.isfinite(value) or value < 10.0**self.low:
            return None
        share = (self.high - math.log10(value)) / (self.high - self.low)
        return round(self.top + share * (self.bottom - self.top), 1)

    def point(self, row: Row, *, x: float, rows: int = 1) -> Point:
        height = self.height_of(row.error) if row.finite else self.not_finite
        kind = "not finite" if not row.finite else ("zero" if height is None else "value")
        return Point(
            x=round(x, 2),
            y=height if height is not None else self.zero or self.bottom,
            kind=kind,
            outside=row.is_outside,
            name=row.name,
            error=row.error,
            scale=row.scale,
            not_finite=row.not_finite,
            rows=rows,
            floor=row.floor,
            floor_y=None if row.floor is None else self.height_of(row.floor),
        )

    def ticks(self) -> Iterator[Tick]:
        step = math.ceil((self.high - self.low) / 7)
        for exponent in range(self.low, self.high + 1):
            if (exponent - self.low) % step == 0:
                height = self.height_of(10.0**exponent * (1 + 1e-12))
                yield Tick(self.bottom if height is None else height, f"1e{exponent}")


def _groups(rows: Sequence[Row], limit: int, first: str | None) -> list[list[Row]]:
    """Neighbours that share a point; the first row outside begins one, so that its place is exact."""
    size = math.ceil(len(rows) / limit) if rows else 1
    groups: list[list[Row]] = []
    for row in rows:
        if not groups or len(groups[-1]) == size or row.name == first:
            groups.append([])
        groups[-1].append(row)
    return groups


def _worst(rows: Sequence[Row], first: str | None) -> Row:
    if rows[0].name == first:
        return rows[0]
    return max(rows, key=lambda row: (not row.finite, row.is_outside, row.error if row.finite else 0.0))


def _path(places: Iterator[tuple[float, float | None]]) -> str:
    """An SVG path through the places, interrupted where there is no height."""
    parts, pen = [], "M"
    for x, y in places:
        if y is None:
            pen = "M"
            continue
        parts.append(f"{pen}{x * 10:.0f} {y:.0f}")
        pen = "L"
    return "".join(parts)


def _layers(names: Sequence[str]) -> tuple[tuple[Tick, ...], tuple[float, ...]]:
    """The numbers of the layers, found as the first number in the dotted names, and where one layer ends."""
    numbers = [_layer(name) for name in names]
    spans: list[tuple[str, int, int]] = []
    for place, found in enumerate(numbers):
        if found is None:
            continue
        if spans and spans[-1][0] == found and spans[-1][2] == place:
            spans[-1] = (found, spans[-1][1], place + 1)
        else:
            spans.append((found, place, place + 1))
    # A model that calls its layers in turn many times, or by no number, has no layers to mark.
    if not 2 <= len(spans) <= 120 or len(spans) > len(names) * 0.7:
        return (), ()
    step = math.ceil(len(spans) / 12)
    width = 100 / len(names)
    ticks = [Tick(round((start + end) / 2 * width, 2), label) for label, start, end in spans[::step]]
    edges = sorted({edge for _, start, end in spans for edge in (start, end)})
    return tuple(ticks), tuple(round(edge * width, 2) for edge in edges if 0 < edge < len(names))


def _layer(name: str) -> str | None:
    match = re.search(r"(?:^|[._])(\d+)(?=[._]|$)", name)
    return match[1][:4] if match else None
