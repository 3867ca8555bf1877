"""The measured distance of a pair of arrays, and what follows from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from harness.tolerance import Tolerance

if TYPE_CHECKING:
    from harness.parity.floor import Rounding

Array = npt.NDArray[Any]

CHUNK = 1 << 20
"""Elements converted to float64 at a time: 8 MiB a side, so that a pair never has a second copy of its own size."""


class Verdict(Enum):
    """What a comparison found; never a bool."""

    AGREE = "agree"
    WITHIN_TOLERANCE = "within_tolerance"
    DIVERGE = "diverge"
    INCONCLUSIVE = "inconclusive"

    def __bool__(self) -> bool:
        raise TypeError("a verdict is not a bool: compare it, as in `result.verdict is Verdict.AGREE`")


@dataclass(frozen=True, slots=True)
class Worst:
    """The element that lies farthest outside, or is farthest off: its index and both values."""

    index: tuple[int, ...]
    reference: float
    port: float


@dataclass(frozen=True, slots=True)
class Difference:
    """The distance of one pair, measured in float64.

    Over the compared elements: error is max|reference - port|. rms: root mean square of the difference.
    scale: max|reference| over the same elements. outside: how many elements break the tolerance.
    compared: how many elements were compared (valid positions, finite on both sides).
    skipped: how many were left out because the mask marks their position as padding.
    not_finite: how many are NaN or infinite on one side, or differently so on both. both_nan: NaN on both.
    rounding: what float64 says of an output; None for a tap, or where it was not asked.
    verdict: agree, within tolerance (only where `rounding` was asked), diverge, or inconclusive, with a reason.
    """

    name: str
    port_name: str
    shape: tuple[int, ...]
    port_shape: tuple[int, ...]
    error: float = 0.0
    rms: float = 0.0
    scale: float = 0.0
    outside: int = 0
    compared: int = 0
    skipped: int = 0
    not_finite: int = 0
    both_nan: int = 0
    worst: Worst | None = None
    verdict: Verdict = Verdict.INCONCLUSIVE
    reason: str = ""
    rounding: Rounding | None = None

    @property
    def relative(self) -> float:
        """Error / scale; 0 where both are 0."""
        return self.error / self.scale if self.scale else (float("inf") if self.error else 0.0)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; a value that JSON cannot hold (NaN, infinity) becomes a string."""
        values = asdict(self) | {"verdict": self.verdict.value, "relative": self.relative}
        found: dict[str, Any] = plain(values)
        return found


