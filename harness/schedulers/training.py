"""The training schedule that a scheduler's options describe, from the formulas of the papers, in float64."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.adapters.sampling import Array, Level

Settings = Mapping[str, Any]
"""Every argument of a scheduler's constructor by name."""

CAP = 0.999
"""The largest beta of a schedule given by its product (Nichol and Dhariwal, arXiv:2102.09672, section 3.2)."""

FLOOR = 2.0**-24
"""What some schedulers put in the place of a last product of 0, whose ratio would be infinite: the smallest number
above 0 of float16."""


@dataclass(frozen=True, slots=True)
class Training:
    """products: alpha^2 of each timestep, (timesteps,), falling."""

    products: Array

    @property
    def ratios(self) -> Array:
        """Sigma / alpha of each timestep."""
        with np.errstate(divide="ignore"):
            ratios: Array = np.sqrt((1.0 - self.products) / self.products)
        return ratios

    def level(self, timestep: int) -> Level:
        """Of a sample at that timestep, variance preserved."""
        product = float(self.products[timestep])
        return Level(math.sqrt(product), math.sqrt(1.0 - product))

    def timestep(self, ratio: float) -> float:
        """At which the training schedule has that sigma / alpha, its logarithm interpolated; the nearest end outside.

        As k-diffusion's `DiscreteSchedule.sigma_to_t` inverts its `t_to_sigma`.
        """
        logs = np.log(np.maximum(self.ratios, 1e-300))
        return float(np.interp(math.log(ratio), logs, np.arange(len(logs))))

    def timestep_linear(self, ratio: float) -> float:
        """The same where sigma / alpha itself is interpolated."""
        return float(np.interp(ratio, self.ratios, np.arange(len(self.products))))


def training_of(settings: Settings, *, floor: bool = False) -> Training:
    """The schedule of those settings. floor: whether a zero terminal product is lifted to `FLOOR`.

    Raises:
        KeyError: an unknown `beta_schedule`.
    """
    products = np.cumprod(1.0 - betas_of(settings))
    if "snr_shift_scale" in settings:
        scale = settings["snr_shift_scale"]
        products = products / (scale + (1.0 - scale) * products)
    if settings.get("rescale_betas_zero_snr"):
        products = rescaled(products)
        if floor:
            products[-1] = FLOOR
    return Training(products)


def betas_of(settings: Settings) -> Array:
    """The betas before any rescaling, (timesteps,)."""
    if settings.get("trained_betas") is not None:
        return np.asarray(settings["trained_betas"], dtype=np.float64)
    count = settings["num_train_timesteps"]
    kind = settings.get("beta_schedule", "linear")
    if kind in CUMULATIVE:
        product = CUMULATIVE[kind]
        times = np.arange(count + 1) / count
        values = np.array([product(float(time)) for time in times])
        return np.asarray(np.minimum(1.0 - values[1:] / values[:-1], CAP))
    first, last = settings["beta_start"], settings["beta_end"]
    spaced: dict[str, Callable[[], Array]] = {
        "linear": lambda: np.linspace(first, last, count),
        "scaled_linear": lambda: np.linspace(math.sqrt(first), math.sqrt(last), count) ** 2,
        "sigmoid": lambda: first + (last - first) / (1.0 + np.exp(-np.linspace(-6.0, 6.0, count))),
    }
    return spaced[kind]()


def rescaled(products: Array) -> Array:
    """With a zero terminal signal (Lin et al., arXiv:2305.08891, algorithm 1): alpha is shifted and scaled."""
    alphas = np.sqrt(products)
    moved: Array = ((alphas - alphas[-1]) * alphas[0] / (alphas[0] - alphas[-1])) ** 2
    return moved


def _cosine(time: float) -> float:
    """Nichol and Dhariwal, arXiv:2102.09672, equation 17."""
    return math.cos((time + 0.008) / 1.008 * math.pi / 2.0) ** 2


def _laplace(time: float) -> float:
    """log(alpha^2 / sigma^2) = -b sgn(1/2 - t) log(1 - 2 |t - 1/2|) (Hang et al., arXiv:2407.03297, table 1).

    With b = 1/2 and 1e-6 inside the logarithm, which keeps the ends finite.
    """
    logarithm = -0.5 * math.copysign(1.0, 0.5 - time) * math.log(1.0 - 2.0 * abs(0.5 - time) + 1e-6)
    return 1.0 / (1.0 + math.exp(-logarithm))


CUMULATIVE: dict[str, Callable[[float], float]] = {
    "squaredcos_cap_v2": _cosine,
    "laplace": _laplace,
    "exp": lambda time: math.exp(-12.0 * time),
}
"""alpha^2 as a function of the time from 0 to 1."""
