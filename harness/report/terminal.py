"""The run in a terminal: a table of results, and a count of what was not run."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from harness.report.run import Result, Run, succeeded
from harness.report.words import ASCII_SIGNS, SIGNS, Standing, not_run_reasons, number, printable, standing, told

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

COLOURS: dict[Standing, str] = {
    "diverge": "bold red",
    "within_tolerance": "bold yellow",
    "mended": "bold yellow",
    "inconclusive": "bold magenta",
    "registered": "blue",
    "agree": "green",
}

WIDE = 110
"""Columns from which the registered ids have a column of their own; below, they stand under the case."""

NARROW = 64
"""Columns below which the seconds are left out."""

FIXED = 50
"""Columns that all but the case need: verdict 18, three numbers of 8, the space between."""


def table(run: Run, *, width: int, ascii_only: bool = False) -> Table:
    """The results as a table of at most `width` columns; long names fold, no number ever does.

    The verdict is a sign, a word and a colour. ascii_only: signs for terminals that have no others.
    """
    from rich.table import Table

    has_column = width >= WIDE and any(result.registered for result in run.results)
    fixed = FIXED + (26 if has_column else 0) - (10 if width < NARROW else 0)
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    grid.add_column("verdict", no_wrap=True)
    grid.add_column("case", overflow="fold", min_width=8, max_width=max(8, width - fixed))
    for name in ("error", "scale"):
        grid.add_column(name, justify="right", no_wrap=True)
    if has_column:
        grid.add_column("registered", overflow="fold", max_width=24)
    if width >= NARROW:
        grid.add_column("seconds", justify="right", no_wrap=True)
    shown, more = told(run)
    if more:
        grid.caption, grid.caption_justify = more, "left"
    for result in shown:
        cells = _row(result, has_column, ASCII_SIGNS if ascii_only else SIGNS, width=max(8, width - fixed))
        grid.add_row(*cells[: len(grid.columns)])
    return grid


def not_run_lines(run: Run, *, width: int = 80) -> list[str]:
    """What was not run: one line if it fits in `width`, else a line for each reason; none if all ran."""
    reasons = [(printable(" ".join(reason.split())), count) for reason, count in not_run_reasons(run)]
    if run.unreached:
        reasons.append(("the run ended before", run.unreached))
    if run.elsewhere:
        reasons.append(("left to other shards", run.elsewhere))
    if not reasons:
        return []
    start = f"{sum(count for _, count in reasons)} not run:"
    line = f"{start} {', '.join(f'{reason} ({count})' for reason, count in reasons)}"
    if len(line) <= width:
        return [line]
    return [start, *(f"{count:>5}  {reason}" for reason, count in reasons)]


def _row(result: Result, has_column: bool, signs: dict[Standing, str], *, width: int) -> list[Text]:
    """width: of the case with its check, which are broken at hyphens where they do not fit."""
    from rich.text import Text

    stands = standing(result)
    ids = ", ".join(map(printable, result.registered))
    name, check = printable(result.case), printable(result.check)
    fits = len(name) + 1 + len(check) <= width
    case = Text(name)
    case.append(f" {check}" if fits else "\n" + "\n".join(textwrap.wrap(check, width)), style="dim")
    if ids and not has_column:
        case.append(f"\n{'registered' if succeeded(result) else 'mended'}: {ids}", style="dim")
    cells = [
        Text(f"{signs[stands]} {result.verdict.value.replace('_', ' ')}", style=COLOURS[stands]),
        case,
        Text(number(result.number("error"))),
        Text(number(result.number("scale"))),
    ]
    if has_column:
        cells.append(Text(ids))
    return [*cells, Text(f"{result.seconds:.1f}")]
