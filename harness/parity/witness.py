"""What is known of a module at fault, gathered for the hypotheses about its cause."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.adapters.protocols import Call, Holds, State
from harness.parity.calls import Leaf, allowed
from harness.parity.causes.convolutions import weight_norm
from harness.parity.causes.evidence import Evidence
from harness.parity.compare import Array
from harness.parity.floor import EXACT, largest
from harness.parity.forced import Apart, View, valid_in

LEAVES = {"kernel": "weight", "scale": "weight", "embedding": "weight", "mean": "running_mean", "var": "running_var"}
"""What Flax calls the weights of a module, and PyTorch."""


@dataclass(frozen=True, slots=True)
class Blame:
    """One reason to call the reference's module `path` at fault: an output of the port's call, or an input of it."""

    path: str
    port_path: str
    call: str
    leaf: Leaf
    apart: Apart
    handed: bool
    made: bool = False


def gather(
    view: View, blame: Blame, weights: Sequence[Mapping[str, Array]], *, check: str, forwards: Mapping[str, Call]
) -> Evidence | None:
    """The evidence for one blame, in the reference's form; None where an array has no such form.

    weights: what either side holds. check: in which kind of run. forwards: the reference's calls, forwards.
    """
    path, port_path, handed, made = blame.path, blame.port_path, blame.handed, blame.made
    pair = view.pairs[blame.call]
    ours, theirs = view.reference[pair.name], view.fed[blame.call]
    leaf = blame.leaf
    if not handed and view.worst(ours.outputs, theirs.outputs, pair.outputs[:1]) is not None:
        leaf = pair.outputs[0]  # rather than attention weights, or whatever else comes with it
    right = (ours.inputs if handed else ours.outputs).get(leaf.reference)
    got = (theirs.inputs if handed else theirs.outputs).get(leaf.port)
    if not isinstance(right, np.ndarray) or not isinstance(got, np.ndarray):
        return None
    if leaf.is_mask:
        right, got = allowed(leaf.bring(right)), allowed(got)
    else:
        got = brought_back(leaf, got, right)
    if got is None:
        return None
    at = path if made else pair.name if not handed else _caller(view, pair.name, path)
    of = view.reference[at]
    own, tied = _within(weights[0], path), ""
    if not own and not handed:
        own, tied = _tied(weights[0], of, right)
    return Evidence(
        path=path,
        kind=of.kind,
        right=right,
        got=got,
        inputs=of.inputs,
        inside=_inside(view.reference, at),
        weights=own,
        theirs=_like(_within(weights[1], port_path), own) if not made else {},
        every=weights[0],
        tied=tied,
        valid=None if leaf.is_mask else valid_in(right, view.masks),
        child=pair.name if handed and not made else "",
        leaf=leaf.reference,
        is_mask=leaf.is_mask,
        check=check,
        drawn=_drawn_there(view, blame, at),
        before=None if check != "gradients" or handed else _first(forwards[pair.name]),
        earlier=tuple(_earlier(view.reference, at)) if check == "decode" else (),
    )


def _port_call(view: View, blame: Blame) -> str:
    """The port's call that is at fault."""
    return view.caller(blame.call) if blame.handed else blame.call


def _drawn_there(view: View, blame: Blame, at: str) -> tuple[int, int]:
    """What either side drew; nothing is known where the port may have drawn for another unknown module."""
    ours, theirs = _drawn(view, at, _port_call(view, blame), handed=blame.handed or blame.made)
    return (ours, theirs) if not blame.made or theirs in (0, ours) else (0, 0)


def _drawn(view: View, name: str, port_name: str, *, handed: bool) -> tuple[int, int]:
    """How many random numbers either side drew in a call; of what it hands on, without what known calls inside drew."""
    known: tuple[set[str], set[str]] = (set(), set())
    if handed:
        known = ({pair.name for pair in view.pairs.values()}, set(view.pairs))
    totals = []
    for calls, of, others in zip((view.reference, view.port), (name, port_name), known, strict=True):
        total, inside = 0, {of}
        for call in reversed(list(calls.values())):  # those around others end after them
            if call.name == of or (call.caller in inside and call.name and call.name not in others):
                inside.add(call.name)
                total += call.drawn[0]
        totals.append(total)
    return totals[0], totals[1]


