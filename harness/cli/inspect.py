"""`harness list`, `check`, `sensitivity` and `report`: what there is, one case at a time, a run that is over."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.settings import Repository, find_repository


def list_everything(options: argparse.Namespace) -> int:
    """`harness list`: what the repository holds."""
    repository = find_repository(Path.cwd())
    readers = {
        "cases": _cases,
        "profiles": _profiles,
        "artifacts": _artifacts,
        "tasks": _tasks,
        "register": _register,
    }
    found = {kind: read(repository) for kind, read in readers.items() if options.kind in (None, kind)}
    if options.json:
        print(json.dumps(found, indent=2))
        return 0
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    for kind, entries in found.items():
        table = Table("name", "what it is", title=kind, title_justify="left", box=None, pad_edge=False)
        for name, text in entries.items():
            table.add_row(name, text)
        console.print(table if entries else f"{kind}: none", markup=False)
        console.print()
    return 0


def check_cases(options: argparse.Namespace) -> int:
    """`harness check`: each case's comparison as text, or all of them as JSON."""
    from harness import environment, files
    from harness.cases.spec import find_cases
    from harness.parity.case import check_case
    from harness.register import read_register, rows_for
    from harness.report.run import Result, exit_status_of

    if options.steps:
        from harness.cli.porting import walk_cases

        return walk_cases(options)
    environment.prepare(files.cache_folder() / "jax")
    repository = find_repository(Path.cwd())
    rows = read_register(repository.register)
    found, statuses = [], []
    for case in find_cases(repository, *options.case):
        with progress_of(case.name, quiet=options.json) as progress:
            comparison = check_case(case, repository, progress=progress)
        registered = comparison.registered(rows_for(case.name, rows))
        result = Result(suite="", case=case.name, check="forward", verdict=comparison.verdict, registered=registered)
        statuses.append(exit_status_of(result))
        found.append(comparison.to_dict() | {"registered": list(registered)})
        if not options.json:
            further = [f"  registered  {', '.join(registered)}"] if registered else []
            further += [f"  script      harness repro {case.name} -o DIR"] if comparison.diagnosis.specimens else []
            print(comparison, *further, "", sep="\n")
    if options.json:
        print(json.dumps(found[0] if len(found) == 1 else found, indent=2))
    return 1 if 1 in statuses else max(statuses)


def plant_faults(options: argparse.Namespace) -> int:
    """`harness sensitivity`: which faults of the catalogue each case would catch, as text or as JSON."""
    from harness import environment, files
    from harness.cases.spec import find_cases
    from harness.parity.case import case_sensitivity

    environment.prepare(files.cache_folder() / "jax")
    repository = find_repository(Path.cwd())
    found = []
    for case in find_cases(repository, *options.case):
        with progress_of(case.name, quiet=options.json) as say:
            found.append(case_sensitivity(case, repository, progress=say))
        if not options.json:
            print(found[-1], "", sep="\n")
    if options.json:
        every = [each.to_dict() for each in found]
        print(json.dumps(every[0] if len(every) == 1 else every, indent=2))
    return 0 if all(each.enough for each in found) else 1


def rebuild_report(options: argparse.Namespace) -> int:
    """`harness report`: run.json, summary.md, junit.xml and index.html from the lines that a run wrote."""
    from harness.cli.run import show
    from harness.errors import RecordError
    from harness.report import finish
    from harness.report.run import exit_status

    if not (options.folder / "events.jsonl").exists():
        raise RecordError(str(options.folder), "holds no run", todo="Name the folder given as --report-dir.")
    repository = find_repository(Path.cwd())
    run = finish(options.folder, sections=repository.settings.sections, root=repository.root)
    show(options.folder, run, as_json=options.json)
    return exit_status(run)


def _cases(repository: Repository) -> dict[str, str]:
    from harness.cases.spec import case_names, read_case

    return {name: read_case(repository.cases / f"{name}.toml").title for name in case_names(repository)}


def _profiles(repository: Repository) -> dict[str, str]:
    return {name: profile.description for name, profile in repository.profiles().items()}


def _artifacts(repository: Repository) -> dict[str, str]:
    from harness.cases.artifacts import read_artifacts

    if not repository.artifacts.exists():
        return {}
    return {name: artifact.title for name, artifact in read_artifacts(repository.artifacts).items()}


def _tasks(repository: Repository) -> dict[str, str]:
    from harness.zeroshot.task import find_tasks

    return {task.name: task.title for task in find_tasks(repository, "*")}


def _register(repository: Repository) -> dict[str, str]:
    from harness.register import read_register

    return {row.id: row.cause for row in read_register(repository.register)}


@contextmanager
def progress_of(name: str, *, quiet: bool) -> Iterator[Callable[[str], None] | None]:
    """A spinner on standard error that names the step under way."""
    if quiet:
        yield None
        return
    from rich.console import Console

    with Console(stderr=True).status(name) as status:
        yield lambda step: status.update(f"{name}: {step}")
