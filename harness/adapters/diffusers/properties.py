"""What every scheduler should do whatever its options: each property measured, as an error that is 0 where it holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from harness.adapters.diffusers.copies import float64
from harness.adapters.diffusers.families import family_of
from harness.adapters.diffusers.run import Scheduler, drawing
from harness.adapters.diffusers.settings import settings_of
from harness.adapters.sampling import Array, Recipe

Finding = tuple[float, str]
"""An error and where it is largest."""

SHAPE = 3, 2, 2, 1
"""Of the samples: more than one row, and channels and sides as an image has, which dynamic thresholding needs."""

TWICE = (
    "HeunDiscreteScheduler",
    "KDPM2DiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler",
    "DPMSolverSDEScheduler",
    "FlowMatchHeunDiscreteScheduler",
)
"""They call the model twice a step, but for the last."""


def count(recipe: Recipe) -> Finding:
    """By how many the timesteps, and the sigmas, are more or fewer than the steps that were asked for have."""
    with float64(recipe.wide):
        scheduler = Scheduler(recipe).made()
        calls, wanted = len(scheduler.timesteps), _calls(recipe)
        found = [(float(abs(calls - wanted)), f"{calls} timesteps, not {wanted}")]
        if hasattr(scheduler, "sigmas"):
            entries = wanted + 1 + 2 * recipe.name.startswith("KDPM2")  # these end with two zeros that nothing reads
            sigmas = len(scheduler.sigmas)
            found.append((float(abs(sigmas - entries)), f"{sigmas} sigmas, not {entries}"))
        return max(found)


def _calls(recipe: Recipe) -> int:
    steps = recipe.steps
    if recipe.name in TWICE:
        return 2 * steps - 1
    if recipe.name == "PNDMScheduler":
        plain = settings_of(recipe)["skip_prk_steps"]
        return steps + (steps > 1) if plain else 9 + steps
    return steps


def falling(recipe: Recipe) -> Finding:
    """By how much a timestep, or the sigma of a call, is above the one before."""
    with float64(recipe.wide):
        scheduler = Scheduler(recipe).made()
        sign = -1.0 if settings_of(recipe).get("invert_sigmas") else 1.0
        return max(_rise(_whole(scheduler, recipe), sign, "timestep"), _rise(_sigmas(scheduler, recipe), sign, "sigma"))


def _rise(values: Array, sign: float, kind: str) -> Finding:
    rises = sign * np.diff(values)
    if not np.all(np.isfinite(values)):
        return 1.0, f"a {kind} is no number"
    if not len(rises) or rises.max() <= 0.0:
        return 0.0, ""
    worst = int(rises.argmax())
    return float(rises[worst]), f"{kind} {worst + 1} is {values[worst + 1]:.6g} after {values[worst]:.6g}"


def unique(recipe: Recipe, *, coarse: bool = False) -> Finding:
    """How many steps are told the timestep of the step before, or begin at its sigma.

    coarse: whether timesteps are rounded by decision, and do not count.
    """
    with float64(recipe.wide):
        scheduler = Scheduler(recipe).made()
        told = [] if coarse else [("timestep", _whole(scheduler, recipe))]
        found = []
        for kind, values in (*told, ("sigma", _sigmas(scheduler, recipe)[:-1])):
            same = np.flatnonzero(np.diff(values) == 0.0)
            where = (
                f"{kind} {same[0] + 1} of {len(values)} is the one before, {values[same[0]]:.6g}" if len(same) else ""
            )
            found.append((float(len(same)), where))
        return max(found)


def arrives(recipe: Recipe) -> Finding:
    """1 where the last step ends at the noise at which it begins, to rounding: its call of the model is for nothing."""
    with float64(recipe.wide):
        sigmas = _sigmas(Scheduler(recipe).made(), recipe)
        if len(sigmas) < 2 or abs(sigmas[-1] - sigmas[-2]) > 1e-12 * sigmas[-2]:
            return 0.0, ""
        return 1.0, f"the last step is from sigma {sigmas[-2]:.6g} to {sigmas[-1]:.6g}"


def _whole(scheduler: Any, recipe: Recipe) -> Array:
    """The timesteps at which steps begin."""
    timesteps = scheduler.timesteps.numpy().astype(np.float64)
    if recipe.name in TWICE:
        return np.asarray(timesteps[::2])
    if recipe.name == "PNDMScheduler":
        return np.unique(timesteps)[::-1] if settings_of(recipe)["skip_prk_steps"] else np.asarray(timesteps[12:])
    return np.asarray(timesteps)


def _sigmas(scheduler: Any, recipe: Recipe) -> Array:
    """The noise, sigma / alpha, at which steps begin, and last what is left."""
    family = family_of(scheduler)
    levels = [family.level(scheduler, number, float(t)) for number, t in enumerate(scheduler.timesteps)]
    if recipe.name in TWICE:
        levels = levels[::2]
    if recipe.name == "PNDMScheduler":
        return np.zeros(0)  # its steps begin at timesteps that `_whole` has
    return np.array([level.ratio for level in (*levels, family.last(scheduler)) if level.alpha])


def begins(recipe: Recipe) -> Finding:
    """The index at which a run begins, which is 0: it is found by the first timestep."""
    with float64(recipe.wide):
        scheduler = Scheduler(recipe).made()
        if not hasattr(scheduler, "index_for_timestep"):
            return 0.0, "has no index"
        index = scheduler.index_for_timestep(scheduler.timesteps[0])
        return float(abs(index)), f"a run begins at index {index}"


def noised(recipe: Recipe) -> Finding:
    """How far `add_noise` at a timestep is from the level that the step there assumes, by that level's sigma or 1."""
    with float64(recipe.wide):
        scheduler = Scheduler(recipe).made()
        return max(_noised(scheduler, number) for number in range(len(scheduler.timesteps)))


