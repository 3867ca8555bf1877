"""Error against the number of steps, as the geometry of charts: `templates/convergence.html` draws them.

Both axes are logarithmic, so that an order of convergence is a slope. The solvers of one stated order share a chart.
Widths are percentages and heights pixels, as in `chart`.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.report.words import Standing

HEIGHT = 320
TOP, BOTTOM = 12.0, 286.0
"""Where the axis of the error begins and ends, in pixels; below it the steps."""

LEFT, RIGHT = 4.0, 96.0
"""Where the axis of the steps begins and ends, in percent."""

LABEL_STEP = 15.0
"""Pixels from one label at the right to the next."""

STEP_ROOM = 9.0
"""Percent of the width that the label of a step count takes: four digits on a phone."""

SLOPES = (1, 2, 3, 4)
COLOURS, MARKS = 8, 5
"""How many of each `page.css` and the template know: with both, forty lines can be told apart."""


@dataclass(frozen=True, slots=True)
class Curve:
    """What a solver's order was measured on. series: (steps, error), upwards. stated, measured: orders, if known."""

    name: str
    anchor: str
    standing: Standing
    stated: float | None
    measured: float | None
    series: tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True)
class Point:
    """One error. x: percent of the width. y: pixels from the top."""

    x: float
    y: float
    steps: int
    error: float


@dataclass(frozen=True, slots=True)
class Line:
    """A curve as it is drawn. path: thousandths of the width and pixels. label_y: of its name, None without room."""

    curve: Curve
    colour: int
    mark: int
    path: str
    points: tuple[Point, ...]
    label_y: float | None


@dataclass(frozen=True, slots=True)
class Guide:
    """A straight line of a slope, from the upper left; x and y are its end, where its label stands."""

    slope: int
    path: str
    x: float
    y: float
    stated: bool


