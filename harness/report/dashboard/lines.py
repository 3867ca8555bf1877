"""Values over nights as lines of SVG, thinned so that a page stays small: they read without a script."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.report.dashboard.story import Course
from harness.report.words import number, plural

WIDTH, HEIGHT = 1000, 200
"""Of a drawing, in its own units; a page stretches it."""

POINTS = 250
"""Points of a line; where there are more nights, a point is the largest of its neighbours, so that none is lost."""

Value = float | None


@dataclass(frozen=True, slots=True)
class Line:
    """A line with its name. path: of SVG. style: "error", "floor", "cost"."""

    name: str
    path: str
    style: str


@dataclass(frozen=True, slots=True)
class Drawing:
    """Lines on one axis, drawn, and as data for the script that lets a reader zoom.

    band: the path of an interval around the line. marks: where a change is, as shares of the width, and what it says.
    low, high: the ends of the axis, as words. data: JSON.
    """

    title: str
    unit: str
    lines: tuple[Line, ...]
    band: str
    marks: tuple[tuple[float, str], ...]
    low: str
    high: str
    is_log: bool
    data: str


def errors(course: Course, nights: int) -> Drawing | None:
    """The error and what rounding explains of it, of all nights; None where no error was measured above zero."""
    error, floor = (
        _placed(course, [getattr(seen, name) for seen in course.seen], nights) for name in ("error", "floor")
    )
    drawn = [("error", "error", error), ("explained by rounding", "floor", floor)]
    drawn = [line for line in drawn if any(value for value in line[2] if value and math.isfinite(value))]
    return _drawing("Error", "largest |reference - port|", drawn, is_log=True) if drawn else None


def costs(course: Course, nights: int) -> list[Drawing]:
    """A drawing for each series of comparable times, with their interval and the changes of level."""
    found = []
    for series in course.series:
        values, lows, highs = (
            _spread(series.nights, each, nights) for each in (series.values, series.lows, series.highs)
        )
        told = series.context
        where = (
            f"{told.processor or 'a processor'}, {told.cores} cores, {plural(told.threads, 'thread')}, {told.precision}"
        )
        marks = tuple((step.after, f"{step.change.ratio - 1:+.1%}") for step in series.steps)
        unit = "times its yardstick" if series.is_relative else "seconds, without a yardstick"
        title = f"Speed on {told.accelerator or where}"
        line = [("median", "cost", values)]
        found.append(_drawing(title, unit, line, band=(lows, highs), marks=marks, is_log=False))
    return found


def sparkline(values: Sequence[Value], *, is_log: bool) -> str:
    """A path 100 wide and 20 high, "" where there is no value to draw."""
    ends = _ends(values, is_log=is_log)
    return _path(_thinned(values, 60), ends, is_log=is_log, width=100, height=20) if ends else ""


def cost_line(course: Course) -> str:
    """The longest series of a course as a sparkline."""
    longest = max(course.series, key=lambda series: len(series.values), default=None)
    return sparkline(longest.values, is_log=False) if longest else ""


def error_line(course: Course) -> str:
    """The errors of a course as a sparkline."""
    return sparkline([seen.error for seen in course.seen], is_log=True)


def _drawing(
    title: str,
    unit: str,
    drawn: Sequence[tuple[str, str, Sequence[Value]]],
    *,
    is_log: bool,
    band: tuple[Sequence[Value], Sequence[Value]] | None = None,
    marks: tuple[tuple[int, str], ...] = (),
) -> Drawing:
    values = [value for _, _, line in drawn for value in line] + [value for side in band or () for value in side]
    ends = _ends(values, is_log=is_log) or (0.0, 1.0)
    count = len(drawn[0][2])
    told = {"is_log": is_log, "names": [name for name, _, _ in drawn], "marks": marks}
    paths = (
        Line(name, _path(_thinned(line, POINTS), ends, is_log=is_log, width=WIDTH, height=HEIGHT), style)
        for name, style, line in drawn
    )
    return Drawing(
        title=title,
        unit=unit,
        lines=tuple(paths),
        band=_band(_thinned(band[0], POINTS), _thinned(band[1], POINTS), ends) if band else "",
        marks=tuple(((night + 0.5) / count, text) for night, text in marks),
        low=number(ends[0]),
        high=number(ends[1]),
        is_log=is_log,
        data=f'{json.dumps(told)[:-1]}, "lines": {_rows(line for _, _, line in drawn)}, "band": {_rows(band or ())}}}',
    )


def _placed(course: Course, values: Sequence[Value], nights: int) -> list[Value]:
    return _spread(course.nights, values, nights)


def _spread(numbers: Sequence[int], values: Sequence[Value], nights: int) -> list[Value]:
    line: list[Value] = [None] * nights
    for place, value in zip(numbers, values):
        line[place] = value
    return line


def _usable(value: Value, *, is_log: bool) -> bool:
    return value is not None and math.isfinite(value) and (value > 0 or not is_log)


def _ends(values: Sequence[Value], *, is_log: bool) -> tuple[float, float] | None:
    known = [value for value in values if value is not None and _usable(value, is_log=is_log)]
    if not known:
        return None
    low, high = min(known), max(known)
    return (low / 1.5, high * 1.5) if is_log else (low - 0.1 * abs(low), high + 0.1 * abs(high) or 1.0)


def _thinned(values: Sequence[Value], limit: int) -> list[Value]:
    size = math.ceil(len(values) / limit)
    groups = (values[start : start + size] for start in range(0, len(values), size or 1))
    return [max((value for value in group if value is not None), default=None) for group in groups]


def _path(values: Sequence[Value], ends: tuple[float, float], *, is_log: bool, width: int, height: int) -> str:
    """Through the values, interrupted where there is none; a value alone is a short stroke."""
    parts, pen = list[str](), "M"
    for place, value in enumerate(values):
        if value is None or not _usable(value, is_log=is_log):
            pen = "M"
            continue
        x, y = (place + 0.5) / len(values) * width, _height(value, ends, is_log=is_log) * height
        parts.append(f"M{x:.4g} {y:.3g}h1" if pen == "M" else f"L{x:.4g} {y:.3g}")
        pen = "L"
    return "".join(parts)


def _band(lows: Sequence[Value], highs: Sequence[Value], ends: tuple[float, float]) -> str:
    """A stroke from the low to the high end of each interval."""
    parts = []
    for place, (low, high) in enumerate(zip(lows, highs)):
        if low is not None and high is not None:
            top, bottom = (_height(value, ends, is_log=False) * HEIGHT for value in (high, low))
            parts.append(f"M{(place + 0.5) / len(lows) * WIDTH:.4g} {top:.3g}V{bottom:.3g}")
    return "".join(parts)


def _height(value: float, ends: tuple[float, float], *, is_log: bool) -> float:
    """0 at the top of the axis, 1 at its bottom."""
    low, high = ends
    if is_log:
        value, low, high = math.log10(value), math.log10(low), math.log10(high)
    return min(1.0, max(0.0, (high - value) / (high - low))) if high > low else 0.5


def _rows(lines: Iterable[Sequence[Value]]) -> str:
    """The values as JSON, to five digits; a chart of a thousand nights is written a thousand times."""
    rows = (
        ",".join(f"{value:.5g}" if value is not None and math.isfinite(value) else "null" for value in line)
        for line in lines
    )
    return f"[{','.join(f'[{row}]' for row in rows)}]"
