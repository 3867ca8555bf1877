"""How the weights of the reference become those of the port, as data that is read in both directions.

A conversion is a TOML file of rules. A rule names weights of the reference and of the port by patterns with the stars
of `harness.cases.mapping`; every weight of the reference follows exactly one rule. Several sources are joined to one
target, one source is split into several targets; axes are put in another order; the rows of a rotary projection go
from one layout into the other. A rule without a target drops its source, one without a source names what the port
makes by itself: both say why.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from harness.cases.mapping import captured, filled, stars_of
from harness.errors import MappingError, closest
from harness.reader import build, load, specification

Array = npt.NDArray[Any]
Rotary = Literal["", "alike", "interleaved to halves", "halves to interleaved"]
BACK: Mapping[Rotary, Rotary] = {
    "": "",
    "alike": "alike",
    "interleaved to halves": "halves to interleaved",
    "halves to interleaved": "interleaved to halves",
}


@specification
class Rule:
    """What becomes of some weights.

    source, target: a pattern, or several, of one side alone.
    axis: along which several are joined (before their axes are put in order), or one is split (afterwards).
    order: the source's axes as the target has them; empty for as they are.
    rotary: the two layouts of a head in which rotary embeddings turn pairs: neighbours (interleaved), or the first with
        the middle one (halves). "alike": both sides have the same, which is worth saying: no shape shows it.
    heads: how many, or the setting of the reference that says so.
    reason: why a source is dropped, or a target has none.
    """

    source: str | tuple[str, ...] = ()
    target: str | tuple[str, ...] = ()
    axis: int = 0
    order: tuple[int, ...] = ()
    rotary: Rotary = ""
    heads: int | str = 0
    reason: str = ""

    def __post_init__(self) -> None:
        if not (self.sources or self.targets):
            raise ValueError("a rule has a source, a target, or both")
        if not (self.sources and self.targets) and not self.reason:
            raise ValueError("a rule without a source or a target needs a reason")
        if len(self.sources) > 1 and len(self.targets) > 1:
            raise ValueError("several sources and several targets: make a rule of each")
        if self.sources and self.targets and len({stars_of(each) for each in (*self.sources, *self.targets)}) > 1:
            raise ValueError("every pattern of a rule has the same stars in the same order")
        if self.order and sorted(self.order) != list(range(len(self.order))):
            raise ValueError(f"order {list(self.order)} is no order of axes from 0 to {len(self.order) - 1}")
        if "to" in self.rotary.split() and (not self.heads or self.order or len(self.sources + self.targets) != 2):
            raise ValueError("a rotary rule has heads, one source, one target, and no order")

    @property
    def sources(self) -> tuple[str, ...]:
        return (self.source,) if isinstance(self.source, str) else self.source

    @property
    def targets(self) -> tuple[str, ...]:
        return (self.target,) if isinstance(self.target, str) else self.target

    @property
    def transform(self) -> str:
        """What happens to the values, in words; nothing if they stay as they are."""
        parts = [
            f"join along {self.axis}" if len(self.sources) > 1 else "",
            "transpose" if self.order == (1, 0) else f"axes {list(self.order)}" if self.order else "",
            f"split along {self.axis}" if len(self.targets) > 1 else "",
            f"rotary {self.rotary}" if self.rotary else "",
        ]
        return ", ".join(filter(None, parts))

    def reversed(self) -> Rule:
        """The rule from the port's weights to the reference's."""
        back = tuple(int(axis) for axis in np.argsort(self.order)) if self.order else ()
        return replace(self, source=self.target, target=self.source, order=back, rotary=BACK[self.rotary])


@specification
class Conversion:
    """The rules by which the weights of one implementation become those of another.

    title: for people. rule: each says what becomes of some weights; every weight follows exactly one.
    """

    title: str
    rule: tuple[Rule, ...]

    def reversed(self) -> Conversion:
        """From the port to the reference."""
        return replace(self, rule=tuple(rule.reversed() for rule in self.rule))


@dataclass(frozen=True, slots=True)
class Use:
    """A rule at work: its number, from 1, and the weights that it makes of which."""

    number: int
    rule: Rule
    sources: tuple[str, ...]
    targets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """Which rule takes which weights, and what does not go up.

    untaken: weights that no rule takes. several: a weight -> the rules that take it, where there are more than one.
    idle: rules that take none. partial: uses with a source that is not there. collisions: targets made twice.
    """

    uses: tuple[Use, ...]
    untaken: tuple[str, ...] = ()
    several: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    idle: tuple[int, ...] = ()
    partial: tuple[Use, ...] = ()
    collisions: tuple[str, ...] = ()


def read_conversion(file: Path) -> Conversion:
    """The conversion that a TOML file states.

    Raises:
        SpecError: an unknown key or a wrong value, with its line.
    """
    return build(Conversion, load(file), file=file)


def modules_of(conversion: Conversion) -> dict[str, str]:
    """Which module of the reference is which of the port's, as far as the rules say it: pattern -> pattern.

    >>> modules_of(Conversion(title="", rule=(Rule(source="layers.*.fc1.**", target="h.*.up.**"),)))
    {'layers.*.fc1': 'h.*.up'}
    """
    found = {}
    for rule in conversion.rule:
        if len(rule.sources) == len(rule.targets) == 1:
            ends = [
                end for end in (".**", ".weight") if rule.sources[0].endswith(end) and rule.targets[0].endswith(end)
            ]
            if ends:
                found[rule.sources[0].removesuffix(ends[0])] = rule.targets[0].removesuffix(ends[0])
    return found


def plan(names: Iterable[str], conversion: Conversion) -> Plan:
    """What the rules do with weights of these names; nothing is raised, so that an audit can tell all of it."""
    names = list(names)
    taken: dict[str, list[int]] = {name: [] for name in names}
    uses: list[Use] = []
    for number, rule in enumerate(conversion.rule, start=1):
        found: dict[tuple[str, ...], dict[int, str]] = {}
        for name in names:
            for place, pattern in enumerate(rule.sources):
                stars = captured(name, pattern)
                if stars is not None:
                    # What is dropped is dropped one by one.
                    found.setdefault(stars if rule.targets else (name,), {})[place] = name
                    taken[name].append(number)
        uses += [_use(number, rule, stars, places) for stars, places in found.items()]
    whole = tuple(use for use in uses if all(use.sources))
    made = Counter(target for use in whole for target in use.targets)
    busy = {use.number for use in uses}
    return Plan(
        uses=whole,
        untaken=tuple(name for name, rules in taken.items() if not rules),
        several={name: tuple(rules) for name, rules in taken.items() if len(rules) > 1},
        idle=tuple(n for n, rule in enumerate(conversion.rule, start=1) if rule.sources and n not in busy),
        partial=tuple(use for use in uses if not all(use.sources)),
        collisions=tuple(target for target, count in made.items() if count > 1),
    )


def convert(
    weights: Mapping[str, Array], conversion: Conversion, *, settings: Mapping[str, Any], place: str
) -> dict[str, Array]:
    """The port's weights by name, from the reference's.

    settings: of the reference, in which rules find how many heads there are.

    Raises:
        MappingError: a weight that no rule takes, or several; a rule that takes none; a target made twice; a source
            that is missing; a shape that does not allow what a rule says. Nothing is converted by halves.
    """
    found = plan(weights, conversion)
    _refuse(found, place)
    made: dict[str, Array] = {}
    for use in found.uses:
        if use.targets:
            made.update(zip(use.targets, applied(use, weights, settings=settings, place=place), strict=True))
    return made


def applied(use: Use, weights: Mapping[str, Array], *, settings: Mapping[str, Any], place: str) -> tuple[Array, ...]:
    """What a use of a rule makes, an array for each of its targets.

    Raises:
        MappingError: the shapes do not allow it, or `heads` names no setting.
    """
    rule, arrays = use.rule, [weights[name] for name in use.sources]
    here = f"{place}, rule {use.number}, {use.sources[0]!r}"
    try:
        array = np.concatenate(arrays, axis=rule.axis) if len(arrays) > 1 else arrays[0]
        array = np.transpose(array, rule.order) if rule.order else array
        if rule.rotary in ("interleaved to halves", "halves to interleaved"):
            array = turned(array, _heads(rule, settings, here), to_halves=rule.rotary.startswith("interleaved"))
        parts = np.split(array, len(use.targets), axis=rule.axis) if len(use.targets) > 1 else [array]
    except (ValueError, IndexError) as error:
        shapes = ", ".join(str(each.shape) for each in arrays)
        raise MappingError(here, f"{error}, with the shape {shapes}", todo="Mend the rule.") from None
    return tuple(np.asarray(part, order="C") for part in parts)


def turned(array: Array, heads: int, *, to_halves: bool) -> Array:
    """The rows (outputs, ...) of a projection in the other layout of rotary pairs, head by head.

    Interleaved, rows 2i and 2i+1 of a head are turned together; in halves, rows i and i + size/2 (Su et al. 2021,
    arXiv:2104.09864, section 3.4, and the layout of GPT-NeoX).

    >>> turned(np.arange(4), 1, to_halves=True).tolist()
    [0, 2, 1, 3]
    """
    rows, rest = array.shape[0], array.shape[1:]
    if rows % (2 * heads):
        raise ValueError(f"{rows} rows are not {heads} heads of pairs")
    pairs = (rows // heads // 2, 2) if to_halves else (2, rows // heads // 2)
    return array.reshape(heads, *pairs, *rest).swapaxes(1, 2).reshape(array.shape)


def _use(number: int, rule: Rule, stars: tuple[str, ...], places: Mapping[int, str]) -> Use:
    if not rule.targets:
        return Use(number, rule, tuple(dict.fromkeys(places.values())), ())
    sources = tuple(places.get(place, "") for place in range(len(rule.sources)))
    return Use(number, rule, sources, tuple(filled(target, stars) for target in rule.targets))


def _heads(rule: Rule, settings: Mapping[str, Any], place: str) -> int:
    if isinstance(rule.heads, int):
        return rule.heads
    if not isinstance(settings.get(rule.heads), int):
        raise MappingError(
            place,
            f"heads = {rule.heads!r} is no number among the reference's settings",
            todo=closest(rule.heads, settings),
        )
    return int(settings[rule.heads])


def _refuse(found: Plan, place: str) -> None:
    """Raise the first of what does not go up, and say how much more there is."""
    complaints = [
        *(f"no rule takes {name!r}" for name in found.untaken),
        *(f"{name!r} is taken by the rules {', '.join(map(str, rules))}" for name, rules in found.several.items()),
        *(f"rule {number} takes no weight" for number in found.idle),
        *(f"rule {use.number} has no {_missing(use)!r} beside {_there(use)!r}" for use in found.partial),
        *(f"{target!r} is made twice" for target in found.collisions),
    ]
    if complaints:
        more = f" (and {len(complaints) - 1} more)" if len(complaints) > 1 else ""
        raise MappingError(place, complaints[0] + more, todo="Mend the rules; `harness audit` shows them all.")


def _missing(use: Use) -> str:
    return next(pattern for pattern, name in zip(use.rule.sources, use.sources, strict=True) if not name)


def _there(use: Use) -> str:
    return next(name for name in use.sources if name)
