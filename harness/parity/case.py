"""Check a case from its file: fetch, build, compare; plant faults in it; trace one side, or compare it with a trace."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.adapters.choose import adapt
from harness.cases.artifacts import fetch, find_artifact
from harness.cases.build import build, takes
from harness.cases.spec import Case, Factory
from harness.environment import release_memory
from harness.parity.across import compare_across, terms_of
from harness.parity.check import check, timed
from harness.parity.comparison import Comparison
from harness.parity.playback import Playback
from harness.parity.precision import PRECISIONS
from harness.parity.recording import store
from harness.parity.sensitivity import Sensitivity, sensitivity
from harness.parity.stored import Claim, Stored
from harness.parity.storing import LIMIT_BYTES
from harness.settings import Repository

Progress = Callable[[str], None] | None


def check_case(case: Case, repository: Repository, *, progress: Progress = None) -> Comparison:
    """The comparison that the case claims to come out well.

    Raises:
        SpecError, MappingError: the case says something that does not hold together.
        ArtifactError: an artifact cannot be had. BuildError: a factory raised.
        RunError: a side raised when it was run. DeviceError: its device is not here.
    """
    parts = _Parts(case, repository, progress)
    inputs, reference = parts.inputs(), parts.reference()
    port = parts.port(reference)
    comparison = check(
        reference,
        port,
        inputs,
        mapping=case.mapping,
        unmatched=(case.unmatched.reference, case.unmatched.port),
        tolerance=case.tolerance,
        outputs=case.outputs,
        valid=case.valid,
        device=case.device,
        precision=case.precision,
        checks=case.checks,
        convert=parts.convert(),
        seed=case.seed,
        name=case.name,
        progress=progress,
    )
    del inputs, reference, port
    release_memory()
    return replace(comparison, seconds=parts.seconds | dict(comparison.seconds))


def case_sensitivity(case: Case, repository: Repository, *, progress: Progress = None) -> Sensitivity:
    """Which faults of the catalogue the case would catch, planted in its port; with the case's floor.

    Raises:
        RunError: the case does not agree as it is, or nothing could be planted. And what `check_case` raises.
    """
    parts = _Parts(case, repository, progress)
    inputs, reference = parts.inputs(), parts.reference()
    found = sensitivity(
        reference,
        parts.port(reference),
        inputs,
        mapping=case.mapping,
        tolerance=case.tolerance,
        outputs=case.outputs,
        valid=case.valid,
        device=case.device,
        checks=case.checks,
        convert=parts.convert(),
        seed=case.seed,
        floor=case.sensitivity,
        name=case.name,
        progress=progress,
    )
    del inputs, reference
    release_memory()
    return found


def trace_case(
    case: Case,
    repository: Repository,
    side: str,
    path: Path,
    *,
    inputs: Stored | None = None,
    float64: bool = True,
    limit_bytes: int = LIMIT_BYTES,
    progress: Progress = None,
) -> Path:
    """Run one side of the case and write its trace; the file that was written. The other side is not built, unless the
    port's factory takes it.

    side: reference or port. inputs: a trace whose inputs are used instead of the case's. float64, limit_bytes: see
    `store`.

    Raises:
        As `check_case`; RecordError: the disk refused.
    """
    parts = _Parts(case, repository, progress)
    if inputs is not None:
        calls: list[Mapping[str, Any]] = [Playback(inputs, number).inputs for number in range(len(inputs.index.runs))]
    else:
        given = parts.inputs()
        calls = [given] if isinstance(given, Mapping) else list(given)
    return store(
        _adapted(case, parts.side(side)),
        calls,
        path,
        claim=claim_of(case, side),
        device=case.device,
        precision=case.precision,
        float64=float64,
        limit_bytes=limit_bytes,
        progress=progress,
    )


def compare_case(stored: Stored, case: Case, repository: Repository, *, progress: Progress = None) -> Comparison:
    """The comparison of a trace of one side of the case with its other side, which is built and run here.

    Raises:
        As `check_case`.
    """
    other = "port" if stored.index.claim.side == "reference" else "reference"
    here = _adapted(case, _Parts(case, repository, progress).side(other))
    terms = terms_of(claim_of(case, "reference"), claim_of(case, "port"), name=case.name)
    if other == "port":
        return compare_across(stored, here, terms, progress=progress)
    return compare_across(here, stored, terms, progress=progress)


def claim_of(case: Case, side: str) -> Claim:
    """What a trace says of the case that it belongs to."""
    return Claim(
        case=case.name,
        side=side,
        outputs=case.outputs,
        valid=case.valid,
        tolerance=case.tolerance,
        mapping=case.mapping,
        unmatched=case.unmatched,
        seed=case.seed,
    )


def _adapted(case: Case, model: Any) -> Any:
    own = "highest" if case.precision in PRECISIONS else case.precision
    return adapt(model, device=case.device, precision=own, place=f"case {case.name!r}")


class _Parts:
    """Builds what the case names, each when it is asked for."""

    def __init__(self, case: Case, repository: Repository, progress: Progress) -> None:
        self.case, self.repository, self.progress = case, repository, progress
        self.seconds: dict[str, float] = {}
        self.available: dict[str, Any] = {}
        for keyword, name in case.artifacts.items():
            with timed(self.seconds, f"fetch {name}", progress):
                found = find_artifact(repository, name)
                self.available[keyword] = fetch(found, root=repository.root, progress=progress)

    def inputs(self) -> Any:
        return self._build("inputs", self.case.inputs)

    def reference(self) -> Any:
        return self._build("reference", self.case.reference)

    def port(self, reference: Any) -> Any:
        return self._build("port", self.case.port, reference=reference)

    def side(self, name: str) -> Any:
        """One side alone; the reference as well only where the port is made from it."""
        if name == "reference":
            return self.reference()
        place = f"case {self.case.name!r}, port"
        needed = takes(self.case.port, "reference", root=self.repository.root, place=place)
        return self.port(self.reference()) if needed else self._build("port", self.case.port)

    def convert(self) -> Callable[[Any], Any] | None:
        factory = self.case.convert
        if factory is None:
            return None

        def convert(reference: Any) -> Any:
            given = self.available | {"reference": reference}
            return build(factory, given, root=self.repository.root, place=f"case {self.case.name!r}, convert")

        return convert

    def _build(self, part: str, factory: Factory, **further: Any) -> Any:
        with timed(self.seconds, f"build {part}", self.progress):
            place = f"case {self.case.name!r}, {part}"
            built = build(factory, self.available | further, root=self.repository.root, place=place)
            release_memory()
        return built
