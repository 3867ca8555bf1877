"""In which part of a model a comparison goes wrong first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from harness.adapters.choose import adapt
from harness.adapters.protocols import Holds, Weight
from harness.parity.compare import Difference, Verdict
from harness.parity.comparison import Comparison
from harness.parity.stored import Stored
from harness.parity.suspects import ROUNDING
from harness.parity.trace import record
from harness.parity.weights import split_name
from harness.porting.outline import PARTS, Outline, outline_of


def outlined(reference: Any, inputs: Any, *, device: str = "cpu", place: str) -> Outline:
    """The outline of a case's reference, which is run once; a recording's, as it was recorded."""
    if isinstance(reference, Stored):
        return outline_of(reference.index.runs[0].taps, reference.index.weights)
    side = adapt(reference, device=device, place=place)
    call = inputs if isinstance(inputs, Mapping) else inputs[0]
    weights = side.weights() if isinstance(side, Holds) else {}
    return outline_of(record(side, call).shapes, weights, tables=_tables(weights) if _is_whole(call) else ())


def _tables(weights: Mapping[str, Weight]) -> list[str]:
    """The modules that hold one matrix and nothing else, as an embedding does."""
    held: dict[str, list[Weight]] = {}
    for name, weight in weights.items():
        held.setdefault(split_name(name)[0], []).append(weight)
    return [home for home, inside in held.items() if len(inside) == 1 and inside[0].array.ndim == 2]


def _is_whole(call: Mapping[str, Any]) -> bool:
    """Whether a model is given nothing but whole numbers: tokens."""
    return all(np.asarray(value).dtype.kind in "iub" for value in call.values() if hasattr(value, "__array__"))


def part_at_fault(found: Comparison, outline: Outline) -> tuple[str, str]:
    """The first part that is at fault, and where in it, in words; two empty strings if no part is.

    Modules at fault come from the diagnosis. Where it blames the model itself, or finds none, the first tap that is off
    tells; where none is, the outputs do, which are the head's.
    """
    if found.verdict is Verdict.AGREE or _is_open(found):
        return "", ""
    told = [
        (part, f"{each.path}, {each.kind}: {each.how}")
        for each in found.faulty
        if each.check == "forward" and (part := outline.part_of(each.path))
    ]
    if found.first is not None and (part := outline.part_of(found.first.name)):
        told.append((part, _off(found.first)))
    if not told:
        rows = [row for row in found.diagnosis.modules if row.total > ROUNDING and outline.part_of(row.path)]
        told = [(outline.part_of(row.path), f"{row.path}, {row.kind}: off in float64") for row in rows[:1]]
    return min(told, key=lambda each: PARTS.index(each[0])) if told else ("head", found.reason)


def _is_open(found: Comparison) -> bool:
    """Whether nothing that was compared is wrong, and only names are open."""
    verdicts = {*(pair.verdict for pair in found.outputs), *(line.verdict for line in found.lines)}
    return verdicts == {Verdict.AGREE}


def _off(tap: Difference) -> str:
    return (
        f"{tap.name}: {tap.reason}" if not tap.compared else f"{tap.name} is off by {tap.error:.3g} of {tap.scale:.3g}"
    )
