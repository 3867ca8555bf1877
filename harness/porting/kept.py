"""What an earlier walk through a case found green, as long as nothing that it depends on has changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness import environment
from harness.cases.artifacts import find_artifact
from harness.cases.spec import Case
from harness.files import cache_folder, sha256_of, write_atomic
from harness.porting import sources
from harness.register import read_register, rows_for
from harness.settings import Repository


@dataclass(frozen=True, slots=True)
class Kept:
    """Steps that passed: name -> what was found. key: what they depend on, but for the code of the repository.

    began: when that code began to be loaded, of the clock in nanoseconds.
    """

    file: Path
    key: str
    began: int
    green: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def read(case: Case, repository: Repository, weights: str, *, began: int, fresh: bool = False) -> Kept:
    """What still holds of an earlier walk. weights: of both sides, as a hash. fresh: nothing does.

    began: see `Kept`.

    It holds while the case's file, its rules, artifacts and rows of the register, the weights of both sides, the
    versions of the packages, the harness, and every file of the repository that was loaded hold what they held.
    """
    empty = Kept(place(case, repository), _key(case, repository, weights), began)
    if fresh or not empty.file.exists() or _was_written(repository, began):
        return empty
    try:
        found = json.loads(empty.file.read_text(encoding="utf-8"))
        holds = found["key"] == empty.key and sources.unchanged(repository.root, found["code"])
        return replace(empty, green=found["green"]) if holds else empty
    except (OSError, ValueError, KeyError, TypeError):
        return empty  # of another version, or torn: it is made again


def add(memory: Kept, repository: Repository, step: str, found: Mapping[str, Any]) -> Kept:
    """The memory with one step more, written at once, so that a walk that is killed goes on from there.

    A file that was written since its code was loaded is not the code that passed: nothing is kept then.
    """
    if _was_written(repository, memory.began):
        return memory
    memory = replace(memory, green={**memory.green, step: found})
    held = {"key": memory.key, "code": sources.hashes(repository.root), "green": memory.green}
    write_atomic(memory.file, json.dumps(held, indent=1))
    return memory


def place(case: Case, repository: Repository) -> Path:
    """The file in which a case's steps are kept."""
    where = hashlib.sha256(str(repository.root.resolve()).encode()).hexdigest()[:16]
    return cache_folder() / "steps" / where / f"{case.name}.json"


def _was_written(repository: Repository, since: int) -> bool:
    files = sources.own_modules(repository.root).values()
    return any(not file.exists() or file.stat().st_mtime_ns > since for file in files)


def _key(case: Case, repository: Repository, weights: str) -> str:
    rules = repository.conversions / f"{case.conversion}.toml"
    parts = {
        "case": sha256_of(case.file),
        "rules": sha256_of(rules) if case.conversion else "",
        "artifacts": [repr(find_artifact(repository, name)) for name in case.artifacts.values()],
        "register": repr(rows_for(case.name, read_register(repository.register))),
        "weights": weights,
        "versions": environment.versions(),
        "engine": environment.engine(),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
