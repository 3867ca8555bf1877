"""How fast a solver's error falls with its steps, where the exact solution is known."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.adapters.sampling import Array, Level, Noise, Recipe, Sampled
from harness.schedulers.drive import last_noisy, sampler
from harness.schedulers.exact import NORMAL, TWO_BUMPS
from harness.schedulers.moments import affine
from harness.schedulers.outcome import Outcome
from harness.schedulers.rows import Row

STEPS = (20, 40, 80)
"""Of the grids; rows that are not yet near their order there name others in the table."""

SHORTFALL = 0.1
"""How far a measured order may stay below the stated one: the bound that the project set itself."""

BATCH = 8
"""Starts, whose errors are averaged: the error of a single one passes through zero as the grid is refined."""

FLOOR = 1e-11
"""Errors below it are rounding's, not the solver's, and say nothing of its order."""

WIDTH = TWO_BUMPS.means.shape[1]


@dataclass(frozen=True, slots=True)
class Measured:
    """steps -> the error at the last level that still holds noise; and the slope between the two finest grids."""

    errors: Mapping[int, float]

    @property
    def order(self) -> float:
        """-d log(error) / d log(steps) between the two finest grids whose errors are above rounding.

        Raises:
            ValueError: fewer than two are.
        """
        above = [(steps, error) for steps, error in sorted(self.errors.items()) if error > FLOOR]
        if len(above) < 2:
            raise ValueError(f"fewer than two grids show an error above {FLOOR:g}: {dict(self.errors)}")
        (coarse, large), (fine, small) = above[-2:]
        return math.log(large / small) / math.log(fine / coarse)


def order_of(row: Row, *, recipe: Recipe | None = None, seed: int = 0) -> Outcome:
    """The measured order against the stated one; the error is how far it stays below."""
    made = recipe or row.recipe()
    steps = row.order_steps or STEPS
    options = {**made.options, **(ORDER_OPTIONS if row.order_options is None else row.order_options)}
    measured = Measured(
        {count: final_error(row, replace(made, steps=count, options=options), seed=seed) for count in steps}
    )
    return outcome_of(row, measured, row.order, _words(made))


def outcome_of(row: Row, measured: Measured, stated: float, port: str) -> Outcome:
    """The measured order of what `port` says, against the stated one; infinitely below where an error is no number."""
    finite = all(map(math.isfinite, measured.errors.values()))
    order = measured.order if finite else math.nan
    steps = sorted(measured.errors)
    return Outcome(
        row=row.id,
        check="order",
        title=row.sampler,
        reference=f"order {stated:g}, as stated",
        port=port,
        error=max(0.0, stated - order) if finite else math.inf,
        limit=SHORTFALL,
        worst=f"order {order:.2f} between {steps[-2]} and {steps[-1]} steps, {stated:g} stated",
        compared=len(steps),
        numbers={"order": order, "stated": stated},
        series=measured.errors,
        scale=stated,
    )


def weak_order_of(row: Row) -> Outcome:
    """The measured order at which a stochastic sampler's mean and variance converge to the exact ones, for normal data.

    The flow of the marginals is exact: from the exact marginal at the first level an exact sampler, stochastic or not,
    arrives at the exact marginal of any other. At few steps a correct sampler is far from it; only the rate is tested.
    """
    steps = row.order_steps or STEPS
    made = row.recipe()
    options = {**made.options, **(ORDER_OPTIONS if row.order_options is None else row.order_options)}
    made = replace(made, options=options)
    measured = Measured({count: _marginal_error(row, replace(made, steps=count)) for count in steps})
    return outcome_of(row, measured, row.weak, _words(made))


def _marginal_error(row: Row, recipe: Recipe) -> float:
    """The larger of |mean - exact| and |variance - exact|, at the last level that holds noise, for data of size 1."""
    scheduler = sampler(recipe)
    levels = scheduler.grid()
    last = last_noisy(levels, row)

    def run(noise: Noise, start: Array) -> tuple[Sampled, ...]:
        found = scheduler.run(NORMAL.start(start, levels[0]), NORMAL.denoise, noise)
        return (replace(found, states=found.states[:last], levels=found.levels[:last]),)

    [found] = affine(run)
    scale = levels[last].alpha
    mean, variance = found.mean() / scale, found.variance() / scale**2
    exact = NORMAL.deviation**2 + levels[last].ratio ** 2
    return max(float(np.abs(mean - NORMAL.mean).max()), float(np.abs(variance - exact).max()))


ORDER_OPTIONS = {"use_exponential_sigmas": True}
"""A grid that is refined evenly in log(sigma / alpha)."""


def final_error(row: Row, recipe: Recipe, *, seed: int = 0) -> float:
    """The root mean square of x - exact, over alpha, at the last level that holds noise.

    The samples after the first steps are made exact, and with them a multistep method's memory. A step
    to no noise at all is left out: there log(sigma) has no end, and every solver takes it in another way.
    """
    scheduler = sampler(recipe)
    levels = scheduler.grid()
    made_exact = int(row.history if row.history >= 1 else math.ceil(row.history * recipe.steps))
    start = np.random.default_rng(seed).standard_normal((BATCH, WIDTH)) * levels[0].sigma
    last = last_noisy(levels, row)
    # Where the first level holds no data, the solution is the one through the second.
    base = 0 if levels[0].alpha else 1
    path = TWO_BUMPS.flow(start, [*levels[base : made_exact + 1], levels[last]])
    exact = [start, *path] if base else path

    def warm(number: int, sample: Array, _level: Level) -> Array:
        return exact[number] if number < made_exact else sample

    run = scheduler.run(start, TWO_BUMPS.denoise, lambda _: np.zeros_like(start), replace=warm)
    difference = (run.states[last - 1] - exact[-1]) / levels[last].alpha
    return float(np.sqrt(np.mean(difference**2)))


def slopes(errors: Mapping[int, float]) -> Sequence[float]:
    """The order between each two neighbouring grids, coarsest first."""
    pairs = sorted(errors.items())
    return [
        math.log(first[1] / second[1]) / math.log(second[0] / first[0]) for first, second in itertools.pairwise(pairs)
    ]


def _words(made: Recipe) -> str:
    return f"{made.name}({', '.join(f'{name}={value!r}' for name, value in made.options.items())})"
