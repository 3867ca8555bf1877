"""The record of a run: results and events, written line by line by one process, and the report at the end."""

from __future__ import annotations

import json
import re
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.environment import peak_bytes
from harness.files import append_line, write_atomic

if TYPE_CHECKING:
    from harness.errors import HarnessError
    from harness.plugin.conclude import Judged
    from harness.register import Row

RESULTS = pytest.StashKey[list[dict[str, Any]]]()
"""The results of a test, on the test's item until its report takes them along."""

SHOWN = ("outputs", "taps", "series", "answers", "zero_shot", "bench")
"""Parts of a result that need a file of its own, if it agrees too."""


def keep(
    item: pytest.Item,
    name: str,
    title: str,
    *,
    repeat: str,
    seconds: float,
    found: Judged | None = None,
    check: str = "forward",
    rows: Sequence[Row] = (),
    error: HarnessError | None = None,
    lines: Sequence[Mapping[str, Any]] = (),
    figures: Mapping[str, Any] | None = None,
) -> None:
    """Keep a result on the test's item: what was found, or the error that prevented it.

    lines: of a file of JSON lines beside the record. figures: beside those that `found` tells.
    """
    from harness.plugin.resume import item_key

    result = blank_result(item.nodeid, name, title) | {"check": check, "repeat": repeat, "seconds": seconds}
    if found is not None:
        registered = found.registered(rows)
        shown = found.to_dict()
        has_more = found.verdict.value != "agree" or any(shown.get(part) for part in SHOWN)
        result |= {
            "verdict": found.verdict.value,
            "key": item_key(item),
            "reason": "; ".join(row.cause for row in rows) if registered else found.reason,
            "registered": list(registered),
            "metrics": found.metrics() | dict(figures or {}) | {"peak_bytes": peak_bytes()},
        }
        # What agrees and has no arrays needs no file of its own: there may be a thousand of them.
        if has_more:
            told = {"check": check, "title": title, "repeat": repeat, "register": _register(registered, rows)}
            result["details"] = shown | told
        if lines:
            result["lines"] = list(lines)
    else:
        # Without a key it is tried again when the run is resumed: the network may be back.
        result |= {"reason": str(error)}
    item.stash.setdefault(RESULTS, []).append(result)


def blank_result(test: str, name: str, title: str = "") -> dict[str, Any]:
    """An inconclusive result of a test, to be filled in."""
    return {
        "suite": suite_of(test),
        "case": name,
        "check": "forward",
        "title": title or name,
        "test": test,
        "verdict": "inconclusive",
        "registered": [],
        "reason": "",
        "metrics": {},
        "seconds": 0.0,
        "files": [],
        "repeat": "",
        "key": "",
    }


def attach(item: pytest.Item, report: pytest.TestReport) -> None:
    """Put the item's results on its report, which travels to the process that writes the record."""
    results = item.stash.get(RESULTS, [])
    if results:
        report.harness_results = list(results)  # type: ignore[attr-defined]
        results.clear()


def announce(item: pytest.Item, name: str) -> Callable[[str], None]:
    """A function that notes which step of a case is under way, in the run's events."""
    folder = item.config.getoption("report_dir")

    def step(text: str) -> None:
        if folder:
            event = {"event": "step", "test": item.nodeid, "step": f"{name}: {text}"}
            append_line(Path(folder) / "events.jsonl", event)

    return step


def suite_of(nodeid: str) -> str:
    """The folder below `suites/` that holds the test, or the nearest folder, or the file.

    >>> suite_of("suites/parity/test_real.py::test_it[x]"), suite_of("test_a.py::test_it")
    ('parity', 'test_a')
    """
    parts = Path(nodeid.split("::")[0]).parts
    if "suites" in parts[:-2]:
        return parts[parts.index("suites") + 1]
    return parts[-2] if len(parts) > 1 else Path(parts[-1]).stem


