"""A call of the port as the models of the causes want to see it: its weights and arrays in PyTorch's form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from harness.adapters.protocols import Call
from harness.parity.causes.evidence import Evidence
from harness.parity.compare import Array
from harness.parity.planting.fault import Site, Watched, path_of
from harness.parity.weights import kind_of

RUNNING = {"mean": "running_mean", "var": "running_var"}


def named(weights: Mapping[str, Array]) -> dict[str, Array]:
    """Weights by the word that PyTorch has for each: weight, bias, running_mean, running_var."""
    return {RUNNING.get(kind_of(name), kind_of(name)): array for name, array in weights.items()}


def evidence(
    watched: Watched,
    name: str,
    right: Array,
    *,
    inputs: Mapping[str, Any] | None = None,
    inside: Mapping[str, Call] | None = None,
    weights: Mapping[str, Array] | None = None,
    child: str = "",
) -> Evidence:
    """What is known of a call in the run as it is; `right` is what a model of it should give."""
    call = watched.calls[name]
    return Evidence(
        path=path_of(name),
        kind=call.kind,
        right=right,
        got=right,
        inputs=call.inputs if inputs is None else inputs,
        inside=watched.inside(name) if inside is None else inside,
        weights=named(watched.own(name)) if weights is None else weights,
        theirs={},
        child=child,
    )


def first_floats(call: Call) -> Array | None:
    """The first array of numbers that a call is given."""
    return next((a for a in call.inputs.values() if isinstance(a, np.ndarray) and a.dtype.kind == "f"), None)


def first_whole(call: Call) -> Array | None:
    """The first array of whole numbers that a call is given."""
    return next((a for a in call.inputs.values() if isinstance(a, np.ndarray) and a.dtype.kind in "iu"), None)


def floats(call: Call) -> dict[str, Array]:
    """The arrays of numbers that a call is given, by leaf name."""
    return {n: a for n, a in call.inputs.items() if isinstance(a, np.ndarray) and a.dtype.kind == "f"}


def close(made: Array | None, target: Array, closeness: float = 1e-9) -> bool:
    """Whether a model gives what stands there."""
    if made is None or made.shape != target.shape or not made.size:
        return False
    with np.errstate(invalid="ignore"):
        return bool(np.abs(made - target).max() <= closeness * max(np.abs(target).max(), 1e-300))


def earlier(watched: Watched, name: str, site: Site) -> list[Site]:
    """The arrays of numbers that a call has when it makes what stands at the site: given, or put out inside before."""
    found = [Site(name, leaf, given=True) for leaf in floats(watched.calls[name])]
    for child, call in watched.inside(name).items():
        if child == site.call:
            break
        found += [Site(child, leaf) for leaf, array in call.outputs.items() if array.dtype.kind == "f"]
    return [each for each in found if each != site]


FEW = 4096
"""Numbers that are compared first: most models that do not fit are seen there not to."""


def maybe(one: Array, other: Array) -> bool:
    """Whether two arrays of one shape are close at the first of their numbers."""
    return one.shape == other.shape and close(one.reshape(-1)[:FEW], other.reshape(-1)[:FEW])
