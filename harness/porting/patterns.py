"""Lines about names that count made into patterns: `layers.0.up` and `layers.1.up` into `layers.*.up`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from harness.cases.mapping import captured, filled

COUNTING = re.compile(r"(?:(?<=[._#])|^)\d+(?=[.#\[]|$)")
"""A number that is a part of a path, ends one after an underscore, or counts a module's calls: `layers.3`, `block_3`,
`cell#3`, and not `fc1`."""


@dataclass(frozen=True, slots=True)
class Line:
    """Names of the reference that become names of the port. kind: what must be equal for lines to be one.

    certain, why: how that is known; of several, the least certain.
    """

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    kind: Any = None
    certain: bool = False
    why: str = ""


def generalised(lines: Sequence[Line], names: Sequence[str]) -> list[Line]:
    """The lines with stars for numbers, each as general as it may be: it matches none of the reference's `names` but
    those that it is true of.

    >>> rows = [Line((f"h.{n}.up",), (f"block_{n}.fc1",)) for n in range(2)]
    >>> generalised(rows, ["h.0.up", "h.1.up", "h.0.down"])[0].targets
    ('block_*.fc1',)
    """
    left, made = list(lines), []
    while left:
        line = next(_general(left[0], left, names), left[0])
        covered = [each for each in left if each is left[0] or _stars(each, line) is not None]
        doubtful = next((each for each in covered if not each.certain), covered[0])
        made.append(Line(line.sources, line.targets, line.kind, doubtful.certain, doubtful.why))
        left = [each for each in left if each not in covered]
    return made


def _general(line: Line, lines: Sequence[Line], names: Sequence[str]) -> Iterator[Line]:
    """The line with as many stars as possible, which at least two lines follow."""
    first = line.sources[0]
    places = list(COUNTING.finditer(first))
    for count in range(len(places), 0, -1):
        for chosen in combinations(places, count):
            values = [match[0] for match in chosen]
            rest = [_starred(each, values) for each in (*line.sources[1:], *line.targets)]
            if any(each is None for each in rest):
                continue
            whole = [_at(first, [match.span() for match in chosen]), *(each for each in rest if each is not None)]
            general = Line(tuple(whole[: len(line.sources)]), tuple(whole[len(line.sources) :]), line.kind)
            true_of = [each for each in lines if _stars(each, general) is not None]
            known = {name for each in true_of for name in each.sources}
            matched = {name for name in names for pattern in general.sources if captured(name, pattern) is not None}
            if len(true_of) > 1 and matched <= known:
                yield general


def _stars(line: Line, general: Line) -> tuple[str, ...] | None:
    """What the stars of the general line stand for in this one, if it follows it."""
    if line.kind != general.kind or len(line.sources) != len(general.sources):
        return None
    stars = captured(line.sources[0], general.sources[0])
    if stars is None or len(line.targets) != len(general.targets):
        return None
    made = tuple(filled(pattern, stars) for pattern in (*general.sources, *general.targets))
    return stars if made == (*line.sources, *line.targets) else None


def _starred(name: str, values: Sequence[str]) -> str | None:
    """The name with a star for each of the values, in this order; None if they are not all in it."""
    spans, rest = [], list(values)
    for match in COUNTING.finditer(name):
        if rest and match[0] == rest[0]:
            spans.append(match.span())
            rest.pop(0)
    return None if rest else _at(name, spans)


def _at(name: str, spans: Sequence[tuple[int, int]]) -> str:
    for start, end in reversed(spans):
        name = f"{name[:start]}*{name[end:]}"
    return name
