"""Gradients of both sides through the links of their weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from harness.adapters.protocols import Array, Differentiates, Gradients, Holds, State, UnsupportedError
from harness.cases.probes import Probe
from harness.parity.floor import largest
from harness.parity.judge import Line, Mask, Pair, judge
from harness.parity.layout import is_neutral
from harness.parity.linking import pair_by_gradients, without
from harness.parity.study import Study, cotangents_for, rounding_of
from harness.parity.weights import STATISTICS, Link, Pairing, kind_of


def gradient_line(found: Study, probe: Probe, masks: Mask, *, seed: int) -> Line:
    """Gradients of every linked parameter and of the inputs.

    Raises:
        UnsupportedError: a side has none, or they are not numbers.
    """
    sides = [side for side in found.sides if isinstance(side, Differentiates)]
    if len(sides) < 2:
        raise UnsupportedError("a side is a function of Python, which has no gradients")
    cotangents = cotangents_for(found, probe, masks, seed)

    def run(nudge: int | None) -> tuple[list[Pair], list[Gradients]]:
        both = [
            side.gradients(probe.inputs, cotangent, state=state)
            for side, cotangent, state in zip(sides, cotangents, found.states(nudge), strict=True)
        ]
        return _gradient_pairs(found.pairing, both[0], both[1]), both

    pairs, both = run(None)
    if not pairs:
        raise UnsupportedError("no parameter is linked, and no input has a gradient")
    if not all(np.isfinite(pair.reference).all() for pair in pairs):
        raise UnsupportedError("the reference's gradients are not all numbers")
    return judge("gradients", probe.name, pairs, **rounding_of(found, both, lambda nudge: run(nudge)[0]))


def _gradient_pairs(pairing: Pairing, reference: Gradients, port: Gradients) -> list[Pair]:
    """Linked parameters, those that one side holds several times summed; then the inputs."""
    scale = max((largest(each) for each in reference.parameters.values()), default=0.0)
    pairs = []
    for group in _groups(pairing.certain):
        usable = [k for k in group if k.reference in reference.parameters and k.port in port.parameters]
        if len(usable) < len(group):
            continue
        shape = group[0].of_reference(reference.parameters[group[0].reference]).shape
        ours = {(k.reference, k.reference_part): k.of_reference(reference.parameters[k.reference]) for k in group}
        theirs = {(k.port, k.port_part): k.to_reference(k.of_port(port.parameters[k.port]), shape) for k in group}
        pairs.append(Pair(group[0].reference, _sum(ours.values()), _sum(theirs.values()), scale))
    for name, array in reference.inputs.items():
        if name in port.inputs:
            pairs.append(Pair(f"input {name}", array, port.inputs[name], largest(array)))
    return pairs


def _sum(arrays: Iterable[Array]) -> Array:
    return np.asarray(sum(arrays))


def _groups(links: Sequence[Link]) -> list[list[Link]]:
    """Links that share a part of either side, together: a weight that one side ties and the other holds twice."""
    groups: list[tuple[set[Any], list[Link]]] = []
    for link in links:
        ends = {("reference", link.reference, link.reference_part), ("port", link.port, link.port_part)}
        touching = [group for group in groups if group[0] & ends]
        groups = [group for group in groups if not group[0] & ends]
        groups.append(
            (ends.union(*(group[0] for group in touching)), [*(k for group in touching for k in group[1]), link])
        )
    return [group[1] for group in groups]


def open_neutral(pairing: Pairing, reference: Holds, port: Holds) -> bool:
    """Whether both sides have neutral parameters that are not linked."""
    ours, theirs = reference.weights(), port.weights()
    names = [*pairing.only_reference, *(link.reference for link in pairing.proposed)]
    targets = [*pairing.only_port, *(link.port for link in pairing.proposed)]
    return any(ours[n].trained and is_neutral(ours[n].array) for n in names) and any(
        theirs[n].trained and is_neutral(theirs[n].array) for n in targets
    )


def doubtful(pairing: Pairing, reference: Holds) -> list[Link]:
    """Links to weights of the port that may be leftovers of a conversion.

    That is: one of several for a weight of the reference, or one for a weight that the reference does not train.
    """
    counts = Counter((link.reference, link.reference_part) for link in pairing.certain)
    trained = {name for name, weight in reference.weights().items() if weight.trained or kind_of(name) in STATISTICS}
    return [
        link
        for link in pairing.certain
        if link.port_part is None and (counts[link.reference, link.reference_part] > 1 or link.reference not in trained)
    ]


def without_idle(found: Study, probe: Probe) -> Pairing:
    """The pairing without doubtful links to weights on which no output of the port depends."""
    reference, port = found.sides
    if not (isinstance(reference, Holds) and isinstance(port, Holds)):
        return found.pairing
    links = doubtful(found.pairing, reference)
    state, weights = found.states()[1], port.weights()
    before = port.run_wide(probe.inputs, state=state).outputs

    def unused(link: Link) -> bool:
        base = state.values.get(link.port, weights[link.port].array)
        moved = State({**state.values, link.port: np.asarray(base, np.float64) + 1.0})
        after = port.run_wide(probe.inputs, state=moved).outputs
        return all(np.array_equal(after[name], before[name], equal_nan=True) for name in before)

    dropped = [link for link in links if unused(link)]
    return without(found.pairing, dropped, (reference.weights(), weights))


def linked_by_gradients(found: Study, probe: Probe, masks: Mask, *, seed: int) -> Pairing:
    """The pairing, with those neutral weights linked that move the loss alike on both sides."""
    sides = [side for side in found.sides if isinstance(side, Differentiates) and isinstance(side, Holds)]
    if len(sides) < 2:
        return found.pairing
    cotangents = cotangents_for(found, probe, masks, seed)
    both = [
        side.gradients(probe.inputs, cotangent, state=state).parameters
        for side, cotangent, state in zip(sides, cotangents, found.states(), strict=True)
    ]
    return pair_by_gradients(found.pairing, (sides[0].weights(), sides[1].weights()), (both[0], both[1]))
