"""The run as one page of HTML that needs nothing beside it: no script, no font, no network."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import RecordError
from harness.report import words
from harness.report.chart import NAME_LENGTH, Chart, chart
from harness.report.detail import Detail, Row, pick, read_detail
from harness.report.diagnosis import OTHERS, DiagnosisShown, diagnosis_bytes, diagnosis_shown
from harness.report.run import Result, Run, exit_status
from harness.report.strip import Claims, claims, least_bytes, ticks

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

    Section = Callable[[list[Result], Path], Markup]

SIZE = 2_000_000
"""Bytes that a page stays below: what a phone opens without a wait, and a mail takes along."""

ROW_BYTES = 110
"""What a tap takes at the least. Measured: 118 at 1,500 taps with names of five letters, 224 at 400, where each tap is
a point of the chart too."""

LIMITS = (1500, 600, 300, 150, 70, 30, 12)
"""Taps shown of each result, tried in turn until the page is below `SIZE`."""

CARDS = (200, 100, 50)
"""Results told in full, tried in turn where even the fewest taps leave the page too large; others are told in short."""

PLAIN = 40
"""Agreeing results told in full of the suites with a section of their own, and known divergences listed at the top; of
more that section says what matters."""

LISTED = 400
"""Agreeing results of such suites told in short; more are a list of names, so that there may be thousands."""

POINTS = 400
"""Taps that a chart draws one by one: on a screen of 1,000 pixels more cannot be told apart."""

TEXT_LENGTH = 20_000
"""Characters kept of a failure's text."""

CELL_LENGTH = 160
"""Characters of a name that a table shows; beyond, its middle is left out."""

LABEL_LENGTH = 18
"""Characters of a name beside a curve: as many as 110 pixels hold."""

LINE_LENGTH = 400
"""Characters of a sentence in a list or table; beyond, its middle is left out."""

NAMES = 6
"""Names shown of a list that is only counted beyond, such as left-over weights."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One result as the page shows it. problem: why its detail cannot be shown."""

    anchor: str
    result: Result
    standing: words.Standing
    detail: Detail | None
    problem: str


@dataclass(frozen=True, slots=True)
class Shown:
    """An entry with as much of its taps, claims and diagnosis as the page has room for. short: a line without them."""

    entry: Entry
    short: bool
    chart: Chart | None
    taps: list[Row]
    claims: Claims | None
    diagnosis: DiagnosisShown | None


@dataclass(frozen=True, slots=True)
class SectionShown:
    """What a suite adds, or the error that its function raised."""

    suite: str
    content: Markup | str
    error: str


def page(run: Run, *, folder: Path, sections: Sequence[tuple[str, Section]] = ()) -> str:
    """The page of a run whose files lie in `folder`.

    sections: pairs of a suite and a function from its results and the folder to HTML. A function that raises is shown
        as an error in its place; a suite without results, or whose function has nothing to say, has no section.
    """
    made = environment()
    entries = list(_entries(run, folder))
    made_by = [_section(suite, function, run, folder) for suite, function in sections if _of(suite, run)]
    added = [each for each in made_by if each.content or each.error]
    plain = _plain(entries, {each.suite for each in added})
    listed = plain if len(plain) > LISTED else []
    left, full = (_without(entries, others) for others in (listed, plain))
    text, room = "", _room(full)
    for limit, cards in [*((limit, len(full)) for limit in LIMITS), *((LIMITS[-1], cards) for cards in CARDS)]:
        # What is out of proportion to the room is not worth the seconds that it takes to render.
        if (limit > room and limit != LIMITS[-1]) or cards > len(full):
            continue
        told = {entry.anchor for entry in full[:cards]}
        text = made.get_template("page.html").render(
            run=run,
            exit_status=exit_status(run),
            counts=words.counts(run),
            entries=[_shown(entry, limit, short=entry.anchor not in told) for entry in left],
            listed=listed,
            sections=added,
        )
        size = len(text.encode(errors="replace"))
        if size < SIZE:
            break
        room = limit * SIZE / size
    return text


