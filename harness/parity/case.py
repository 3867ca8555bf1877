"""Check a case from its file: fetch, build, compare; plant faults in it; trace one side, or compare it with a trace."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.adapters.choose import adapt
from harness.adapters.protocols import Holds
from harness.cases.artifacts import fetch, find_artifact
from harness.cases.build import build, takes
from harness.cases.conversion import Conversion, convert, modules_of, read_conversion
from harness.cases.mapping import joined
from harness.cases.original import refuse_torchvision, require
from harness.cases.spec import Case, Factory
from harness.environment import release_memory
from harness.errors import BuildError, MappingError, SpecError
from harness.parity.across import compare_across, terms_of
from harness.parity.audit import Audit, audit
from harness.parity.check import check, timed
from harness.parity.comparison import Comparison
from harness.parity.playback import Playback, Recorded
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
        MissingError: the package of its original is not installed.
        ArtifactError: an artifact cannot be had. BuildError: a factory raised, or packages do not go together.
        RunError: a side raised when it was run. DeviceError: its device is not here.
    """
    parts = Parts(case, repository, progress)
    reference = parts.reference()
    inputs = None if isinstance(reference, Stored) else parts.inputs()
    port = parts.port(reference)
    comparison = compare_built(parts, reference, port, inputs)
    del inputs, reference, port
    release_memory()
    return replace(comparison, original=case.original, seconds=parts.seconds | dict(comparison.seconds))


def compare_built(
    parts: Parts, reference: Any, port: Any, inputs: Any, *, checks: Sequence[str] | None = None
) -> Comparison:
    """The comparison of two sides of the case that are built already. checks: instead of the case's own.

    inputs: None for a reference that is a trace, which has its own.

    Raises:
        As `harness.check`.
    """
    case = parts.case
    if isinstance(reference, Stored):
        terms = terms_of(parts.claim("reference"), parts.claim("port"), name=case.name)
        return compare_across(reference, _adapted(case, port), terms, progress=parts.progress)
    return check(
        reference,
        port,
        inputs,
        mapping=case.mapping,
        implied=parts.implied(),
        unmatched=(case.unmatched.reference, case.unmatched.port),
        axes=case.axes,
        tolerance=case.tolerance,
        outputs=case.outputs,
        valid=case.valid,
        pads_by_token=case.pads_by_token,
        device=case.device,
        precision=case.precision,
        checks=case.checks if checks is None else checks,
        convert=parts.convert(),
        seed=case.seed,
        name=case.name,
        progress=parts.progress,
    )


