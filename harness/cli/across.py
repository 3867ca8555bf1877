"""`harness trace` and `compare`: one side here, the other in another environment."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cases.spec import Unmatched
from harness.cli.inspect import progress_of
from harness.errors import SpecError
from harness.reader import build, load, specification
from harness.settings import find_repository
from harness.tolerance import Tolerance

if TYPE_CHECKING:
    from harness.parity.across import Terms
    from harness.parity.comparison import Comparison
    from harness.parity.stored import Stored
    from harness.register import Row


@specification
class Names:
    """What the file of `--mapping` says: those keys of a case that are about names and how far they may be apart.

    mapping, unmatched, axes, outputs, valid, tolerance: as in a case.
    """

    mapping: Mapping[str, str] = field(default_factory=dict)
    unmatched: Unmatched = Unmatched()
    axes: Mapping[str, tuple[int | tuple[int, ...], ...]] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()
    valid: str = ""
    tolerance: Tolerance = Tolerance()


def trace_side(options: argparse.Namespace) -> int:
    """`harness trace`: one side of a case, run and written to a file."""
    from harness import environment, files
    from harness.cases.spec import find_cases
    from harness.parity.case import trace_case
    from harness.parity.stored import open_trace
    from harness.parity.storing import check_name

    environment.prepare(files.cache_folder() / "jax")
    repository = find_repository(Path.cwd())
    cases = find_cases(repository, options.case)
    if len(cases) > 1:
        raise SpecError(f"case {options.case!r}", f"names {len(cases)} cases", todo="Trace one at a time.")
    check_name(options.output)
    inputs = open_trace(options.inputs) if options.inputs else None
    with progress_of(cases[0].name, quiet=options.json) as progress:
        written = trace_case(
            cases[0],
            repository,
            options.side,
            options.output,
            inputs=inputs,
            float64=options.float64,
            progress=progress,
        )
    stored = open_trace(written)
    if options.json:
        print(json.dumps({"schema": 1, "file": str(written), **_summary(stored)}, indent=2))
    else:
        _describe(stored)
    return 0


def compare_files(options: argparse.Namespace) -> int:
    """`harness compare`: two traces, or a trace and the other side of its case, as text or as JSON."""
    from harness.parity.stored import is_file, open_trace
    from harness.register import read_register
    from harness.report.run import Result, exit_status_of

    words = (options.reference, options.port)
    files = [word for word in words if is_file(word)]
    if not files:
        raise SpecError(" ".join(words), "are no traces", todo=f"Give a trace, or use `harness check {words[0]}`.")
    repository = find_repository(Path.cwd())
    stored = [open_trace(Path(word)) if is_file(word) else None for word in words]
    with progress_of("compare", quiet=options.json) as progress:
        if stored[0] is not None and stored[1] is not None:
            from harness.parity.across import compare_across

            comparison = compare_across(stored[0], stored[1], _terms(options, stored[0], stored[1]), progress=progress)
        else:
            comparison = _with_live_side(options, words, stored, progress)
    rows = _rows(comparison, [each for each in stored if each is not None], read_register(repository.register))
    registered = comparison.registered(rows)
    if options.json:
        print(json.dumps(comparison.to_dict() | {"registered": list(registered)}, indent=2))
    else:
        print(comparison, *([f"  registered  {', '.join(registered)}"] if registered else []), sep="\n")
    result = Result(suite="", case=comparison.name, check="forward", verdict=comparison.verdict, registered=registered)
    return exit_status_of(result)


def _with_live_side(
    options: argparse.Namespace, words: tuple[str, str], stored: list[Stored | None], progress: object
) -> Comparison:
    """One of the two words is a case: its other side is built and run here."""
    from harness import environment, files
    from harness.cases.spec import find_cases
    from harness.parity.case import compare_case

    environment.prepare(files.cache_folder() / "jax")
    repository = find_repository(Path.cwd())
    name = words[0] if stored[0] is None else words[1]
    trace = stored[0] or stored[1]
    (case,) = find_cases(repository, name)[:1]
    given = "reference" if stored[0] is not None else "port"
    if trace is None or trace.index.claim.side != given:
        side = trace.index.claim.side if trace else "none"
        todo = f"Give them in the other order, {name} for its other side."
        raise SpecError(" ".join(words), f"the trace is of the {side}, and stands for the {given}", todo=todo)
    if options.mapping:
        names = _names(options.mapping)
        case = replace(case, mapping=names.mapping, unmatched=names.unmatched, axes=names.axes)
    return compare_case(trace, case, repository, progress=progress)  # type: ignore[arg-type]


def _terms(options: argparse.Namespace, reference: Stored, port: Stored) -> Terms:
    from harness.parity.across import Terms, terms_of

    claims = (reference.index.claim, port.index.claim)
    title = f"{reference.path.name} against {port.path.name}"
    if not options.mapping:
        return terms_of(*claims, name=title)
    names = _names(options.mapping)
    claim = replace(claims[1], outputs=names.outputs, valid=names.valid, tolerance=names.tolerance)
    return Terms(title, claim, names.mapping, (names.unmatched.reference, names.unmatched.port), names.axes)


def _names(file: Path) -> Names:
    return build(Names, load(file), file=file)


def _rows(comparison: Comparison, stored: list[Stored], rows: tuple[Row, ...]) -> tuple[Row, ...]:
    """The rows of the register for this case, as far as they hold for the versions that the traces were made with."""
    from harness.environment import versions
    from harness.register import applies

    packages = dict(versions())
    for trace in stored:
        packages |= trace.index.environment.get("packages", {})
    return tuple(row for row in rows if comparison.name in row.subjects and applies(row, packages))


def _summary(stored: Stored) -> dict[str, object]:
    index = stored.index
    run = index.runs[0]
    return {
        "case": index.claim.case,
        "side": index.claim.side,
        "model": index.model,
        "calls": len(index.runs),
        "outputs": list(run.outputs),
        "taps": len(run.taps),
        "arrays": len(index.arrays),
        "modules": len(run.wide.modules) if run.wide else 0,
        "float64": run.wide is not None,
        "why_not": run.why_not_wide or (run.wide.why_no_modules if run.wide else ""),
    }


def _describe(stored: Stored) -> None:
    found = _summary(stored)
    print(f"{stored.path}: {found['model']}, the {found['side']} of {found['case']}")
    print(f"  {found['calls']} calls, {found['taps']} taps, {found['modules']} modules, {found['arrays']} arrays")
    if found["why_not"]:
        print(f"  not in it: float64 of {'its modules' if found['float64'] else 'anything'}: {found['why_not']}")
