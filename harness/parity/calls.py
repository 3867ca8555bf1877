"""The calls of both sides: which of the port's is which of the reference's, and which of its arrays is which."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import permutations, product
from typing import Any

import numpy as np

from harness.adapters.protocols import Call
from harness.cases.mapping import translate
from harness.parity.compare import Array
from harness.parity.floor import EXACT, largest
from harness.parity.naming import homes
from harness.parity.weights import Pairing, split_name

Calls = Mapping[str, Call]
Layout = Callable[[Array], Array]
"""Brings an array of the reference into the form that the port has it in."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """An array of a call on both sides, by leaf name. bring: from the reference's form into the port's.

    keeps_all: the port's form has each element of the reference's once, so that gradients go the same way.
    """

    reference: str
    port: str
    bring: Layout
    is_mask: bool = False
    keeps_all: bool = True


@dataclass(frozen=True, slots=True)
class CallPair:
    """A call of the reference and the port's call that computes the same.

    inputs, outputs: the arrays that correspond. left: inputs that the port has an array for and the reference has
    none like it, or the other way round.
    """

    name: str
    port_name: str
    inputs: tuple[Leaf, ...] = ()
    outputs: tuple[Leaf, ...] = ()
    left: tuple[str, ...] = ()


def pair_calls(
    reference: Calls, port: Calls, *, mapping: Mapping[str, str], pairing: Pairing, alike: bool = False
) -> tuple[dict[str, CallPair], frozenset[str]]:
    """Port name -> pair: by the mapping, by equal names, by the weights they hold, by the parts that they are made of.

    A pair has at least one output that has one form on both sides, up to the order of its axes and to reshaping. The
    second result are those that may compute something else all the same: paired by their parts alone, or by name though
    only one of the two is made of parts.

    alike: the sides are of one framework, where arrays of one shape have their axes in one order.
    """
    found: dict[str, str] = {}
    taken: set[str] = set()

    def take(name: str, target: str, *, resized: bool = False) -> bool:
        free = name in reference and target in port and name not in found and target not in taken
        if not free or not match_outputs(reference[name], port[target], resized=resized):
            return False
        found[name] = target
        taken.add(target)
        return True

    def pair(name: str, target: str) -> CallPair:
        inputs, left = match_inputs(reference[name], port[target], alike=alike)
        named = [getattr(leaf.bring, "keywords", {}) for leaf in inputs]
        orders = [each["axes"] for each in named if "axes" in each]
        outputs = match_outputs(reference[name], port[target], resized=True, orders=orders, alike=alike)
        return CallPair(name, target, inputs, outputs, left)

    found[""] = ""
    taken.add("")
    for name in reference:
        take(name, translate(name, mapping) if name else "", resized=True)
    owners = homes(pairing)
    for name in reference:
        base, _, again = name.partition("#")
        if base in owners:
            take(name, owners[base] + (f"#{again}" if again else ""))
    for name, target in _left_alone(reference, port, found, pairing):
        take(name, target)
    sure = {name for name, target in found.items() if _alike(reference, port, name, target)}
    sure |= {name for name, target in found.items() if _hold_the_same(pairing, name, target)}
    for name, target in [*_by_parts(reference, port, found), *_by_weights(reference, port, found, pairing)]:
        take(name, target)
    unsure = frozenset(target for name, target in found.items() if name not in sure)
    return {target: pair(name, target) for name, target in found.items()}, unsure


def _alike(reference: Calls, port: Calls, name: str, target: str) -> bool:
    """Whether both are of one class, or both are made of parts, or neither is.

    Else they share a name, and perhaps not what they compute: a layer with its activation, and one without.
    """
    made = [
        # What torch computes a parameter with is no part of what the module does with it.
        any(call.caller == of and ".parametrizations." not in call.name for call in calls.values())
        for calls, of in ((reference, name), (port, target))
    ]
    return made[0] == made[1] or reference[name].kind == port[target].kind


def _hold_the_same(pairing: Pairing, name: str, target: str) -> bool:
    """Whether all weights that are linked and lie in one module lie in the other as well."""
    inside = [(link.reference.startswith(f"{name}."), link.port.startswith(f"{target}.")) for link in pairing.certain]
    return any(ours for ours, _ in inside) and all(ours == theirs for ours, theirs in inside)


def _by_parts(reference: Calls, port: Calls, found: Mapping[str, str]) -> list[tuple[str, str]]:
    """Calls inside which the same pairs of calls happened, from the outside in."""
    ours = _parts(reference, {name: name for name in found})
    theirs = _parts(port, {target: name for name, target in found.items()})
    groups: dict[frozenset[str], tuple[list[str], list[str]]] = {}
    for number, (parts, names) in enumerate(((ours, found), (theirs, set(found.values())))):
        for name, inside in parts.items():
            if inside and name not in names:
                groups.setdefault(inside, ([], []))[number].append(name)
    return [both for one, other in groups.values() if len(one) == len(other) for both in zip(one, other, strict=True)]


def _left_alone(reference: Calls, port: Calls, found: Mapping[str, str], pairing: Pairing) -> list[tuple[str, str]]:
    """Calls of modules whose weights no module of the other side holds, where only one on either side fits."""
    ours = [name for name in {split_name(each)[0]: None for each in pairing.only_reference} if name in reference]
    theirs = [name for name in {split_name(each)[0]: None for each in pairing.only_port} if name in port]
    fitting = [
        (name, target)
        for name in ours
        for target in theirs
        if name not in found and target not in found.values() and match_outputs(reference[name], port[target])
    ]
    names, targets = ([pair[side] for pair in fitting] for side in (0, 1))
    return [pair for pair in fitting if names.count(pair[0]) == targets.count(pair[1]) == 1]


def _by_weights(reference: Calls, port: Calls, found: Mapping[str, str], pairing: Pairing) -> list[tuple[str, str]]:
    """Calls of modules that hold the same weights in whatever is inside them, from the outside in."""
    groups: dict[frozenset[int], tuple[list[str], list[str]]] = {}
    left = [name for name in reference if name not in found], [name for name in port if name not in found.values()]
    for side, names in enumerate(left):
        for name in sorted(names, key=len):
            held = frozenset(
                number
                for number, link in enumerate(pairing.certain)
                if (link.port if side else link.reference).startswith(f"{name}.")
            )
            if held:
                groups.setdefault(held, ([], []))[side].append(name)
    return [both for ours, theirs in groups.values() for both in product(ours, theirs)]


def _parts(calls: Calls, labels: Mapping[str, str]) -> dict[str, frozenset[str]]:
    """Call -> the labels of the calls inside it that have one."""
    found: dict[str, set[str]] = {name: set() for name in calls}
    for name, label in labels.items():
        at = calls[name].caller if name and name in calls else ""
        while at:
            found[at].add(label)
            at = calls[at].caller
    return {name: frozenset(inside) for name, inside in found.items()}


def match_outputs(
    reference: Call, port: Call, *, resized: bool = False, orders: Sequence[tuple[int, ...]] = (), alike: bool = False
) -> tuple[Leaf, ...]:
    """The outputs that correspond: by name, or in order where each side has as many. resized, orders: see `layout`."""
    ours, theirs = _floats(reference.outputs), _floats(port.outputs)
    same = list(zip(ours, theirs, strict=False)) if len(ours) == len(theirs) else [(n, n) for n in ours if n in theirs]
    found = []
    for name, target in same:
        bring = layout(ours[name], theirs[target], resized=resized, orders=orders, alike=alike)
        if bring is not None:
            found.append(Leaf(name, target, bring, keeps_all=ours[name].size == theirs[target].size))
    return tuple(found)


def match_inputs(reference: Call, port: Call, *, alike: bool = False) -> tuple[tuple[Leaf, ...], tuple[str, ...]]:
    """The inputs that correspond: equal names first, then equal values, then the same place among the arrays."""
    ours = {name: leaf for name, leaf in reference.inputs.items() if isinstance(leaf, np.ndarray)}
    theirs = {name: leaf for name, leaf in port.inputs.items() if isinstance(leaf, np.ndarray)}
    found: list[Leaf] = []

    def take(name: str, target: str, *, only_equal: bool = False) -> None:
        mask = is_mask(name, ours[name]) and is_mask(target, theirs[target])
        if mask and np.squeeze(ours[name]).shape == np.squeeze(theirs[target]).shape:
            leaf = Leaf(name, target, partial(as_mask_of, like=theirs[target]), is_mask=True)
        else:
            kinds = {ours[name].dtype.kind, theirs[target].dtype.kind}
            fits = len(kinds) == 1 or "b" not in kinds
            bring = layout(ours[name], theirs[target], resized=name == target, alike=alike) if fits else None
            if bring is None:
                return
            leaf = Leaf(name, target, bring, keeps_all=ours[name].size == theirs[target].size)
        if only_equal and not _equal(leaf.bring(ours[name]), theirs[target]):
            return
        found.append(leaf)
        del ours[name], theirs[target]

    for name in list(ours):
        if name in theirs:
            take(name, name)
    for name in list(ours):
        for target in list(theirs):
            if name in ours and target in theirs and ours[name].ndim > 1:
                take(name, target, only_equal=True)
    places = [
        [name for name, leaf in call.inputs.items() if isinstance(leaf, np.ndarray)] for call in (reference, port)
    ]
    for name in list(ours):
        place = places[0].index(name)
        if place < len(places[1]) and places[1][place] in theirs:
            take(name, places[1][place])
    absent = [name for name in theirs if name in reference.inputs and reference.inputs[name] is None]
    absent += [name for name in ours if name in port.inputs and port.inputs[name] is None]
    return tuple(found), tuple(absent)


def layout(
    reference: Array,
    port: Array,
    *,
    resized: bool = False,
    orders: Sequence[tuple[int, ...]] = (),
    alike: bool = False,
) -> Layout | None:
    """How the reference's array becomes one of the port's form: as it is, with its axes in another order, reshaped,
    or repeated along an axis that has one element. Of several ways the first that fits what the port has.

    resized: the two are known to be one, even if a fault changed their sizes; the order of their axes is then one of
    `orders`, if one fits as well as any other. None if there is no way.
    """
    plain = reference.shape == port.shape
    if plain and (alike or reference.ndim < 3 or len(set(reference.shape)) == reference.ndim):
        return _as_it_is
    ways: list[Layout] = [_as_it_is] if plain else []
    if reference.ndim == port.ndim and 3 <= port.ndim <= 5:
        for order in permutations(range(port.ndim)):
            if order != tuple(range(port.ndim)) and tuple(reference.shape[axis] for axis in order) == port.shape:
                ways.append(partial(np.transpose, axes=order))
    if not plain and reference.size == port.size:
        ways.append(partial(np.reshape, shape=port.shape))
    if not ways:
        return _repeated(reference, port) or (_resized(reference, port, orders) if resized else None)
    found = next((way for way in ways if _equal(way(reference), port, CLOSE)), None)
    return found or ways[0]


def _repeated(reference: Array, port: Array) -> Layout | None:
    """Along axes that have one element on one side, such as positions that are the same for every row."""
    sizes = list(zip(reference.shape, port.shape, strict=False))
    if reference.ndim != port.ndim or not all(one == other or 1 in (one, other) for one, other in sizes):
        return None
    first = tuple(slice(0, 1) if other == 1 else slice(None) for other in port.shape)
    if not np.array_equal(np.broadcast_to(reference[first], reference.shape), reference):
        return None
    shape = port.shape  # and not the port's array, which would stay in memory
    return lambda array: np.broadcast_to(array[first], shape)


def _resized(reference: Array, port: Array, first: Sequence[tuple[int, ...]]) -> Layout | None:
    """In the order in which most axes keep their size."""
    if reference.ndim != port.ndim:
        return None
    orders = [*(each for each in first if len(each) == port.ndim), tuple(range(port.ndim))]
    orders += CHANNELS.get(port.ndim, ())
    kept = [sum(reference.shape[axis] == size for axis, size in zip(o, port.shape, strict=True)) for o in orders]
    best = int(np.argmax(kept))
    return partial(np.transpose, axes=orders[best]) if kept[best] >= port.ndim / 2 else None


CHANNELS = {3: ((0, 2, 1),), 4: ((0, 2, 3, 1), (0, 3, 1, 2))}
"""The orders of axes by which channels come last instead of second, or second instead of last."""

CLOSE = 1e-3
"""Of the largest value: an order of axes that is the right one fits about as well before any fault."""


def _as_it_is(array: Array) -> Array:
    return array


def is_mask(name: str, array: Array) -> bool:
    """Whether an input marks positions: by its name and what it holds (0 and 1, or 0 and a very large negative)."""
    if "mask" not in name and "bias" not in name:
        return False
    if array.dtype.kind == "b":
        return True
    return bool(np.all((array == 0) | (array == 1))) or bool(np.all((array == 0) | (array <= FILL)))


FILL = -1e4
"""What masks add where nothing may be seen: the smallest seen, of ALBERT's first port, is -10000."""


