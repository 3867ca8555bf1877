"""A row of the table as two samplers on one grid: the scheduler, and what it is held against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace as changed
from typing import Any

import numpy as np

from harness.adapters.sampling import Array, Denoise, Level, Noise, Recipe, Sampled, Samples
from harness.errors import SpecError
from harness.schedulers.formulas import formula
from harness.schedulers.rows import Row

BATCH = 2
"""Rows of the samples that are compared: two, so that a mix-up of rows would show."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A scheduler's run and its reference's, from the same start, with the same noise; and both in words."""

    port: Sampled
    reference: Sampled
    words: tuple[str, str]


def sampler(recipe: Recipe) -> Samples:
    """The scheduler of that recipe, to be driven."""
    from harness.adapters.diffusers.run import Scheduler

    return Scheduler(recipe)


def run_pair(row: Row, recipe: Recipe, denoise: Denoise, noise: Noise, start: Array) -> Pair:
    """Both runs. start: unit noise, (batch, width), scaled here to the first level."""
    from harness.adapters.diffusers.run import Scheduler
    from harness.adapters.k_diffusion.run import Original

    scheduler = Scheduler(recipe)
    levels = scheduler.grid()
    first = levels[0]
    port = scheduler.run(start * first.sigma, denoise, noise)
    if row.formula:
        told = scheduler.timesteps()
        lower = _lower(scheduler, told, recipe) if row.formula == "tcd" else ()
        rule = formula(row, recipe, levels, timesteps=told, lower=lower)
        return Pair(port, rule.run(start * first.sigma, denoise, noise), (rule.describe(), scheduler.describe()))
    sigmas = whole([level.ratio for level in levels], row)
    original = Original(row.original, sigmas, row.original_arguments, wide=recipe.wide)
    reference = original.run(start * first.ratio, denoise, noise)
    return Pair(unscaled(port), reference, (original.describe(), scheduler.describe()))


def _lower(scheduler: Any, told: Sequence[float], recipe: Recipe) -> tuple[Level, ...]:
    """Of TCD: the levels at (1 - gamma) of the next timestep, rounded down to a whole one."""
    gamma = recipe.arguments.get("eta", 0.3)
    return tuple(scheduler.trained(int((1 - gamma) * timestep)) for timestep in (*told[1:], 0.0))


def unscaled(run: Sampled) -> Sampled:
    """The run as the originals see it, with the data at their own size: every sample divided by alpha.

    Raises:
        SpecError: a sample holds no data at all (alpha = 0).
    """
    if not all(level.alpha for level in (*run.levels, *(call.level for call in run.calls))):
        raise SpecError("a run", "has samples without any data, which no original takes", todo="Use a formula.")
    calls = tuple(
        changed(call, sample=call.sample / call.level.alpha, level=Level(1.0, call.level.ratio)) for call in run.calls
    )
    states = tuple(state / level.alpha for state, level in zip(run.states, run.levels))
    return Sampled(calls, run.draws, states, tuple(Level(1.0, level.ratio) for level in run.levels))


def whole(values: Sequence[float], row: Row) -> list[float]:
    """Of a value a call (and a last one), those at whole steps of the original, and the last."""
    stride = row.calls * row.every
    kept = list(values[:-1][::stride])
    return [*kept, values[-1]]


def last_noisy(levels: Sequence[Level], row: Row) -> int:
    """The index of the last level that holds enough noise and at which a whole step of the row ends."""
    stride = row.calls * row.every
    # A scheme of two calls a step has one call less than two a step: its last step, to no noise, takes one.
    is_step = 0 < levels[-1].sigma < levels[-2].sigma
    reached = len(levels) - 1 if is_step else len(levels) - 2
    while levels[reached].ratio < row.order_until:
        reached -= 1
    return reached - reached % stride


def noises(count: int, shape: tuple[int, ...], *, seed: int) -> Noise:
    """That many draws of unit noise of that shape.

    Raises:
        IndexError: a draw beyond them is asked for.
    """
    drawn = np.random.default_rng(seed).standard_normal((count, *shape))
    return lambda number: drawn[number]
