"""What a result of the record says that a path took."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from statistics import geometric_mean
from typing import Any

from harness.bench.context import Context
from harness.report.run import number_of


@dataclass(frozen=True, slots=True)
class Cost:
    """What a path took: the median, its interval, and the yardstick of the same run, in seconds.

    yardstick: the metric that the yardstick comes from, "" where there is none.
    """

    seconds: float
    low: float
    high: float
    yardstick_seconds: float | None
    yardstick: str
    context: Context


def cost_of(metrics: Mapping[str, Any], environment: Mapping[str, Any]) -> Cost | None:
    """What a result's metrics say that a path took, None where they say nothing."""
    seconds = number_of(metrics, "median_seconds")
    if seconds is None or not math.isfinite(seconds) or seconds <= 0:
        return None
    yardstick, by = _yardstick(metrics)
    ends = (number_of(metrics, name) for name in ("low_seconds", "high_seconds"))
    low, high = (end if end is not None and math.isfinite(end) and end > 0 else seconds for end in ends)
    context = _context(
        str(environment.get("processor", "")),
        _whole(environment.get("cores")),
        str(metrics.get("accelerator") or ""),
        _whole(metrics.get("threads")),
        str(metrics.get("precision") or ""),
    )
    return Cost(seconds, low, high, by, yardstick, context)


def mean_cost(costs: list[Cost]) -> Cost:
    """The geometric mean of costs in the first one's context by its yardstick, which is that of their ratios too."""
    first = costs[0]
    costs = [cost for cost in costs if (cost.context, cost.yardstick) == (first.context, first.yardstick)]
    yardsticks = [cost.yardstick_seconds for cost in costs if cost.yardstick_seconds is not None]
    return Cost(
        seconds=geometric_mean(cost.seconds for cost in costs),
        low=geometric_mean(cost.low for cost in costs),
        high=geometric_mean(cost.high for cost in costs),
        yardstick_seconds=geometric_mean(yardsticks) if yardsticks else None,
        yardstick=first.yardstick,
        context=first.context,
    )


def _yardstick(metrics: Mapping[str, Any]) -> tuple[str, float | None]:
    """The metric, and the seconds: of work timed in turn with the path; else of an operation of a matrix product."""
    for name, power in (("yardstick_seconds", 1), ("peak_flops_per_second", -1)):
        value = number_of(metrics, name)
        if value is not None and math.isfinite(value) and value > 0:
            return name, value**power
    return "", None


@lru_cache(maxsize=1024)
def _context(processor: str, cores: int, accelerator: str, threads: int, precision: str) -> Context:
    return Context(processor, cores, accelerator, threads, precision, versions={})


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0
