"""`harness bench compare`: whether what is timed costs something else than it does in a base."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.cli.inspect import progress_of
from harness.errors import SpecError

if TYPE_CHECKING:
    from harness.bench.abba import Judgement, Terms
    from harness.bench.lockstep import Side
    from harness.versions.base import Base

TIMED = "harness.bench.paths:timed"
"""Makes the call of a case's path, given the names of both."""
PATH_LIMIT_SECONDS = 20.0
"""Of a path where no --limit is given. A call of MiniLM's forward takes 32 ms, of which 64 are the fewest that tell."""
COLOURS = {"unchanged": "green", "faster": "green", "slower": "bold red", "inconclusive": "bold magenta"}


def compare_with_base(options: argparse.Namespace) -> int:
    """`harness bench compare`: 1 if something is slower, else 3 if something is inconclusive, else 0."""
    from harness import environment, files
    from harness.bench.abba import correct
    from harness.report import change
    from harness.settings import find_repository
    from harness.versions.base import read_base, sides_of

    environment.prepare(files.cache_folder() / "jax")
    root = find_repository(Path.cwd()).root
    base = read_base(options.base, root, of_a_case=bool(options.case))
    asked = _asked(options, base, root)
    terms = _terms(options, len(asked))
    with ExitStack() as open_:
        with progress_of(f"{base.kind} {base.word}", quiet=options.json):
            bases = open_.enter_context(sides_of(base, asked, root))
        step = open_.enter_context(nullcontext() if options.json else _bar(len(asked)))
        found = [_compared(before, now, terms, options, step) for before, now in zip(bases, asked, strict=True)]
    found = correct(found)
    if options.json:
        print(json.dumps(_json(base, asked, found), indent=2, allow_nan=False))
    else:
        _show(base, asked, found)
    if options.markdown is not None:
        named = list(zip((side.name for side in asked), found, strict=True))
        files.write_atomic(options.markdown, change.markdown(f"the {base.kind} {base.word}", named))
    outcomes = [each.outcome for each in found]
    return 1 if "slower" in outcomes else 3 if "inconclusive" in outcomes else 0


def _asked(options: argparse.Namespace, base: Base, root: Path) -> list[Side]:
    """What is timed, as it is now."""
    from dataclasses import replace

    from harness import environment
    from harness.versions.base import here, is_factory

    if bool(options.case) != bool(options.path):
        raise SpecError("harness bench compare", "--case and --path go together", todo="Give both, or --call.")
    for call in options.call:
        if not is_factory(call):
            raise SpecError(f"--call {call!r}", "names no function of a module", todo="Write MODULE:FACTORY.")
    given, devices = _of_a_case(options, base)
    named: list[tuple[str, str, dict[str, object]]] = [(call, call, {}) for call in options.call]
    named += [(f"{each['case']} {each['path']}", TIMED, each) for each in given]
    if not named:
        todo = "Give --call MODULE:FACTORY, or --case NAME --path NAME."
        raise SpecError("harness bench compare", "nothing to time", todo=todo)
    if base.kind == "path" and len(named) > 1:
        raise SpecError(f"BASE {base.word!r}", f"one path, and {len(named)} to hold against it", todo="Name one.")
    variables = environment.threads(options.threads or os.environ.get("OMP_NUM_THREADS") or 1)
    variables |= {"JAX_NUM_CPU_DEVICES": str(devices)} if devices > 1 else {}
    return [replace(here(*each, root), variables=variables) for each in named]


def _of_a_case(options: argparse.Namespace, base: Base) -> tuple[list[dict[str, object]], int]:
    """What `TIMED` is given for each --path, and how many devices: of a mesh, which may be held against one device.

    Raises:
        SpecError: there is no such case or path.
    """
    if not options.case:
        return [], 1
    from harness.bench.apart import MESH
    from harness.bench.path import parse
    from harness.cases.spec import find_case
    from harness.settings import find_repository
    from harness.versions.base import is_factory

    case = find_case(find_repository(Path.cwd()), options.case)
    paths = [parse(name) for name in options.path]
    other = [parse(base.word)] if base.kind == "path" and not is_factory(base.word) else []
    devices = MESH if any(path.way == "mesh" for path in paths + other) else 1
    shared: dict[str, object] = {"case": case.name} | ({"devices": devices} if devices > 1 else {})
    return [{**shared, "path": str(path)} for path in paths], devices


def _terms(options: argparse.Namespace, among: int) -> Terms:
    from harness.bench.abba import Terms

    try:
        if options.threads < 0 or options.timeout <= 0 or options.memory < 0:
            raise ValueError("--threads, --timeout and --memory are not above 0")
        limit = options.limit
        if limit is None:
            limit = PATH_LIMIT_SECONDS if options.case else Terms().limit_seconds
        return Terms(delta=options.delta, limit_seconds=limit, among=among)
    except ValueError as error:
        todo = "Give a ratio below 1, and other numbers above 0."
        raise SpecError("harness bench compare", str(error), todo=todo) from None


def _compared(before: Side, now: Side, terms: Terms, options: argparse.Namespace, step: Any) -> Judgement:
    from dataclasses import replace

    from harness.bench.lockstep import compare_sides

    return compare_sides(
        replace(before, name="before"),
        replace(now, name="now"),
        terms=terms,
        timeout_seconds=options.timeout,
        memory_bytes=int(options.memory * 2**30),
        progress=None if step is None else step(now.name),
    )


def _json(base: Base, asked: Sequence[Side], found: Sequence[Judgement]) -> dict[str, Any]:
    from dataclasses import asdict

    comparisons = [
        {"name": side.name, "factory": side.factory, "arguments": dict(side.arguments), **judgement.to_dict()}
        for side, judgement in zip(asked, found, strict=True)
    ]
    return {"schema": 1, "base": asdict(base), "comparisons": comparisons}


def _show(base: Base, asked: Sequence[Side], found: Sequence[Judgement]) -> None:
    from rich.console import Console
    from rich.table import Table

    from harness.report import change

    console = Console(highlight=False)
    title = f"against the {base.kind} {base.word}"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("timed", overflow="fold", min_width=8)
    for heading in ("before", "now", "change", "interval"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("outcome", no_wrap=True)
    for side, each in zip(asked, found, strict=True):
        table.add_row(side.name, *change.figures(each), f"[{COLOURS[each.outcome]}]{each.outcome}[/]")
    console.print(table)
    for side, each in zip(asked, found, strict=True):
        if each.reason:
            console.print(f"{side.name}: {each.reason}", markup=False)
    for line in change.evidence(found):
        console.print(line, markup=False)


@contextmanager
def _bar(count: int) -> Iterator[Callable[[str], Callable[[int, int], None]]]:
    """A bar of all comparisons on standard error, which fills with the quads of each."""
    from rich import progress
    from rich.console import Console

    columns = (progress.TextColumn("{task.description}", markup=False), progress.BarColumn(20))
    with progress.Progress(*columns, progress.TimeElapsedColumn(), console=Console(stderr=True)) as shown:
        task = shown.add_task("", total=count)
        begun: list[str] = []

        def begin(name: str) -> Callable[[int, int], None]:
            shown.update(task, description=f"{name}: start", completed=len(begun))
            begun.append(name)
            earlier = len(begun) - 1

            def told(quads: int, most: int) -> None:
                description = f"{name}: quad {quads}, at most {most}"
                shown.update(task, description=description, completed=earlier + quads / most)

            return told

        yield begin
