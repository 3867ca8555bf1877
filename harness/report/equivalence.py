"""The suite of twins' section of the page: families against checks, fields of configurations, and the divergences."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.report import words
from harness.report.configured import families, is_field, totals
from harness.report.defects import defects, document_of
from harness.report.page import environment, placed
from harness.report.run import Result

if TYPE_CHECKING:
    from markupsafe import Markup

Placed = tuple[Result, str]
"""A result with the id of its place in the page."""

VALUES = 24
"""Values of a field that are shown one by one."""

CASE = re.compile(r"(?P<family>[\w-]+)\.(?P<reference>\w+)")
"""How a result names twins; any other case is that of a test which ended without an outcome."""


@dataclass(frozen=True, slots=True)
class Cell:
    """How a class stands in a check, with its error. anchor: of the result's place in the page."""

    text: str
    standing: words.Standing
    anchor: str


@dataclass(frozen=True, slots=True)
class Count:
    """How many classes stand alike in a check. anchor: of the first of them."""

    number: int
    standing: words.Standing
    anchor: str


@dataclass(frozen=True, slots=True)
class Twins:
    """A class and its twin. port: "" where it is called `Flax` and the reference's name. cells: one a check."""

    reference: str
    port: str
    cells: tuple[Cell | None, ...]


@dataclass(frozen=True, slots=True)
class Family:
    """A row of the matrix. cells: for each check how many classes stand how, the worst first; empty if none made it."""

    id: str
    cells: tuple[tuple[Count, ...], ...]
    twins: tuple[Twins, ...]


def section(results: list[Result], folder: Path) -> Markup:
    """The section of these results, whose files lie in `folder`; one that cannot be read is as if it were empty."""
    from markupsafe import Markup

    every = placed(results)
    known = [(result, place) for result, place in every if CASE.fullmatch(result.case)]
    varied = [(result, place) for result, place in known if is_field(result)]
    # In the order in which the run made them: the page's order has the worst first.
    checks = list(dict.fromkeys(r.check for r in results if CASE.fullmatch(r.case) and not is_field(r)))
    rows = matrix([(result, place) for result, place in known if not is_field(result)], checks)
    configured = families(varied)
    text = (
        environment()
        .get_template("equivalence.html")
        .render(
            checks=checks,
            rows=rows,
            counted=_counted(rows),
            values=VALUES,
            families=configured,
            totals=totals(configured),
            defects=defects(
                (result, place, document_of(folder, result)) for result, place in every if result.registered
            ),
            others=[(result, place) for result, place in every if not CASE.fullmatch(result.case)],
            standing=words.standing,
        )
    )
    return Markup(text)


def matrix(found: Sequence[Placed], checks: Sequence[str]) -> tuple[Family, ...]:
    """A row for each family, by name, with a cell for each check; `found`: in the page's order."""
    twins: dict[str, dict[str, dict[str, Cell]]] = {}
    ports: dict[str, str] = {}
    for result, place in found:
        family, _, reference = result.case.partition(".")
        cell = Cell(words.number(result.number("error")), words.standing(result), place)
        # Of several results of one check the first stands worst.
        twins.setdefault(family, {}).setdefault(reference, {}).setdefault(result.check, cell)
        ports[result.case] = _port(result.title, reference)
    return tuple(
        Family(
            id=family,
            cells=tuple(
                tuple(_counts([made[check] for made in classes.values() if check in made])) for check in checks
            ),
            twins=tuple(
                Twins(reference, ports[f"{family}.{reference}"], tuple(made.get(check) for check in checks))
                for reference, made in sorted(classes.items())
            ),
        )
        for family, classes in sorted(twins.items())
    )


def _counts(cells: Sequence[Cell]) -> Iterator[Count]:
    by_standing: Mapping[words.Standing, list[Cell]] = {
        name: [cell for cell in cells if cell.standing == name] for name in words.STANDINGS
    }
    for name, alike in by_standing.items():
        if alike:
            yield Count(len(alike), name, alike[0].anchor)


def _counted(rows: Sequence[Family]) -> str:
    classes = sum(len(row.twins) for row in rows)
    told = f"{classes:,} {'class' if classes == 1 else 'classes'}"
    return f"{told} of {len(rows):,} {'family' if len(rows) == 1 else 'families'}"


def _port(title: str, reference: str) -> str:
    """The port's name as the title tells it, "" where it follows from the reference's."""
    port, told, _ = title.partition(" against ")
    return port if told and port != f"Flax{reference}" else ""
