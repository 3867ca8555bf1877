"""The folders of several runs, of the shards of one above all, become one run's folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from harness.errors import RecordError, SpecError
from harness.files import append_line, read_lines
from harness.report.run import INTERRUPTED, Run, read_run
from harness.report.shards import Shard, read_shard

OF_THE_WHOLE = ("run", "collected", "elsewhere", "ended")
"""Events that each part tells of itself, and the merged run anew."""

MACHINE = ("processor", "cores")
"""What of a machine tells whether two times may be compared; the frameworks' versions are the same in all parts."""

EVERYWHERE = "collect"
"""The check of what could not be collected: every part says so alike."""


@dataclass(frozen=True, slots=True)
class Part:
    """One folder: the run, its lines as they stand, and the shard, None if it was run whole."""

    folder: Path
    run: Run
    results: list[dict[str, Any]]
    events: list[dict[str, Any]]
    shard: Shard | None


@dataclass(frozen=True, slots=True)
class Parts:
    """Folders that go together. missing: the numbers of the shards of which there is no folder."""

    parts: tuple[Part, ...]
    missing: tuple[int, ...]

    @property
    def left(self) -> int:
        """How many tests the missing shards have, as far as a part could tell."""
        whole = max(part.run.tests_total + part.run.elsewhere for part in self.parts)
        return max(0, whole - sum(part.run.tests_total for part in self.parts)) if self.missing else 0

    @property
    def told(self) -> str:
        """Which shards these are, "" for runs of all tests."""
        numbers = [str(part.shard.number) for part in self.parts if part.shard]
        if not numbers or self.parts[0].shard is None:
            return ""
        lacking = f", {' and '.join(map(str, self.missing))} missing" if self.missing else ""
        return f"{', '.join(numbers)} of {self.parts[0].shard.count}{lacking}"


def read_parts(folders: Sequence[Path]) -> Parts:
    """The runs in `folders`, the shards by number.

    Raises:
        RecordError: a folder holds no run, or one that cannot be read.
        SpecError: they do not go together: one twice, a test in two, or other profiles, versions or splits.
    """
    parts = [_part(folder) for folder in folders]
    first = parts[0]
    for part in parts[1:]:
        _refuse_other(first, part, (*_runs(first, part), *_versions(first, part)))
    _refuse_twice((f"shard {part.shard}", part) for part in parts if part.shard)
    _refuse_twice((f"the test {test!r}", part) for part in parts for test in _tests(part))
    numbers = {part.shard.number for part in parts if part.shard}
    count = first.shard.count if first.shard else 0
    ordered = sorted(parts, key=lambda part: part.shard.number if part.shard else 0)
    return Parts(tuple(ordered), tuple(number for number in range(1, count + 1) if number not in numbers))


def read_again(folders: Sequence[Path], found: Parts) -> Parts:
    """Runs of what was run in `found` too, by any profile, such as paths that are measured once more.

    Raises:
        RecordError, SpecError: as `read_parts`; or they were made with other versions than those.
    """
    again = read_parts(folders)
    _refuse_other(found.parts[0], again.parts[0], _versions(found.parts[0], again.parts[0]))
    return again


def write_parts(found: Parts, folder: Path, command: Sequence[str], *, again: Parts | None = None) -> None:
    """Write the lines and files of all parts to the empty `folder`, as one run would have.

    It has come to its end where every shard is there and has. Of what was run again there are the results, beside the
    first. A time that was taken on another machine than the first part's says so.

    Raises:
        RecordError: the folder cannot be written.
    """
    runs = [part.run for part in found.parts]
    more = again.parts if again else ()
    started = min(run.started for run in runs)
    told: dict[str, Any] = {"id": runs[0].id, "started": started, "profile": runs[0].profile, "command": list(command)}
    if runs[0].changed is not None:
        told["changed"] = dict(runs[0].changed)
    taken: set[str] = set()
    lines, shown = [], set()
    for part in (*found.parts, *more):
        for line in part.results:
            same = (line.get("test"), line.get("reason")) if line.get("check") == EVERYWHERE else None
            if same not in shown:
                files = [_copied(part.folder, folder, str(name), taken) for name in line.get("files") or ()]
                lines.append(_placed(line, part, found.parts[0]) | {"files": [name for name in files if name]})
            shown |= {same} - {None}
    every = [*runs, *(part.run for part in more)]
    finished = [run.finished for run in every if run.finished]
    missing = found.missing or (again.missing if again else ())
    whole = not missing and all(run.status == "complete" for run in every)
    events = [event for part in found.parts for event in part.events if event.get("event") not in OF_THE_WHOLE]
    append_line(folder / "results.jsonl", *lines)
    append_line(
        folder / "events.jsonl",
        {"event": "run", "run": told | {"shard": told_of(found, again)}, "environment": dict(runs[0].environment)},
        {"event": "collected", "total": sum(run.tests_total for run in runs)},
        {"event": "elsewhere", "total": found.left},
        *events,
        {"event": "ended", "exit_status": 0 if whole else INTERRUPTED, "finished": max(finished, default=None)},
    )


