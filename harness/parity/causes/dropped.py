"""Dropout (Srivastava et al. 2014), held still: every element is kept, and scaled by 1 / (1 - rate)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from harness.parity.causes.evidence import Claim, Evidence
from harness.parity.causes.outputs import at_hand
from harness.parity.compare import Array
from harness.parity.floor import EXACT


def dropped(evidence: Evidence) -> Iterator[Claim]:
    """Either side drops what it should not, or at another rate. What was drawn tells one from the other."""
    if not evidence.training or not any(evidence.drawn) or evidence.right.shape != evidence.got.shape:
        return
    for source, leaf, array in at_hand(evidence):
        scales = [_scale(array, target) for target in (evidence.right, evidence.got)]
        if scales[0] and scales[1]:
            name, what = _named(scales[0], scales[1], evidence.drawn)
            yield Claim(name, what, partial(_from_source, source=source, leaf=leaf, scales=(scales[0], scales[1])))
    ratio = _scale(evidence.right, evidence.got)
    if ratio:
        name, what = _named(1.0, ratio, evidence.drawn)
        if not evidence.drawn[1]:
            what = f"nothing is dropped, {1 - ratio:.4g} in the reference"
        yield Claim(name, what, lambda e: (None, ratio * e.right))


def _named(ours: float, theirs: float, drawn: tuple[int, int]) -> tuple[str, str]:
    rates = [1 - 1 / scale if scale >= 1 else 0.0 for scale in (ours, theirs)]
    if not drawn[1]:
        return "dropout missing", f"nothing is dropped, {rates[0]:.4g} in the reference"
    if not drawn[0]:
        return "dropout added", f"{rates[1]:.4g} is dropped, nothing in the reference"
    if np.isclose(theirs, 1.0) and not np.isclose(ours, 1.0):
        return "dropout not rescaled", f"what is kept is not divided by {1 / ours:.4g}"
    return "dropout rate", f"scaled by {theirs:.6g} in the port, by {ours:.6g} in the reference"


def _scale(array: Array, target: Array) -> float:
    """How many times the array the target is; 0 if it is no multiple of it."""
    if array.shape != target.shape or not (array * array).sum():
        return 0.0
    scale = float((array * target).sum() / (array * array).sum())
    close = np.abs(scale * array - target).max(initial=0.0) <= EXACT * np.abs(target).max(initial=0.0)
    return scale if close else 0.0


def _from_source(
    evidence: Evidence, source: str, leaf: str, scales: tuple[float, float]
) -> tuple[Array | None, Array | None]:
    call = evidence.inside.get(source)
    array = evidence.inputs.get(leaf) if not source else None if call is None else call.outputs.get(leaf)
    return (None, None) if array is None else (scales[0] * array, scales[1] * array)
