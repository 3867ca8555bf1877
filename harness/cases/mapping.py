"""How names of the reference become names of the port.

A mapping is an ordered table, pattern -> target. In a pattern `*` stands for any text without a dot or a slash, `**`
for any text at all; in its target the stars are filled from left to right with what the pattern's stars matched. The
first pattern that matches a name decides; a name that no pattern matches stays as it is.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache

from harness.errors import MappingError


def translate(name: str, mapping: Mapping[str, str]) -> str:
    """The port's name for the reference's `name`.

    >>> translate("encoder.layer.3.attn.bias", {"encoder.layer.*.attn.**": "layers.*.attention.**"})
    'layers.3.attention.bias'
    """
    for pattern, target in mapping.items():
        stars = captured(name, pattern)
        if stars is not None:
            return filled(target, stars)
    return name


def joined(mapping: Mapping[str, str] | None, implied: Mapping[str, str] | None) -> dict[str, str]:
    """The mapping, and after it what is implied of names that it does not speak of."""
    first = dict(mapping or {})
    return first | {pattern: target for pattern, target in (implied or {}).items() if pattern not in first}


def captured(name: str, pattern: str) -> tuple[str, ...] | None:
    """What the pattern's stars stand for in `name`, or None if it does not match."""
    match = _expression(pattern).fullmatch(name)
    return match.groups() if match else None


def filled(target: str, stars: tuple[str, ...]) -> str:
    """The target with its stars filled, from left to right."""
    values = iter(stars)
    return re.sub(r"\*\*|\*", lambda _: next(values), target)


def stars_of(pattern: str) -> tuple[str, ...]:
    """The pattern's stars, in order."""
    return tuple(re.findall(r"\*\*|\*", pattern))


def matches(name: str, patterns: Iterable[str]) -> str | None:
    """The first of the patterns that matches `name`, or None."""
    return next((pattern for pattern in patterns if _expression(pattern).fullmatch(name)), None)


def translate_all(
    names: Iterable[str], mapping: Mapping[str, str], *, also: Iterable[str] = (), place: str
) -> dict[str, str]:
    """Reference name -> port name, in order. A pattern may match one of the names in `also` instead.

    Raises:
        MappingError: a pattern and its target differ in their stars, a pattern matches no name, or two names become
            the same.
    """
    names = list(names)
    for pattern, target in mapping.items():
        _check_stars(pattern, target, place)
        if matches_none(pattern, [*names, *also]):
            raise MappingError(
                place, f"the mapping's pattern {pattern!r} matches no name", todo="Remove or mend the pattern."
            )
    translated = {name: translate(name, mapping) for name in names}
    for target, count in Counter(translated.values()).items():
        if count > 1:
            both = [name for name, port in translated.items() if port == target]
            raise MappingError(
                place, f"{' and '.join(map(repr, both))} both become {target!r}", todo="Make the patterns stricter."
            )
    return translated


def matches_none(pattern: str, names: Iterable[str]) -> bool:
    """Whether `pattern` matches none of the names."""
    return not any(_expression(pattern).fullmatch(name) for name in names)


@lru_cache(maxsize=1024)
def _expression(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"(\*\*|\*)", pattern)
    replaced = {"**": "(.+)", "*": r"([^./]*)"}
    return re.compile("".join(replaced.get(part, re.escape(part)) for part in parts), re.DOTALL)


def _check_stars(pattern: str, target: str, place: str) -> None:
    stars = [list(stars_of(text)) for text in (pattern, target)]
    if stars[0] != stars[1]:
        raise MappingError(
            place,
            f"the pattern {pattern!r} has the stars {stars[0]}, its target {target!r} {stars[1]}",
            todo="Give both the same stars in the same order.",
        )
