"""Samplers written from the papers' formulas, for schedulers that were ported from no sampler of k-diffusion."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from harness.adapters.sampling import Array, Call, Denoise, Draw, Level, Noise, Recipe, Sampled
from harness.errors import SpecError, closest
from harness.schedulers.rows import Row


@dataclass(frozen=True, slots=True)
class Formula:
    """A rule of the list below on a grid of levels, in float64. options, arguments: those of the scheduler.

    lower: the levels that a step of TCD goes down to before it adds noise.
    """

    name: str
    levels: tuple[Level, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    arguments: Mapping[str, Any] = field(default_factory=dict)
    timesteps: tuple[float, ...] = ()
    lower: tuple[Level, ...] = ()

    def describe(self) -> str:
        return f"the formula of {self.name}"

    def run(self, start: Array, denoise: Denoise, noise: Noise) -> Sampled:
        """Sample from `start`, (batch, width), which is at the first level."""
        tape = _Tape(self, denoise, noise)
        sample = start
        for number in range(len(self.levels) - 1):
            sample = RULES[self.name](tape, number, sample)
            tape.states.append(sample)
        return Sampled(tuple(tape.calls), tuple(tape.draws), tuple(tape.states), self.levels[1:])


def formula(
    row: Row,
    recipe: Recipe,
    levels: tuple[Level, ...],
    *,
    timesteps: tuple[float, ...] = (),
    lower: tuple[Level, ...] = (),
) -> Formula:
    """The formula that a row names, on the scheduler's grid.

    Raises:
        SpecError: there is no such rule.
    """
    if row.formula not in RULES:
        raise SpecError(
            f"row {row.id!r}", f"the formula {row.formula!r} is not known", todo=closest(row.formula, RULES)
        )
    return Formula(row.formula, levels, recipe.options, recipe.arguments, timesteps, lower)


@dataclass(slots=True)
class _Tape:
    """A run under way."""

    formula: Formula
    denoise: Denoise
    noise: Noise
    calls: list[Call] = field(default_factory=list)
    draws: list[Draw] = field(default_factory=list)
    states: list[Array] = field(default_factory=list)

    def ends(self, number: int) -> tuple[Level, Level]:
        return self.formula.levels[number], self.formula.levels[number + 1]

    def is_last(self, number: int) -> bool:
        return number == len(self.formula.levels) - 2

    def call(self, sample: Array, level: Level) -> Array:
        found = self.denoise(sample, level)
        self.calls.append(Call(float("nan"), level, sample, found))
        return found

    def draw(self) -> Array:
        self.draws.append(Draw(float("nan"), float("nan")))
        return self.noise(len(self.draws) - 1)

    def option(self, name: str, default: Any) -> Any:
        return self.formula.options.get(name, default)

    def argument(self, name: str, default: Any) -> Any:
        return self.formula.arguments.get(name, default)


def _ddim(tape: _Tape, number: int, sample: Array) -> Array:
    """Song et al., arXiv:2010.02502, equations 12 and 16."""
    here, there = tape.ends(number)
    data = tape.call(sample, here)
    eta = tape.argument("eta", 0.0)
    variance = eta**2 * (there.sigma / here.sigma) ** 2 * (1 - (here.alpha / there.alpha) ** 2)
    mean = there.alpha * data + math.sqrt(there.sigma**2 - variance) * _noise_in(sample, data, here)
    return np.asarray(mean + math.sqrt(variance) * tape.draw() if eta else mean)


def _ddpm(tape: _Tape, number: int, sample: Array) -> Array:
    """Ho et al., arXiv:2006.11239, equations 6 and 7, between any two levels; the last step adds no noise."""
    here, there = tape.ends(number)
    data = tape.call(sample, here)
    kept = (here.alpha / there.alpha) ** 2
    # 1 - kept, from the levels: near the data 1 - kept itself would lose its digits.
    added = here.sigma**2 - kept * there.sigma**2
    mean = (there.alpha * added * data + math.sqrt(kept) * there.sigma**2 * sample) / here.sigma**2
    if there.sigma == 0:
        return np.asarray(mean)
    kind = tape.option("variance_type", tape.option("_variance_type", "fixed_small"))
    variance = added if kind.startswith("fixed_large") else added * (there.sigma / here.sigma) ** 2
    return np.asarray(mean + math.sqrt(variance) * tape.draw())


def _lcm(tape: _Tape, number: int, sample: Array) -> Array:
    """Luo et al., arXiv:2310.04378, algorithm 2: denoise, with the scalings of the boundary, and noise again."""
    here, there = tape.ends(number)
    data = tape.call(sample, here)
    scaled = tape.formula.timesteps[number] * tape.option("timestep_scaling", 10.0)
    skip, out = 0.25 / (scaled**2 + 0.25), scaled / math.hypot(scaled, 0.5)
    clean = out * data + skip * sample
    return np.asarray(clean if tape.is_last(number) else there.alpha * clean + there.sigma * tape.draw())


def _tcd(tape: _Tape, number: int, sample: Array) -> Array:
    """Zheng et al., arXiv:2402.19159, algorithm 4: down to (1 - gamma) of the next timestep, and up again by noise."""
    here, there = tape.ends(number)
    data = tape.call(sample, here)
    gamma = tape.argument("eta", 0.3)
    lower = tape.formula.lower[number]
    clean = lower.alpha * data + lower.sigma * _noise_in(sample, data, here)
    if tape.is_last(number) or not gamma:
        return np.asarray(clean)
    kept = there.alpha / lower.alpha
    return np.asarray(kept * clean + math.sqrt(1 - kept**2) * tape.draw())


def _renoised(tape: _Tape, number: int, sample: Array) -> Array:
    """Denoise, and noise again to the next level (Song et al., arXiv:2303.01469, algorithm 1 with its last step)."""
    here, there = tape.ends(number)
    data = tape.call(sample, here)
    return there.alpha * data + there.sigma * tape.draw()


def _consistency(tape: _Tape, number: int, sample: Array) -> Array:
    """Song et al., arXiv:2303.01469, algorithm 1: noise of variance sigma^2 - sigma_min^2 is added to the data."""
    here, there = tape.ends(number)
    data = tape.call(sample, here)
    least = tape.option("sigma_min", 0.002)
    return data + math.sqrt(max(there.sigma**2 - least**2, 0.0)) * tape.draw()


def _euler(tape: _Tape, number: int, sample: Array) -> Array:
    """Euler's step on straight paths: along dx = dalpha x0 + dsigma noise, both held as they are at its start."""
    here, there = tape.ends(number)
    data = tape.call(sample, here)
    return there.alpha * data + there.sigma * _noise_in(sample, data, here)


