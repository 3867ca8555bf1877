"""The noise levels and timesteps that a scheduler should have, from its settings and formulas alone."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from harness.adapters.sampling import Array, Level
from harness.schedulers.training import Settings, training_of

RHO = 7.0
"""Of Karras et al., arXiv:2206.00364, section 3: the value that they recommend, and the default of k-diffusion."""

BETA = 0.6
"""Both parameters of the beta distribution of arXiv:2407.12173, as diffusers sets them."""


@dataclass(frozen=True, slots=True)
class Grid:
    """What a scheduler should do.

    levels: of each call of the model, and last of what comes out. timesteps: what the model should be told, call by
    call. slack: by how much a timestep may differ: half a step where a class rounds to whole ones, by decision.
    """

    levels: tuple[Level, ...]
    timesteps: tuple[float, ...]
    slack: float = 0.0


def grid_of(name: str, settings: Settings, steps: int, told: Sequence[float]) -> Grid:
    """The grid of the scheduler class of that name.

    told: its timesteps, which decide the levels only where they are whole by decision: there the level is that of the
    timestep told, and `Grid.timesteps` says where it has to lie.

    Raises:
        KeyError: no formula for a class of that name, or for one of the settings.
    """
    return CLASSES[name](name, settings, steps, told)


def spaced(kind: str, count: int, steps: int, offset: int = 0) -> Array:
    """Timesteps among `count`, falling, (steps,): table 2 of Lin et al., arXiv:2305.08891, counted from 0."""
    if kind == "linspace":
        return np.linspace(count - 1, 0, steps)
    if kind == "leading":
        return np.asarray(np.minimum(np.arange(steps - 1, -1, -1) * float(count // steps) + offset, count - 1))
    if kind == "trailing":
        return np.asarray(count * np.arange(steps, 0, -1) / steps - 1.0)
    raise KeyError(kind)


def karras(first: float, last: float, steps: int, rho: float = RHO) -> Array:
    """From one sigma down to another (Karras et al., arXiv:2206.00364, equation 5)."""
    ramp = np.linspace(0.0, 1.0, steps)
    sigmas: Array = (first ** (1 / rho) + ramp * (last ** (1 / rho) - first ** (1 / rho))) ** rho
    return sigmas


def exponential(first: float, last: float, steps: int) -> Array:
    """Evenly spaced in the logarithm, as k-diffusion's `get_sigmas_exponential`."""
    sigmas: Array = np.exp(np.linspace(math.log(first), math.log(last), steps))
    return sigmas


def by_beta(first: float, last: float, steps: int) -> Array:
    """At the quantiles of a beta distribution (arXiv:2407.12173)."""
    from scipy.stats import beta

    quantiles: Array = beta.ppf(1.0 - np.linspace(0.0, 1.0, steps), BETA, BETA)
    return last + quantiles * (first - last)


CONVERSIONS: dict[str, Callable[[float, float, int], Array]] = {
    "use_karras_sigmas": karras,
    "use_lu_lambdas": exponential,
    "use_exponential_sigmas": exponential,
    "use_beta_sigmas": by_beta,
}
"""Lu et al. (arXiv:2206.00927, section 4.1) space log(alpha / sigma) evenly: the same as the logarithm of sigma."""


def shifted(sigma: Array, shift: float) -> Array:
    """Flow sigmas for a larger image (Esser et al., arXiv:2403.03206, equation 23)."""
    moved: Array = shift * sigma / (1.0 + (shift - 1.0) * sigma)
    return moved


