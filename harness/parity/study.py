"""Both sides with healthy weights, and what every further check needs of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.adapters.choose import adapt, float64
from harness.adapters.protocols import Differentiates, Gradients, Holds, Runs, State, Weight, Wide
from harness.cases.probes import Probe
from harness.errors import BuildError, origin
from harness.parity.compare import Array
from harness.parity.healthy import healthy, in_port
from harness.parity.judge import Mask, Moved, Pair, mask_for, valid_part
from harness.parity.linking import completed
from harness.parity.weights import STATISTICS, Pairing, kind_of

Convert = Callable[[Any], Any]
Names = Sequence[tuple[str, str]]
"""Outputs: reference name, port name."""


@dataclass(frozen=True, slots=True)
class Study:
    """Two sides that hold healthy weights.

    values: what either side holds instead of its stored weights. own: the weights that either side has for itself,
    so that the other's rounding of them is not its own. tables: whether some of those are not trained, nor statistics.
    """

    sides: tuple[Runs, Runs]
    pairing: Pairing
    names: Names
    values: tuple[Mapping[str, Array], Mapping[str, Array]]
    own: tuple[frozenset[str], frozenset[str]]
    tables: bool = False

    def states(self, nudge: int | None = None) -> tuple[State, State]:
        """How either side is to be run. nudge: with its own weights moved by rounding."""
        one, other = (State(values, nudge, moved) for values, moved in zip(self.values, self.own, strict=True))
        return one, other


@contextmanager
def study(
    reference: Runs,
    port: Runs,
    pairing: Pairing,
    *,
    names: Names,
    seed: int,
    convert: Convert | None = None,
) -> Iterator[Study]:
    """While open, both sides can be run with healthy weights: through the links, or by converting the reference.

    Raises:
        BuildError: `convert` raised.
    """
    own = (frozenset(pairing.only_reference), frozenset(pairing.only_port))
    if not (isinstance(reference, Holds) and isinstance(port, Holds)):
        yield Study((reference, port), pairing, names, ({}, {}), own)
        return
    weights = reference.weights()
    tables = any(_is_table(name, side[name]) for side, names in zip((weights, port.weights()), own) for name in names)
    if convert is None:
        linked = _whole(pairing, weights)
        changed = healthy(weights, linked, seed=seed)
        followed = in_port(changed, pairing.certain, port.weights())
        yield Study((reference, port), pairing, names, (changed, followed), own, tables)
        return
    changed = healthy(weights, frozenset(weights), seed=seed)
    held = {name: weight.array.astype(np.float64) for name, weight in weights.items()} | changed
    with reference.holding(held) as native:
        converted = _converted(convert, native, port)
        if isinstance(converted, Holds):
            pairing = completed(pairing, reference.weights(), converted.weights())
        # What is trained was converted exactly; a table that only the reference stores was not.
        stored = frozenset(name for name in pairing.only_reference if not weights[name].trained)
        tables = any(_is_table(name, weights[name]) for name in stored)
        yield Study((reference, converted), pairing, names, (held, {}), (stored, frozenset()), tables)


def _converted(convert: Convert, native: Any, port: Runs) -> Runs:
    try:
        with float64():
            made = convert(native)
    except Exception as error:
        raise BuildError(
            "convert",
            f"raised {type(error).__name__} for the reference in float64: {error} (at {origin(error)})",
            todo="Take the types of the port from the reference's weights.",
        ) from error
    return adapt(made, device=getattr(port, "device", "cpu"), place="convert")


def _whole(pairing: Pairing, weights: Mapping[str, Any]) -> frozenset[str]:
    """The reference's weights of which every part is linked."""
    linked: dict[str, int] = {}
    for link in pairing.certain:
        linked[link.reference] = linked.get(link.reference, 0) + link.of_reference(weights[link.reference].array).size
    proposed = {link.reference for link in pairing.proposed}
    return frozenset(n for n, size in linked.items() if size >= weights[n].array.size and n not in proposed)


def output_pairs(names: Names, runs: Sequence[Wide], masks: Mask) -> list[Pair]:
    """The named outputs of two runs, at their valid positions."""
    pairs = []
    for name, target in names:
        if name in runs[0].outputs and target in runs[1].outputs:
            ours, theirs = runs[0].outputs[name], runs[1].outputs[target]
            if _of_padding(ours, masks):
                continue
            if ours.shape == theirs.shape:
                ours, theirs = valid_part(name, ours, masks), valid_part(name, theirs, masks)
            pairs.append(Pair(name, ours, theirs))
    return pairs


def _of_padding(array: Array, masks: Mask) -> bool:
    """Whether an output has values for pairs of tokens (attention), some of which are padding and mean nothing."""
    return any(
        array.ndim >= 4 and array.shape[-2:] == (mask.shape[1],) * 2 and not mask.all() for mask in masks.values()
    )


def _is_table(name: str, weight: Weight) -> bool:
    return not weight.trained and kind_of(name) not in STATISTICS and weight.array.dtype.kind == "f"


def same_framework(found: Study) -> bool:
    """Whether both sides are of one framework, and so of its conventions."""
    return len({side.describe().split()[0] for side in found.sides}) == 1


def rounding_of(found: Study, runs: Sequence[Wide | Gradients], moved: Moved) -> dict[str, Any]:
    """What `judge` needs to know of rounding: it is asked for only where a side has something of its own to round."""
    short = is_short(runs, tables=found.tables)
    return {
        "moved": moved if short or any(found.own) else None,
        "short": short,
        "islands": any(run.islands for run in runs),
    }


def is_short(runs: Sequence[Wide | Gradients], *, tables: bool) -> bool:
    """Whether a computation in a shorter type went into a run: a table is the end of one in float32, of which its own
    last place is but the last step.

    tables: whether the weights hold any.
    """
    return tables or any(run.islands or run.constants for run in runs)


def cotangents_for(
    found: Study, probe: Probe, masks: Mask, seed: int, *, training: bool = False
) -> list[dict[str, Array]]:
    """A fixed random weight for every valid value of every output, scaled so that gradients are of order one."""
    side = found.sides[0]
    if training and isinstance(side, Differentiates):
        outputs = side.run_training(probe.inputs, state=found.states()[0]).outputs
    else:
        outputs = side.run_wide(probe.inputs, state=found.states()[0]).outputs
    ours = cotangents({name: outputs[name] for name, _ in found.names if name in outputs}, masks, seed)
    theirs = {target: ours[name] for name, target in found.names if name in ours}
    return [ours, theirs]


def cotangents(outputs: Mapping[str, Array], masks: Mask, seed: int) -> dict[str, Array]:
    """The same for these outputs."""
    generator = np.random.default_rng(seed)
    found: dict[str, Array] = {}
    for name, array in outputs.items():
        if array.dtype.kind != "f":
            continue
        weights = generator.normal(size=array.shape) / np.sqrt(array.size)
        mask = _mask(name, array, masks)
        usable = np.isfinite(array) & (np.abs(np.where(np.isfinite(array), array, 0)) < 1e30)
        found[name] = np.where(usable & mask, weights, 0.0)
    return found


def _mask(name: str, array: Array, masks: Mask) -> Array:
    mask = mask_for(name, array, masks)
    if mask is None:
        return np.ones(array.shape, bool)
    return np.broadcast_to(mask.reshape(mask.shape + (1,) * (array.ndim - 2)), array.shape)
