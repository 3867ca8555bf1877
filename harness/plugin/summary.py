"""The end of a pytest run in the terminal: the results as a table, and what was not run and why."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from harness.plugin.changed import CHANGED
from harness.plugin.shard import ELSEWHERE
from harness.settings import find_repository


class Summary:
    """Counts what was not run by reason; with `--strict-skips`, fails if a slow test was skipped without leave."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.not_run: Counter[str] = Counter()
        self.unexcused: list[str] = []

    def pytest_deselected(self, items: list[pytest.Item]) -> None:
        self.not_run["not selected"] += len(items)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if not report.skipped or hasattr(report, "wasxfail"):
            return
        text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reason = text.removeprefix("Skipped: ")
        self.not_run[reason] += 1
        if "slow" in report.keywords and not self._allowed(reason):
            self.unexcused.append(f"{report.nodeid}: {reason}")

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.config.getoption("strict_skips") and self.unexcused and session.exitstatus == 0:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        touched = self.config.stash.get(CHANGED, None)
        if touched is not None and not touched.cases and session.exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
            session.exitstatus = pytest.ExitCode.OK

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        write = terminalreporter.write_line
        left = self.config.stash.get(ELSEWHERE, 0)
        if self.not_run or left:
            terminalreporter.section("not run", sep="-")
            if left:
                write(f"{left:>5}  left to other shards, this is {self.config.getoption('shard')}")
            for reason, count in self.not_run.most_common():
                write(f"{count:>5}  {reason}")
        if self.config.getoption("strict_skips") and self.unexcused:
            terminalreporter.section("slow tests skipped without an allowed reason", sep="-", red=True)
            for line in self.unexcused:
                write(line)
        folder = self.config.getoption("report_dir")
        if folder and (Path(folder) / "run.json").exists():
            terminalreporter.section("parity", sep="-")
            self._write_table(Path(folder), terminalreporter)

    def _write_table(self, folder: Path, terminalreporter: pytest.TerminalReporter) -> None:
        from rich.console import Console

        from harness.report.run import read_run
        from harness.report.terminal import table

        width = terminalreporter._tw.fullwidth
        console = Console(width=width, record=False, force_terminal=terminalreporter.hasmarkup, highlight=False)
        with console.capture() as captured:
            console.print(table(read_run(folder), width=width))
        for line in captured.get().splitlines():
            terminalreporter.write_line(line)
        terminalreporter.write_line(f"report: {folder / 'index.html'}")

    def _allowed(self, reason: str) -> bool:
        patterns = find_repository(self.config.rootpath).settings.allowed_skips
        return any(re.search(pattern, reason) for pattern in patterns)