def _first(call: Call) -> Array | None:
    arrays = (each for each in call.inputs.values() if isinstance(each, np.ndarray) and each.dtype.kind == "f")
    return next(arrays, None)


def _earlier(calls: Mapping[str, Call], name: str) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Call]]]:
    """What the same module was given in earlier steps, and what happened inside it."""
    path, _, number = name.partition("#")
    for step in range(1, int(number or 1)):
        before = path if step == 1 else f"{path}#{step}"
        if before in calls:
            yield calls[before].inputs, _inside(calls, before)


def _tied(weights: Mapping[str, Array], call: Call, right: Array) -> tuple[dict[str, Array], str]:
    """The weight of another module with which a product makes this output, and its name: a tied head has no own."""
    x = next((leaf for leaf in call.inputs.values() if isinstance(leaf, np.ndarray) and leaf.dtype.kind == "f"), None)
    if x is None or x.ndim < 2 or right.ndim < 2:
        return {}, ""
    few, wanted = x.reshape(-1, x.shape[-1])[:ROWS], right.reshape(-1, right.shape[-1])[:ROWS]
    for name, array in weights.items():
        if array.shape == (wanted.shape[1], few.shape[1]):
            made = few @ array.astype(np.float64).T
            if largest(made - wanted) <= EXACT * largest(wanted):
                return {"weight": array.astype(np.float64)}, name
    return {}, ""


ROWS = 4
"""Positions that tell one weight from another."""


def _caller(view: View, name: str, path: str) -> str:
    """The call of `path` inside which `name` happened."""
    at = view.reference[name].caller
    while at and at.split("#")[0] != path:
        at = view.reference[at].caller
    return at


def _inside(calls: Mapping[str, Call], name: str) -> dict[str, Call]:
    return {call.name: call for call in calls.values() if call.name != name and call.caller == name}


def brought_back(leaf: Leaf, got: Array, like: Array) -> Array | None:
    """The port's array in the form that the reference has it in; None if that is not known."""
    axes = getattr(leaf.bring, "keywords", {}).get("axes")
    if axes is not None:
        back: Array = got.transpose(np.argsort(axes))
        return back
    if got.shape == like.shape:
        return got
    if got.ndim == like.ndim and all(size in (1, wide) for size, wide in zip(like.shape, got.shape, strict=True)):
        first = got[tuple(slice(0, 1) if size == 1 else slice(None) for size in like.shape)]
        if np.array_equal(np.broadcast_to(first, got.shape), got):  # one for all, repeated for each
            return first
    if got.ndim == like.ndim and all(size in (1, wide) for size, wide in zip(got.shape, like.shape, strict=True)):
        return np.broadcast_to(got, like.shape)
    # A fault that changes a size leaves the axes where they are.
    return got.reshape(like.shape) if got.size == like.size else got if got.ndim == like.ndim else None


def weights_of(side: Any, state: State) -> dict[str, Array]:
    """What a side holds in this state, by name, as it is stored: nothing is copied."""
    if not isinstance(side, Holds):
        return {}
    return {name: state.values.get(name, each.array) for name, each in side.weights().items()}


def _within(weights: Mapping[str, Array], path: str) -> dict[str, Array]:
    start = f"{path}." if path else ""
    own = {n[len(start) :]: a for n, a in weights.items() if n.startswith(start) and "." not in n[len(start) :]}
    found = {name: np.asarray(array, np.float64) for name, array in own.items()}
    length, direction = (weights.get(f"{start}parametrizations.weight.original{number}") for number in (0, 1))
    if length is not None and direction is not None and length.ndim == direction.ndim:
        found |= {"weight_g": np.asarray(length, np.float64), "weight_v": np.asarray(direction, np.float64)}
        found["weight"] = weight_norm(found["weight_g"], found["weight_v"])
    return found


def _like(theirs: Mapping[str, Array], ours: Mapping[str, Array]) -> dict[str, Array]:
    """The port's weights of a module under the reference's names and in its forms."""
    found = {}
    for name, array in theirs.items():
        leaf = LEAVES.get(name, name)
        if leaf not in ours:
            continue
        if name == "kernel":
            array = array.T if array.ndim == 2 else np.moveaxis(array, (-1, -2), (0, 1))
        if array.shape == ours[leaf].shape:
            found[leaf] = array
    return found
