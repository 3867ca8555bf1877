"""The scheduler suite's section of the page: what is known of every sampler, and the known defects."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.report import words
from harness.report.convergence import Curve, panels, series_of
from harness.report.defects import defects, document_of
from harness.report.page import anchor, environment
from harness.report.run import Result

if TYPE_CHECKING:
    from markupsafe import Markup

GATES = {64: 1e-12, 32: 1e-5}
"""How far a sampler may be from its original, by the bits of the type: the gates of `harness.schedulers.agreement`."""

PLANTED = "planted"
"""The check of a fault that was planted: it says something of the suite and nothing of a sampler."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A figure and how it stands. anchor: of the result's place in the page. told: the figure in words."""

    text: str
    standing: words.Standing
    anchor: str
    told: str


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table. check: whose results fill it. cell: a result's figure and standing, if it has one."""

    name: str
    check: str
    cell: Callable[[Result], tuple[str, words.Standing] | None]


@dataclass(frozen=True, slots=True)
class Sampler:
    """A row of the table. cells: one a column, None where the check was not made. note: why not. defects: ids."""

    id: str
    title: str
    cells: tuple[Cell | None, ...]
    note: str
    defects: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Others:
    """The results of a check without a column: how many stand how, and those that are not as they should be."""

    check: str
    counts: Mapping[words.Standing, int]
    wrong: tuple[tuple[str, Cell], ...]


def section(results: list[Result], folder: Path) -> Markup:
    """The section of these results, whose files lie in `folder`; one that cannot be read is as if it were empty."""
    from markupsafe import Markup

    documents = [document_of(folder, result) for result in results]
    pairs = [(result, document) for result, document in zip(results, documents) if result.check != PLANTED]
    planted = [result for result in results if result.check == PLANTED]
    columns = [column for column in COLUMNS if any(column.cell(result) for result in _of(column, results))]
    made = environment()
    text = made.get_template("schedulers.html").render(
        columns=columns,
        samplers=samplers(pairs, columns),
        panels=panels(_curve(result, document) for result, document in pairs if result.check == "order"),
        defects=defects((result, anchor(result, set()), document) for result, document in pairs),
        others=[*_others([result for result, _ in pairs])],
        planted=len(planted),
        missed=[(result.title or result.case, anchor(result, set())) for result in planted if not _stands(result)],
    )
    return Markup(text)


def samplers(pairs: Sequence[tuple[Result, Mapping[str, Any]]], columns: Sequence[Column]) -> tuple[Sampler, ...]:
    """A row for each case that has a result in one of the columns, by its place in the table or as they came."""
    found = []
    checks = {column.check for column in columns}
    placed = sorted(pairs, key=lambda pair: pair[0].number("place") or math.inf)
    for case in dict.fromkeys(result.case for result, _ in placed if result.check in checks):
        own = [(result, document) for result, document in pairs if result.case == case]
        ids = [identity for result, _ in own for identity in result.registered]
        notes = (str(document.get("note") or "") for _, document in own)
        found.append(
            Sampler(
                id=case,
                title=own[0][0].title or case,
                cells=tuple(_cell(column, [result for result, _ in own]) for column in columns),
                note=next(filter(None, notes), ""),
                defects=tuple(dict.fromkeys(ids)),
            )
        )
    return tuple(found)


def _curve(result: Result, document: Mapping[str, Any]) -> Curve:
    return Curve(
        name=result.title or result.case,
        anchor=anchor(result, set()),
        standing=words.standing(result),
        stated=result.number("stated"),
        measured=result.number("order"),
        series=series_of(document.get("series")),
    )


def _cell(column: Column, results: Sequence[Result]) -> Cell | None:
    """The cell of the result that stands worst of those of the column's check; of equals, the largest error."""
    cells = []
    for result in sorted(_of(column, results), key=lambda result: -(result.number("error") or 0.0)):
        filled = column.cell(result)
        if filled is not None:
            text, standing = filled
            told = f"{column.name}: {words.WORDS[standing]}, {text}"
            cells.append(Cell(text, standing, anchor(result, set()), told))
    return min(cells, key=lambda cell: words.STANDINGS.index(cell.standing), default=None)


def _of(column: Column, results: Sequence[Result]) -> list[Result]:
    return [result for result in results if result.check == column.check]


def _error(result: Result) -> tuple[str, words.Standing]:
    return words.number(result.number("error")), words.standing(result)


def _in_type(result: Result, bits: int) -> tuple[str, words.Standing] | None:
    """The error in one type, which is judged by itself: a result's verdict is that of both."""
    error, standing = result.number(f"error{bits}"), words.standing(result)
    if error is None:
        return None
    text = words.number(error)
    if math.isnan(error):
        return text, "inconclusive"
    if error <= GATES[bits]:
        return text, "mended" if standing == "mended" else "agree"
    return text, "registered" if standing == "registered" else "diverge"


def _order(result: Result) -> tuple[str, words.Standing]:
    measured, stated = result.number("order"), result.number("stated")
    if measured is None:
        return _error(result)
    text = "NaN" if math.isnan(measured) else f"{measured:.2f}"
    return (text if stated is None else f"{text} of {stated:g}"), words.standing(result)


def _moments(result: Result) -> tuple[str, words.Standing]:
    mean, variance = result.number("mean"), result.number("variance")
    if mean is None or variance is None:
        return _error(result)
    return f"{words.number(mean)}, {words.number(variance)}", words.standing(result)


def _others(results: Sequence[Result]) -> list[Others]:
    known = {column.check for column in COLUMNS}
    found = []
    for check in sorted({result.check for result in results} - known):
        of_check = [result for result in results if result.check == check]
        standings = [words.standing(result) for result in of_check]
        counts = {name: standings.count(name) for name in words.STANDINGS if name in standings}
        wrong = [
            (
                result.title or result.case,
                Cell(words.number(result.number("error")), standing, anchor(result, set()), ""),
            )
            for result, standing in zip(of_check, standings)
            if not _stands(result)
        ]
        found.append(Others(check, counts, tuple(wrong)))
    return found


def _stands(result: Result) -> bool:
    return words.standing(result) in ("agree", "registered")


COLUMNS = (
    Column("Original, float64", "original", lambda result: _in_type(result, 64)),
    Column("Original, float32", "original", lambda result: _in_type(result, 32)),
    Column("Order", "order", _order),
    Column("Mean, variance", "moments", _moments),
    Column("Oracle loop", "oracle", _error),
    Column("Grid", "grid", _error),
    Column("Flax twin", "twin", _error),
)
