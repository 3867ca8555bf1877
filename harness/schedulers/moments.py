"""Mean and variance of what a stochastic sampler puts out, computed exactly: with normal data every step is affine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from harness.adapters.sampling import Array, Noise, Sampled
from harness.schedulers.drive import run_pair
from harness.schedulers.exact import NORMAL
from harness.schedulers.outcome import Outcome
from harness.schedulers.rows import Row, Variant

GATE = 1e-12
"""Of the means and variances, absolute, for data of size 1: the bound that the project set itself."""

WIDTH = len(NORMAL.mean)


@dataclass(frozen=True, slots=True)
class Affine:
    """final = offset + start * gain + sum over draws of noise * gains; (width,) each, `gains` (draws, width)."""

    offset: Array
    gain: Array
    gains: Array

    def mean(self) -> Array:
        """For a start of mean 0."""
        return self.offset

    def variance(self) -> Array:
        """For a start and draws of variance 1, all independent."""
        found: Array = self.gain**2 + (self.gains**2).sum(axis=0)
        return found


def moments(row: Row, variant: Variant) -> Outcome:
    """Mean and variance of the scheduler's output against those of its original or formula, in float64.

    The reference is the sampler, computed exactly, and not the data: at few steps a correct sampler misses those.
    """
    recipe = row.recipe(variant)
    words: list[tuple[str, str]] = []

    def both(noise: Noise, start: Array) -> tuple[Sampled, ...]:
        pair = run_pair(row, recipe, NORMAL.denoise, noise, start)
        words.append(pair.words)
        return pair.reference, pair.port

    reference, port = affine(both)
    errors = {
        "mean": _distance(reference.mean(), port.mean()),
        "variance": _distance(reference.variance(), port.variance()),
    }
    worst = max(errors, key=lambda name: errors[name])
    return Outcome(
        row=row.id,
        check="moments",
        title=row.sampler,
        reference=words[0][0],
        port=words[0][1],
        error=errors[worst],
        limit=GATE,
        worst=f"{worst}, {variant.id}",
        compared=2 * WIDTH,
        numbers={**errors, "draws": float(len(port.gains)), "deviation": float(np.sqrt(port.variance()).max())},
        scale=float(reference.variance().max()),
    )


def _distance(reference: Array, port: Array) -> float:
    """max|reference - port|; infinite where only the port is not finite."""
    if np.isfinite(reference).all() and not np.isfinite(port).all():
        return float("inf")
    return float(np.abs(reference - port).max())


def affine(run: Callable[[Noise, Array], tuple[Sampled, ...]]) -> list[Affine]:
    """The maps from start and noise to the final samples, read off a run in which every row has one of them at 1.

    run: (noise, start) -> what each of some samplers did on `NORMAL`; start and noise are (batch, width).

    Raises:
        ValueError: a map is not affine: the row in which everything is 1 is not the sum of the others.
    """
    first = run(lambda _: np.zeros((1, WIDTH)), np.zeros((1, WIDTH)))
    draws = max(len(each.draws) for each in first)
    rows = draws + 3
    start = np.zeros((rows, WIDTH))
    start[[1, -1]] = 1.0

    def noise(number: int) -> Array:
        drawn = np.zeros((rows, WIDTH))
        drawn[[number + 2, -1]] = 1.0
        return drawn

    return [_read_off(each.final) for each in run(noise, start)]


def _read_off(final: Array) -> Affine:
    changes = final[1:] - final[0]
    whole = changes[:-1].sum(axis=0)
    if np.isfinite(final).all() and not np.allclose(changes[-1], whole, rtol=1e-9, atol=1e-9):
        raise ValueError(f"the map is not affine: {changes[-1]} where the parts sum to {whole}")
    return Affine(final[0], changes[0], changes[1:-1])
