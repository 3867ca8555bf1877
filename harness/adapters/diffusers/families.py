"""What the families of schedulers mean by their samples, levels and model outputs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.adapters.sampling import Array, Level
from harness.errors import SpecError

LevelOf = Callable[[Any, int, float], Level]
"""Of the sample that goes into a scheduler's call with that number, at that timestep."""


@dataclass(frozen=True, slots=True)
class Family:
    """level: of what goes into a call. last: of what comes out at the end.

    scale: what the sample is multiplied with on its way to the model. output: what a perfect model returns, from the
    sample, the data's mean and the level.
    """

    level: LevelOf
    last: Callable[[Any], Level]
    scale: Callable[[Any, Level], float]
    output: Callable[[Any, Array, Array, Level], Array]


def family_of(scheduler: Any, name: str = "") -> Family:
    """The family of a scheduler, or of the one of that name.

    Raises:
        SpecError: it has no samples of the form alpha x0 + sigma noise, such as one of tokens.
    """
    name = name or type(scheduler).__name__
    if name not in FAMILIES:
        raise SpecError(
            f"scheduler {name!r}",
            "belongs to no family whose noise levels are known",
            todo=f"Known are {', '.join(sorted(FAMILIES))}.",
        )
    return FAMILIES[name]


def predicted(scheduler: Any, sample: Array, denoised: Array, level: Level) -> Array:
    """The model's output by the scheduler's `prediction_type`.

    noise: (x - alpha x0) / sigma. velocity: alpha noise - sigma x0 with alpha^2 + sigma^2 = 1 (Salimans and Ho,
    arXiv:2202.00512, appendix D). flow: noise - x0 (Lipman et al., arXiv:2210.02747).
    """
    kind = getattr(scheduler.config, "prediction_type", "epsilon")
    if kind == "sample":
        return denoised
    noise = (sample - level.alpha * denoised) / level.sigma
    if kind == "flow_prediction":
        return noise - denoised
    if kind == "v_prediction":
        size = math.hypot(level.alpha, level.sigma)
        return (level.alpha * noise - level.sigma * denoised) / size
    return noise


def predicted_with_variance(scheduler: Any, sample: Array, denoised: Array, level: Level) -> Array:
    """As `predicted`; where the scheduler's `variance_type` is learned, beside it what the model says of the variance.

    That has no closed form here: any formula does that stays positive (`learned`) or within -1 and 1
    (`learned_range`), and varies with the sample.
    """
    mean = predicted(scheduler, sample, denoised, level)
    kind = getattr(scheduler.config, "variance_type", None)
    if kind == "learned":
        return np.concatenate([mean, level.sigma**2 / (1.0 + denoised**2)], axis=1)
    return np.concatenate([mean, np.tanh(denoised)], axis=1) if kind == "learned_range" else mean


def _velocity(_scheduler: Any, sample: Array, denoised: Array, level: Level) -> Array:
    return level.alpha * (sample - level.alpha * denoised) / level.sigma - level.sigma * denoised


def _flow_velocity(_scheduler: Any, sample: Array, denoised: Array, level: Level) -> Array:
    return (sample - level.alpha * denoised) / level.sigma - denoised


def _preconditioned(scheduler: Any, sample: Array, denoised: Array, level: Level) -> Array:
    """F of x0 = c_skip x + c_out F (Karras et al., arXiv:2206.00364, table 1: with the sign of `epsilon`)."""
    data, sigma = scheduler.config.sigma_data, level.sigma
    skip, out = data**2 / (sigma**2 + data**2), sigma * data / math.hypot(sigma, data)
    sign = -1.0 if getattr(scheduler.config, "prediction_type", "epsilon") == "v_prediction" else 1.0
    output: Array = (denoised - skip * sample) / (sign * out)
    return output


def _consistent(scheduler: Any, sample: Array, denoised: Array, level: Level) -> Array:
    """F of x0 = c_skip x + c_out F with the boundary at sigma_min (Song et al., arXiv:2303.01469, appendix C)."""
    data, sigma, least = scheduler.config.sigma_data, level.sigma, scheduler.config.sigma_min
    skip, out = data**2 / ((sigma - least) ** 2 + data**2), (sigma - least) * data / math.hypot(sigma, data)
    output: Array = (denoised - skip * sample) / out
    return output


def _exploding(scheduler: Any, index: int) -> Level:
    return Level(1.0, float(scheduler.sigmas[index]))


def _kept(scheduler: Any, index: int) -> Level:
    """Variance preserved: alpha^2 + sigma^2 = 1; or alpha + sigma = 1 with flow sigmas."""
    sigma = float(scheduler.sigmas[index])
    if getattr(scheduler.config, "use_flow_sigmas", False):
        return Level(1.0 - sigma, sigma)
    return Level(1.0 / math.hypot(1.0, sigma), sigma / math.hypot(1.0, sigma))


def _straight(scheduler: Any, index: int) -> Level:
    sigma = float(scheduler.sigmas[index])
    return Level(1.0 - sigma, sigma)


def _at_timestep(scheduler: Any, timestep: float) -> Level:
    """From the cumulative product of the training schedule."""
    return _of_product(float(scheduler.alphas_cumprod[int(timestep)]))


def _of_product(product: float) -> Level:
    return Level(math.sqrt(product), math.sqrt(1.0 - product))