def _exploding(name: str, settings: Settings, steps: int, told: Sequence[float]) -> Grid:
    """Of x0 + sigma noise: the spacing's points of the training schedule, then 0; converted between their own ends."""
    training = training_of(settings, floor=True)
    points = spaced(
        settings["timestep_spacing"], settings["num_train_timesteps"], steps, settings.get("steps_offset", 0)
    )
    if settings["timestep_spacing"] == "trailing":
        points = _rounded(points, told)
    sigmas: Array = np.interp(points, np.arange(len(training.products)), training.ratios)
    if settings.get("interpolation_type") == "log_linear":
        sigmas = exponential(float(training.ratios[-1]), float(training.ratios[0]), steps + 1)[:-1]
    converted = _converted(settings, float(sigmas[0]), float(sigmas[-1]), steps)
    sigmas = sigmas if converted is None else converted
    last = float(training.ratios[0]) if settings.get("final_sigmas_type") == "sigma_min" else 0.0
    ratios = BETWEEN.get(name, _single)([*map(float, sigmas), last])
    levels = tuple(Level(1.0, ratio) for ratio in ratios)
    if settings.get("timestep_type") == "continuous" and settings["prediction_type"] == "v_prediction":
        return Grid(levels, tuple(0.25 * math.log(ratio) for ratio in ratios[:-1]))
    whole = settings.get("use_karras_sigmas") and name.startswith("KDPM2")
    return Grid(levels, tuple(map(training.timestep, ratios[:-1])), slack=0.5 if whole else 0.0)


def _single(sigmas: list[float]) -> list[float]:
    return sigmas


def _twice(sigmas: list[float]) -> list[float]:
    """Two calls a step, the second at its end; one call where it ends at 0."""
    return [sigmas[0], *(sigma for sigma in sigmas[1:-1] for _ in range(2)), sigmas[-1]]


def _middle(middle: Callable[[float, float], float]) -> Callable[[list[float]], list[float]]:
    def ratios(sigmas: list[float]) -> list[float]:
        """Two calls a step, the second between its ends; one call where it ends at 0."""
        pairs = itertools.pairwise(sigmas[:-1])
        return [*(sigma for here, there in pairs for sigma in (here, middle(here, there))), *sigmas[-2:]]

    return ratios


def _ancestral(here: float, there: float) -> float:
    """The geometric mean of `here` and the sigma that is stepped down to before noise: that is there^2 / here."""
    return math.sqrt(here * (there**2 / here))


BETWEEN = {
    "HeunDiscreteScheduler": _twice,
    "KDPM2DiscreteScheduler": _middle(lambda here, there: math.sqrt(here * there)),
    "DPMSolverSDEScheduler": _middle(lambda here, there: math.sqrt(here * there)),
    "KDPM2AncestralDiscreteScheduler": _middle(_ancestral),
}


def _preserving(name: str, settings: Settings, steps: int, told: Sequence[float]) -> Grid:
    """Variance preserved: of one point more than steps, all but the last; converted between the training's ends."""
    training = training_of(settings, floor=True)
    if settings.get("use_flow_sigmas"):
        return _preserving_flow(name, settings, steps)
    zero = settings.get("final_sigmas_type", NO_CHOICE.get(name, "zero")) == "zero"
    last = Level(1.0, 0.0) if zero else training.level(0)
    ratios = _converted(settings, float(training.ratios[-1]), float(training.ratios[0]), steps)
    if ratios is not None:
        levels = [Level(1.0 / math.hypot(1.0, ratio), ratio / math.hypot(1.0, ratio)) for ratio in map(float, ratios)]
        return Grid((*levels, last), tuple(training.timestep(float(ratio)) for ratio in ratios), slack=0.5)
    kind = settings.get("timestep_spacing", "linspace")
    clipped = settings.get("lambda_min_clipped", -math.inf)
    kept = int(np.sum(-np.log(training.ratios) >= clipped))
    points = spaced(kind, kept, steps + (kind != "trailing"), settings.get("steps_offset", 0))[:steps]
    whole = _rounded(points, told)
    return Grid((*(training.level(int(point)) for point in whole), last), tuple(points), slack=0.5)


NO_CHOICE = {"DEISMultistepScheduler": "sigma_min", "SASolverScheduler": "sigma_min"}
"""Classes without the option `final_sigmas_type`, and what they do."""


