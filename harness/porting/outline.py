"""Which part of a model a module belongs to: embeddings, first layer, remaining layers, head."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

PARTS = ("embeddings", "first layer", "remaining layers", "head")
"""Of a model, in the order in which data pass through them."""

NUMBERED = re.compile(r"^(?P<stem>.*_)?(?P<number>\d+)$")
"""A part of a path that counts: `3` in PyTorch and NNX, `block_3` in linen."""


@dataclass(frozen=True, slots=True)
class Outline:
    """Part -> its taps, in the order of execution. why_not: part -> why nothing is in it.

    layers: the lists of layers that were found, as patterns: `encoder.layer.*`.
    """

    parts: Mapping[str, tuple[str, ...]]
    why_not: Mapping[str, str] = field(default_factory=dict)
    layers: tuple[str, ...] = ()

    def part_of(self, path: str) -> str:
        """The part that the module at `path` is in; "" if it is in several, or in none.

        >>> outline_of(["embed", "h.0.up", "h.0", "h.1.up", "h.1", "head"]).part_of("h.1.up")
        'remaining layers'
        """
        path = plain(path)
        inside = {part for part, taps in self.parts.items() for tap in taps if plain(tap) == path}
        inside = inside or {
            part for part, taps in self.parts.items() for tap in taps if plain(tap).startswith(f"{path}.")
        }
        return inside.pop() if len(inside) == 1 else ""


def outline_of(taps: Iterable[str], weights: Iterable[str] = (), *, tables: Collection[str] = ()) -> Outline:
    """The parts of a model with these taps, in the order of execution.

    weights: names of its weights. tables: modules that may be embeddings, by what they hold.

    The layers are the outermost lists of numbered modules that are built alike; what comes before the first of them are
    the embeddings, and after the last the head. Without such a list the parts cannot be told apart: all taps are in the
    remaining layers, but for a first one that is an embedding.
    """
    names = list(dict.fromkeys(taps))
    lists = _layers(names, list(weights))
    if not lists:
        return _in_order(names, tables)
    places = [number for number, name in enumerate(names) if any(_member(name, each) for each in lists)]
    owner = next((name, each) for name in names for each in lists if _member(name, each))
    first = _member(*owner)
    own = [number for number in places if _member(names[number], owner[1]) == first]
    start, end, last = places[0], own[-1], places[-1]
    parts = {
        "embeddings": tuple(names[:start]),
        "first layer": tuple(names[start : end + 1]),
        "remaining layers": tuple(names[end + 1 : last + 1]),
        "head": tuple(names[last + 1 :]),
    }
    nothing = {
        "embeddings": f"no module runs before {first}",
        "remaining layers": f"there is one layer, {first}",
        "head": "no module runs after the last layer",
    }
    why_not = {part: nothing[part] for part, inside in parts.items() if not inside}
    return Outline(parts, why_not, tuple(f"{stem}*" for stem in lists))


def plain(path: str) -> str:
    """The path of the module of a tap, without the number of the call and the place of the array in its result.

    >>> plain("layers.0.attention[1]#2")
    'layers.0.attention'
    """
    return re.sub(r"(\[[^\]]*\])*(#\d+)?(@\d+)?$", "", path)


def _in_order(names: Sequence[str], tables: Collection[str]) -> Outline:
    why = "no list of layers that are built alike was found: the taps are taken in order, as remaining layers"
    if not names:
        why = "no module of the reference can be seen"
    first = 0
    while first < len(names) and (names[first] in tables or re.search(r"emb|wte|wpe|patch", _own(names[first]))):
        first += 1
    parts: dict[str, tuple[str, ...]] = dict.fromkeys(PARTS, ()) | {
        "embeddings": tuple(names[:first]),
        "remaining layers": tuple(names[first:]),
    }
    return Outline(parts, {part: why for part, inside in parts.items() if not inside})


def _own(name: str) -> str:
    return plain(name).rpartition(".")[2].lower()


def _layers(names: Sequence[str], weights: Sequence[str]) -> list[str]:
    """The stems of the lists of layers: `encoder.layer.`; those of one number alone only where there are no others."""
    members: dict[str, dict[int, set[str]]] = {}
    for name in [*map(plain, names), *weights]:
        parts = name.split(".")
        for place, part in enumerate(parts):
            match = NUMBERED.match(part)
            if match:
                stem = ".".join([*parts[:place], match["stem"] or ""])
                inside = members.setdefault(stem, {}).setdefault(int(match["number"]), set())
                inside.add(".".join(parts[place + 1 :]))
                break  # lists inside of lists are of one layer
    alike = {stem: found for stem, found in members.items() if _alike(found)}
    composed = [stem for stem, found in alike.items() if any(_has_modules(names, stem, number) for number in found)]
    if composed or alike:
        return composed or list(alike)
    return [stem for stem, found in members.items() if any(_has_modules(names, stem, number) for number in found)]


def _alike(found: Mapping[int, set[str]]) -> bool:
    """Whether two neighbours of a list share most of what they hold, beside themselves."""
    for number, inside in found.items():
        other = found.get(number + 1, set())
        shared = (inside & other) - {""}
        if shared and 2 * len(shared) >= max(len(inside - {""}), len(other - {""})):
            return True
    return False


def _has_modules(names: Sequence[str], stem: str, number: int) -> bool:
    return any(plain(name).startswith(f"{stem}{number}.") for name in names)


def _member(name: str, stem: str) -> str:
    """The path of the layer of the list that a tap belongs to, or ""."""
    match = re.match(rf"{re.escape(stem)}\d+(?=$|\.)", plain(name))
    return match[0] if match else ""
