"""Propose which tap of the port is which tap of the reference, where the names themselves do not say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.parity.align import Alignment
from harness.parity.weights import Pairing, split_name

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Proposal:
    """A tap of the reference that may be a tap of the port; for a person, or a mapping, to say so.

    certain: the two modules hold the same weights, and put out arrays of one shape. why: in words.
    """

    reference: str
    port: str
    certain: bool
    why: str


def propose_names(alignment: Alignment, reference: Shapes, port: Shapes, pairing: Pairing) -> tuple[Proposal, ...]:
    """A proposal for each tap that is left over on both sides, as far as weights, structure, shape and order tell.

    Nothing is paired by this: give what is right as `mapping`.
    """
    left = [name for name in alignment.only_reference if name in reference]
    free = [name for name in alignment.only_port if name in port]
    owners = homes(pairing)
    found: list[Proposal] = []

    def take(name: str, target: str, *, certain: bool, why: str) -> None:
        found.append(Proposal(name, target, certain, why))
        left.remove(name)
        free.remove(target)

    for name in list(left):
        target = owners.get(name, "")
        if target in free and reference[name] == port[target]:
            take(name, target, certain=True, why="holds the same weights")
    containers = parents([*alignment.pairs, *((each.reference, each.port) for each in found)])
    for name in list(left):
        target = containers.get(name, "")
        if target in free and reference[name] == port[target]:
            take(name, target, certain=False, why="its parts are the other's parts")
    for name in list(left):
        alike = [target for target in free if port[target] == reference[name]]
        rivals = [other for other in left if reference[other] == reference[name]]
        if len(alike) == len(rivals) == 1:
            take(name, alike[0], certain=False, why="the only one left of its shape")
    return tuple(found)


def homes(pairing: Pairing) -> dict[str, str]:
    """Module of the reference -> the one module of the port that holds its weights, whole, and no other's."""
    found: dict[str, set[str]] = {}
    held: dict[str, dict[str, set[str]]] = {}
    for link in pairing.certain:
        if link.reference_part is None and link.port_part is None:
            home, target = split_name(link.reference)[0], split_name(link.port)[0]
            found.setdefault(home, set()).add(target)
            held.setdefault(target, {}).setdefault(home, set()).add(link.port)
    return {
        home: target
        for home, targets in found.items()
        for target in targets
        # Tied weights are of two modules, and one all the same; different ones make a module of several.
        if len(targets) == 1 and all(own & held[target][home] for own in held[target].values())
    }


def parents(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Module -> module, where all children that are paired agree on it."""
    found: dict[str, set[str]] = {}
    for name, target in pairs:
        found.setdefault(split_name(name)[0], set()).add(split_name(target)[0])
    return {parent: next(iter(targets)) for parent, targets in found.items() if len(targets) == 1}
