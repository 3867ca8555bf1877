"""A run of the scheduler suite with made-up outcomes, for the tests of its section."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.files import write_atomic
from harness.schedulers.outcome import Outcome
from suites.selftest.report_runs import write_run

REMEDY = "Multiply `sigma_s1` by `r`, not by `h`."


def line(folder: Path, outcome: Outcome, *rows: str, **values: Any) -> dict[str, Any]:
    """The line of an outcome, whose file is written; `rows`: ids of the register's rows that explain it."""
    import json

    register = [
        {"id": row, "kind": "defect", "cause": f"the cause of {row}", "where": "diffusers/x.py:7", "remedy": REMEDY}
        for row in rows
    ]
    name = f"cases/{outcome.row}.{outcome.check}.{len(list(folder.glob('cases/*')))}.json"
    details = outcome.to_dict() | {"check": outcome.check, "title": outcome.title, "register": register}
    write_atomic(folder / name, json.dumps(details))
    return {
        "suite": "schedulers",
        "case": outcome.row,
        "check": outcome.check,
        "title": outcome.title,
        "test": f"suites/schedulers/test_{outcome.check}.py::test_it[{outcome.row}]",
        "verdict": outcome.verdict.value,
        "registered": list(rows),
        "reason": "; ".join(f"the cause of {row}" for row in rows) or outcome.reason,
        "metrics": outcome.metrics(),
        "seconds": 0.2,
        "files": [name],
        "repeat": "pytest 'suites/schedulers'",
        "key": "",
    } | values


def outcome(row: str, check: str, error: float = 1e-14, limit: float = 1e-12, **values: Any) -> Outcome:
    """What a check of a row found."""
    made = {"title": row, "reference": "k-diffusion", "port": "diffusers", "compared": 4, "worst": "karras, 12 steps"}
    return Outcome(row, check, error=error, limit=limit, **(made | values))


def ordered(
    row: str, measured: float, stated: float, *, first: float = 0.1, floor: float = 1e-13, **values: Any
) -> Outcome:
    """An order outcome with a series that falls as measured, down to rounding."""
    steps = (10, 20, 40, 80, 160, 320)
    series = {count: max(floor, first * (count / steps[0]) ** -measured) for count in steps}
    numbers = {"order": measured, "stated": stated}
    return outcome(row, "order", max(0.0, stated - measured), 0.1, numbers=numbers, series=series, **values)


def sample(folder: Path) -> Path:
    """A run with every kind of cell: agreeing, registered, failing, unknown and not applicable."""
    good, bad = {"error64": 1e-14, "error32": 2e-6}, {"error64": 0.4, "error32": 0.4}
    mixed, unknown = {"error64": 1e-14, "error32": 2e-4}, {"error64": float("nan"), "error32": 2e-4}
    moments = {"mean": 2e-16, "variance": 3e-15}
    lines = [
        line(folder, outcome("euler", "original", title="Euler", numbers=good)),
        line(folder, ordered("euler", 1.004, 1, title="Euler")),
        line(folder, outcome("euler", "oracle", 3e-6, 2e-5, title="Euler")),
        line(folder, outcome("euler", "grid", title="Euler")),
        line(folder, outcome("euler", "twin", title="Euler")),
        line(folder, outcome("dpmpp-3m-sde", "original", 0.4, title="DPM++ 3M SDE", numbers=bad), "sde-sign"),
        line(folder, outcome("dpmpp-3m-sde", "moments", title="DPM++ 3M SDE", numbers=moments)),
        line(folder, ordered("deis", 1.1, 3, title="DEIS", note="k-diffusion has no DEIS."), "deis-order", "deis-grid"),
        line(folder, ordered("heun", 1.4, 2, title="Heun")),
        line(folder, outcome("heun", "original", float("nan"), title="Heun", numbers=unknown)),
        line(folder, outcome("lms", "original", title="LMS", numbers=mixed), "lms-mended"),
        line(folder, outcome("heun", "properties", 1, 0, title="Heun")),
        line(folder, outcome("euler", "properties", 0, 0, title="Euler")),
        line(folder, outcome("euler-sign", "planted", 0, 0, title="Euler with a wrong sign")),
        line(folder, outcome("heun-last", "planted", 1, 0, title="Heun without a last step")),
    ]  # fmt: skip
    return write_run(folder, *lines)