def noised_within(recipe: Recipe) -> Finding:
    """The same in the midst of a run that a pipeline began at an index, where the timestep is not looked up."""
    with float64(recipe.wide):
        scheduler = Scheduler(recipe).made()
        if not hasattr(scheduler, "set_begin_index"):
            return 0.0, "has no index"
        scheduler.set_begin_index(0)
        found = [(0.0, "")]
        with drawing(scheduler, lambda _number: np.zeros((1, 2, 1, 1))):
            sample = torch.full((1, 2, 1, 1), 0.5)
            for number, timestep in enumerate(scheduler.timesteps):
                if number:
                    found.append(_noised(scheduler, number))
                seen = (
                    scheduler.scale_model_input(sample, timestep) if hasattr(scheduler, "scale_model_input") else sample
                )
                sample = scheduler.step(0.1 * seen, timestep, sample).prev_sample
        return max(found)


def _noised(scheduler: Any, number: int) -> Finding:
    timestep = scheduler.timesteps[number]
    add = getattr(scheduler, "add_noise", None) or getattr(scheduler, "scale_noise", None)
    if add is None:
        return 0.0, "adds no noise"
    level = family_of(scheduler).level(scheduler, number, float(timestep))
    data, noise = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    at = timestep.reshape(1) if add.__name__ == "add_noise" or _many(scheduler) else timestep
    alpha, sigma = (
        map(float, add(data, noise, at)[0]) if add.__name__ == "add_noise" else map(float, add(data, at, noise)[0])
    )
    error = max(abs(alpha - level.alpha), abs(sigma - level.sigma)) / max(1.0, level.sigma)
    return (
        error,
        f"timestep {number}, {float(timestep):.6g}: {alpha:.5g}, {sigma:.5g}, not {level.alpha:.5g}, {level.sigma:.5g}",
    )


def _many(scheduler: Any) -> bool:
    return type(scheduler).__name__ != "FlowMatchHeunDiscreteScheduler"


def velocity(recipe: Recipe) -> Finding:
    """How far `get_velocity` is from alpha noise - sigma data, with alpha^2 + sigma^2 = 1, at each timestep."""
    with float64(recipe.wide):
        scheduler = Scheduler(recipe).made()
        if not hasattr(scheduler, "get_velocity"):
            return 0.0, "has none"
        found = []
        for number, timestep in enumerate(scheduler.timesteps):
            level = family_of(scheduler).level(scheduler, number, float(timestep))
            size = float(np.hypot(level.alpha, level.sigma))
            data, noise = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
            sigma, alpha = map(float, scheduler.get_velocity(data, noise, timestep.reshape(1))[0])
            error = max(abs(alpha - level.alpha / size), abs(-sigma - level.sigma / size))
            where = f"timestep {float(timestep):.6g}: {alpha:.4g} noise - {-sigma:.4g} data"
            found.append((error, f"{where}, not {level.alpha / size:.4g} and {level.sigma / size:.4g}"))
        return max(found)