def told_of(found: Parts, again: Parts | None) -> str:
    """Which shards these are, and which were run again."""
    return "; again ".join(each for each in (found.told, again.told if again else "") if each)


def _placed(line: dict[str, Any], part: Part, first: Part) -> dict[str, Any]:
    """The line; a time with the machine on which it was taken, if that is not the first part's."""
    machines = [{name: each.run.environment.get(name) for name in MACHINE} for each in (part, first)]
    metrics = line.get("metrics") or {}
    if machines[0] == machines[1] or "median_seconds" not in metrics:
        return line
    return line | {"metrics": {**metrics, **machines[0]}}


def _part(folder: Path) -> Part:
    run = read_run(folder)
    try:
        shard = read_shard(run.shard) if run.shard else None
    except SpecError:
        raise SpecError(
            str(folder), f"holds shards {run.shard}, merged before", todo="Name the folders of the shards themselves."
        ) from None
    return Part(folder, run, read_lines(folder / "results.jsonl"), read_lines(folder / "events.jsonl"), shard)


def _refuse_other(one: Part, other: Part, compared: Iterable[tuple[str, object, object]]) -> None:
    for name, first, second in compared:
        if first != second:
            raise SpecError(
                str(other.folder),
                f"{name} is {second or 'none'}, where {one.folder} has {first or 'none'}",
                todo="Merge runs of one profile, made with the same versions and split into as many shards.",
            )


def _runs(one: Part, other: Part) -> Iterable[tuple[str, object, object]]:
    """What must be the same of the shards of one run: its name, and what either has."""
    counts = [part.shard.count if part.shard else 0 for part in (one, other)]
    bases = [(part.run.changed or {}).get("revision") for part in (one, other)]
    yield "the profile", one.run.profile, other.run.profile
    yield "the number of shards", counts[0], counts[1]
    yield "the base of what changed", bases[0], bases[1]


def _versions(one: Part, other: Part) -> Iterable[tuple[str, object, object]]:
    """What must be the same of all that becomes one run."""
    environments = one.run.environment, other.run.environment
    yield "Python", environments[0].get("python"), environments[1].get("python")
    packages = [environment.get("packages") or {} for environment in environments]
    for name in sorted({*packages[0], *packages[1]}):
        yield name, packages[0].get(name), packages[1].get(name)


def _tests(part: Part) -> set[str]:
    """The tests that ran there; those that were not selected or could not be collected are everyone's."""
    ran = {str(event.get("test")) for event in part.events if event.get("event") == "started"}
    return ran | {str(line.get("test")) for line in part.results if line.get("check") != EVERYWHERE}


def _refuse_twice(named: Iterable[tuple[str, Part]]) -> None:
    holders: dict[str, Part] = {}
    for name, part in named:
        if name in holders:
            raise SpecError(
                str(part.folder), f"holds {name}, as does {holders[name].folder}", todo="Name one of them alone."
            )
        holders[name] = part


def _copied(source: Path, target: Path, name: str, taken: set[str]) -> str:
    """The name under which a result's file lies in `target`; "" where there is none to copy.

    A record says which files to open, and a record may come from anywhere.
    """
    path = PurePosixPath(name)
    file = source / path
    inside = file.resolve().is_relative_to(source.resolve()) and path.parts[:1] == ("cases",)
    if not inside or not file.is_file():
        return ""
    free, number = name, 1
    while free in taken:
        number += 1
        free = str(path.with_stem(f"{path.stem}-{number}"))
    taken.add(free)
    try:
        (target / free).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target / free)
    except OSError as error:
        raise RecordError(
            str(target / free), f"cannot be written ({error.strerror})", todo="Name another folder."
        ) from None
    return free
