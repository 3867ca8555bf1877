"""Data whose ideal denoiser is known in closed form, and with it what an exact solver would put out."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.adapters.sampling import Array, Denoise, Level


@dataclass(frozen=True, slots=True)
class Gaussian:
    """Independent normal data of those means and deviations, each of shape (width,)."""

    mean: Array
    deviation: Array

    def denoise(self, sample: Array, level: Level) -> Array:
        """E[x0 | x] for x = alpha x0 + sigma noise: the normal posterior's mean, (batch, width)."""
        variance = self.deviation**2
        gain = level.alpha * variance / (level.alpha**2 * variance + level.sigma**2)
        mean: Array = self.mean + gain * (sample - level.alpha * self.mean)
        return mean

    def start(self, unit: Array, level: Level) -> Array:
        """Samples of the exact marginal at that level, of unit noise (batch, width)."""
        return level.alpha * self.mean + self._size(level) * unit

    def flow(self, sample: Array, levels: Sequence[Level]) -> list[Array]:
        """The solution of the probability-flow equation through `sample` at the first level, at each of the others.

        (x - alpha mean) / sqrt(alpha^2 deviation^2 + sigma^2) stays what it is along a solution, since the flow maps
        the marginals, here normal, onto each other (Song et al., arXiv:2011.13456, section 4.3).
        """
        start = levels[0]
        steady = (sample - start.alpha * self.mean) / self._size(start)
        return [level.alpha * self.mean + steady * self._size(level) for level in levels[1:]]

    def _size(self, level: Level) -> Array:
        size: Array = np.sqrt(level.alpha**2 * self.deviation**2 + level.sigma**2)
        return size


@dataclass(frozen=True, slots=True)
class Mixture:
    """Independent data, each a mixture of two normals of equal weight: means and deviations of shape (2, width)."""

    means: Array
    deviations: Array

    def denoise(self, sample: Array, level: Level) -> Array:
        """E[x0 | x]: the posterior means of both, weighted with the posterior probability of each, (batch, width)."""
        parts = [Gaussian(mean, deviation) for mean, deviation in zip(self.means, self.deviations)]
        variances = [level.alpha**2 * part.deviation**2 + level.sigma**2 for part in parts]
        logs = [
            -0.5 * ((sample - level.alpha * part.mean) ** 2 / variance + np.log(variance))
            for part, variance in zip(parts, variances)
        ]
        first: Array = 1.0 / (1.0 + np.exp(np.clip(logs[1] - logs[0], -700.0, 700.0)))
        return first * parts[0].denoise(sample, level) + (1.0 - first) * parts[1].denoise(sample, level)

    def flow(self, sample: Array, levels: Sequence[Level]) -> list[Array]:
        """The solution of the probability-flow equation through `sample` at the first level, at each of the others.

        Integrated from level to level to 13 digits: d(x/alpha)/ds = x/alpha - E[x0|x] with s = log(sigma/alpha)
        (Karras et al., arXiv:2206.00364, equation 1, for sigma(t) = t).
        """
        from scipy.integrate import solve_ivp

        shape, found = np.shape(sample), []
        state = np.ravel(sample) / levels[0].alpha

        def slope(s: float, flat: Array) -> Array:
            whole = flat.reshape(shape)
            return np.asarray(whole - self.denoise(whole, Level(1.0, math.exp(s)))).ravel()

        for begin, end in itertools.pairwise(levels):
            ends = (math.log(begin.ratio), math.log(end.ratio))
            state = solve_ivp(slope, ends, state, method="DOP853", rtol=1e-13, atol=1e-14).y[:, -1]
            found.append(state.reshape(shape) * end.alpha)
        return found


def constant_noise(noise: Array) -> Denoise:
    """A model that says of every sample that it holds this noise, (batch, width), whatever the sample."""
    return lambda sample, level: (sample - level.sigma * noise) / level.alpha


NORMAL = Gaussian(mean=np.array([0.3, -0.7, 1.1]), deviation=np.array([0.5, 1.0, 1.7]))
"""Narrower than, as wide as, and wider than the noise that schedulers assume of data."""

TWO_BUMPS = Mixture(
    means=np.array([[-0.8, -1.0, 0.4], [0.9, 1.2, 1.5]]), deviations=np.array([[0.6, 0.5, 0.9], [0.7, 0.9, 0.5]])
)
"""Bent enough that a solver's terms of higher order count, smooth enough that a hundred steps show its order."""
