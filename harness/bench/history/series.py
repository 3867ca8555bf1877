"""Times of one path over many runs, as series of those that may be compared, each with its changes of level."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from harness.bench.context import Context
from harness.bench.history.changes import Change, changes


@dataclass(frozen=True, slots=True)
class Point:
    """What a path took in one run. night: the run's number in its history. low, high: the interval of `seconds`.

    yardstick_seconds: what the yardstick took in the same run; None where there was none. yardstick: which it was.
    """

    night: int
    seconds: float
    low: float
    high: float
    yardstick_seconds: float | None
    context: Context
    yardstick: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """A change of level: between the nights `before` and `after`, neighbours in the series."""

    before: int
    after: int
    change: Change


@dataclass(frozen=True, slots=True)
class Series:
    """Comparable times, in order. is_relative: they are divided by the yardstick; else they are seconds, and no change
    is told, since without a yardstick a busy machine looks like a slow program.
    """

    context: Context
    is_relative: bool
    nights: tuple[int, ...]
    values: tuple[float, ...]
    lows: tuple[float, ...]
    highs: tuple[float, ...]
    steps: tuple[Step, ...]


def series_of(points: Iterable[Point]) -> list[Series]:
    """The points (in order) as series: another processor, number of cores or threads, accelerator or precision begins
    a series of its own, as does another yardstick or none. In the order in which they begin.
    """
    groups: dict[tuple[object, ...], list[Point]] = {}
    for point in points:
        groups.setdefault((*fingerprint(point.context), point.yardstick, point.yardstick_seconds is None), []).append(
            point
        )
    return [_series(group) for group in groups.values()]


def fingerprint(context: Context) -> tuple[object, ...]:
    """What two times have in common that may be compared: all of the context but versions, which are told apart."""
    return (context.processor, context.cores, context.accelerator, context.threads, context.precision)


def _series(points: list[Point]) -> Series:
    is_relative = points[0].yardstick_seconds is not None
    values = tuple(_relative(point.seconds, point) for point in points)
    found = changes(values) if is_relative else []
    return Series(
        context=points[0].context,
        is_relative=is_relative,
        nights=tuple(point.night for point in points),
        values=values,
        lows=tuple(_relative(point.low, point) for point in points),
        highs=tuple(_relative(point.high, point) for point in points),
        steps=tuple(Step(points[change.at - 1].night, points[change.at].night, change) for change in found),
    )


def _relative(seconds: float, point: Point) -> float:
    return seconds / (point.yardstick_seconds or 1.0)
