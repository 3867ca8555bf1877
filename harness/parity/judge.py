"""Judge what both sides computed in float64: the same to rounding, or not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from harness.parity.compare import Array, Verdict, plain
from harness.parity.excerpt import Excerpt
from harness.parity.floor import DRAWS, EPS32, EXACT, FACTOR, FILL, STORED, largest
from harness.tolerance import CONTRACT

Mask = Mapping[str, Array]
"""The inputs that mark valid positions (batch, tokens), by name."""


@dataclass(frozen=True, slots=True)
class Line:
    """One claim beside the outputs of the given call, with a verdict of its own.

    check: forward, gradients, decode, train, dropout, weights. probe: the inputs, or what was done with them.
    error, scale: the largest |reference - port| and what it is measured against, in float64, at `where`.
    allowed: how much of an error rounding explains. compared: how many arrays.
    pairs: of every array its name, error and scale, in order. excerpt: the least of the inputs that shows the error.
    """

    check: str
    probe: str
    verdict: Verdict
    reason: str = ""
    error: float = 0.0
    scale: float = 0.0
    allowed: float = 0.0
    where: str = ""
    compared: int = 0
    seconds: float = 0.0
    pairs: tuple[tuple[str, float, float], ...] = ()
    excerpt: Excerpt | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        values: dict[str, Any] = plain(asdict(self) | {"verdict": self.verdict.value})
        return values


@dataclass(frozen=True, slots=True)
class Pair:
    """An array of either side, in float64. scale: what its error is measured against, by default max|reference|."""

    name: str
    reference: Array
    port: Array
    scale: float | None = None


Moved = Callable[[int], Sequence[Pair]]
"""The pairs once more, with all that either side has stored for itself moved by rounding; by seed."""


def judge(
    check: str,
    probe: str,
    pairs: Sequence[Pair],
    *,
    moved: Moved | None = None,
    short: bool = False,
    islands: bool = False,
    contract: float = CONTRACT,
    exact: float = EXACT,
) -> Line:
    """The line for these pairs, whose worst decides.

    An error is explained up to `EXACT` of the scale. Where a side stores what the other computes (`moved`), also up to
    `STORED` times what rounding that does. Where a side computes or keeps something in float32 for itself (`short`: an
    island, a table), up to `FACTOR` times, since its error is that of a whole computation; with islands, never less
    than that of float32 itself.
    contract: an error above it diverges, one below is within tolerance; times the scale where `Pair.scale` is given.
    exact: used instead of `EXACT`.
    """
    blank = [pair.name for pair in pairs if not pair.reference.size]
    pairs = [pair for pair in pairs if pair.reference.size]
    if not pairs:
        return Line(
            check, probe, Verdict.INCONCLUSIVE, f"nothing was compared{': ' if blank else ''}{', '.join(blank)}"
        )
    for pair in pairs:
        if pair.reference.shape != pair.port.shape:
            reason = f"{pair.name}: {pair.reference.shape} in the reference, {pair.port.shape} in the port"
            return Line(check, probe, Verdict.DIVERGE, reason, where=pair.name, compared=len(pairs))
        if not np.array_equal(_odd(pair.reference), _odd(pair.port)):
            reason = f"{pair.name}: NaN or infinite on one side only"
            return Line(check, probe, Verdict.DIVERGE, reason, where=pair.name, compared=len(pairs))
    measured = [(pair, *_measure(pair)) for pair in pairs]
    worst, error, scale = max(measured, key=lambda each: each[1] / (each[2] or 1.0))
    every = tuple((pair.name, error, scale) for pair, error, scale in measured)
    line = Line(check, probe, Verdict.AGREE, "", error, scale, exact * scale, worst.name, len(pairs), pairs=every)
    disputed = {pair.name: (error, scale) for pair, error, scale in measured if error > exact * scale}
    nan = [pair.name for pair in pairs if np.isnan(pair.reference).any()]
    if nan and not disputed:
        return replace(line, verdict=Verdict.INCONCLUSIVE, reason=f"NaN on both sides in {', '.join(nan[:3])}")
    if not disputed:
        return line
    allowed = (
        explained_by_rounding(pairs, disputed, moved, FACTOR if short else STORED, islands=islands) if moved else {}
    )
    unexplained = {name: each for name, each in disputed.items() if each[0] > allowed.get(name, 0.0)}
    if not unexplained:
        return replace(line, allowed=max(allowed.values()))
    name, (error, scale) = max(unexplained.items(), key=lambda item: item[1][0] / (item[1][1] or 1.0))
    limit = contract * scale if any(pair.scale is not None for pair in pairs) else contract
    verdict = Verdict.DIVERGE if error > limit else Verdict.WITHIN_TOLERANCE
    explained = max(allowed.get(name, 0.0), exact * scale)
    reason = f"{name} is off by {error:.3g} on values up to {scale:.3g} in float64; rounding explains {explained:.2g}"
    return Line(check, probe, verdict, reason, error, scale, explained, name, len(pairs), pairs=every)


def explained_by_rounding(
    pairs: Sequence[Pair], disputed: Mapping[str, tuple[float, float]], moved: Moved, factor: float, *, islands: bool
) -> dict[str, float]:
    """How much of each disputed error rounding explains; with errors that are infinite, all that it may explain."""
    effect = {name: EPS32 * scale if islands else 0.0 for name, (_, scale) in disputed.items()}
    by_name = {pair.name: pair for pair in pairs}
    for seed in range(DRAWS):
        for pair in moved(seed):
            if pair.name in effect:
                base = by_name[pair.name]
                for one, other in ((pair.reference, base.reference), (pair.port, base.port)):
                    effect[pair.name] = max(effect[pair.name], _apart(one, other))
        if all(error <= factor * effect[name] for name, (error, _) in disputed.items()):
            break  # more draws could only explain more
    return {name: factor * value for name, value in effect.items()}


def _measure(pair: Pair) -> tuple[float, float]:
    error = _apart(pair.reference, pair.port)
    return error, largest(pair.reference) if pair.scale is None else pair.scale


def _apart(one: Array, other: Array) -> float:
    """max|one - other| over what is a number on both sides: infinities at one place are told apart by `_odd`."""
    with np.errstate(invalid="ignore"):
        return largest(one - other)


def _odd(array: Array) -> Array:
    """What is no number at its place: NaN, infinities by sign, fills of a mask by sign."""
    finite = np.where(np.isfinite(array), array, 0.0)
    return np.select(
        [np.isnan(array), np.isinf(array) & (array > 0), np.isinf(array) & (array < 0), np.abs(finite) >= FILL],
        [1, 2, 3, 4],
        0,
    )


def valid_part(name: str, array: Array, masks: Mask) -> Array:
    """The valid positions of an output (batch, tokens, ...), flattened to (positions, ...); all of any other."""
    mask = mask_for(name, array, masks)
    chosen: Array = array if mask is None else array[mask]
    return chosen if np.iscomplexobj(chosen) else chosen.astype(np.float64)


def mask_for(name: str, array: Array, masks: Mask) -> Array | None:
    """The mask for an output: of those with its batch and tokens the encoder's own, or the last, the decoder's."""
    fitting = [key for key, mask in masks.items() if array.shape[:2] == mask.shape]
    if not fitting:
        return None
    own = [key for key in fitting if key.startswith("decoder_") is not name.startswith("encoder")]
    return np.asarray(masks[(own or fitting)[-1]]).astype(bool)