def ran(scheduler: Any, sample: torch.Tensor, *, rows: slice = slice(None), calls: int | None = None) -> torch.Tensor:
    """The end of a run of that many calls; the model is 0.3 tanh(x), and noise depends on its number alone."""

    def noise(number: int) -> Array:
        drawn = np.random.default_rng(number).standard_normal(SHAPE)
        return np.asarray(drawn[rows])

    with drawing(scheduler, noise):
        for timestep in scheduler.timesteps[:calls]:
            seen = scheduler.scale_model_input(sample, timestep) if hasattr(scheduler, "scale_model_input") else sample
            sample = scheduler.step(0.3 * torch.tanh(seen), timestep, sample).prev_sample
    return sample


def start(recipe: Recipe) -> torch.Tensor:
    """A first sample in the recipe's type; its rows differ in size, so that they could be confused."""
    kind = torch.float64 if recipe.wide else torch.float32
    drawn = np.random.default_rng(7).standard_normal(SHAPE) * np.array([0.5, 1.0, 3.0]).reshape(3, 1, 1, 1)
    return torch.from_numpy(drawn).to(kind)


def apart(here: torch.Tensor, there: torch.Tensor) -> float:
    """The largest difference by the largest value; where only one is a number, 1. Both none is no difference."""
    same = torch.isnan(here) & torch.isnan(there) | (here == there)
    apart = torch.where(same, 0.0, (here - there).abs()).nan_to_num(nan=1.0, posinf=1.0)
    scale = there[torch.isfinite(there)].abs().max() if torch.isfinite(there).any() else torch.ones(())
    return float(apart.max() / max(1.0, float(scale)))


def batch(recipe: Recipe) -> Finding:
    """How far a row's result with other rows in the batch is from its result alone."""
    with float64(recipe.wide):
        together = ran(Scheduler(recipe).made(), start(recipe))
        found = []
        for row in range(SHAPE[0]):
            rows = slice(row, row + 1)
            alone = ran(Scheduler(recipe).made(), start(recipe)[rows], rows=rows)
            found.append((apart(together[rows], alone), f"row {row}"))
        return max(found)


def finite(recipe: Recipe) -> Finding:
    """How many values of the end of a run are no numbers; all of them where it raises."""
    with float64(recipe.wide):
        first = start(recipe)
        try:
            out = ran(Scheduler(recipe).made(), first)
        except (ArithmeticError, LookupError, NameError, RuntimeError, TypeError) as error:
            return float(first.numel()), f"{type(error).__name__}: {error}"
        count = int((~torch.isfinite(out)).sum())
        return float(count), f"{count} of {out.numel()} values are no numbers" if count else ""


def kept(recipe: Recipe) -> Finding:
    """Of how many types of number (16, 32 and 64 bits) a run puts out another than it was given."""
    wrong = []
    for kind in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        out = ran(Scheduler(recipe).made(), start(recipe).to(kind)).dtype
        if out != kind:
            wrong.append(f"{kind} became {out}")
    return float(len(wrong)), "; ".join(wrong).replace("torch.", "")


def again(recipe: Recipe) -> Finding:
    """How far a run is from that of a fresh object, after other step counts, a whole run, and one broken off."""
    with float64(recipe.wide):
        fresh = ran(Scheduler(recipe).made(), start(recipe))
        found = []
        for kind, before in _BEFORE.items():
            scheduler = Scheduler(recipe).made()
            before(scheduler, recipe)
            scheduler.set_timesteps(recipe.steps, **recipe.schedule)
            try:
                found.append((apart(ran(scheduler, start(recipe)), fresh), kind))
            except LookupError as error:
                found.append((1.0, f"{kind}: {type(error).__name__}: {error}"))
        return max(found)


def _other(scheduler: Any, recipe: Recipe) -> None:
    """Other step counts, one odd and one even."""
    for steps in (recipe.steps + 1, max(4, recipe.steps - 1)):
        try:
            scheduler.set_timesteps(steps)
        except (ValueError, ArithmeticError):
            continue


_BEFORE: dict[str, Callable[[Any, Recipe], Any]] = {
    "timesteps set twice": lambda scheduler, recipe: scheduler.set_timesteps(recipe.steps, **recipe.schedule),
    "after other step counts": _other,
    "after a run": lambda scheduler, recipe: ran(scheduler, start(recipe)),
    "after a run of one call": lambda scheduler, recipe: ran(scheduler, start(recipe), calls=1),
    "after a run of two calls": lambda scheduler, recipe: ran(scheduler, start(recipe), calls=2),
}
