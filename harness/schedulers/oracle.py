"""The oracle loop: a model that is always right must bring any scheduler back to the sample it started from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from harness.adapters.sampling import Array, Level
from harness.schedulers.drive import noises, sampler
from harness.schedulers.outcome import Outcome, worst_of
from harness.schedulers.rows import Row, Variant

GATE = 2e-5
"""Of the final sample in float32, for data of size 1: the bound that the project set itself."""

SHAPE = (2, 3)


def oracle_loop(row: Row, variants: Sequence[Variant], *, wide: bool = False, seed: int = 0) -> Outcome:
    """The worst error of the final sample over the variants, in float32 or, if wide, in float64."""
    found = [_one(row, variant, wide=wide, seed=seed) for variant in variants]
    return replace(worst_of(found), compared=len(found))


def _one(row: Row, variant: Variant, *, wide: bool, seed: int) -> Outcome:
    recipe = row.recipe(variant, wide=wide)
    scheduler = sampler(recipe)
    levels = scheduler.grid()
    data = np.random.default_rng(seed).uniform(-1.0, 1.0, SHAPE)
    noise = np.random.default_rng(seed + 1).standard_normal(SHAPE)

    def right(_sample: Array, _level: Level) -> Array:
        return data

    run = scheduler.run(_mixed(data, noise, levels[0]), right, noises(4 * recipe.steps + 8, SHAPE, seed=seed + 2))
    # Where noise is added on the way, or none is left, only the data can be known.
    kept = noise if not row.stochastic else np.zeros_like(noise)
    error = float(np.abs(run.final - _mixed(data, kept, levels[-1])).max())
    finite = bool(np.isfinite(run.final).all())
    return Outcome(
        row=row.id,
        check="oracle",
        title=row.sampler,
        reference="the sample it started from",
        port=f"{recipe.name}, {recipe.steps} steps",
        error=error if finite else float("inf"),
        limit=GATE,
        worst=f"{variant.id}, {recipe.steps} steps",
        compared=1,
    )


def _mixed(data: Array, noise: Array, level: Level) -> Array:
    return level.alpha * data + level.sigma * noise