def _preserving_flow(name: str, settings: Settings, steps: int) -> Grid:
    """Of (1 - sigma) x0 + sigma noise, from the training's last sigma down (Liu et al., arXiv:2209.03003)."""
    count = settings["num_train_timesteps"]
    if name == "UniPCMultistepScheduler":
        even = np.linspace(1.0, 1.0 / count, steps + 1)[:-1]
    else:
        even = (1.0 - 1.0 / count) * np.arange(steps, 0, -1) / steps
    sigmas = shifted(even, settings["flow_shift"])
    if settings.get("shift_terminal"):
        sigmas = _stretched(sigmas, settings["shift_terminal"])
    if name == "UniPCMultistepScheduler" and abs(sigmas[0] - 1.0) < 1e-6:
        sigmas[0] -= 1e-6  # alpha must not be 0, by whose logarithm this solver goes
    least = float(shifted(np.array([1.0 / count]), settings["flow_shift"])[0])
    zero = settings.get("final_sigmas_type", NO_CHOICE.get(name, "zero")) == "zero"
    levels = tuple(Level(1.0 - sigma, sigma) for sigma in (*map(float, sigmas), 0.0 if zero else least))
    return Grid(levels, tuple(float(sigma) * count for sigma in sigmas), slack=0.5)


def _stretched(sigmas: Array, terminal: float) -> Array:
    """So that the last is `terminal`: 1 - sigma is scaled (LTX-Video, arXiv:2501.00103). A single one stays 1."""
    if len(sigmas) == 1:
        return sigmas
    stretched: Array = 1.0 - (1.0 - sigmas) * (1.0 - terminal) / (1.0 - sigmas[-1])
    return stretched


def _product(name: str, settings: Settings, steps: int, told: Sequence[float]) -> Grid:
    """Whole timesteps of the training schedule by the spacing; at the end its first level, or no noise."""
    training, count = training_of(settings), settings["num_train_timesteps"]
    if name == "UnCLIPScheduler":
        points = spaced("linspace", count, steps)
    elif name in ("LCMScheduler", "TCDScheduler"):
        points = _distilled(settings, steps)
    else:
        points = spaced(settings["timestep_spacing"], count, steps, settings.get("steps_offset", 0))
    if name == "PNDMScheduler":
        points = _runge_kutta(points, settings, steps)
    whole = _rounded(points, told)
    last = Level(1.0, 0.0) if settings.get("set_alpha_to_one", True) else training.level(0)
    return Grid((*(training.level(int(point)) for point in whole), last), tuple(map(float, points)), slack=0.5)


def _runge_kutta(points: Array, settings: Settings, steps: int) -> Array:
    """Liu et al., arXiv:2202.09778, section 3.3: three steps with four calls each, or the first one called twice."""
    if settings["skip_prk_steps"]:
        return np.concatenate([points[:2], points[1:]]) if steps > 1 else points
    half = settings["num_train_timesteps"] // steps // 2
    calls = [(begin, end + half, end + half, end) for begin, end in itertools.pairwise(np.round(points[:4]))]
    return np.concatenate([np.ravel(calls), points[3:]])


