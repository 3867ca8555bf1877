"""`harness bisect-version`: the first version of a package with which a side of a case computes something else."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.cli.inspect import progress_of
from harness.settings import find_repository

if TYPE_CHECKING:
    from harness.parity.comparison import Comparison
    from harness.versions.compare import Versions
    from harness.versions.search import Found


def bisect_version(options: argparse.Namespace) -> int:
    """Make environments, trace, compare, halve; print what was found."""
    from harness.cases.spec import find_cases
    from harness.errors import SpecError
    from harness.files import cache_folder
    from harness.versions.compare import Versions
    from harness.versions.pip import releases
    from harness.versions.search import search

    cases = find_cases(find_repository(Path.cwd()), options.case)
    if len(cases) > 1:
        raise SpecError(f"case {options.case!r}", f"names {len(cases)} cases", todo="Name one.")
    package, first, last = options.package
    of_pip = [*(f"--find-links={folder}" for folder in options.find_links), *(["--no-index"] * options.no_index)]
    offered = releases(package, first, last, options=of_pip)
    with progress_of(cases[0].name, quiet=options.json) as progress:
        folder = (options.traces or cache_folder() / "traces" / cases[0].name).resolve()
        versions = Versions(cases[0].name, options.side, package, folder, Path.cwd(), of_pip, progress)
        found = search(offered, versions.attempt)
        comparison = versions.compare(found.agreeing, found.differing) if found.differing else None
    if options.json:
        print(json.dumps(_record(versions, found, comparison), indent=2))
    else:
        _show(versions, found, comparison)
    return 1 if found.differing else 0 if found.agreeing else 3


def _place(comparison: Comparison | None) -> str:
    """The module where the two versions part: one that is at fault, or else the first tap that is off."""
    if comparison is None:
        return ""
    if comparison.faulty:
        return comparison.faulty[0].path or "the model itself"
    return comparison.first.name if comparison.first else ""


def _conclusion(versions: Versions, found: Found, comparison: Comparison | None) -> str:
    package = versions.package
    if not found.agreeing:
        return f"nothing to compare: fewer than two versions of {package} could be run"
    if not found.differing:
        return f"no difference: {package} {found.agreeing} computes what the first does"
    where = _place(comparison)
    text = f"first that differs: {package} {found.differing}" + (f", in {where}" if where else "")
    text += f"; {found.agreeing} still agrees"
    return text + (f"; not known of {', '.join(found.skipped)}" if found.skipped else "")


def _show(versions: Versions, found: Found, comparison: Comparison | None) -> None:
    print(f"{versions.case}, {versions.side}: {versions.package}")
    for step in sorted(found.steps, key=lambda step: _order(step.version)):
        others = {name: v for name, v in versions.changed.get(step.version, {}).items() if name != versions.package}
        also = f" (with {', '.join(f'{name} {v}' for name, v in sorted(others.items()))})" if others else ""
        print(f"  {step.version:<11} {step.state}{also}{': ' if step.reason else ''}{step.reason}")
    print(_conclusion(versions, found, comparison))
    print(f"traces: {versions.folder}")
    if comparison is not None:
        print("", comparison, sep="\n")


def _record(versions: Versions, found: Found, comparison: Comparison | None) -> dict[str, Any]:
    return {
        "schema": 1,
        "case": versions.case,
        "side": versions.side,
        "package": versions.package,
        "versions": [
            {
                "version": step.version,
                "state": step.state,
                "reason": step.reason,
                "changed": versions.changed.get(step.version, {}),
                "trace": str(versions.traces[step.version].path) if step.version in versions.traces else None,
            }
            for step in sorted(found.steps, key=lambda step: _order(step.version))
        ],
        "agreeing": found.agreeing or None,
        "differing": found.differing or None,
        "skipped": list(found.skipped),
        "module": _place(comparison) or None,
        "comparison": comparison.to_dict() if comparison else None,
    }


def _order(version: str) -> Any:
    from packaging.version import Version

    return Version(version)
