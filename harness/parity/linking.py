"""Find which weight of the port holds which weight of the reference: by values, never guessed from names alone.

A port stores a weight under another name, transposed, as a slice of a fused projection or of a stack of layers. The
values tell: two arrays that hold the same numbers in another layout are one weight. Weights that are still neutral
(all zeros, all ones) tell nothing by themselves; they follow from the module that they belong to, or from their
gradients.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from harness.adapters.protocols import Array, Weight
from harness.cases.mapping import translate
from harness.parity.floor import EXACT
from harness.parity.layout import fingerprint, is_neutral, layout, matching_part, slices, symmetric
from harness.parity.weights import Link, Pairing, kind_of, numbers_in, split_name, words_of


def pair_weights(
    reference: Mapping[str, Weight], port: Mapping[str, Weight], mapping: Mapping[str, str] | None = None
) -> Pairing:
    """Link the weights of both sides. mapping: patterns of `harness.cases.mapping`, which names may follow."""
    search = _Search({n: w.array for n, w in reference.items()}, {n: w.array for n, w in port.items()})
    search.by_name(mapping or {})
    search.by_values()
    search.by_slices()
    search.by_module()
    left_reference = tuple(name for name in reference if name not in search.used_reference)
    left_port = tuple(name for name in port if name not in search.used_port)
    different = tuple(
        (name, target)
        for name in left_reference
        if (target := translate(name, mapping or {})) in left_port
        and reference[name].array.shape == port[target].array.shape
    )
    ambiguous = tuple(
        link.reference
        for link in search.links
        if reference[link.reference].array.ndim == 2 and symmetric(reference[link.reference].array)
    )
    return Pairing(tuple(search.links), left_reference, left_port, different, ambiguous)


def without(pairing: Pairing, dropped: Sequence[Link], weights: tuple[Collection[str], Collection[str]]) -> Pairing:
    """The pairing without some links, whose weights of the port are idle: nothing depends on them."""
    kept = tuple(link for link in pairing.links if link not in dropped)
    linked = ({link.reference for link in kept}, {link.port for link in kept})
    return replace(
        pairing,
        links=kept,
        only_reference=tuple(name for name in weights[0] if name not in linked[0]),
        only_port=tuple(name for name in weights[1] if name not in linked[1]),
        idle=(*pairing.idle, *(link.port for link in dropped)),
    )


def completed(pairing: Pairing, reference: Mapping[str, Weight], port: Mapping[str, Weight]) -> Pairing:
    """The pairing with links that other values show: of healthy ones no two are alike, and none is neutral."""
    known = pairing.certain
    taken = ({link.reference for link in known}, {link.port for link in known})
    again = pair_weights(reference, port).certain
    found = (*known, *(link for link in again if link.reference not in taken[0] and link.port not in taken[1]))
    linked = ({link.reference for link in found}, {link.port for link in found})
    return replace(
        pairing,
        links=(*found, *(each for each in pairing.proposed if each.reference not in linked[0])),
        only_reference=tuple(name for name in reference if name not in linked[0]),
        only_port=tuple(name for name in port if name not in linked[1]),
    )


def _following(
    pairing: Pairing, found: Sequence[Link], weights: tuple[Mapping[str, Weight], Mapping[str, Weight]]
) -> list[Link]:
    """The statistics, which have no gradient, of the modules whose other weights the `found` links hold."""
    certain = [*pairing.certain, *found]
    ours, theirs = ({name: weight.array for name, weight in side.items()} for side in weights)
    search = _Search(ours, theirs)
    for link in certain:
        search.add(link)
    search.by_home()
    return search.links[len(certain) :]


def pair_by_gradients(
    pairing: Pairing,
    weights: tuple[Mapping[str, Weight], Mapping[str, Weight]],
    gradients: tuple[Mapping[str, Array], Mapping[str, Array]],
) -> Pairing:
    """The pairing with the neutral weights linked that the loss depends on in the same way.

    A fresh bias holds nothing by which it could be told from another. Its gradient does: two weights that move the
    loss alike, to rounding, do the same thing. gradients: of one loss on either side, by name.
    """
    scale = max((float(np.abs(each).max(initial=0.0)) for each in gradients[0].values()), default=0.0)
    proposed = pairing.proposed
    names = (
        {*pairing.only_reference, *(link.reference for link in proposed)},
        {*pairing.only_port, *(link.port for link in proposed)},
    )

    def moving(side: int) -> dict[str, Array]:
        held = weights[side]
        return {
            name: gradients[side][name]
            for name in held
            if name in names[side] and name in gradients[side] and is_neutral(held[name].array)
            if float(np.abs(gradients[side][name]).max(initial=0.0)) > EXACT * scale
        }

    search = _Search(moving(0), moving(1), close=EXACT * scale)
    search.by_likeness()
    search.by_slices()
    found = []
    for link in search.links:
        ours = link.of_reference(weights[0][link.reference].array)
        theirs = link.of_port(weights[1][link.port].array)
        if np.array_equal(link.to_port(ours, theirs.shape), theirs):
            found.append(replace(link, why="same gradient"))
    found += _following(pairing, found, weights)
    taken = ({link.reference for link in found}, {link.port for link in found})
    kept = [link for link in pairing.links if link.certain or not (link.reference in taken[0] or link.port in taken[1])]
    linked = ({link.reference for link in (*kept, *found)}, {link.port for link in (*kept, *found)})
    still = [
        name
        for name in names[1]
        if name in gradients[1] and float(np.abs(gradients[1][name]).max(initial=0.0)) <= EXACT * scale
    ]
    return replace(
        pairing,
        idle=tuple(still),
        links=(*kept, *found),
        only_reference=tuple(name for name in weights[0] if name not in linked[0]),
        only_port=tuple(name for name in weights[1] if name not in linked[1]),
    )


@dataclass(slots=True)
class _Search:
    reference: dict[str, Array]
    port: dict[str, Array]
    close: float = 0.0
    links: list[Link] = field(default_factory=list)
    used_reference: set[str] = field(default_factory=set)
    used_port: set[str] = field(default_factory=set)

    def add(self, link: Link) -> None:
        self.links.append(link)
        self.used_reference.add(link.reference)
        self.used_port.add(link.port)

    def layout(self, reference: Array, port: Array) -> tuple[int, ...] | None:
        return layout(reference, port, close=self.close)

    def by_likeness(self) -> None:
        """Arrays that are alike within `close`. Of several that are, first those that belong to linked modules.

        Two biases that are added to one sum move the loss alike: either may stand for either, but their modules not.
        """
        alike = {
            (name, target): order
            for name, own in self.reference.items()
            for target, array in self.port.items()
            if (order := self.layout(own, array)) is not None
        }
        for wanted in ("alone", "at home", "any"):
            for (name, target), order in alike.items():
                if name in self.used_reference or target in self.used_port:
                    continue
                rivals = [each for each in alike if (each[0] == name) is not (each[1] == target)]
                homes = [home for home, _ in _Homes(self.links).of(split_name(name)[0])]
                if wanted == "any" or (not rivals if wanted == "alone" else split_name(target)[0] in homes):
                    self.add(Link(name, target, order))

    def left(self, side: dict[str, Array], used: set[str], *, neutral: bool) -> dict[str, Array]:
        return {n: a for n, a in side.items() if n not in used and is_neutral(a) is neutral}

    def by_name(self, mapping: Mapping[str, str]) -> None:
        """Equal names (by the mapping, or but for what the frameworks call the leaf) with equal values.

        The mapping may speak of the weight, or of the module that it belongs to.
        """
        by_words = {words_of(name): name for name in self.port}
        for name, array in self.reference.items():
            home, leaf = split_name(name)
            words = (words_of(name), words_of(f"{translate(home, mapping)}.{leaf}"))
            for target in dict.fromkeys((translate(name, mapping), *(by_words.get(each, "") for each in words))):
                if target in self.port and target not in self.used_port:
                    order = layout(array, self.port[target])
                    if order is not None:
                        self.add(Link(name, target, order, why="same name and values"))
                        break

    def by_values(self) -> None:
        """Arrays that hold the same numbers; where several do, those whose names carry the same numbers."""
        groups: dict[Any, tuple[list[str], list[str]]] = {}
        for side, used, place in ((self.reference, set(), 0), (self.port, self.used_port, 1)):
            for name, array in side.items():
                if name not in used and not is_neutral(array):
                    groups.setdefault(fingerprint(array), ([], []))[place].append(name)
        for sources, targets in groups.values():
            for target in targets:
                orders = {source: layout(self.reference[source], self.port[target]) for source in sources}
                fitting = [source for source, order in orders.items() if order is not None]
                new = [s for s in fitting if s not in self.used_reference] or fitting
                if not new:
                    continue
                chosen = [s for s in new if numbers_in(s) == numbers_in(target)] or new
                order = orders[chosen[0]]
                assert order is not None
                self.add(Link(chosen[0], target, order, certain=len(chosen) == 1 or len(targets) == 1))
            # What the reference holds twice, and the port once.
            for source in sources:
                if source in self.used_reference:
                    continue
                orders = {target: layout(self.reference[source], self.port[target]) for target in targets or self.port}
                found = [(target, order) for target, order in orders.items() if order is not None]
                if len(found) == 1:
                    self.add(Link(source, *found[0]))

    def by_slices(self) -> None:
        """Several weights of one side that are slices of one of the other."""
        for name, array in self.left(self.port, self.used_port, neutral=False).items():
            others = self.left(self.reference, self.used_reference, neutral=False)
            for other, order, part in slices(array, others, self.close):
                self.add(Link(other, name, order, port_part=part, why="same values, as a slice of the port's"))
        for name, array in self.left(self.reference, self.used_reference, neutral=False).items():
            others = self.left(self.port, self.used_port, neutral=False)
            # The order found is that of the port's axes; wanted is that of the reference's.
            for other, _, part in slices(array, others, self.close):
                turned = self.layout(part.of(array), self.port[other])
                if turned is not None:
                    why = "same values, as a slice of the reference's"
                    self.add(Link(name, other, turned, reference_part=part, why=why))

    def by_module(self) -> None:
        """Neutral weights of a module whose other weights are linked, or that lies beside linked ones."""
        self.by_home()
        left = self.left(self.reference, self.used_reference, neutral=True)
        modules: dict[str, list[str]] = {}
        for name in left:
            modules.setdefault(split_name(name)[0], []).append(name)
        for home, names in modules.items():
            self._beside(home, names)

    def by_home(self) -> None:
        """Neutral weights of a module whose other weights are linked."""
        homes = _Homes(self.links)
        for name in self.left(self.reference, self.used_reference, neutral=True):
            home, leaf = split_name(name)
            for target_home, link in homes.of(home):
                found = self._in_home(name, leaf, target_home, link)
                if found is not None:
                    self.add(found)
                if found is not None and found.reference_part is None:
                    break

    def _in_home(self, name: str, leaf: str, home: str, link: Link) -> Link | None:
        """The weight of that kind in the port's module `home`, which holds what `link` says of another weight.

        The bias of a fused or stacked kernel is fused or stacked in the same places.
        """
        array = self.reference[name]
        for target, other in self.port.items():
            target_home, _ = split_name(target)
            if target_home != home or kind_of(target) != kind_of(leaf) or not is_neutral(other):
                continue
            if link.port_part is not None:
                part = matching_part(link.port_part, other, array)
                order = layout(array, part.of(other)) if part else None
                if order is not None:
                    return Link(name, target, order, port_part=part, why="belongs to a linked slice")
            elif target not in self.used_port and link.reference_part is not None:
                part = matching_part(link.reference_part, array, other)
                order = layout(part.of(array), other) if part else None
                if order is not None:
                    return Link(name, target, order, reference_part=part, why="belongs to a linked slice")
            elif target not in self.used_port:
                order = layout(array, other)
                if order is not None:
                    return Link(name, target, order, why="belongs to a linked module")
        return None

    def _beside(self, home: str, names: Sequence[str]) -> None:
        """A module of neutral weights only: with the same name beside linked neighbours, or the only one there."""
        parent, own = split_name(home)
        homes = _Homes(self.links)
        parents = [target for target, _ in homes.of(parent, above=True)]
        if not parents:
            return
        candidates: dict[str, list[str]] = {}
        for target in self.left(self.port, self.used_port, neutral=True):
            target_home = split_name(target)[0]
            if split_name(target_home)[0] in parents:
                candidates.setdefault(target_home, []).append(target)
        fitting = {each: pairs for each, targets in candidates.items() if (pairs := self._all(names, targets))}
        named = [each for each in fitting if split_name(each)[1] == own]
        mine = [h for h in _neutral_homes(self, parent) if self._alike(h, home)]
        chosen = named or list(fitting)
        if not chosen:
            return
        certain = len(named) == 1
        place = 0 if certain or len(mine) != len(fitting) else mine.index(home)
        for name, target in fitting[chosen[min(place, len(chosen) - 1)]]:
            order = layout(self.reference[name], self.port[target])
            assert order is not None
            why = "the same module beside linked ones" if certain else "such a module beside linked ones, by order"
            self.add(Link(name, target, order, certain=certain, why=why))

    def _all(self, names: Sequence[str], targets: Sequence[str]) -> list[tuple[str, str]]:
        """Every name with its target, of the same kind and values; nothing unless all are matched."""
        by_kind = {kind_of(target): target for target in targets}
        pairs = [(name, by_kind.get(kind_of(name), "")) for name in names]
        fits = all(t and layout(self.reference[n], self.port[t]) is not None for n, t in pairs)
        return pairs if fits and len(targets) == len(names) else []

    def _alike(self, one: str, other: str) -> bool:
        def shapes(home: str) -> list[Any]:
            return sorted((kind_of(n), a.shape) for n, a in self.reference.items() if split_name(n)[0] == home)

        return shapes(one) == shapes(other)


class _Homes:
    """reference module -> the modules of the port that hold its weights, from the links so far."""

    def __init__(self, links: Sequence[Link]) -> None:
        self.links = links

    def of(self, home: str, *, above: bool = False) -> Iterator[tuple[str, Link]]:
        """The port's modules for a reference module; with `above`, for its parent, from what its children show."""
        seen = set()
        for link in self.links:
            own, target = split_name(link.reference)[0], split_name(link.port)[0]
            if above:
                own, target = split_name(own)[0], split_name(target)[0]
            if own == home and (target, link.port_part, link.reference_part) not in seen:
                seen.add((target, link.port_part, link.reference_part))
                yield target, link


def _neutral_homes(search: _Search, parent: str) -> list[str]:
    left = search.left(search.reference, set(), neutral=True)
    homes = dict.fromkeys(split_name(name)[0] for name in left)
    linked = {
        split_name(link.reference)[0] for link in search.links if not is_neutral(search.reference[link.reference])
    }
    return [home for home in homes if split_name(home)[0] == parent and home not in linked]
