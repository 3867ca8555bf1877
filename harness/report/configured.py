"""What became of every field of the configurations that was varied: by family, and of each family by how it stands."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.equivalence.fields import (
    HONOURED,
    IGNORED_BY_PORT,
    IGNORED_BY_REFERENCE,
    NOT_EXERCISED,
    OTHERWISE,
    RAISES,
    REFUSED,
    STANDINGS,
    UNREAD,
)
from harness.report import words
from harness.report.run import Result

UNKNOWN = "not known"
"""How a field stands whose result does not say it, or says something else than the suite does."""

RANKS = (UNKNOWN, RAISES, IGNORED_BY_PORT, IGNORED_BY_REFERENCE, OTHERWISE, HONOURED, NOT_EXERCISED, UNREAD, REFUSED)
"""Of a field's values the first of these stands for the field; those before `HONOURED` diverge."""

TONES: Mapping[str, str] = {
    UNKNOWN: "unknown",
    RAISES: "raises",
    IGNORED_BY_PORT: "port",
    IGNORED_BY_REFERENCE: "reference",
    OTHERWISE: "otherwise",
    HONOURED: "honoured",
    NOT_EXERCISED: "idle",
    UNREAD: "unread",
    REFUSED: "refused",
}
"""The class of each in the page, by which it is coloured."""

FIELD = re.compile(r"(?P<field>[\w.]+)=(?P<value>.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Value:
    """What was tried of a field. told: the value, and what went with it. reference: on which class."""

    told: str
    reference: str
    standing: words.Standing
    anchor: str


@dataclass(frozen=True, slots=True)
class Chip:
    """A field with those of its values that stand alike. several: whether the family tried it on several classes."""

    field: str
    values: tuple[Value, ...]
    several: bool

    @property
    def standing(self) -> words.Standing:
        """The worst of its values'."""
        return min((value.standing for value in self.values), key=words.STANDINGS.index)


@dataclass(frozen=True, slots=True)
class Group:
    """Fields that stand alike. name: how, in words. tone: the class in the page."""

    name: str
    tone: str
    chips: tuple[Chip, ...]


@dataclass(frozen=True, slots=True)
class Configured:
    """A family's fields. off: those that diverge or are not as they should be. alike: the others."""

    id: str
    off: tuple[Group, ...]
    alike: tuple[Group, ...]
    fields: Mapping[str, str]
    """Field -> how it stands."""


@dataclass(frozen=True, slots=True)
class Total:
    """How many fields of all families stand alike. share: of all, in percent."""

    name: str
    tone: str
    number: int
    share: float


def is_field(result: Result) -> bool:
    """Whether the result is that of a varied field."""
    return "standing" in result.metrics or FIELD.fullmatch(result.check) is not None


def families(found: Sequence[tuple[Result, str]]) -> tuple[Configured, ...]:
    """The families by name, from results of fields with their places, in the page's order."""
    by_family: dict[str, list[tuple[Result, str]]] = {}
    for result, place in found:
        by_family.setdefault(result.case.partition(".")[0], []).append((result, place))
    return tuple(_configured(name, by_family[name]) for name in sorted(by_family))


def totals(configured: Sequence[Configured]) -> tuple[Total, ...]:
    """How many fields stand how; what none does is left out, save that fields are honoured."""
    counts = Counter(standing for family in configured for standing in family.fields.values())
    every = sum(counts.values())
    order = (HONOURED, *(name for name in RANKS if name != HONOURED))
    shown = [name for name in order if counts[name] or (name == HONOURED and every)]
    return tuple(Total(name, TONES[name], counts[name], round(100 * counts[name] / every, 2)) for name in shown)


def _configured(family: str, found: Sequence[tuple[Result, str]]) -> Configured:
    """Each value is placed with its like; what is as it should be, only where nothing else of its field is off."""
    places: dict[str, dict[str, list[Value]]] = {}
    references: dict[str, set[str]] = {}
    for result, anchor in found:
        field, told = _field(result)
        reference = result.case.partition(".")[2]
        value = Value(told, reference, words.standing(result), anchor)
        places.setdefault(field, {}).setdefault(_standing(result), []).append(value)
        references.setdefault(field, set()).add(reference)
    standings = {field: min(by_standing, key=RANKS.index) for field, by_standing in places.items()}
    off: dict[str, list[Chip]] = {}
    alike: dict[str, list[Chip]] = {}
    for field in sorted(places):
        several = len(references[field]) > 1
        wrong = {name: _wrong(name, values) for name, values in places[field].items()}
        for name, values in wrong.items():
            if values:
                off.setdefault(name, []).append(Chip(field, _once(values, several=several), several))
        if not any(wrong.values()):
            every = [value for values in places[field].values() for value in values]
            alike.setdefault(standings[field], []).append(Chip(field, _once(every, several=False), several=False))
    return Configured(family, _groups(off), _groups(alike), standings)


def _wrong(name: str, values: Sequence[Value]) -> list[Value]:
    """Those of values that stand alike which are to be spelled out."""
    diverges = RANKS.index(name) < RANKS.index(HONOURED)
    return [value for value in values if diverges or value.standing != "agree"]


def _once(values: Sequence[Value], *, several: bool) -> tuple[Value, ...]:
    """Each value once, on each class where these are told; of several results the worst, which comes first."""
    kept: dict[tuple[str, str], Value] = {}
    for value in values:
        kept.setdefault((value.told, value.reference if several else ""), value)
    return tuple(kept.values())


def _groups(chips: Mapping[str, Sequence[Chip]]) -> tuple[Group, ...]:
    return tuple(Group(name, TONES[name], tuple(chips[name])) for name in RANKS if name in chips)


def _standing(result: Result) -> str:
    told = result.metrics.get("standing")
    return told if isinstance(told, str) and told in STANDINGS else UNKNOWN


def _field(result: Result) -> tuple[str, str]:
    """The field and, of the check's name, what follows it."""
    named, match = result.metrics.get("field"), FIELD.fullmatch(result.check)
    if isinstance(named, str) and named and result.check.startswith(f"{named}="):
        return named, result.check.removeprefix(f"{named}=")
    return (match["field"], match["value"]) if match else (result.check, "")
