"""`harness run`: pytest on a profile's suites in a process of its own, watched through the events it writes."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli.watch import watch
from harness.errors import SpecError
from harness.files import write_atomic
from harness.settings import Profile, Repository, find_repository

if TYPE_CHECKING:
    from harness.report.run import Result, Run

MISUSE = 4
"""pytest's exit status for arguments or settings that it cannot take."""
GOES_ON = "--goes-on"
"""Of a call that adds to the run before it."""
ENDED = (0, 1, 5)
"""Those of a run that came to its end: all passed, some failed, no test was selected."""


def run_profile(options: argparse.Namespace) -> int:
    """Run, watch, show; the exit status of the record."""
    from harness.report.run import exit_status, read_run
    from harness.report.shards import read_shard

    repository = find_repository(Path.cwd())
    profile = repository.profile(options.profile)
    folder: Path = options.report_dir
    if options.shard:
        read_shard(options.shard)
    if options.changed:
        _say_changed(options.changed, repository)
    resume = not options.fresh and _was_killed(folder)
    if resume:
        print(f"resuming the run in {folder} (--fresh begins again)", file=sys.stderr)
    status = 0
    for command in pytest_commands(profile, options, folder=_seen_from(repository.root, folder), resume=resume):
        if GOES_ON in command:
            # Killed from here on, it is to be resumed.
            (folder / "run.json").unlink(missing_ok=True)
        status, log = _run(command, repository.root, folder, verbose=options.verbose)
        if status == MISUSE:
            raise SpecError(f"profile {options.profile!r}", f"pytest refused:\n{log}", todo="Mend what it names.")
        if not (folder / "events.jsonl").exists():
            raise SpecError("harness run", f"pytest ended with status {status}:\n{log}", todo="Mend what it names.")
        if status not in ENDED:
            break
    if not (folder / "run.json").exists():
        _finish(folder, repository, status)
    run = read_run(folder)
    show(folder, run, as_json=options.json)
    return exit_status(run)


def pytest_commands(profile: Profile, options: argparse.Namespace, *, folder: Path, resume: bool) -> list[list[str]]:
    """The pytest calls of a profile: one, or two of which the second adds what is run alone."""
    common = [f"--report-dir={folder}", f"--harness-profile={options.profile}"]
    if profile.select:
        common += ["-m", profile.select]
    if profile.run_slow:
        common.append("--run-slow")
    if profile.timeout_seconds:
        common.append(f"--case-timeout={profile.timeout_seconds:g}")
    if options.shard:
        common.append(f"--shard={options.shard}")
    if options.changed:
        common.append(f"--changed={options.changed}")
    first = ["--resume"] if resume else []
    # One call sees the tests of all cases that are touched, none of which is to go without.
    together = bool(options.changed)
    if profile.isolate if options.isolate is None else options.isolate:
        common.append("--isolate-cases")
    elif profile.workers and not (together and profile.alone) and find_spec("xdist") is not None:
        # The longest tests are few: a worker that has none left takes over what another has not yet begun.
        first += [f"--numprocesses={profile.workers}", "--dist=worksteal"]
    if together or not profile.alone:
        calls = [((*profile.suites, *profile.alone), first)]
    else:
        ignored = [f"--ignore={each}" for each in profile.alone]
        calls = [(profile.suites, [*first, *ignored]), (profile.alone, [GOES_ON])]
    start = [sys.executable, "-m", "pytest"]
    return [[*start, *suites, *common, *own, *options.pytest_arguments] for suites, own in calls]


def show(folder: Path, run: Run, *, as_json: bool) -> None:
    """Print the run: the record as JSON, or a table, the failures' texts, what was not run, and where the report is."""
    if as_json:
        print((folder / "run.json").read_text(encoding="utf-8"))
        return
    from rich.console import Console

    from harness.report.run import succeeded
    from harness.report.terminal import not_run_lines, table
    from harness.report.words import touched

    console = Console(highlight=False, markup=False, soft_wrap=False)
    if run.changed is not None:
        console.print(touched(run))
    console.print(table(run, width=console.width))
    for result in run.results:
        if not succeeded(result):
            console.print(f"\n{_text(folder, result)}\n  repeat      {result.repeat}", soft_wrap=True)
    for line in not_run_lines(run):
        console.print(line)
    console.print(f"report: {folder / 'index.html'}", soft_wrap=True)


def _say_changed(base: str, repository: Repository) -> None:
    """Say which cases differ from the base, and why, before they are run."""
    from harness.porting.changed import changed_cases

    for name, why in changed_cases(base, repository).cases.items():
        print(f"touched: {name} ({', '.join(why)})", file=sys.stderr)


def _text(folder: Path, result: Result) -> str:
    """The failure text of a result, from its own file; without one, its reason."""
    from harness.report.detail import read_detail

    detail = read_detail(folder, result)
    return detail.text if detail else f"{result.case}: {result.verdict.name}\n  why         {result.reason}"


def _seen_from(root: Path, folder: Path) -> Path:
    """The folder as pytest, which runs in `root`, may name it."""
    folder = folder.resolve()
    return folder.relative_to(root) if folder.is_relative_to(root) else folder


def _was_killed(folder: Path) -> bool:
    """Whether the folder holds results of a run that did not come to its end."""
    if not (folder / "results.jsonl").exists():
        return False
    try:
        record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return True
    return bool(record["run"]["status"] != "complete")


def _run(command: list[str], root: Path, folder: Path, *, verbose: bool) -> tuple[int, str]:
    """Run pytest in `root`; its exit status and the end of what it printed.

    Its output goes to `pytest.log` beside the record, once the record is there: pytest itself opens the folder.
    """
    from harness.plugin.recorder import now

    with tempfile.NamedTemporaryFile(prefix="harness-", suffix=".log", delete=False) as output:
        log, began = Path(output.name), now()
        try:
            process = subprocess.Popen(
                command,
                cwd=root,
                stdin=subprocess.DEVNULL,
                stdout=None if verbose else output,
                stderr=None if verbose else subprocess.STDOUT,
            )
            try:
                if verbose:
                    process.wait()
                else:
                    watch(process, folder / "events.jsonl", began)
            except KeyboardInterrupt:
                process.wait()
                raise
            text = log.read_text(encoding="utf-8", errors="replace")
            if not verbose and (folder / "events.jsonl").exists():
                kept = folder / "pytest.log"
                before = kept.read_text(encoding="utf-8") if GOES_ON in command and kept.exists() else ""
                write_atomic(kept, before + text)
        finally:
            log.unlink(missing_ok=True)
    return process.returncode, "\n".join(text.splitlines()[-15:])


def _finish(folder: Path, repository: Repository, status: int) -> None:
    """Write the report of a run whose pytest died before it could."""
    from harness.plugin.isolate import ending
    from harness.report import finish

    print(f"pytest {ending(status)}; the same command goes on where it stopped", file=sys.stderr)
    finish(folder, sections=repository.settings.sections, root=repository.root)
