"""A scheduler driven as a pipeline drives it, by a model that is a formula."""

from __future__ import annotations

import copy
import functools
import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from harness.adapters.diffusers.copies import float64, scheduler_class
from harness.adapters.diffusers.families import family_of
from harness.adapters.sampling import Array, Call, Denoise, Draw, Level, Noise, Recipe, Replace, Sampled
from harness.adapters.source import Replaced


@dataclass(slots=True)
class Scheduler:
    """A scheduler by its recipe, made anew for every run.

    _levels: its grid, once it was asked for. _unused: the one made for the grid, which the first run takes.
    """

    recipe: Recipe
    _levels: tuple[Level, ...] = ()
    _unused: Any = None

    def describe(self) -> str:
        """The class and its options, for people."""
        options = ", ".join(f"{name}={value!r}" for name, value in self.recipe.options.items())
        return f"{self.recipe.name}({options}), {self.recipe.steps} steps"

    def grid(self) -> tuple[Level, ...]:
        """The level of each call of the model in order, and last that of what comes out."""
        if not self._levels:
            with float64(self.recipe.wide):
                self._unused = self.made()
                self._levels = self._read(self._unused)
        return self._levels

    def timesteps(self) -> tuple[float, ...]:
        """What the model is told, call by call."""
        with float64(self.recipe.wide):
            return tuple(map(float, told(self.made())[self.recipe.begin :]))

    def trained(self, timestep: int) -> Level:
        """The level of a timestep of the training schedule, where that is one of cumulative products."""
        with float64(self.recipe.wide):
            product = float(self.made().alphas_cumprod[timestep])
        return Level(math.sqrt(product), math.sqrt(1.0 - product))

    def spread(self) -> float:
        """The deviation of the noise that sampling starts from."""
        with float64(self.recipe.wide):
            return float(self.made().init_noise_sigma)

    def noised(self, sample: Array, noise: Array) -> Array:
        """The sample with the noise of each timestep of the grid added, (timesteps, batch, width)."""
        kind = torch.float64 if self.recipe.wide else torch.float32
        with float64(self.recipe.wide):
            scheduler = self.made()
            given = [torch.from_numpy(np.asarray(array)).to(kind) for array in (sample, noise)]
            made = [scheduler.add_noise(*given, timestep[None]).numpy() for timestep in scheduler.timesteps]
            return np.asarray(made, dtype=np.float64)

    def made(self) -> Any:
        """The scheduler itself, its timesteps set; used under `float64`."""
        options = json.dumps(dict(self.recipe.options))
        scheduler = copy.deepcopy(_constructed(self.recipe.name, options, self.recipe.wide, self.recipe.edits))
        scheduler.set_timesteps(self.recipe.steps or None, **self.recipe.schedule)
        if self.recipe.begin and hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(self.recipe.begin)
        return scheduler

    def run(self, start: Array, denoise: Denoise, noise: Noise, *, replace: Replace | None = None) -> Sampled:
        """Sample from `start`, (batch, width), which is at the first level.

        The model sees what a real one would: the output of `scale_model_input`, unscaled by the level that it has by
        the grid. replace: gives the sample to go on with after each step.
        """
        kind = torch.float64 if self.recipe.wide else torch.float32
        calls: list[Call] = []
        states: list[Array] = []
        with float64(self.recipe.wide), drawing(self._fresh(), noise) as (scheduler, draws):
            family, levels = family_of(scheduler, self.recipe.family), self._read(scheduler)
            sample = torch.from_numpy(np.asarray(start)).to(kind)
            for number, timestep in enumerate(told(scheduler)[self.recipe.begin :]):
                level = levels[number]
                scaled = (
                    scheduler.scale_model_input(sample, timestep) if hasattr(scheduler, "scale_model_input") else sample
                )
                seen = scaled.numpy().astype(np.float64) / family.scale(scheduler, level)
                denoised = denoise(seen, level)
                calls.append(Call(float(timestep), level, seen, denoised))
                output = torch.from_numpy(family.output(scheduler, seen, denoised, level)).to(kind)
                given = {**self.recipe.arguments, **further(scheduler, number)}
                sample = scheduler.step(output, timestep, sample, **given).prev_sample
                if replace is not None:
                    there = sample.numpy().astype(np.float64)
                    sample = torch.from_numpy(replace(number, there, levels[number + 1])).to(kind)
                states.append(sample.numpy().astype(np.float64))
        return Sampled(tuple(calls), tuple(draws), tuple(states), levels[1:])

    def _fresh(self) -> Any:
        made, self._unused = self._unused or self.made(), None
        return made

    def _read(self, scheduler: Any) -> tuple[Level, ...]:
        family = family_of(scheduler, self.recipe.family)
        levels = [family.level(scheduler, number, float(t)) for number, t in enumerate(told(scheduler))]
        return (*levels[self.recipe.begin :], family.last(scheduler))