@dataclass(frozen=True, slots=True)
class Tick:
    """A line of the grid with its label: pixels for a decade, percent for a count of steps."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Panel:
    """The chart of the solvers of one stated order; None where they state none."""

    stated: float | None
    lines: tuple[Line, ...]
    guides: tuple[Guide, ...]
    decades: tuple[Tick, ...]
    steps: tuple[Tick, ...]
    height: int = HEIGHT

    @property
    def is_labelled(self) -> bool:
        """Whether there is room for the names at the right."""
        return any(line.label_y is not None for line in self.lines)


def series_of(values: object) -> tuple[tuple[int, float], ...]:
    """Steps and error from a result's file, upwards; what is no positive number has no place on a logarithmic axis.

    >>> series_of({"20": 0.01, "10": "0.04", "40": "nan", "80": 0.0, "x": 1})
    ((10, 0.04), (20, 0.01))
    """
    found: dict[int, float] = {}
    for steps, error in values.items() if isinstance(values, Mapping) else ():
        pair = _pair(steps, error)
        if pair is not None:
            found[pair[0]] = pair[1]
    return tuple(sorted(found.items()))


def panels(curves: Iterable[Curve]) -> tuple[Panel, ...]:
    """A chart for each stated order, upwards, those that state none last; a curve without a point is left out."""
    drawn = [curve for curve in curves if curve.series]
    orders = {curve.stated for curve in drawn}
    return tuple(
        _panel(stated, [curve for curve in drawn if curve.stated == stated])
        for stated in sorted(orders, key=lambda order: (order is None, order))
    )


@dataclass(frozen=True, slots=True)
class _Axes:
    """Both axes: log10 of the steps between `near` and `far`, whole decades of the error from `low` to `high`."""

    near: float
    far: float
    low: int
    high: int

    @staticmethod
    def around(curves: Sequence[Curve]) -> _Axes:
        steps = [math.log10(steps) for curve in curves for steps, _ in curve.series]
        errors = [math.log10(error) for curve in curves for _, error in curve.series]
        low = math.floor(min(errors) - 0.05)
        high = max(low + 1, math.ceil(max(errors) + 0.05))
        near, far = min(steps), max(steps)
        # A single count of steps stands in the middle of a decade.
        return _Axes(near, far, low, high) if far > near else _Axes(near - 0.5, near + 0.5, low, high)

    def x(self, log: float) -> float:
        return round(LEFT + (log - self.near) / (self.far - self.near) * (RIGHT - LEFT), 2)

    def y(self, log: float) -> float:
        return round(TOP + (self.high - log) / (self.high - self.low) * (BOTTOM - TOP), 1)


def _panel(stated: float | None, curves: Sequence[Curve]) -> Panel:
    axes = _Axes.around(curves)
    points = [tuple(_point(axes, steps, error) for steps, error in curve.series) for curve in curves]
    heights = _spread([ends[-1].y for ends in points])
    lines = tuple(
        Line(
            curve=curve,
            colour=place % COLOURS,
            mark=place % MARKS,
            path=_path((point.x, point.y) for point in ends),
            points=ends,
            label_y=heights[place] if heights else None,
        )
        for place, (curve, ends) in enumerate(zip(curves, points))
    )
    begin = statistics.median(math.log10(curve.series[0][1]) for curve in curves)
    return Panel(
        stated=stated,
        lines=lines,
        guides=tuple(_guide(axes, begin, slope, stated) for slope in SLOPES),
        decades=tuple(_decades(axes)),
        steps=tuple(_steps(axes, curves)),
    )


def _point(axes: _Axes, steps: int, error: float) -> Point:
    return Point(axes.x(math.log10(steps)), axes.y(math.log10(error)), steps, error)


def _guide(axes: _Axes, begin: float, slope: int, stated: float | None) -> Guide:
    """The line from the middle of the first errors; it ends at the right or where it leaves below."""
    far = min(axes.far, axes.near + (begin - axes.low) / slope)
    end = (axes.x(far), axes.y(begin - slope * (far - axes.near)))
    return Guide(slope, _path([(axes.x(axes.near), axes.y(begin)), end]), *end, stated=stated == slope)


def _decades(axes: _Axes) -> Iterable[Tick]:
    step = math.ceil((axes.high - axes.low) / 7)
    return (Tick(axes.y(exponent), f"1e{exponent}") for exponent in range(axes.low, axes.high + 1, step))


def _steps(axes: _Axes, curves: Sequence[Curve]) -> Iterable[Tick]:
    """The counts of steps that were run, save those too close to the one before."""
    last = -math.inf
    for steps in sorted({steps for curve in curves for steps, _ in curve.series}):
        at = axes.x(math.log10(steps))
        if at - last >= STEP_ROOM:
            last = at
            yield Tick(at, f"{steps}")


def _spread(wanted: Sequence[float]) -> list[float]:
    """Heights as near to the wanted ones as labels allow that may not cover each other; none if there is no room."""
    if len(wanted) * LABEL_STEP > BOTTOM - TOP + LABEL_STEP:
        return []
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    found = [wanted[i] for i in order]
    for i in range(1, len(found)):
        found[i] = max(found[i], found[i - 1] + LABEL_STEP)
    ends = [*found[1:], BOTTOM + LABEL_STEP]
    for i in reversed(range(len(found))):
        found[i] = min(found[i], (found[i + 1] if i + 1 < len(found) else ends[-1]) - LABEL_STEP)
    return [height for _, height in sorted(zip(order, found))]


def _path(places: Iterable[tuple[float, float]]) -> str:
    return "".join(
        f"{pen}{x * 10:.0f} {y:.0f}" for pen, (x, y) in zip(itertools.chain("M", itertools.repeat("L")), places)
    )


def _pair(steps: Any, error: Any) -> tuple[int, float] | None:
    try:
        count, size = int(steps), float(error)
    except (TypeError, ValueError):
        return None
    return (count, size) if count > 0 and size > 0 and math.isfinite(size) else None
