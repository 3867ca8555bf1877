"""What a scheduler is given, defaults included, and what it says of itself once its timesteps are set."""

from __future__ import annotations

import inspect
from typing import Any

from harness.adapters.diffusers.copies import float64, scheduler_class
from harness.adapters.diffusers.families import family_of
from harness.adapters.diffusers.run import Scheduler
from harness.adapters.sampling import Read, Recipe


def settings_of(recipe: Recipe) -> dict[str, Any]:
    """Every argument of the constructor by name: the recipe's options, else the default of the signature."""
    return defaults_of(recipe.name) | dict(recipe.options)


def defaults_of(name: str) -> dict[str, Any]:
    """The arguments of the constructor and their defaults, by the source.

    Raises:
        SpecError: there is no such scheduler.
    """
    parameters = inspect.signature(scheduler_class(name, wide=True).__init__).parameters
    return {key: value.default for key, value in parameters.items() if value.default is not inspect.Parameter.empty}


def read(recipe: Recipe) -> Read:
    """Levels, timesteps and the size of the first sample, or the error that setting the timesteps raised."""
    with float64(recipe.wide):
        try:
            scheduler = Scheduler(recipe).made()
            family = family_of(scheduler)
            levels = [family.level(scheduler, number, float(t)) for number, t in enumerate(scheduler.timesteps)]
            timesteps = tuple(map(float, scheduler.timesteps))
            initial = float(getattr(scheduler, "init_noise_sigma", "nan"))
            return Read((*levels, family.last(scheduler)), timesteps, initial)
        except (ArithmeticError, LookupError, ValueError) as error:
            return Read(refused=f"{type(error).__name__}: {error}")
