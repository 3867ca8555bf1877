"""Go on with a run that was killed: which results still hold, and which tests run again."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness import environment
from harness.errors import HarnessError, RecordError
from harness.files import read_lines, sha256_of, write_atomic
from harness.plugin.select import case_of
from harness.settings import find_repository

if TYPE_CHECKING:
    from harness.cases.spec import Case

WRITTEN = ("results.jsonl", "events.jsonl", "run.json", "summary.md", "junit.xml", "index.html", "pytest.log")
"""The files of a run folder; its `cases/` holds further ones, which the results name."""


@dataclass(slots=True)
class Kept:
    """The lines of a killed run, and the tests whose lines still hold."""

    results: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    tests: set[str] = field(default_factory=set)

    def keep(self, test: str) -> None:
        self.tests.add(test)


def open_folder(folder: Path, *, resume: bool) -> Kept:
    """Make `folder` ready for a run: emptied of the last one, or, to resume, with its whole lines kept.

    Raises:
        RecordError: the folder holds other things than a run, so that nothing of it may be removed.
    """
    lines = Kept(results=read_lines(folder / "results.jsonl"), events=read_lines(folder / "events.jsonl"))
    if folder.exists() and not folder.is_dir():
        raise RecordError(str(folder), "is a file", todo="Name a folder for the report.")
    others = {path.name for path in folder.glob("*")} - set(WRITTEN) - {"cases"}
    is_run = (folder / "events.jsonl").exists() or (folder / "run.json").exists()
    if folder.exists() and not is_run and (others or (folder / "cases").exists()):
        raise RecordError(
            str(folder), "is neither empty nor the folder of an earlier run", todo="Name another folder for the report."
        )
    folder.mkdir(parents=True, exist_ok=True)
    if resume and lines.results:
        # A kill may have torn the last line off; what is appended next must start on a line of its own.
        _rewrite(folder / "results.jsonl", lines.results)
        _rewrite(folder / "events.jsonl", lines.events)
        return lines
    _remove_details(folder, lines.results)
    for name in WRITTEN:
        if name != "pytest.log":
            (folder / name).unlink(missing_ok=True)
    return Kept()


def of_shard(folder: Path, shard: str) -> None:
    """Refuse to go on with a run of other tests than those of that part.

    Raises:
        RecordError: the folder's run was of another part, or of all tests.
    """
    runs = [event.get("run") or {} for event in read_lines(folder / "events.jsonl") if event.get("event") == "run"]
    if runs and str(runs[-1].get("shard", "")) != shard:
        was, wanted = (f"of shard {text}" if text else "of all tests" for text in (runs[-1].get("shard", ""), shard))
        raise RecordError(
            str(folder), f"holds a run {was}, not {wanted}", todo="Name another folder for the report, or begin again."
        )


def keep_finished(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Take the tests out of `items` whose results of a killed run still hold."""
    from harness.plugin.recorder import KEPT

    if not config.getoption("resume") or not config.getoption("report_dir") or config.getoption("isolated_child"):
        return
    folder = Path(config.getoption("report_dir"))
    judged = {event["test"] for event in read_lines(folder / "events.jsonl") if event.get("event") == "judged"}
    # A run that was killed twice may hold two lines of one result: the later one counts.
    latest = {(line["test"], line["case"], line["check"]): line for line in read_lines(folder / "results.jsonl")}
    keys: dict[str, set[str]] = {}
    for line in latest.values():
        keys.setdefault(line["test"], set()).add(line.get("key", ""))
    kept = [item for item in items if item.nodeid in judged and keys.get(item.nodeid) == {item_key(item)} != {""}]
    tests = tuple(item.nodeid for item in kept)
    config.stash[KEPT] = tests
    items[:] = [item for item in items if item.nodeid not in set(tests)]
    if hasattr(config, "workeroutput"):
        config.workeroutput["harness_kept"] = list(tests)


def item_key(item: pytest.Item) -> str:
    """What the results of a test depend on, as a hash; "" for a test without a case, which always runs again.

    The test, the case's file, its artifacts, rules and rows of the register, the versions of the packages, and the
    code: the harness, the factories' files and the test's own.
    """
    case = case_of(item)
    if case is None:
        return ""
    parts = {
        "test": item.nodeid,
        "case": sha256_of(case.file),
        "pinned": _pinned(case, item.config.rootpath),
        "versions": environment.versions(),
        "code": [environment.engine(), sha256_of(item.path), *_factories(case)],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def compact(folder: Path, kept: Kept) -> None:
    """Drop the lines of a killed run whose tests ran again or are gone, so that no result stands twice."""
    if kept.results:
        old = [line for line in kept.results if line["test"] in kept.tests]
        new = read_lines(folder / "results.jsonl")[len(kept.results) :]
        _rewrite(folder / "results.jsonl", old + new)
        _remove_details(folder, [line for line in kept.results if line["test"] not in kept.tests])


def _remove_details(folder: Path, results: list[dict[str, Any]]) -> None:
    for result in results:
        for name in result.get("files", ()):
            if name.startswith("cases/") and ".." not in name:
                (folder / name).unlink(missing_ok=True)


def _rewrite(path: Path, lines: list[dict[str, Any]]) -> None:
    write_atomic(path, "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))


def _pinned(case: Case, root: Path) -> list[str]:
    """The case's artifacts, rules and rows of the register, as text; what is wrong with them, if something is."""
    from harness.cases.artifacts import find_artifact
    from harness.cases.conversion import read_conversion
    from harness.register import read_register, rows_for

    repository = find_repository(root)
    try:
        artifacts = [repr(find_artifact(repository, name)) for name in case.artifacts.values()]
        name = case.conversion
        rules = [repr(read_conversion(repository.conversions / f"{name}.toml"))] if name else []
        return [*artifacts, *rules, repr(rows_for(case.name, read_register(repository.register)))]
    except HarnessError as error:
        return [str(error)]


def _factories(case: Case) -> list[str]:
    hashes = []
    for factory in filter(None, (case.reference, case.port, case.inputs)):
        try:
            spec = find_spec(factory.factory.partition(":")[0])
        except (ImportError, ValueError):
            spec = None
        origin = Path(spec.origin) if spec and spec.origin else None
        hashes.append(sha256_of(origin) if origin and origin.is_file() else factory.factory)
    return hashes