def _distilled(settings: Settings, steps: int) -> Array:
    """Of the timesteps of distillation, every so manyth from the top (Luo et al., arXiv:2310.04378, section 4.3)."""
    original = settings["original_inference_steps"]
    each = settings["num_train_timesteps"] // original
    kept = [original - original * step // steps for step in range(steps)]
    return np.asarray(np.array(kept, dtype=np.float64) * each - 1.0)


def _straight(name: str, settings: Settings, steps: int, _told: Sequence[float]) -> Grid:
    """Of (1 - sigma) x0 + sigma noise, from 1 to the least of training, shifted (arXiv:2403.03206).

    As the reference code of that paper has it, the lower end is that of the shifted schedule, and is shifted with the
    others once more.
    """
    count, shift = settings["num_train_timesteps"], settings["shift"]
    least = float(shifted(np.array([1.0 / count]), shift)[0])
    sigmas = shifted(np.linspace(1.0, least, steps), shift)
    if settings.get("shift_terminal"):
        sigmas = _stretched(sigmas, settings["shift_terminal"])
    converted = _converted(settings, float(sigmas[0]), float(sigmas[-1]), steps)
    sigmas = sigmas if converted is None else converted
    end = 0.0
    if settings.get("invert_sigmas"):
        sigmas, end = 1.0 - sigmas, 1.0
    all_sigmas = [*map(float, sigmas), end]
    if name == "FlowMatchHeunDiscreteScheduler":
        all_sigmas = _twice(all_sigmas)
    return Grid(tuple(Level(1.0 - s, s) for s in all_sigmas), tuple(sigma * count for sigma in all_sigmas[:-1]))


def _karras_family(name: str, settings: Settings, steps: int, _told: Sequence[float]) -> Grid:
    """Karras et al., arXiv:2206.00364, table 1: c_noise is log(sigma) / 4, or an angle for the cosine class."""
    ends = settings["sigma_max"], settings["sigma_min"]
    if settings["sigma_schedule"] == "karras":
        sigmas = karras(*ends, steps, settings["rho"])
    else:
        sigmas = exponential(*ends, steps)
    last = settings["sigma_min"] if settings["final_sigmas_type"] == "sigma_min" else 0.0
    angle = name == "CosineDPMSolverMultistepScheduler"
    timesteps = tuple(math.atan(s) * 2.0 / math.pi if angle else 0.25 * math.log(s) for s in map(float, sigmas))
    return Grid(tuple(Level(1.0, float(sigma)) for sigma in (*sigmas, last)), timesteps)


def _consistency(_name: str, settings: Settings, steps: int, _told: Sequence[float]) -> Grid:
    """Every so manyth of the training's sigmas from the top, then the least (arXiv:2303.01469, algorithm 1)."""
    count = settings["num_train_timesteps"]
    every = karras(settings["sigma_max"], settings["sigma_min"], count, settings["rho"])
    sigmas = every[:: count // steps][:steps]
    levels = tuple(Level(1.0, float(sigma)) for sigma in (*sigmas, settings["sigma_min"]))
    return Grid(levels, tuple(250.0 * math.log(sigma) for sigma in map(float, sigmas)))


def _angles(_name: str, _settings: Settings, steps: int, _told: Sequence[float]) -> Grid:
    """With sigma = sin^2(pi t / 2) with t falling evenly from 1 to 0; the model is told 2/pi times the angle."""
    sigmas = [math.sin(math.pi / 2.0 * (1.0 - step / steps)) ** 2 for step in range(steps)]
    levels = tuple(Level(math.sqrt(1.0 - sigma**2), sigma) for sigma in (*sigmas, 0.0))
    return Grid(levels, tuple(math.asin(sigma) / math.pi * 2.0 for sigma in sigmas))


def _converted(settings: Settings, first: float, last: float, steps: int) -> Array | None:
    """The sigmas by the one conversion that is asked for; `sigma_min`, `sigma_max` come before the schedule's ends."""
    asked = [name for name in CONVERSIONS if settings.get(name)]
    if not asked:
        return None
    low, high = settings.get("sigma_min"), settings.get("sigma_max")
    return CONVERSIONS[asked[0]](first if high is None else high, last if low is None else low, steps)


def _rounded(points: Array, told: Sequence[float]) -> Array:
    """The whole timesteps: those told, where each is as near as any, else the points rounded here."""
    if len(told) == len(points) and np.all(np.abs(np.asarray(told) - points) <= 0.5 + 1e-9):
        return np.round(np.asarray(told))
    return np.round(points)


CLASSES: dict[str, Callable[[str, Settings, int, Sequence[float]], Grid]] = {
    **dict.fromkeys(("EulerDiscreteScheduler", "EulerAncestralDiscreteScheduler", "LMSDiscreteScheduler"), _exploding),
    **dict.fromkeys(BETWEEN, _exploding),
    **dict.fromkeys(("DPMSolverMultistepScheduler", "DPMSolverSinglestepScheduler"), _preserving),
    **dict.fromkeys(("DEISMultistepScheduler", "UniPCMultistepScheduler", "SASolverScheduler"), _preserving),
    **dict.fromkeys(("DDIMScheduler", "DDIMParallelScheduler", "PNDMScheduler", "LCMScheduler"), _product),
    **dict.fromkeys(("TCDScheduler", "CogVideoXDDIMScheduler", "DDPMScheduler", "DDPMParallelScheduler"), _product),
    "UnCLIPScheduler": _product,
    **dict.fromkeys(("FlowMatchEulerDiscreteScheduler", "FlowMatchHeunDiscreteScheduler"), _straight),
    "FlowMatchLCMScheduler": _straight,
    **dict.fromkeys(("EDMEulerScheduler", "EDMDPMSolverMultistepScheduler"), _karras_family),
    "CosineDPMSolverMultistepScheduler": _karras_family,
    "CMStochasticIterativeScheduler": _consistency,
    "IPNDMScheduler": _angles,
}
