"""A run as OpenMetrics text (openmetrics.io, version 1.0), for Prometheus and what reads like it."""

from __future__ import annotations

import math

from harness.report import words
from harness.report.run import Run

NAMES = {"error": "error", "scale": "scale", "median_seconds": "median_seconds", "wall_seconds": "wall_seconds"}
"""Metric of a result -> the end of its name there."""


def openmetrics(run: Run) -> str:
    """How many results stand how, and the figures of each."""
    lines = ["# TYPE parity_results gauge", "# HELP parity_results Results by how they stand."]
    lines += [f'parity_results{{standing="{name}"}} {count}' for name, count in words.counts(run).items()]
    lines += ["# TYPE parity_tests_not_run gauge", f"parity_tests_not_run {len(run.not_run)}"]
    for metric, name in NAMES.items():
        # Of several results of a claim one sample alone may be told: the last.
        found = {}
        for result in run.results:
            value = result.number(metric)
            if value is not None:
                found[result.suite, result.case, result.check] = value
        if not found:
            continue
        lines.append(f"# TYPE parity_{name} gauge")
        if name.endswith("seconds"):
            lines.append(f"# UNIT parity_{name} seconds")
        for key, value in found.items():
            labels = ",".join(
                f'{label}="{_escaped(text)}"' for label, text in zip(("suite", "case", "check"), key, strict=True)
            )
            lines.append(f"parity_{name}{{{labels}}} {_number(value)}")
    return "\n".join([*lines, "# EOF"]) + "\n"


def _number(value: float) -> str:
    if math.isfinite(value):
        return repr(value)
    return "NaN" if math.isnan(value) else ("+Inf" if value > 0 else "-Inf")


def _escaped(text: str) -> str:
    return words.printable(text).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