def environment() -> Environment:
    """Where the templates are rendered, with the filters and words that all of them share."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("harness.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        number=words.number,
        duration=words.duration,
        moment=lambda text: words.printable(words.moment(text)),
        plural=words.plural,
        printable=words.printable,
        cell=lambda text: words.shorten(words.printable(text), limit=CELL_LENGTH),
        tip=lambda text: words.shorten(words.printable(text), limit=NAME_LENGTH),
        sentence=lambda text: words.shorten(words.printable(text), limit=LINE_LENGTH),
        label=lambda text: words.shorten(words.printable(text), limit=LABEL_LENGTH),
        slug=slug,
        clipped=lambda text: words.clip(words.printable(text), limit=TEXT_LENGTH),
        flat=flat,
        breakable=_breakable,
        local=_local,
    )
    made.globals.update(
        standings=words.STANDINGS,
        sign=words.SIGNS,
        word=words.WORDS,
        verdict_words=words.verdict_words,
        reason=words.reason,
        headline=words.headline,
        touched=words.touched,
        not_run_reasons=words.not_run_reasons,
        ticks=ticks(),
        names=NAMES,
        plain=PLAIN,
        causes=OTHERS,
    )
    return made


def slug(text: str) -> str:
    """The text as the end of an id: letters, digits and hyphens.

    >>> slug("Euler / a.order")
    'euler-a-order'
    """
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:80]


def flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """A nested mapping as rows: the inner names after the outer ones, memory in GiB, fractions to three digits."""
    rows: list[tuple[str, str]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            rows += flat(value, f"{prefix}{name} / ")
        elif name.endswith("_bytes") and isinstance(value, int) and abs(value) < 1 << 63:
            rows.append((f"{prefix}{name.removesuffix('_bytes')}", f"{value / 2**30:.1f} GiB"))
        else:
            known = words.number(value) if isinstance(value, float) else str(value)
            rows.append((prefix + name, "unknown" if value is None else known))
    return rows


def _breakable(text: str) -> Markup:
    """The text, escaped, with places where a long dotted name may break."""
    from markupsafe import Markup, escape

    parts = re.split(r"(?<=[._/:-])(?=\w)", words.shorten(words.printable(text), limit=CELL_LENGTH))
    return Markup("<wbr>").join(escape(part) for part in parts)


def _local(file: str) -> str:
    """The file as a link beside the page, or "" if it is not plainly one: it may name anything."""
    is_plain = re.fullmatch(r"[\w-][\w.-]*(/[\w-][\w.-]*)*", file)
    return file if is_plain else ""


def _entries(run: Run, folder: Path) -> Iterator[Entry]:
    for result, place in placed(run.results):
        detail, problem = None, ""
        try:
            detail = read_detail(folder, result)
        except RecordError as error:
            problem = str(error)
        yield Entry(place, result, words.standing(result), detail, problem)


def placed(results: Sequence[Result]) -> list[tuple[Result, str]]:
    """The results in the page's order, those that stand worst first, each with the id of its place there."""
    taken: set[str] = set()
    ordered = sorted(results, key=lambda result: words.STANDINGS.index(words.standing(result)))
    return [(result, anchor(result, taken)) for result in ordered]


def anchor(result: Result, taken: set[str]) -> str:
    """The id of the result's place in the page, of which none in `taken` comes twice; it is added there.

    Of several results of one check the one that stands worst has the id without a number.
    """
    stem = slug(f"{result.suite} {result.case} {result.check}")
    name, number = f"r-{stem}", 1
    while name in taken:
        number += 1
        name = f"r-{stem}-{number}"
    taken.add(name)
    return name


def _plain(entries: Sequence[Entry], suites: Collection[str]) -> list[Entry]:
    """The agreeing results of those suites, if they are many: those that need no card of their own."""
    found = [entry for entry in entries if entry.standing == "agree" and entry.result.suite in suites]
    return found if len(found) > PLAIN else []


def _without(entries: Sequence[Entry], others: Sequence[Entry]) -> list[Entry]:
    anchors = {entry.anchor for entry in others}
    return [entry for entry in entries if entry.anchor not in anchors]


def _shown(entry: Entry, limit: int, *, short: bool) -> Shown:
    if entry.detail is None or short:
        return Shown(entry, short, None, [], None, None)
    taps = pick(entry.detail.taps, limit, first=entry.detail.first)
    drawn = chart(entry.detail, limit=min(limit, POINTS))
    found = diagnosis_shown(entry.detail.diagnosis, limit=limit)
    return Shown(entry, short, drawn, taps, claims(entry.detail.further, limit=limit), found)


def _room(entries: Sequence[Entry]) -> float:
    """The most taps of each result for which there can be room; infinity if there is room for all."""
    details = [entry.detail for entry in entries if entry.detail]

    def least(limit: int) -> int:
        taps = sum(min(len(detail.taps), limit) for detail in details)
        claims_made = sum(least_bytes(detail.further, limit=limit) for detail in details)
        diagnoses = sum(diagnosis_bytes(detail.diagnosis, limit=limit) for detail in details)
        return taps * ROW_BYTES + claims_made + diagnoses

    if least(sys.maxsize) <= SIZE:
        return float("inf")
    return next((limit for limit in LIMITS if least(limit) <= SIZE), 0)


def _of(suite: str, run: Run) -> list[Result]:
    return [result for result in run.results if result.suite == suite]


def _section(suite: str, function: Section, run: Run, folder: Path) -> SectionShown:
    try:
        return SectionShown(suite, function(_of(suite, run), folder), "")
    except Exception as error:
        # Whatever a suite's own section does, the rest of the page must be had.
        return SectionShown(suite, "", f"{type(error).__name__}: {error}")
