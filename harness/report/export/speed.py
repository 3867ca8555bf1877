"""What paths cost, for tools that keep times: github-action-benchmark and asv."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from harness.errors import RecordError
from harness.report.cost import Cost
from harness.report.nights import Key, Night


def github_action_benchmark(night: Night) -> str:
    """A list for its tool `customSmallerIsBetter`: the time by the yardstick where there is one, else seconds."""
    told = []
    for key, cost in _costs(night).items():
        by = cost.yardstick_seconds or 1.0
        told.append(
            {
                "name": "/".join(key),
                "unit": "times its yardstick" if cost.yardstick_seconds else "seconds",
                "value": cost.seconds / by,
                "range": f"{cost.low / by:.6g} to {cost.high / by:.6g}",
                "extra": f"{cost.seconds:.6g} seconds",
            }
        )
    return _json(told)


def asv(night: Night) -> dict[str, str]:
    """A folder of results of asv's version 2: a machine, the benchmarks, and this commit's times in seconds.

    Their intervals hold with 95 %; asv has room for one of 99 % alone, where they stand.
    """
    if not night.commit:
        raise RecordError(night.name, "does not say which commit it ran", todo="Run it in a repository of git.")
    costs = {_name(key): cost for key, cost in _costs(night).items()}
    told, machine = night.environment, re.sub(r"\W+", "-", str(night.environment.get("processor") or "machine"))
    began = int(night.started.timestamp() * 1000)
    columns = ["result", "params", "version", "started_at", "duration", "stats_ci_99_a", "stats_ci_99_b"]
    results = {name: [[each.seconds], [], "1", began, 0.0, [each.low], [each.high]] for name, each in costs.items()}
    packages = told.get("packages")
    about = {"machine": machine, "cpu": str(told.get("processor", "")), "num_cpu": str(told.get("cores", ""))}
    found = {
        "commit_hash": night.commit,
        "env_name": "harness",
        "date": began,
        "params": about,
        "python": str(told.get("python", "")),
        "requirements": dict(packages) if isinstance(packages, Mapping) else {},
        "env_vars": {},
        "result_columns": columns,
        "results": results,
        "durations": {},
        "version": 2,
    }
    benchmarks: dict[str, Any] = {name: _benchmark(name) for name in costs}
    return {
        "benchmarks.json": _json(benchmarks | {"version": 2}),
        f"{machine}/machine.json": _json({**about, "arch": "", "os": "", "ram": "", "version": 1}),
        f"{machine}/{night.commit[:8]}-harness.json": _json(found),
    }


def _benchmark(name: str) -> dict[str, Any]:
    told = {"name": name, "type": "time", "unit": "seconds", "version": "1", "code": "", "timeout": 60.0}
    return {**told, "params": [], "param_names": []}


def _costs(night: Night) -> dict[Key, Cost]:
    found = {key: seen.cost for key, seen in night.seen.items() if seen.cost is not None}
    if not found:
        raise RecordError(night.name, "has no times", todo="Export the run of a suite that measures.")
    return found


def _name(key: Key) -> str:
    """A name of asv's: dotted, the last part as a timing function is called."""
    suite, case, check = (re.sub(r"\W+", "_", part) for part in key)
    return f"{suite}.{case}.time_{check}"


def _json(told: Any) -> str:
    return json.dumps(told, indent=1) + "\n"
