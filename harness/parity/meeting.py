"""The taps of two runs meet, pair by pair, and the outputs after them; then the verdict follows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from harness.adapters.protocols import Runs
from harness.cases.mapping import joined, matches_none, translate, translate_all
from harness.parity.align import Alignment, align
from harness.parity.axes import Axes, array_in, reordered, shape_in
from harness.parity.compare import Array, Difference, Verdict, compare
from harness.parity.judge import Line, Mask, mask_for
from harness.parity.trace import Trace
from harness.parity.wide import explain
from harness.tolerance import Tolerance


@dataclass(frozen=True, slots=True)
class Names:
    """Which names are compared with which.

    axes: of the reference's taps, see `harness.parity.axes`. implied: further names, which may match none.
    """

    declared: tuple[str, ...]
    mapping: Mapping[str, str]
    unmatched: tuple[Mapping[str, str], Mapping[str, str]]
    place: str
    axes: Mapping[str, Axes] = field(default_factory=dict)
    implied: Mapping[str, str] = field(default_factory=dict)

    def mapping_for(self, reference: Iterable[str]) -> dict[str, str]:
        """The mapping, with what is implied of the names that the reference has."""
        known = list(reference)
        implied = {name: to for name, to in self.implied.items() if not matches_none(name, known)}
        return joined(self.mapping, implied)


@dataclass(frozen=True, slots=True)
class Compared:
    """What the comparison of one call gave; a complaint is an output that could not be compared."""

    outputs: tuple[Difference, ...]
    taps: tuple[Difference, ...]
    complaints: tuple[str, ...]
    alignment: Alignment
    islands: tuple[str, ...] = ()
    refusal: str = ""


def numbered(compared: Compared, number: int) -> Compared:
    """The call with its names marked `@number`, from the second on."""
    if number == 1:
        return compared

    def marked(pairs: tuple[Difference, ...]) -> tuple[Difference, ...]:
        return tuple(
            replace(pair, name=f"{pair.name}@{number}", port_name=f"{pair.port_name}@{number}") for pair in pairs
        )

    return replace(compared, outputs=marked(compared.outputs), taps=marked(compared.taps))


class Meeting:
    """Compares each tap of the port when it comes, so that only the reference's trace is ever whole."""

    def __init__(self, reference: Trace, names: Names, tolerance: Tolerance, masks: Mask) -> None:
        self.reference, self.names, self.tolerance, self.masks = reference, names, tolerance, masks
        self.mapping = names.mapping_for(reference.shapes)
        translated = translate_all(reference.shapes, self.mapping, also=tuple(reference.outputs), place=names.place)
        self.sources = {target: name for name, target in translated.items()}
        self.axes = reordered(reference.shapes, names.axes, place=names.place)
        self.shapes = {
            name: shape_in(self.axes[name], shape) if name in self.axes else shape
            for name, shape in reference.shapes.items()
        }
        self.taps: dict[str, Difference] = {}

    def meet(self, port_name: str, array: Array) -> None:
        """Compare a tap of the port, if the reference has one of its name and shape."""
        name = self.sources.get(port_name)
        if name is not None and self.shapes[name] == array.shape:
            tap = self.reference.taps[name]
            tap = array_in(self.axes[name], tap) if name in self.axes else tap
            self.taps[name] = self._difference(tap, array, (name, port_name), scaled(self.tolerance, tap))

    def conclude(self, port: Trace) -> Compared:
        """What the call gave, the outputs included."""
        names, reference = self.names, self.reference
        alignment = align(
            self.shapes,
            port.shapes,
            mapping=self.mapping,
            also=tuple(reference.outputs),
            excuse_reference=names.unmatched[0],
            excuse_port=names.unmatched[1],
            place=names.place,
        )
        pairs, complaints = pair_outputs(tuple(reference.outputs), tuple(port.outputs), names.declared, names.mapping)
        return Compared(
            outputs=tuple(
                self._difference(reference.outputs[a], port.outputs[b], (a, b), self.tolerance) for a, b in pairs
            ),
            taps=tuple(self.taps[name] for name, _ in alignment.pairs),
            complaints=tuple(complaints),
            alignment=alignment,
        )

    def _difference(self, left: Array, right: Array, names: tuple[str, str], tolerance: Tolerance) -> Difference:
        mask = mask_for(names[0], left, self.masks)
        return compare(left, right, tolerance=tolerance, name=names[0], port_name=names[1], valid=mask)


def explained(
    compared: Compared, sides: Sequence[Runs], inputs: Mapping[str, Any], reference: Trace, masks: Mask
) -> Compared:
    """The outputs judged once more by float64."""
    found = explain(compared.outputs, sides[0], sides[1], inputs, reference_outputs=reference.outputs, masks=masks)
    return replace(compared, outputs=found.outputs, islands=found.islands, refusal=found.refusal)


def scaled(tolerance: Tolerance, tap: Array) -> Tolerance:
    """The tolerance for an array that has no contract, such as a tap: times its scale where that is above 1.

    Inside a correct model activations reach thousands, and float32 rounds them by more than the contract allows.
    """
    scale = float(np.max(np.abs(tap), initial=0.0, where=np.isfinite(tap)))
    if scale <= 1:
        return tolerance
    return Tolerance(atol=tolerance.atol * scale, rtol=tolerance.rtol, reason="times the scale of the tap")


def pair_outputs(
    reference: tuple[str, ...], port: tuple[str, ...], declared: tuple[str, ...], mapping: Mapping[str, str]
) -> tuple[list[tuple[str, str]], list[str]]:
    """Declared outputs, or else all of either side, as pairs; and a complaint for each that a side lacks.

    Where nothing is declared and each side has one output, the two are a pair, however they are called.
    """
    if not declared and len(reference) == len(port) == 1:
        return [(reference[0], port[0])], []
    wanted = {name: translate(name, mapping) for name in declared or reference}
    if not declared:
        wanted |= {name: name for name in port if name not in wanted.values()}
    pairs, complaints = [], []
    for name, target in wanted.items():
        if name not in reference:
            complaints.append(f"output {name!r} is missing in the reference, which has {_listed(reference)}")
        if target not in port:
            complaints.append(f"output {target!r} is missing in the port, which has {_listed(port)}")
        if name in reference and target in port:
            pairs.append((name, target))
    return pairs, complaints


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names)) or "none"


def conclude(outputs: Sequence[Difference], complaints: Sequence[str], lines: Sequence[Line]) -> tuple[Verdict, str]:
    """The worst verdict of an output or a line. A fault that was seen stays seen, whatever could not be compared."""
    every = [(each.name, each.verdict, each.reason) for each in outputs]
    every += [(f"{line.check}, {line.probe}", line.verdict, line.reason) for line in lines]
    for verdict in (Verdict.DIVERGE, Verdict.WITHIN_TOLERANCE):
        if any(each[1] is verdict for each in every):
            faulty = [f"{name}: {reason}" for name, its, reason in every if its in (Verdict.DIVERGE, verdict)]
            return verdict, "; ".join([*faulty[:SHOWN], *_more(faulty), *complaints])
    unclear = [f"{name}: {reason}" for name, verdict, reason in every if verdict is Verdict.INCONCLUSIVE]
    if complaints or unclear or not outputs:
        return Verdict.INCONCLUSIVE, "; ".join([*complaints, *unclear]) or "nothing was compared"
    return Verdict.AGREE, ""


SHOWN = 2
"""Faults that the reason spells out; the lines of the result have all."""


def _more(faulty: Sequence[str]) -> list[str]:
    return [f"and {len(faulty) - SHOWN} more"] if len(faulty) > SHOWN else []
