"""The parity suite's section of the page: every original with its port, the error of each layer, and what is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.report import words
from harness.report.defects import defects, document_of
from harness.report.page import environment, placed
from harness.report.run import Result
from harness.report.strip import place

if TYPE_CHECKING:
    from markupsafe import Markup

LAYERS = 400
"""Layers that are drawn of one pair; of more, as many spread over all of them."""


@dataclass(frozen=True, slots=True)
class Bar:
    """The error of a layer. height: in percent of the axis of `harness.report.strip`. off: outside the tolerance."""

    height: float
    off: bool


@dataclass(frozen=True, slots=True)
class Pair:
    """An original and its port. error, float64, floor: of the worst output, in words; bars: of the layers in order."""

    title: str
    package: str
    version: str
    licence: str
    source: str
    port: str
    bars: tuple[Bar, ...]
    layers: int
    worst: str
    error: str
    float64: str
    floor: str
    standing: words.Standing
    anchor: str
    registered: tuple[str, ...]


def section(results: list[Result], folder: Path) -> Markup:
    """The section of these results, whose files lie in `folder`; nothing, if none has an original."""
    from markupsafe import Markup

    found = [(result, anchor, document_of(folder, result)) for result, anchor in placed(results)]
    theirs = [(result, anchor, held) for result, anchor, held in found if isinstance(held.get("original"), Mapping)]
    if not theirs:
        return Markup("")
    # By package and title: what stands worst is told by its mark, and the page's list has it first.
    pairs = sorted((pair(*each) for each in theirs), key=lambda each: (each.package.lower(), each.title))
    packages = len({(each.package, each.version) for each in pairs})
    words_for = "pair" if len(pairs) == 1 else "pairs", "original" if packages == 1 else "originals"
    told = f"{len(pairs)} {words_for[0]} of {packages} {words_for[1]}"
    known = defects(each for each in theirs if each[0].registered)
    return Markup(environment().get_template("originals.html").render(pairs=pairs, told=told, defects=known))


def pair(result: Result, anchor: str, document: Mapping[str, Any]) -> Pair:
    """What the table says of a result."""
    original = document["original"]
    taps = [tap for tap in document.get("taps", []) if isinstance(tap, Mapping)]
    errors = [_relative(tap) for tap in taps]
    return Pair(
        title=result.title.partition(":")[0] or result.case,
        **{name: str(original.get(name) or "") for name in ("package", "version", "licence", "source")},
        port=str(document.get("port", "")),
        bars=tuple(_bars(errors, taps)),
        layers=len(taps),
        worst=words.number(max(errors, default=None)),
        error=words.number(result.number("error")),
        float64=words.number(result.number("error64")),
        floor=words.number(result.number("floor")),
        standing=words.standing(result),
        anchor=anchor,
        registered=tuple(result.registered),
    )


def _bars(errors: Sequence[float], taps: Sequence[Mapping[str, Any]]) -> list[Bar]:
    step = max(1, -(-len(errors) // LAYERS))
    found = []
    for start in range(0, len(errors), step):
        part = slice(start, start + step)
        height = place(max(errors[part]))
        off = any(tap.get("verdict") == "diverge" for tap in taps[part])
        found.append(Bar(100.0 if height is None else height, off))
    return found


def _relative(tap: Mapping[str, Any]) -> float:
    error, scale = tap.get("error"), tap.get("scale")
    if not isinstance(error, (int, float)) or not isinstance(scale, (int, float)):
        return float("inf")
    return error / scale if scale else float(error > 0)