def case_sensitivity(case: Case, repository: Repository, *, progress: Progress = None) -> Sensitivity:
    """Which faults of the catalogue the case would catch, planted in its port; with the case's floor.

    Raises:
        RunError: the case does not agree as it is, or nothing could be planted. And what `check_case` raises.
    """
    parts = Parts(case, repository, progress)
    inputs, reference = parts.inputs(), parts.reference()
    found = sensitivity(
        reference,
        parts.port(reference),
        inputs,
        mapping=joined(case.mapping, parts.implied()),
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


def audit_case(case: Case, repository: Repository, *, progress: Progress = None) -> Audit:
    """Every weight of the case's port against what its conversion makes of the reference's, or what values show.

    Raises:
        As `check_case`; BuildError also where a side has no weights.
    """
    parts = Parts(case, repository, progress)
    reference, said = parts.reference(), ""
    try:
        port = parts.port(reference)
    except MappingError as error:
        port, said = None, f"no port was made: {error.problem}"
    return audit_built(parts, reference, port, said=said)


def audit_built(parts: Parts, reference: Any, port: Any, *, said: str = "") -> Audit:
    """The audit of two sides of the case that are built already. said: why there is no port (None), if so.

    Raises:
        BuildError: a side has no weights.
    """
    case = parts.case
    ours = Recorded(reference) if isinstance(reference, Stored) else _adapted(case, reference)
    theirs = None if port is None else _adapted(case, port)
    for side, name in ((ours, "reference"), (theirs, "port")):
        if side is not None and not isinstance(side, Holds):
            raise BuildError(f"case {case.name!r}", f"the {name} has no weights", todo="Audit a case of two models.")
    with timed(parts.seconds, "hold weights against each other", parts.progress):
        found = audit(
            ours, theirs, conversion=parts.conversion(), mapping=case.mapping, settings=parts.settings(), name=case.name
        )
        return replace(found, said=said)


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
    parts = Parts(case, repository, progress)
    built = parts.side(side)
    if isinstance(built, Stored):
        raise SpecError(
            f"case {case.name!r}, {side}", f"is a trace already: {built.path}", todo="Give that to `harness compare`."
        )
    if inputs is not None:
        calls: Any = [Playback(inputs, number).inputs for number in range(len(inputs.index.runs))]
    else:
        calls = parts.inputs()
    return trace_built(parts, built, calls, path, side=side, float64=float64, limit_bytes=limit_bytes)


def trace_built(
    parts: Parts,
    model: Any,
    inputs: Any,
    path: Path,
    *,
    side: str = "reference",
    float64: bool = True,
    limit_bytes: int = LIMIT_BYTES,
) -> Path:
    """The trace of a side of the case that is built already, on these inputs; the file that was written.

    Raises:
        As `store`.
    """
    case = parts.case
    return store(
        _adapted(case, model),
        [inputs] if isinstance(inputs, Mapping) else list(inputs),
        path,
        claim=parts.claim(side),
        device=case.device,
        precision=case.precision,
        float64=float64,
        limit_bytes=limit_bytes,
        progress=parts.progress,
    )


def compare_case(stored: Stored, case: Case, repository: Repository, *, progress: Progress = None) -> Comparison:
    """The comparison of a trace of one side of the case with its other side, which is built and run here.

    Raises:
        As `check_case`.
    """
    other = "port" if stored.index.claim.side == "reference" else "reference"
    parts = Parts(case, repository, progress)
    here = _adapted(case, parts.side(other))
    terms = terms_of(parts.claim("reference"), parts.claim("port"), name=case.name)
    if other == "port":
        return compare_across(stored, here, terms, progress=progress)
    return compare_across(here, stored, terms, progress=progress)


def _adapted(case: Case, model: Any) -> Any:
    own = "highest" if case.precision in PRECISIONS else case.precision
    return adapt(model, device=case.device, precision=own, place=f"case {case.name!r}")


class Parts:
    """Builds what a case names, each when it is asked for.

    Raises:
        MissingError: the package of its original is not installed. ArtifactError: an artifact cannot be had.
    """

    def __init__(self, case: Case, repository: Repository, progress: Progress = None) -> None:
        self.case, self.repository, self.progress = case, repository, progress
        self.seconds: dict[str, float] = {}
        self.available: dict[str, Any] = {}
        place = f"case {case.name!r}"
        refuse_torchvision(place=place)
        if case.original is not None:
            require(case.original, place=place)
        for keyword, name in case.artifacts.items():
            with timed(self.seconds, f"fetch {name}", progress):
                found = find_artifact(repository, name)
                self.available[keyword] = fetch(found, root=repository.root, progress=progress)

    def claim(self, side: str) -> Claim:
        """What a trace says of the case that it belongs to."""
        case = self.case
        return Claim(
            case=case.name,
            side=side,
            outputs=case.outputs,
            valid=case.valid,
            tolerance=case.tolerance,
            mapping=case.mapping,
            implied=self.implied(),
            unmatched=case.unmatched,
            axes=case.axes,
            seed=case.seed,
        )

    def implied(self) -> dict[str, str]:
        """The names of modules that follow from the case's conversion."""
        rules = self.conversion()
        return modules_of(rules) if rules else {}

    def inputs(self) -> Any:
        """What both sides are called with.

        Raises:
            SpecError: the case names none, and its reference is no trace.
        """
        if self.case.inputs is None:
            place = f"case {self.case.name!r}"
            raise SpecError(place, "has no inputs", todo="Add [inputs]; a reference that is a trace needs none.")
        return self.made("inputs", self.case.inputs)

    def reference(self) -> Any:
        return self.made("reference", self.case.reference)

    def port(self, reference: Any) -> Any:
        return self.made("port", self.case.port, reference=reference, **self.converted(reference))

    def conversion(self) -> Conversion | None:
        """The case's rules, if it has some."""
        name = self.case.conversion
        return read_conversion(self.repository.conversions / f"{name}.toml") if name else None

    def settings(self) -> dict[str, Any]:
        """What the reference is made with, as far as the case says."""
        return dict(self.case.reference.arguments)

    def converted(self, reference: Any) -> dict[str, Any]:
        """The port's weights, by the case's rules, for a factory that wants them."""
        rules = self.conversion()
        if rules is None:
            return {}
        place = f"case {self.case.name!r}, conversion {self.case.conversion!r}"
        side = Recorded(reference) if isinstance(reference, Stored) else adapt(reference, place=place)
        if not isinstance(side, Holds) or not (held := side.weights()):
            raise BuildError(place, "the reference has no weights", todo="Give one that has, or no conversion.")
        weights = {name: weight.array for name, weight in held.items()}
        return {"converted": convert(weights, rules, settings={**side.settings(), **self.settings()}, place=place)}

    def side(self, name: str) -> Any:
        """One side alone; the reference as well only where the port is made from it."""
        if name == "reference":
            return self.reference()
        place = f"case {self.case.name!r}, port"
        needed = bool(self.case.conversion) or takes(
            self.case.port, "reference", root=self.repository.root, place=place
        )
        return self.port(self.reference()) if needed else self.made("port", self.case.port)

    def convert(self) -> Callable[[Any], Any] | None:
        factory = self.case.convert
        if factory is None and self.case.conversion:
            # A port that loads weights of its own, which the audit holds against the rules, is made of no other.
            place = f"case {self.case.name!r}, port"
            given = takes(self.case.port, "converted", root=self.repository.root, place=place)
            factory = self.case.port if given else None
        if factory is None:
            return None

        def converted(reference: Any) -> Any:
            given = self.available | {"reference": reference} | self.converted(reference)
            return build(factory, given, root=self.repository.root, place=f"case {self.case.name!r}, convert")

        return converted

    def made(self, part: str, factory: Factory, **further: Any) -> Any:
        """What a factory makes. part: what it is of the case. further: what it may take beside the artifacts."""
        with timed(self.seconds, f"build {part}", self.progress):
            place = f"case {self.case.name!r}, {part}"
            built = build(factory, self.available | further, root=self.repository.root, place=place)
            release_memory()
        return built
