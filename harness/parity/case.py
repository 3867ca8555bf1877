"""Check a case from its file: fetch, build, compare; or plant faults in its port."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from harness.cases.artifacts import fetch, find_artifact
from harness.cases.build import build
from harness.cases.spec import Case
from harness.environment import release_memory
from harness.parity.check import check, timed
from harness.parity.comparison import Comparison
from harness.parity.sensitivity import Sensitivity, sensitivity
from harness.settings import Repository


def check_case(case: Case, repository: Repository, *, progress: Callable[[str], None] | None = None) -> Comparison:
    """The comparison that the case claims to come out well.

    Raises:
        SpecError, MappingError: the case says something that does not hold together.
        ArtifactError: an artifact cannot be had. BuildError: a factory raised.
        RunError: a side raised when it was run. DeviceError: its device is not here.
    """
    seconds: dict[str, float] = {}
    built, available = _built(case, repository, seconds, progress)
    comparison = check(
        built["reference"],
        built["port"],
        built["inputs"],
        mapping=case.mapping,
        unmatched=(case.unmatched.reference, case.unmatched.port),
        tolerance=case.tolerance,
        outputs=case.outputs,
        valid=case.valid,
        device=case.device,
        precision=case.precision,
        checks=case.checks,
        convert=_convert(case, available, repository),
        seed=case.seed,
        name=case.name,
        progress=progress,
    )
    built.clear()
    release_memory()
    return replace(comparison, seconds=seconds | dict(comparison.seconds))


def case_sensitivity(
    case: Case, repository: Repository, *, progress: Callable[[str], None] | None = None
) -> Sensitivity:
    """Which faults of the catalogue the case would catch, planted in its port; with the case's floor.

    Raises:
        RunError: the case does not agree as it is, or nothing could be planted. And what `check_case` raises.
    """
    built, available = _built(case, repository, {}, progress)
    found = sensitivity(
        built["reference"],
        built["port"],
        built["inputs"],
        mapping=case.mapping,
        tolerance=case.tolerance,
        outputs=case.outputs,
        valid=case.valid,
        device=case.device,
        checks=case.checks,
        convert=_convert(case, available, repository),
        seed=case.seed,
        floor=case.sensitivity,
        name=case.name,
        progress=progress,
    )
    built.clear()
    release_memory()
    return found


def _built(
    case: Case, repository: Repository, seconds: dict[str, float], progress: Callable[[str], None] | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The case's inputs, reference and port; and its artifacts, by keyword."""
    available: dict[str, Any] = {}
    for keyword, name in case.artifacts.items():
        with timed(seconds, f"fetch {name}", progress):
            available[keyword] = fetch(find_artifact(repository, name), root=repository.root, progress=progress)
    built: dict[str, Any] = {}
    for part, factory in (("inputs", case.inputs), ("reference", case.reference), ("port", case.port)):
        with timed(seconds, f"build {part}", progress):
            given = available | ({"reference": built["reference"]} if part == "port" else {})
            built[part] = build(factory, given, root=repository.root, place=f"case {case.name!r}, {part}")
            release_memory()
    return built, available


def _convert(case: Case, available: dict[str, Any], repository: Repository) -> Callable[[Any], Any] | None:
    factory = case.convert
    if factory is None:
        return None

    def convert(reference: Any) -> Any:
        given = available | {"reference": reference}
        return build(factory, given, root=repository.root, place=f"case {case.name!r}, convert")

    return convert
