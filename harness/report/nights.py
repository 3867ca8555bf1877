"""A folder of runs as a history: every run that can be read, in order, and why the others cannot be."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from harness.errors import RecordError
from harness.parity.compare import Verdict
from harness.report.cost import Cost, cost_of, mean_cost
from harness.report.merge import MACHINE
from harness.report.run import SCHEMA, number_of, read_run, record, verdict_of
from harness.report.words import STANDINGS, Standing, standing_of

LOGS = {"installation": "install.log", "run": "pytest.log"}
"""What happened before the tests and while they ran, as files of a run's folder."""

Key = tuple[str, str, str]
"""Suite, case, check: what a result is a result of, from night to night."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A result, as much of it as a history shows. floor: how much of `error` rounding explains."""

    standing: Standing
    error: float | None
    floor: float | None
    cost: Cost | None
    reason: str
    registered: tuple[str, ...]
    repeat: str


@dataclass(frozen=True, slots=True)
class Night:
    """One run. name: its own in the history. clock_differs: the order of commits contradicts when it says it began."""

    name: str
    id: str
    started: datetime
    profile: str
    status: str
    exit_status: int
    seconds: float | None
    not_run: int
    failed: tuple[str, ...]
    environment: Mapping[str, Any]
    seen: Mapping[Key, Seen]
    place: Path
    clock_differs: bool = False

    @property
    def commit(self) -> str:
        """The commit that was run, "" where the run does not say."""
        return str(self._revision.get("commit", ""))

    @property
    def number(self) -> int | None:
        """How many commits there are up to it."""
        found = self._revision.get("number")
        return found if isinstance(found, int) else None

    @property
    def _revision(self) -> Mapping[str, Any]:
        found = self.environment.get("revision")
        return found if isinstance(found, Mapping) else {}


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A file that is no run of this history, and why."""

    place: str
    reason: str


@dataclass(frozen=True, slots=True)
class Nights:
    """The runs of a history, from old to new, and what could not be read."""

    runs: tuple[Night, ...]
    unreadable: tuple[Unreadable, ...]


def read_nights(folder: Path, *, told: Callable[[int, int], None] | None = None) -> Nights:
    """The history in `folder`: runs' folders and single files, at any depth; names that begin with a dot are passed by.

    A run that counts its commits stands in their order, whatever its clock says; one that does not, where its clock
    puts it. told: called with how many files are read, of how many.

    Raises:
        RecordError: there is no such folder, or no run in it can be read.
    """
    if not folder.is_dir():
        raise RecordError(str(folder), "is no folder", todo="Name the folder of a history, or of runs.")
    found, unreadable = list[Night](), list[Unreadable]()
    places = sorted(_places(folder))
    for done, place in enumerate(places):
        if told is not None:
            told(done, len(places))
        name = place.relative_to(folder).as_posix().removesuffix("/run.json").removesuffix(".json")
        try:
            night = _night(place, name=name if name != "run" else folder.resolve().name)
        except (RecordError, OSError) as error:
            unreadable.append(Unreadable(place.relative_to(folder).as_posix(), _reason(error)))
            continue
        found.append(night)
    if not found:
        why = f"; {unreadable[0].place}: {unreadable[0].reason}" if unreadable else ""
        raise RecordError(
            str(folder), f"holds no run that can be read{why}", todo="Name the folder of a history, or of runs."
        )
    runs, copies = _without_copies(found)
    return Nights(_ordered(runs), tuple(sorted([*unreadable, *copies], key=lambda each: each.place)))


def log(night: Night, kind: str) -> str:
    """A log of the run, "" where there is none."""
    if night.place.name != "run.json" and not night.place.is_dir():
        return ""
    file = (night.place if night.place.is_dir() else night.place.parent) / LOGS[kind]
    return file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""


def _places(folder: Path) -> Iterator[Path]:
    """The record of every run: `run.json`, any other JSON file, or the folder of a run that was killed."""
    try:
        paths = {path.name: path.is_dir() for path in folder.iterdir()}
    except OSError:
        # Told with what reading it says.
        paths = {"events.jsonl": False}
    if "run.json" in paths:
        yield folder / "run.json"
    elif "events.jsonl" in paths or "results.jsonl" in paths:
        yield folder
    else:
        for name, is_folder in paths.items():
            path = folder / name
            # A link to a folder above would lead round for ever.
            if name.startswith(".") or (is_folder and path.is_symlink() and path.resolve() in folder.resolve().parents):
                continue
            if is_folder:
                yield from _places(path)
            elif path.suffix == ".json":
                yield path


def _night(place: Path, *, name: str) -> Night:
    told = _killed(place) if place.is_dir() else _loaded(place)
    schema, run, lines = told.get("schema"), told.get("run"), told.get("results")
    if not isinstance(schema, int) or not isinstance(run, dict) or not isinstance(lines, list):
        raise RecordError(str(place), "is not the record of a run", todo="Remove it.")
    if schema > SCHEMA:
        raise RecordError(
            str(place), f"has schema {schema}, of a newer harness; this one reads up to {SCHEMA}", todo="Upgrade it."
        )
    # Older records lack keys; what they do not say has its default.
    environment = told.get("environment")
    environment = environment if isinstance(environment, dict) else {}
    failed, not_run = run.get("failed") or [], run.get("not_run") or []
    return Night(
        name=name,
        id=str(run.get("id", "")),
        started=_moment(run.get("started"), place),
        profile=str(run.get("profile") or ""),
        status=str(run.get("status") or ""),
        exit_status=_whole(run.get("exit_status")),
        seconds=_number(run.get("seconds")),
        not_run=len(not_run) if isinstance(not_run, list) else 0,
        failed=tuple(map(str, failed)) if isinstance(failed, list) else (),
        environment=environment,
        seen=_seen(lines, environment, str(place)),
        place=place,
    )


def _killed(place: Path) -> Mapping[str, Any]:
    """The record of a run that left none."""
    try:
        return record(read_run(place))
    except (AttributeError, TypeError, ValueError, OverflowError) as error:
        raise RecordError(str(place), f"tells something that no run tells ({error})", todo="Remove it.") from None


def _loaded(place: Path) -> Mapping[str, Any]:
    if not place.is_file():
        raise RecordError(str(place), "is no file", todo="Remove it.")
    try:
        content = place.read_bytes()
        try:
            told = from_json(content)
        except ValueError as error:
            if "recursion" in str(error):
                raise
            # The slower reader says where, and takes half a character, which a file's name may hold.
            told = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise RecordError(str(place), f"is no whole JSON ({error})", todo="Remove it.") from None
    if not isinstance(told, dict):
        raise RecordError(str(place), "is not the record of a run", todo="Remove it.")
    return told


def _seen(lines: list[Any], environment: Mapping[str, Any], place: str) -> dict[Key, Seen]:
    """The results by their keys; of several with one key, the one that stands worst, with the mean of their costs."""
    seen: dict[Key, Seen] = {}
    costs: dict[Key, list[Cost]] = {}
    for number, line in enumerate(lines):
        if not isinstance(line, dict):
            raise RecordError(place, f"result {number} is {line!r}", todo="Remove it.")
        verdict = verdict_of(line, f"{place}, result {number}")
        try:
            new = _folded(line, verdict, environment)
        except (AttributeError, TypeError, ValueError) as error:
            raise RecordError(place, f"result {number}: {error}", todo="Remove it.") from None
        key = _key(line["suite"], line["case"], line["check"])
        if key not in seen or STANDINGS.index(new.standing) < STANDINGS.index(seen[key].standing):
            seen[key] = new
        if new.cost is not None:
            costs.setdefault(key, []).append(new.cost)
    return {
        key: replace(each, cost=mean_cost(costs[key])) if len(costs.get(key, ())) > 1 else each
        for key, each in seen.items()
    }


def _folded(line: Mapping[str, Any], verdict: Verdict, environment: Mapping[str, Any]) -> Seen:
    metrics, registered = line.get("metrics") or {}, tuple(map(str, line.get("registered") or ()))
    found = standing_of(verdict, registered=bool(registered))
    is_plain = found == "agree"
    return Seen(
        standing=found,
        error=number_of(metrics, "error"),
        floor=next((floor for name in _FLOORS if (floor := number_of(metrics, name)) is not None), None),
        cost=cost_of(metrics, {**environment, **_machine(metrics)}),
        reason="" if is_plain else str(line.get("reason") or ""),
        registered=registered,
        repeat="" if is_plain else str(line.get("repeat") or ""),
    )


_FLOORS = ("floor", "allowed", "limit")
"""Metrics that say how much of an error rounding explains; the first that is there counts."""


def _machine(metrics: Mapping[str, Any]) -> Mapping[str, Any]:
    """Where a time of a merged run was taken, if not where the run's environment says."""
    return {name: metrics[name] for name in MACHINE if name in metrics}