def allowed(array: Array) -> Array:
    """Where a mask lets one see."""
    if array.dtype.kind == "b":
        return array
    seen: Array = array == (0 if array.min(initial=0) < 0 or not array.any() else 1)
    return seen


def as_mask_of(array: Array, like: Array) -> Array:
    """The mask in the form of another: true and false, 1 and 0, or 0 and what `like` adds where nothing is seen."""
    seen = np.broadcast_to(allowed(array).reshape(like.shape), like.shape)
    if like.dtype.kind == "b":
        return seen
    if like.min(initial=0) < 0:
        return np.where(seen, 0, like.min()).astype(like.dtype)
    if not like.any():  # a mask that adds nothing, or one that hides all
        return np.where(seen, 0, np.finfo(np.float32).min).astype(like.dtype) if like.dtype.kind == "f" else like
    return seen.astype(like.dtype)


def same_array(one: Any, other: Any) -> bool:
    """Whether both are arrays that hold the same numbers."""
    arrays = isinstance(one, np.ndarray) and isinstance(other, np.ndarray)
    return arrays and one.shape == other.shape and bool(np.array_equal(one, other))


def _equal(one: Array, other: Array, closeness: float = EXACT) -> bool:
    if one.shape != other.shape:
        return False
    if one.dtype.kind in "biu":
        return bool(np.array_equal(one, other))
    one, other = filled(one), filled(other)
    seen = np.isfinite(one)
    if not np.array_equal(seen, np.isfinite(other)):
        return False
    return bool(largest(one[seen] - other[seen]) <= closeness * largest(one[seen]))


FILLED = 1e30
"""From here on a number stands for minus infinity, as masks have it; in float64 it would drown what lies beside it."""


def filled(array: Array) -> Array:
    """The array with what stands for infinity being infinite."""
    result: Array = np.where(np.abs(array) < FILLED, array, np.copysign(np.inf, array))
    return result


def _floats(leaves: Mapping[str, Any]) -> dict[str, Array]:
    return {n: a for n, a in leaves.items() if isinstance(a, np.ndarray) and a.dtype.kind == "f" and a.size}