class Recorder:
    """Writes `results.jsonl` and `events.jsonl` while the tests run, and the report when they have."""

    def __init__(self, config: pytest.Config) -> None:
        from harness.errors import RecordError
        from harness.plugin.resume import of_shard, open_folder

        self.config = config
        self.folder = Path(config.getoption("report_dir"))
        try:
            if config.getoption("resume"):
                of_shard(self.folder, config.getoption("shard"))
            goes_on = bool(config.getoption("goes_on"))
            self.kept = open_folder(self.folder, resume=goes_on or config.getoption("resume"))
        except RecordError as error:
            raise pytest.UsageError(str(error)) from None
        self.earlier, self.before = 0, list[str]()
        if goes_on:
            commands = [event["run"]["command"] for event in self.kept.events if event.get("event") == "run"]
            self.before = list(map(str, commands[-1])) if commands else []
            totals = [event["total"] for event in self.kept.events if event.get("event") == "collected"]
            self.earlier = int(totals[-1]) if totals else 0
            self.kept.tests |= {line["test"] for line in self.kept.results}
        self.outcomes: dict[str, str] = {}
        self.seconds: dict[str, float] = {}
        self.written: set[str] = set()
        self.taken = {name for line in self.kept.results for name in line.get("files", ())}

    def event(self, kind: str, **values: Any) -> None:
        self._append("events.jsonl", {"event": kind, **values})

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        from harness import environment
        from harness.plugin.changed import CHANGED

        command: Any = ["pytest", *map(str, self.config.invocation_params.args)]
        if self.before:
            command = f"{shlex.join(self.before)} && {shlex.join(command)}"
        profile = self.config.getoption("harness_profile")
        started = now()
        run = {"id": re.sub(r"\W", "", started), "started": started, "profile": profile, "command": command}
        if self.config.getoption("shard"):
            run["shard"] = self.config.getoption("shard")
        touched = self.config.stash.get(CHANGED, None)
        if touched is not None:
            run["changed"] = touched.to_dict()
        found = environment.revision(self.config.rootpath)
        self.event("run", run=run, environment=environment.capture() | ({"revision": found} if found else {}))

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        kept = self.earlier + len(session.config.stash.get(KEPT, ()))
        self.event("collected", total=len(session.items) + kept, kept=kept)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._failed_without_result(report.nodeid, "collect", _last_line(report.longreprtext))

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        for item in items:
            self.event("not_run", test=item.nodeid, reason="not selected")

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.event("started", test=nodeid, time=now())

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        test = report.nodeid
        self.seconds[test] = self.seconds.get(test, 0.0) + report.duration
        outcome = _outcome(report)
        if outcome == "failed" or test not in self.outcomes or self.outcomes[test] == "passed":
            self.outcomes[test] = outcome
        results = getattr(report, "harness_results", ())
        if results:
            # Before the results, so that no kill leaves results of which nobody knows whether the test passed.
            self.event("judged", test=test, outcome=self.outcomes[test])
            self._write(*map(dict, results))
        if outcome == "skipped":
            self.event("not_run", test=test, reason=_skip_reason(report))
        if outcome == "failed" and test not in self.written:
            self._failed_without_result(test, "run", _last_line(report.longreprtext))
        if report.when == "teardown" or (report.when not in ("setup", "call")):
            self.event("finished", test=test, outcome=self.outcomes[test], seconds=self.seconds[test])

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Under pytest-xdist the workers select: they say which tests they kept."""
        for test in getattr(node, "workeroutput", {}).get("harness_kept", ()):
            self.kept.keep(test)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        from harness.errors import HarnessError
        from harness.plugin.resume import compact
        from harness.plugin.shard import ELSEWHERE
        from harness.report import finish
        from harness.settings import find_repository

        for test in session.config.stash.get(KEPT, ()):
            self.kept.keep(test)
        left = session.config.stash.get(ELSEWHERE, None)
        try:
            compact(self.folder, self.kept)
            if left is not None:
                self.event("elsewhere", total=left)
            self.event("ended", exit_status=int(session.exitstatus), finished=now())
            repository = find_repository(self.config.rootpath)
            finish(self.folder, sections=repository.settings.sections, root=repository.root)
        except HarnessError as error:
            pytest.exit(f"harness: {error}", returncode=3)

    def _write(self, *results: dict[str, Any]) -> None:
        """Write the results of one test: all of them or, if the process is killed, none."""
        for result in results:
            details = result.pop("details", None)
            if details is not None:
                result["files"] = [self._write_beside(result, ".json", json.dumps(details, allow_nan=False))]
            lines = [json.dumps(line, allow_nan=False) + "\n" for line in result.pop("lines", ())]
            if lines:
                result["files"] = [*result["files"], self._write_beside(result, ".jsonl", "".join(lines))]
            self.written.add(result["test"])
        self._append("results.jsonl", *results)

    def _append(self, name: str, *values: dict[str, Any]) -> None:
        """Append lines; where the disk refuses, end the run, since a record with gaps would look like a whole one."""
        from harness.errors import RecordError

        try:
            append_line(self.folder / name, *values)
        except RecordError as error:
            pytest.exit(f"harness: {error}", returncode=3)

    def _write_beside(self, result: dict[str, Any], suffix: str, text: str) -> str:
        stem = re.sub(r"[^\w.-]+", "-", f"{result['case']}.{result['check']}")[:100]
        name, number = f"cases/{stem}{suffix}", 1
        while name in self.taken:
            number += 1
            name = f"cases/{stem}-{number}{suffix}"
        self.taken.add(name)
        write_atomic(self.folder / name, text)
        return name

    def _failed_without_result(self, test: str, check: str, reason: str) -> None:
        name = test.split("::")[-1]
        self._write(blank_result(test, name) | {"check": check, "reason": reason, "repeat": f"pytest '{test}'"})


KEPT = pytest.StashKey[tuple[str, ...]]()
"""The tests whose results of a killed run were kept, on the config of the process that collected them."""


def now() -> str:
    """The time in UTC, to the second, as ISO 8601."""
    return datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds")


def _register(registered: Sequence[str], rows: Sequence[Row]) -> list[dict[str, str]]:
    """What the rows that explain a result say, so that the report need not find the register again."""
    told = ("id", "kind", "cause", "where", "remedy", "proof", "link")
    return [{name: getattr(row, name) for name in told} for row in rows if row.id in registered]


def _outcome(report: pytest.TestReport) -> str:
    if hasattr(report, "wasxfail"):
        return "xfailed" if report.skipped else "xpassed"
    return report.outcome


def _skip_reason(report: pytest.TestReport) -> str:
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    errors = [line.removeprefix("E").strip() for line in lines if line.startswith("E ")]
    return (errors or [line.strip() for line in lines] or ["failed without a word"])[-1]
