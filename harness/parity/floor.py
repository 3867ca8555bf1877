"""Whether rounding alone explains the distance of two outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from harness.parity.compare import Array

EXACT = 1e-9
"""Times max|reference| in float64: what two correct programs may differ by there. all-MiniLM-L6-v2 in PyTorch and Flax
differs by 9e-16 of its scale, a millionth of this."""

FACTOR = 10.0
"""How many times the reference's own rounding a port in float32 may be off. In a study of 36 correct ports the worst
was off by 1.21 times, of 150 faulty ones the least by 57 times; 60 ports with BatchNorm folded in by at most 2.7."""

STORED = 2.0
"""How many times the effect of half a unit in the last place of every stored weight, on the side where it is larger, a
port may be off in float64. 60 ports with BatchNorm folded into six layers, and stored in float32, were off by at most
0.93 times; `suites/adapters/test_wide.py` measures it again."""

DRAWS = 3
"""How often the weights are nudged to see that effect; the figure above was measured with as many."""

FILL = 1e30
"""Values from which a number in float32 is no activation but what a mask fills in, the lowest number of its type."""

EPS32 = float(np.finfo(np.float32).eps)

By = Literal["float64", "stored weights", "floor"]


@dataclass(frozen=True, slots=True)
class Rounding:
    """What rounding explains of one output.

    error64, scale64: max|reference - port| and max|reference|, both sides in float64; error64 None if a side has none.
    floor: max(max|reference32 - reference64|, eps32 x max|reference64|), what rounding does to the reference.
    stored: what half a unit in the last place of a side's stored weights does in float64, where that was asked.
    of: whose rounding the floor is: the port's, where the reference is a recording without float64.
    explained: whether rounding explains the error; by: the measurement that decides.
    """

    error64: float | None
    scale64: float
    floor: float
    explained: bool
    by: By
    stored: float | None = None
    of: Literal["reference", "port"] = "reference"

    @property
    def allowed(self) -> float:
        """The error in float32 up to which rounding explains it by the floor."""
        return FACTOR * self.floor


def measure(
    error: float,
    reference: Array,
    reference64: Array,
    port64: Array | None,
    *,
    islands: bool,
    mask: Array | None = None,
) -> Rounding:
    """Judge an `error` that was measured in float32.

    In float64 the two agree to `EXACT` of the scale: rounding was all there was. That decides wherever float64 is
    complete. Where a side has none, or has islands that stay short, the error is compared with the floor instead.

    mask: the valid positions, as for `compare`.
    """
    ref32 = _valid(reference, mask)
    # What is not finite, or was filled in by a mask, is the type's own and has no counterpart in float64.
    numbers = np.isfinite(ref32) & (np.abs(ref32) < FILL)
    ref32, ref64 = ref32[numbers], _valid(reference64, mask)[numbers]
    scale = largest(ref64)
    floor = max(largest(ref32 - ref64), EPS32 * scale)
    difference = None if port64 is None else ref64 - _valid(port64, mask)[numbers]
    # NaN in float64 alone would otherwise count as no error at all.
    error64 = largest(difference) if difference is not None and np.isfinite(difference).all() else None
    if error64 is not None and error64 <= EXACT * scale:
        return Rounding(error64, scale, floor, explained=True, by="float64")
    if error64 is None or islands:
        return Rounding(error64, scale, floor, explained=error <= FACTOR * floor, by="floor")
    return Rounding(error64, scale, floor, explained=False, by="float64")


def allow_stored(
    found: Rounding, sides: Sequence[tuple[Array, Sequence[Array]]], *, mask: Array | None = None
) -> Rounding:
    """The rounding again, with the effect of the weights' own rounding allowed for.

    A port whose weights were computed (folded, fused) and stored in float32 differs in float64 by what storing lost;
    so does one that computes what the reference has stored, such as a table of frequencies.

    sides: of either side, the output in float64 and those with its weights moved, one a draw.
    """
    stored = max(largest(_valid(moved, mask) - _valid(base, mask)) for base, draws in sides for moved in draws)
    explained = found.error64 is not None and found.error64 <= STORED * stored
    return Rounding(found.error64, found.scale64, found.floor, explained=explained, by="stored weights", stored=stored)


def _valid(array: Array, mask: Array | None) -> Array:
    chosen = array[mask.astype(bool)] if mask is not None and array.shape[:2] == mask.shape else array
    return chosen if np.iscomplexobj(chosen) else chosen.astype(np.float64)


def largest(array: Array) -> float:
    """The largest absolute value that is a number, and not what a mask fills in."""
    size = np.abs(np.where(np.isfinite(array), array, 0.0))
    return float(np.max(size, initial=0.0, where=size < FILL))
