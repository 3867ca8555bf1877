"""Accuracy against the size of models, as the geometry of a chart: `templates/scaling.html` draws it.

The horizontal axis is the logarithm of the number of parameters. Widths are percentages, heights pixels, as in `chart`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.zeroshot.size import short

HEIGHT = 280
TOP, BOTTOM = 14.0, 244.0
"""Where the axis of the accuracy begins and ends, in pixels; below it the sizes."""

LEFT, RIGHT = 6.0, 94.0
"""Where the axis of the size begins and ends, in percent."""

LABEL_ROOM = 9.0
"""Percent of the width that the label of a size takes."""


@dataclass(frozen=True, slots=True)
class Point:
    """A model. x: percent of the width. y, low, high: pixels from the top, of the accuracy and of its interval."""

    x: float
    y: float
    low: float
    high: float
    name: str
    parameters: str
    flops: str
    accuracy: float
    interval: tuple[float, float]
    label: bool


@dataclass(frozen=True, slots=True)
class Tick:
    """A line of the grid with its label, in pixels."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Scaling:
    """A family's chart on a task. path: thousandths of the width and pixels. falls: whether it scales inversely."""

    task: str
    trend: str
    falls: bool
    points: tuple[Point, ...]
    path: str
    ticks: tuple[Tick, ...]
    height: int = HEIGHT


def scaling(family: Mapping[str, Any]) -> Scaling | None:
    """The chart of what `Family.to_dict` gave; None where it holds no member that can be drawn."""
    members = sorted(_members(family.get("members")), key=lambda each: each["parameters"])
    if not members:
        return None
    logs = [math.log10(each["parameters"]) for each in members]
    near, far = (logs[0], logs[-1]) if logs[-1] > logs[0] else (logs[0] - 0.5, logs[0] + 0.5)
    # Whole tenths around all intervals, so that a fall of a few percent can be seen.
    least = math.floor(10 * min(each["low"] for each in members)) / 10
    most = max(math.ceil(10 * max(each["high"] for each in members)) / 10, least + 0.1)

    def y(share: float) -> float:
        return float(round(TOP + (most - share) / (most - least) * (BOTTOM - TOP), 1))

    places = [round(LEFT + (log - near) / (far - near) * (RIGHT - LEFT), 2) for log in logs]
    points = tuple(
        Point(
            x=place,
            y=y(each["accuracy"]),
            low=y(each["low"]),
            high=y(each["high"]),
            name=str(each.get("name", "")),
            parameters=short(each["parameters"]),
            flops=short(each["flops"]),
            accuracy=each["accuracy"],
            interval=(each["low"], each["high"]),
            label=label,
        )
        for each, place, label in zip(members, places, _labelled(places))
    )
    path = "".join(f"{'L' if number else 'M'}{each.x * 10:.0f} {each.y:.0f}" for number, each in enumerate(points))
    count = round(10 * (most - least))
    ticks = tuple(Tick(y(least + step / 10), f"{least + step / 10:.0%}") for step in range(count + 1))
    trend = str(family.get("trend", ""))
    return Scaling(str(family.get("task", "")), trend, trend.startswith("inverse"), points, path, ticks)


def _members(values: Any) -> Iterator[dict[str, Any]]:
    """Those with every number, a positive size among them: a file may hold anything."""
    for each in values if isinstance(values, Sequence) and not isinstance(values, str) else ():
        try:
            numbers = {key: float(each[key]) for key in ("parameters", "flops", "accuracy", "low", "high")}
        except (KeyError, TypeError, ValueError):
            continue
        if numbers["parameters"] > 0 and all(math.isfinite(number) for number in numbers.values()):
            yield {**each, **numbers}


def _labelled(places: Sequence[float]) -> Iterator[bool]:
    """Which places have room for a label: the last, and of the others those not too close to the one before."""
    last = -math.inf
    for number, place in enumerate(places):
        room = number == len(places) - 1 or places[-1] - place >= LABEL_ROOM
        fits = place - last >= LABEL_ROOM and room
        last = place if fits else last
        yield fits or number == len(places) - 1
