"""`harness repro` and `harness divergences`: what is known to diverge, shown by a script, and told upstream."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli.inspect import progress_of
from harness.settings import Repository, find_repository

if TYPE_CHECKING:
    from harness.parity.repro import Repro
    from harness.report.divergences import Divergence


def write_repro(options: argparse.Namespace) -> int:
    """`harness repro`: check the case, write the folder, say whether its script shows the fault."""
    found = _made(find_repository(Path.cwd()), options.case, options.module, options.output, quiet=options.json)
    print(json.dumps(found.to_dict(), indent=2) if options.json else found)
    return 0 if found.reproduces else 3


def list_divergences(options: argparse.Namespace) -> int:
    """`harness divergences`: a line each; or the text of an issue for one."""
    from harness.register import read_register
    from harness.report.divergences import chosen, found, registered

    repository = find_repository(Path.cwd())
    known = list(registered(read_register(repository.register)))
    known += found(options.folder) if options.folder else ()
    if options.markdown:
        return _issue(repository, chosen(known, options.markdown), options)
    if options.json:
        print(json.dumps([each.to_dict() for each in known], indent=2))
        return 0
    for each in known:
        print(each)
    if not known:
        print("no divergence is known: the register is empty")
    return 0


def _issue(repository: Repository, divergence: Divergence, options: argparse.Namespace) -> int:
    from harness.report.issue import issue, read_repro

    folder: Path = options.repro or Path("reports/divergences") / divergence.id.replace(":", "-")
    if options.repro is None:
        made = _twins_made(repository, divergence.id, folder)
        case, module = divergence.cases[0], divergence.module or None
        made = made or _made(repository, case, module, folder, quiet=options.json)
        if not made.files:
            print(made, file=sys.stderr)
            return 3
    repro = read_repro(folder)
    text = issue(divergence, repro, folder)
    print(json.dumps({**divergence.to_dict(), "issue": text}, indent=2) if options.json else text)
    return 0 if repro["reproduces"] else 3


def _twins_made(repository: Repository, identity: str, folder: Path) -> Repro | None:
    """The repro of a row of the register that is about twins; None of any other."""
    from harness import environment, files
    from harness.equivalence.family import read_families
    from harness.equivalence.script import known, save
    from harness.register import read_register

    families = read_families(repository.families)
    row = next((row for row in read_register(repository.register) if row.id == identity), None)
    if row is None or not known(row, families):
        return None
    environment.prepare(files.cache_folder() / "jax")
    return save(row, families, folder)


def _made(repository: Repository, name: str, module: str | None, folder: Path, *, quiet: bool) -> Repro:
    """Check the case here and now, and write the repro of a module that it blames."""
    from harness import environment, files
    from harness.cases.spec import find_cases
    from harness.errors import SpecError
    from harness.parity.case import check_case
    from harness.parity.compare import Verdict

    environment.prepare(files.cache_folder() / "jax")
    case = find_cases(repository, name)[0]
    with progress_of(case.name, quiet=quiet) as progress:
        comparison = check_case(case, repository, progress=progress)
        if comparison.verdict is Verdict.AGREE:
            raise SpecError(f"case {case.name!r}", "agrees: there is nothing to show", todo="Name one that does not.")
        if not comparison.diagnosis.specimens:
            why = comparison.diagnosis.why_not or comparison.reason
            todo = f"harness check {case.name} says what is known."
            raise SpecError(f"case {case.name!r}", f"no module is known to be at fault: {why}", todo=todo)
        if progress is not None:
            progress("least input, script")
        return comparison.save_repro(folder, module=module)