def compare(
    reference: Array, port: Array, *, tolerance: Tolerance, name: str, port_name: str = "", valid: Array | None = None
) -> Difference:
    """Measure |reference - port| against the tolerance.

    valid: a mask of shape (batch, tokens), non-zero where a position counts; it applies to arrays of shape
        (batch, tokens, ...), and to no others.

    Never vacuous: no element to compare, or NaN on both sides, is inconclusive; other shapes, or a NaN or infinity on
    one side alone, diverge. Infinities of the same sign at the same place agree (masks put them out).
    """
    port_name = port_name or name
    shapes = (tuple(reference.shape), tuple(port.shape))
    if shapes[0] != shapes[1]:
        reason = f"shapes differ: {shapes[0]} in the reference, {shapes[1]} in the port"
        return Difference(name, port_name, *shapes, verdict=Verdict.DIVERGE, reason=reason)
    mask = _mask_for(reference, valid)
    if mask is not None:
        skipped = int(reference.size - mask.sum() * (reference.size // mask.size))
        measured = _measure(reference[mask], port[mask], tolerance)
        positions = np.argwhere(mask)
    else:
        skipped, positions = 0, None
        measured = _measure(reference, port, tolerance)
    verdict, reason = _judge(measured, skipped)
    worst = measured.worst
    if worst is not None and positions is not None:
        place = tuple(int(i) for i in positions[worst.index[0]])
        worst = Worst(place + worst.index[1:], worst.reference, worst.port)
    return Difference(
        name,
        port_name,
        *shapes,
        error=measured.error,
        rms=measured.rms,
        scale=measured.scale,
        outside=measured.outside,
        compared=measured.compared,
        skipped=skipped,
        not_finite=measured.not_finite,
        both_nan=measured.both_nan,
        worst=worst,
        verdict=verdict,
        reason=reason,
    )


@dataclass(slots=True)
class _Measured:
    error: float = 0.0
    square: float = 0.0
    scale: float = 0.0
    outside: int = 0
    compared: int = 0
    not_finite: int = 0
    both_nan: int = 0
    excess: float = -np.inf
    worst: Worst | None = None

    @property
    def rms(self) -> float:
        return float(np.sqrt(self.square / self.compared)) if self.compared else 0.0


def _measure(reference: Array, port: Array, tolerance: Tolerance) -> _Measured:
    """Walk both arrays in chunks; sums and comparisons in float64."""
    found = _Measured()
    flat = (np.ravel(reference), np.ravel(port))
    for start in range(0, flat[0].size, CHUNK):
        ref, got = (_wide(side[start : start + CHUNK]) for side in flat)
        finite = np.isfinite(ref) & np.isfinite(got)
        both_nan = np.isnan(ref) & np.isnan(got)
        # Where either side is not finite, equal infinities agree, two NaNs prove nothing, the rest is wrong.
        wrong = ~finite & ~both_nan & (ref != got)
        error = np.where(finite, np.abs(np.where(finite, ref, 0) - np.where(finite, got, 0)), 0.0)
        allowed = tolerance.atol + tolerance.rtol * np.abs(np.where(finite, ref, 0))
        excess = np.where(wrong, np.inf, np.where(finite, error - allowed, -np.inf))
        found.compared += int(finite.sum())
        found.not_finite += int(wrong.sum())
        found.both_nan += int(both_nan.sum())
        found.outside += int((finite & (error > allowed)).sum())
        found.square += float(np.square(error).sum())
        found.error = max(found.error, float(error.max(initial=0.0)))
        found.scale = max(found.scale, float(np.abs(ref[finite]).max(initial=0.0)))
        place = int(np.argmax(excess)) if excess.size else 0
        if excess.size and excess[place] > found.excess:
            found.excess = float(excess[place])
            index = np.unravel_index(start + place, reference.shape) if reference.shape else ()
            values = (float(np.real(ref[place])), float(np.real(got[place])))
            found.worst = Worst(tuple(int(i) for i in index), *values)
    return found


def _judge(found: _Measured, skipped: int) -> tuple[Verdict, str]:
    if found.not_finite:
        return Verdict.DIVERGE, f"{found.not_finite} elements are NaN or infinite on one side only"
    if found.outside:
        return Verdict.DIVERGE, f"{found.outside} of {found.compared} elements are outside the tolerance"
    if found.both_nan:
        return Verdict.INCONCLUSIVE, f"{found.both_nan} elements are NaN on both sides, which proves nothing"
    if not found.compared:
        why = "no position is valid" if skipped else "there are no finite elements"
        return Verdict.INCONCLUSIVE, f"nothing was compared: {why}"
    return Verdict.AGREE, ""


def _mask_for(array: Array, valid: Array | None) -> npt.NDArray[np.bool_] | None:
    if valid is None or valid.ndim != 2 or array.shape[:2] != valid.shape:
        return None
    return np.asarray(valid).astype(bool)


def _wide(values: Array) -> Array:
    """float64, or complex128 for complex values; integers and booleans become exact floats up to 2**53."""
    return values.astype(np.complex128 if np.iscomplexobj(values) else np.float64)


def plain(value: Any) -> Any:
    """The value as JSON can hold it: NaN and infinity as strings, NumPy's numbers as Python's."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (float, np.floating)):
        return float(value) if np.isfinite(value) else str(float(value))
    return value
