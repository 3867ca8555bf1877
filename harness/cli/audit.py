"""`harness audit`: where every weight of a port came from, as a table."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from harness.settings import find_repository

if TYPE_CHECKING:
    from harness.parity.audit import Audit, Row

COLUMNS = {"status": 6, "weight of the reference\n  of the port": None, "shape": 11, "transform": 12, "rule": 6}
"""Headings, and how wide a column may be."""

COLOURS = {"ok": "green", "look": "yellow", "wrong": "red"}


def audit_cases(options: argparse.Namespace) -> int:
    """`harness audit`: each case's weights as a table, or all of them as JSON; 1 if one is not what it should be."""
    from harness import environment, files
    from harness.cases.spec import find_cases
    from harness.cli.inspect import progress_of
    from harness.parity.audit import Status
    from harness.parity.case import audit_case

    environment.prepare(files.cache_folder() / "jax")
    repository = find_repository(Path.cwd())
    found = []
    for case in find_cases(repository, *options.case):
        with progress_of(case.name, quiet=options.json) as progress:
            found.append(audit_case(case, repository, progress=progress))
        if not options.json:
            _show(found[-1], every=options.all)
    if options.json:
        tables = [each.to_dict() for each in found]
        print(json.dumps(tables[0] if len(tables) == 1 else tables, indent=2))
    return 1 if any(each.status is Status.WRONG for each in found) else 0


def _show(found: Audit, *, every: bool) -> None:
    """The table: what is wrong or to be looked at weight by weight, the rest a line for each kind."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    table = Table(title=found.name, title_justify="left", box=None, pad_edge=False)
    for heading, width in COLUMNS.items():
        table.add_column(heading, overflow="fold", max_width=width)
    for rows in _grouped(found.rows, every=every):
        row = rows[0]
        several = len(rows) > 1
        names = [_general(name) if several else name for name in (row.source, row.target)]
        shapes = [" x ".join(map(str, shape)) or "number" if shape is not None else "" for shape in _shapes(row)]
        status = Text(row.status, style=COLOURS[row.status])
        weight = f"{names[0] or '-'}\n  {names[1] or '-'}" + (f"\n  {row.note}" if row.note else "")
        count = f"\n{len(rows)} of them" if several else ""
        plain = "as it is" if row.source and row.target else ""
        table.add_row(status, Text(weight), "\n".join(shapes), (row.transform or plain) + count, row.rule)
    console.print(table)
    counts = {status: sum(row.status == status for row in found.rows) for status in COLOURS}
    told = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    console.print(f"\n{len(found.rows)} weights: {told}", markup=False)
    console.print(f"{found.said}\n" if found.said else "", markup=False)


def _grouped(rows: Iterable[Row], *, every: bool) -> list[list[Row]]:
    """The rows, those that are right together with those of other layers that are so in the same way."""
    groups: dict[object, list[Row]] = {}
    for number, row in enumerate(rows):
        alike = (_general(row.source), _general(row.target), row.rule, _shapes(row), row.transform, row.note)
        groups.setdefault(number if every or row.status != "ok" else alike, []).append(row)
    return list(groups.values())


def _general(name: str) -> str:
    """The name without the numbers of layers: `layers.*.weight`."""
    return re.sub(r"(?<=\.)\d+(?=\.)|^\d+(?=\.)", "*", name)


def _shapes(row: Row) -> tuple[tuple[int, ...] | None, ...]:
    return row.source_shape, row.target_shape