def _adams(order: int) -> Callable[[_Tape, int, Array], Array]:
    """The noise extrapolated by Adams and Bashforth's coefficients for equal steps, then put in as DDIM does."""
    weights = {1: (1.0,), 2: (3 / 2, -1 / 2), 3: (23 / 12, -16 / 12, 5 / 12), 4: (55 / 24, -59 / 24, 37 / 24, -9 / 24)}

    def step(tape: _Tape, number: int, sample: Array) -> Array:
        here, there = tape.ends(number)
        data = tape.call(sample, here)
        past = [_noise_in(call.sample, call.denoised, call.level) for call in reversed(tape.calls)]
        noise = sum(weight * each for weight, each in zip(weights[min(order, len(past))], past))
        clean = (sample - here.sigma * noise) / here.alpha if here.alpha else data
        return np.asarray(there.alpha * clean + there.sigma * noise)

    return step


def _deis(tape: _Tape, number: int, sample: Array) -> Array:
    """Zhang and Chen, arXiv:2204.13902, equation 14: the noise as a polynomial in log(sigma / alpha)."""
    here, there = tape.ends(number)
    tape.call(sample, here)
    past = _past(tape, number, tape.option("solver_order", 2))
    points = [math.log(call.level.ratio) for call in past]
    if there.sigma == 0:
        return np.asarray(past[0].denoised)
    weights = [
        _integral(partial(_weighted, points, index), math.log(here.ratio), math.log(there.ratio))
        for index in range(len(points))
    ]
    step = sum(weight * _noise_in(call.sample, call.denoised, call.level) for weight, call in zip(weights, past))
    return np.asarray(there.alpha * (sample / here.alpha + step))


def _sde_exponential(tape: _Tape, number: int, sample: Array) -> Array:
    """SDE-DPM-Solver-1 (Lu et al., arXiv:2211.01095, section 5, equation 17): the noise held, the linear part exact."""
    here, there = tape.ends(number)
    noise = _noise_in(sample, tape.call(sample, here), here)
    step = math.log(here.ratio / there.ratio)
    mean = there.alpha / here.alpha * sample - 2 * there.sigma * math.expm1(step) * noise
    return np.asarray(mean + there.sigma * math.sqrt(max(0.0, math.expm1(2 * step))) * tape.draw())


def _past(tape: _Tape, number: int, order: int) -> list[Call]:
    """The last calls, newest first, as many as the order asks for and there are."""
    count = min(order, number + 1)
    total = len(tape.formula.levels) - 1
    if tape.option("lower_order_final", True) and total < 15:
        # The library's rule: fewer than 15 steps end with lower orders.
        count = min(count, total - number)
    return list(reversed(tape.calls))[:count]


def _noise_in(sample: Array, data: Array, level: Level) -> Array:
    return (sample - level.alpha * data) / level.sigma


def _lagrange(points: Sequence[float], chosen: int, at: float) -> float:
    """The polynomial that is 1 at the chosen point and 0 at the others."""
    value = 1.0
    for index, point in enumerate(points):
        if index != chosen:
            value *= (at - point) / (points[chosen] - point)
    return value


def _weighted(points: Sequence[float], chosen: int, s: float) -> float:
    return math.exp(s) * _lagrange(points, chosen, s)


def _integral(function: Callable[[float], float], start: float, end: float) -> float:
    from scipy.integrate import quad

    return float(quad(function, start, end, epsabs=0.0, epsrel=1e-13, limit=200)[0])


RULES: dict[str, Callable[[_Tape, int, Array], Array]] = {
    "ddim": _ddim,
    "ddpm": _ddpm,
    "lcm": _lcm,
    "renoised": _renoised,
    "tcd": _tcd,
    "consistency": _consistency,
    "flow-euler": _euler,
    "adams-4": _adams(4),
    "deis": _deis,
    "sde-dpmsolver-1": _sde_exponential,
}