def _between(scheduler: Any, number: int) -> Level:
    """Of a scheme with two calls a step: every second call is at a level between two sigmas."""
    return Level(1.0, float(scheduler.sigmas_interpol[number])) if number % 2 else _exploding(scheduler, number)


def _between_ancestral(scheduler: Any, number: int) -> Level:
    return Level(1.0, float(scheduler.sigmas_interpol[number - 1])) if number % 2 else _exploding(scheduler, number)


def _geometric(scheduler: Any, number: int) -> Level:
    if number % 2 == 0:
        return _exploding(scheduler, number)
    return Level(1.0, math.sqrt(float(scheduler.sigmas[number - 1]) * float(scheduler.sigmas[number])))


def _product_family(
    last: Callable[[Any], float] = lambda scheduler: float(scheduler.final_alpha_cumprod), output: Any = predicted
) -> Family:
    return Family(
        lambda scheduler, _number, timestep: _at_timestep(scheduler, timestep),
        lambda scheduler: _of_product(last(scheduler)),
        _whole,
        output,
    )


def _indexed(
    level: Callable[[Any, int], Level], scale: Callable[[Any, Level], float], output: Any = predicted
) -> Family:
    return Family(
        lambda scheduler, number, _timestep: level(scheduler, number),
        lambda scheduler: level_last(level, scheduler),
        scale,
        output,
    )


def level_last(level: Callable[[Any, int], Level], scheduler: Any) -> Level:
    """The level of the last entry of the grid; in a scheme with two calls a step it is a whole step's."""
    if level in (_between, _between_ancestral, _geometric):
        level = _exploding
    return level(scheduler, -1)


def _whole(_scheduler: Any, _level: Level) -> float:
    return 1.0


def _unit(_scheduler: Any, level: Level) -> float:
    """To variance 1 for data of variance 1."""
    return 1.0 / math.hypot(1.0, level.sigma)


def _data(scheduler: Any, level: Level) -> float:
    return 1.0 / math.hypot(scheduler.config.sigma_data, level.sigma)


def _before(scheduler: Any, _number: int, timestep: float) -> Level:
    """Of a scheme that goes to the timestep that the model is told, from the one before."""
    earlier = int(timestep) - scheduler.config.num_train_timesteps // scheduler.num_inference_steps
    return _of_product(float(scheduler.alphas_cumprod[earlier] if earlier >= 0 else scheduler.initial_alpha_cumprod))


def _arc(scheduler: Any, index: int) -> Level:
    """X = cos(t) x0 + sin(t) noise, for noise of the data's deviation (Lu and Song, arXiv:2410.11081, section 3)."""
    time = float(scheduler.timesteps[index])
    return Level(math.cos(time), math.sin(time) * scheduler.config.sigma_data)


def _arc_velocity(_scheduler: Any, sample: Array, denoised: Array, level: Level) -> Array:
    """F of x0 = cos(t) x - sin(t) F."""
    output: Array = (level.alpha * sample - denoised) / math.sqrt(1.0 - level.alpha**2)
    return output


def _angle(scheduler: Any, index: int) -> Level:
    return Level(float(scheduler.alphas[index]), float(scheduler.betas[index]))


FAMILIES: dict[str, Family] = {
    **dict.fromkeys(
        ("EulerDiscreteScheduler", "EulerAncestralDiscreteScheduler", "HeunDiscreteScheduler", "LMSDiscreteScheduler"),
        _indexed(_exploding, _unit),
    ),
    "KDPM2DiscreteScheduler": _indexed(_between, _unit),
    "KDPM2AncestralDiscreteScheduler": _indexed(_between_ancestral, _unit),
    "DPMSolverSDEScheduler": _indexed(_geometric, _unit),
    **dict.fromkeys(
        (
            "DPMSolverMultistepScheduler",
            "DPMSolverSinglestepScheduler",
            "DEISMultistepScheduler",
            "UniPCMultistepScheduler",
            "SASolverScheduler",
            "DPMSolverMultistepInverseScheduler",
        ),
        _indexed(_kept, _whole),
    ),
    **dict.fromkeys(
        (
            "DDIMScheduler",
            "DDIMParallelScheduler",
            "PNDMScheduler",
            "LCMScheduler",
            "TCDScheduler",
            "CogVideoXDDIMScheduler",
        ),
        _product_family(),
    ),
    **dict.fromkeys(
        ("DDPMScheduler", "DDPMParallelScheduler", "UnCLIPScheduler"),
        _product_family(lambda _scheduler: 1.0, predicted_with_variance),
    ),
    **dict.fromkeys(
        ("FlowMatchEulerDiscreteScheduler", "FlowMatchHeunDiscreteScheduler", "FlowMatchLCMScheduler"),
        _indexed(_straight, _whole, _flow_velocity),
    ),
    **dict.fromkeys(
        ("EDMEulerScheduler", "EDMDPMSolverMultistepScheduler", "CosineDPMSolverMultistepScheduler"),
        _indexed(_exploding, _data, _preconditioned),
    ),
    "CMStochasticIterativeScheduler": _indexed(_exploding, _data, _consistent),
    "IPNDMScheduler": _indexed(_angle, _whole, _velocity),
    "LTXEulerAncestralRFScheduler": _indexed(_straight, _whole, _flow_velocity),
    "SCMScheduler": _indexed(_arc, _whole, _arc_velocity),
    "DDIMInverseScheduler": Family(
        _before, lambda scheduler: _at_timestep(scheduler, float(scheduler.timesteps[-1])), _whole, predicted
    ),
}
