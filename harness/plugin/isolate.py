"""A process of its own for every case: a crash ends that case and no other."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from harness.files import append_line, read_lines
from harness.plugin.options import run_slow
from harness.plugin.recorder import blank_result


class Parent:
    """Runs the tests that use `case` or `parity` in child processes and passes their reports on."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> bool | None:
        if not {"case", "parity"} & set(getattr(item, "fixturenames", ())):
            return None
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        for report in self._reports(item):
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    def _reports(self, item: pytest.Item) -> list[pytest.TestReport]:
        with tempfile.TemporaryDirectory() as folder:
            file, log = Path(folder) / "reports.jsonl", Path(folder) / "log.txt"
            ending = self._run(item, file, log)
            reports = [
                self.config.hook.pytest_report_from_serializable(config=self.config, data=data)
                for data in read_lines(file)
            ]
            if any(report.when == "teardown" for report in reports):
                return reports
            return [*reports, *_crashed(item, ending, log)]

    def _run(self, item: pytest.Item, file: Path, log: Path) -> str:
        """Run the test in a child; how it ended, in words."""
        seconds = self.config.getoption("case_timeout") or None
        with log.open("wb") as output:
            try:
                done = subprocess.run(
                    self._command(item, file),
                    cwd=self.config.rootpath,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    timeout=seconds,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                return f"was ended after {seconds:g} seconds (--case-timeout)"
        return ending(done.returncode)

    def _command(self, item: pytest.Item, file: Path) -> list[str]:
        option = self.config.getoption
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={self.config.rootpath}"]
        if self.config.inipath:
            command += ["-c", str(self.config.inipath)]
        # What the settings select holds for the parent; here the test is named.
        command += ["-m", ""]
        if self.config.pluginmanager.hasplugin("xdist"):
            command.append("-n0")
        if run_slow(self.config):
            command.append("--run-slow")
        if option("report_dir"):
            command.append(f"--report-dir={Path(option('report_dir')).resolve()}")
        return [*command, f"--isolated-child={file}", item.nodeid]


class Child:
    """In the child: writes every report to the file that the parent reads."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.file = Path(config.getoption("isolated_child"))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        data = self.config.hook.pytest_report_to_serializable(config=self.config, report=report)
        append_line(self.file, json.loads(json.dumps(data, default=str)))


def ending(status: int) -> str:
    """How a process ended, from its return code.

    >>> ending(-9)
    'was killed by SIGKILL (as the system does when memory runs out)'
    >>> ending(3)
    'ended with status 3 before it had a result'
    """
    if status >= 0:
        return f"ended with status {status} before it had a result"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    return f"was killed by {name}" + (" (as the system does when memory runs out)" if name == "SIGKILL" else "")


def _crashed(item: pytest.Item, how: str, log: Path) -> list[pytest.TestReport]:
    """The reports of a test whose process died: failed, with an inconclusive result that says how."""
    last = [line for line in log.read_text(errors="replace").splitlines() if line.strip()][-5:]
    callspec = getattr(item, "callspec", None)
    case = callspec.params.get("case") if callspec else None
    result = blank_result(item.nodeid, getattr(case, "name", item.name), getattr(case, "title", "")) | {
        "reason": f"the worker process {how}",
        "repeat": f"pytest '{item.nodeid}'",
    }
    text = "\n".join([f"the worker process {how}", *last])
    failed = _report(item, "failed", "call", text)
    failed.harness_results = [result]  # type: ignore[attr-defined]
    return [failed, _report(item, "passed", "teardown", None)]


def _report(item: pytest.Item, outcome: Any, when: Any, text: str | None) -> pytest.TestReport:
    keywords: Any = dict.fromkeys(item.keywords, 1)
    return pytest.TestReport(item.nodeid, item.location, keywords, outcome, text, when)