@lru_cache(maxsize=1 << 16)
def _key(suite: str, case: str, check: str) -> Key:
    """The same object for the same words: a history holds each many times."""
    return suite, case, check


def _moment(text: object, place: Path) -> datetime:
    try:
        found = datetime.fromisoformat(str(text))
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise RecordError(str(place), f"began at {text!r}, which is no time", todo="Remove it.") from None


def _ordered(runs: list[Night]) -> tuple[Night, ...]:
    """By the clocks, then those that count commits among their own places by these."""
    runs = sorted(runs, key=lambda night: (night.started, night.name))
    places = [place for place, night in enumerate(runs) if night.number is not None]
    counted = sorted((runs[place] for place in places), key=lambda night: (night.number or 0, night.started))
    latest = runs[0].started
    for place, night in zip(places, counted):
        differs = night.started < latest
        latest = max(latest, night.started)
        runs[place] = replace(night, clock_differs=True) if differs else night
    return tuple(runs)


def _without_copies(found: list[Night]) -> tuple[list[Night], list[Unreadable]]:
    """Each run once: it may lie there as a folder and as a file."""
    kept: dict[tuple[str, datetime], list[Night]] = {}
    copies = []
    for night in found:
        others = kept.setdefault((night.id, night.started), [])
        same = next((each for each in others if (each.seen, each.environment) == (night.seen, night.environment)), None)
        if same is None:
            others.append(night)
        else:
            copies.append(Unreadable(night.name, f"is the same run as {same.name}, which counts once"))
    return [night for others in kept.values() for night in others], copies


def _number(value: object) -> float | None:
    found = number_of({"it": value}, "it")
    return found if found is not None and math.isfinite(found) else None


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0


def _reason(error: Exception) -> str:
    return error.problem if isinstance(error, RecordError) else f"cannot be read ({error})"
