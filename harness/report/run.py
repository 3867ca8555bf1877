"""The record of a run: folded from what was written while its tests ran, judged, and written down as one file."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from harness.errors import RecordError, closest
from harness.files import read_lines, write_atomic
from harness.parity.compare import Verdict

SCHEMA = 1
INTERRUPTED = 2
"""The exit status with which pytest says that it was interrupted, or could not collect every test."""


_VERDICTS = {verdict.value: verdict for verdict in Verdict}
"""A history reads half a million results: no list is made for each."""


@dataclass(frozen=True, slots=True)
class Result:
    """One claim and what became of it.

    registered: ids of the register's rows that apply. metrics: numbers by name, non-finite ones as strings.
    files: paths relative to the run's folder. repeat: the command that checks the claim again.
    """

    suite: str
    case: str
    check: str
    verdict: Verdict
    title: str = ""
    test: str = ""
    registered: tuple[str, ...] = ()
    reason: str = ""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    files: tuple[str, ...] = ()
    repeat: str = ""
    key: str = ""

    def number(self, metric: str) -> float | None:
        """The metric as a number, "inf" and "nan" included; None where it was not measured."""
        return number_of(self.metrics, metric)


@dataclass(frozen=True, slots=True)
class NotRun:
    """A test that did not run to its end, and why."""

    test: str
    reason: str


@dataclass(frozen=True, slots=True)
class Run:
    """One execution of the tests.

    finished: when it ended, None if it never said so. seconds: from the start to the last sign of life.
    failed: tests that failed although no result of theirs says why.
    unreached: how many of the collected tests were neither started nor accounted for.
    shard: which part of the tests, "" for all. elsewhere: how many tests are left to other parts.
    changed: what was selected by `--changed`, as `harness.porting.changed.Changed`; None if nothing was.
    """

    id: str
    started: str
    finished: str | None
    profile: str
    command: str
    status: Literal["complete", "interrupted"]
    seconds: float | None
    tests_total: int
    environment: Mapping[str, Any]
    results: tuple[Result, ...]
    not_run: tuple[NotRun, ...]
    failed: tuple[str, ...]
    unreached: int = 0
    shard: str = ""
    elsewhere: int = 0
    changed: Mapping[str, Any] | None = None


def read_run(folder: Path) -> Run:
    """The run whose files lie in `folder`, as far as it came: a line that a kill tore off is left out.

    Raises:
        RecordError: the folder holds no run, or a line that is no result (named by file and line).
    """
    events_file, results_file = folder / "events.jsonl", folder / "results.jsonl"
    if not events_file.exists() and not results_file.exists():
        raise RecordError(
            str(folder), "holds neither events.jsonl nor results.jsonl", todo="Name the folder that a run wrote."
        )
    told = _tell(read_lines(events_file))
    lines = enumerate(read_lines(results_file), start=1)
    results = _latest([result_of(line, f"{results_file}:{number}") for number, line in lines], told.starts)
    explained = {result.test for result in results if not succeeded(result)}
    failed = [test for test, outcome in told.outcomes.items() if outcome == "failed" and test not in explained]
    seen = {*told.starts, *told.outcomes, *told.not_run}
    return Run(
        id=str(told.run.get("id", folder.resolve().name)),
        started=str(told.run.get("started", "")),
        finished=told.finished,
        profile=str(told.run.get("profile") or ""),
        command=_command(told.run.get("command", "")),
        status="complete" if told.complete else "interrupted",
        seconds=_seconds_between(str(told.run.get("started", "")), told.last_time),
        tests_total=max(told.total, len(seen)),
        environment=told.environment,
        results=results,
        not_run=tuple(NotRun(test, reason) for test, reason in told.not_run.items()),
        failed=tuple(failed),
        unreached=max(0, told.total - len(seen)),
        shard=str(told.run.get("shard") or ""),
        elsewhere=told.elsewhere,
        changed=told.run.get("changed"),
    )


def number_of(metrics: Mapping[str, Any], name: str) -> float | None:
    """The metric as a number, "inf" and "nan" included; None where it was not measured."""
    value = metrics.get(name)
    if value is None or type(value) is float:
        return value
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def verdict_of(line: Mapping[str, Any], place: str) -> Verdict:
    """The verdict of the result that a line tells.

    Raises:
        RecordError: it tells none.
    """
    for key in ("suite", "case", "check", "verdict"):
        if not isinstance(line.get(key), str):
            raise RecordError(place, f"the result's {key!r} is {line.get(key)!r}", todo="Remove the line.")
    if line["verdict"] not in _VERDICTS:
        raise RecordError(place, f"unknown verdict {line['verdict']!r}", todo=closest(line["verdict"], _VERDICTS))
    return _VERDICTS[line["verdict"]]


def result_of(line: Mapping[str, Any], place: str) -> Result:
    """The result that a line tells.

    Raises:
        RecordError: it tells none.
    """
    return Result(
        suite=line["suite"],
        case=line["case"],
        check=line["check"],
        verdict=verdict_of(line, place),
        title=str(line.get("title") or ""),
        test=str(line.get("test") or ""),
        registered=tuple(map(str, line.get("registered") or ())),
        reason=str(line.get("reason") or ""),
        metrics=dict(line.get("metrics") or {}),
        seconds=float(line.get("seconds") or 0.0),
        files=tuple(map(str, line.get("files") or ())),
        repeat=str(line.get("repeat") or ""),
        key=str(line.get("key") or ""),
    )


def succeeded(result: Result) -> bool:
    """Whether the result is as it should be: it agrees, or it diverges as the register says.

    One that agrees although it is registered is a failure: it was mended, and its row must go. Nothing makes an
    inconclusive result a success.
    """
    if result.verdict is Verdict.INCONCLUSIVE:
        return False
    return (result.verdict is Verdict.AGREE) == (not result.registered)


def exit_status_of(result: Result) -> int:
    """0 the result is as it should be; 3 it is inconclusive; 1 it is wrong."""
    if succeeded(result):
        return 0
    return 3 if result.verdict is Verdict.INCONCLUSIVE else 1


def exit_status(run: Run) -> int:
    """0 all succeeded; 1 a result fails; 3 nothing fails, yet something is not known.

    Not known is: an inconclusive result, no result at all, a test that failed without a result, an interrupted run.
    Where what changed was asked for and touches no case, there is nothing to know.
    """
    statuses = {exit_status_of(result) for result in run.results}
    if 1 in statuses:
        return 1
    if run.failed or run.status == "interrupted" or not (statuses or is_untouched(run)):
        return 3
    return max(statuses, default=0)


def is_untouched(run: Run) -> bool:
    """Whether the run was to check what changed, and no case is made of that."""
    return run.changed is not None and not run.changed["cases"]


def record(run: Run) -> dict[str, Any]:
    """What `run.json` holds; `schema` describes it."""
    return {
        "schema": SCHEMA,
        "run": {
            "id": run.id,
            "started": run.started,
            "finished": run.finished,
            "profile": run.profile,
            "command": run.command,
            "status": run.status,
            "exit_status": exit_status(run),
            "seconds": run.seconds,
            "not_run": [asdict(item) for item in run.not_run],
            "failed": list(run.failed),
            "tests_total": run.tests_total,
            **({"shard": run.shard, "elsewhere": run.elsewhere} if run.shard else {}),
            **({"changed": dict(run.changed)} if run.changed is not None else {}),
        },
        "environment": dict(run.environment),
        "results": [asdict(result) | {"verdict": result.verdict.value} for result in run.results],
    }


def write_record(folder: Path) -> Path:
    """Write `run.json` from the other files of the folder; the path written.

    Raises:
        RecordError: the folder holds no run, or cannot be written.
    """
    content = json.dumps(record(read_run(folder)), indent=1, allow_nan=False)
    return write_atomic(folder / "run.json", content + "\n")


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of `run.json`."""
    text = resources.files(__package__).joinpath("run.schema.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


@dataclass(slots=True)
class _Told:
    """What the events tell, folded so far."""

    run: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    total: int = 0
    elsewhere: int = 0
    starts: Counter[str] = field(default_factory=Counter)
    running: dict[str, str] = field(default_factory=dict)
    outcomes: dict[str, str] = field(default_factory=dict)
    not_run: dict[str, str] = field(default_factory=dict)
    last_time: str = ""
    finished: str | None = None
    complete: bool = False


def _tell(events: Iterable[Mapping[str, Any]]) -> _Told:
    told = _Told()
    for event in events:
        test = str(event.get("test", ""))
        told.last_time = str(event.get("time") or event.get("finished") or told.last_time)
        match event.get("event"):
            case "run":
                # A resumed run keeps the first id and start; it has not ended until it says so again.
                begun = {key: value for key, value in told.run.items() if key in ("id", "started")}
                told.run = {**dict(event.get("run") or {}), **begun}
                told.environment = dict(event.get("environment") or {})
                told.finished, told.complete = None, False
            case "collected":
                told.total = int(event.get("total", 0))
            case "elsewhere":
                told.elsewhere = int(event.get("total", 0))
            case "started":
                told.starts[test] += 1
                told.running[test] = ""
            case "step":
                told.running[test] = str(event.get("step", ""))
            case "judged":
                told.running.pop(test, None)
                told.outcomes[test] = str(event.get("outcome", ""))
            case "finished":
                _finish(told, test, str(event.get("outcome", "")))
            case "not_run":
                told.not_run[test] = str(event.get("reason", "")) or "no reason given"
            case "ended":
                told.finished = str(event["finished"]) if event.get("finished") else None
                told.complete = event.get("exit_status") != INTERRUPTED
    told.complete = told.complete and not told.running
    for test, step in told.running.items():
        told.not_run[test] = "the run ended while it ran" + (f", at the step {step!r}" if step else "")
    return told


def _finish(told: _Told, test: str, outcome: str) -> None:
    told.running.pop(test, None)
    told.outcomes[test] = outcome
    if outcome == "skipped":
        told.not_run.setdefault(test, "no reason given")
    else:
        told.not_run.pop(test, None)


def _latest(results: list[Result], starts: Mapping[str, int]) -> tuple[Result, ...]:
    """All results, save that a test started more than once (a resumed run) counts by its latest of each check."""
    kept: dict[tuple[object, ...], Result] = {}
    for number, result in enumerate(results):
        again = starts.get(result.test, 0) > 1
        kept[result.suite, result.case, result.check, result.test, -1 if again else number] = result
    return tuple(kept.values())


def _command(command: object) -> str:
    return shlex.join(map(str, command)) if isinstance(command, list) else str(command or "")


def _seconds_between(start: str, end: str) -> float | None:
    try:
        return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
    except (TypeError, ValueError):
        return None