@functools.lru_cache(maxsize=32)
def _constructed(name: str, options: str, wide: bool, edits: tuple[Replaced, ...]) -> Any:
    """A scheduler as its constructor leaves it, to be copied: some set a thousand timesteps there, a tenth of a second.

    options: as JSON.
    """
    build = scheduler_class(name, wide=wide, edits=edits)
    return build(**{name: _callable(name, value) for name, value in json.loads(options).items()})


def _callable(name: str, value: Any) -> Any:
    """An option as the constructor takes it: a number for `tau_func`, a function of time, is that constant."""
    return (lambda _time: value) if name == "tau_func" and isinstance(value, (int, float)) else value


def told(scheduler: Any) -> Any:
    """The timesteps for which a pipeline calls the model; SCM's list ends with the one that comes out."""
    return scheduler.timesteps[:-1] if type(scheduler).__name__ == "SCMScheduler" else scheduler.timesteps


def further(scheduler: Any, number: int) -> dict[str, Any]:
    """What a pipeline hands to the step besides: to UnCLIP's, the timestep that follows, where one does."""
    if type(scheduler).__name__ != "UnCLIPScheduler" or number + 1 == len(scheduler.timesteps):
        return {}
    return {"prev_timestep": scheduler.timesteps[number + 1]}


@contextmanager
def drawing(scheduler: Any, noise: Noise, *, of: str = "step") -> Iterator[tuple[Any, list[Draw]]]:
    """While it is open the scheduler takes its noise from `noise`, and its draws are listed.

    of: a method of the module whose draws are meant.
    """
    draws: list[Draw] = []

    def take(like: torch.Tensor, start: float, end: float) -> torch.Tensor:
        draws.append(Draw(start, end))
        return torch.from_numpy(np.asarray(noise(len(draws) - 1))).to(like.dtype).reshape(like.shape)

    def randn_tensor(shape: Any, *_: Any, dtype: Any = None, **__: Any) -> torch.Tensor:
        return take(torch.empty(tuple(shape), dtype=dtype), float("nan"), float("nan"))

    class Brownian:
        """In the place of a Brownian tree: independent noise, by the number of the draw."""

        def __init__(self, like: torch.Tensor, *_: Any, **__: Any) -> None:
            self.like = like

        def __call__(self, start: Any, end: Any) -> torch.Tensor:
            return take(self.like, float(start), float(end))

    place: dict[str, Any] = _globals_of(getattr(type(scheduler), of))
    changed: dict[str, Any] = {"randn_tensor": randn_tensor, "BrownianTreeNoiseSampler": Brownian}
    before = {name: place[name] for name in changed if name in place}
    place.update({name: changed[name] for name in before})
    try:
        yield scheduler, draws
    finally:
        place.update(before)


def _globals_of(function: Callable[..., Any]) -> dict[str, Any]:
    return function.__globals__
