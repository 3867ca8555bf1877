"""A scheduler in Flax driven as a pipeline drives it, by a model that is a formula."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from harness.adapters.diffusers.copies import scheduler_class
from harness.adapters.diffusers.families import FAMILIES, Family
from harness.adapters.sampling import Array, Call, Denoise, Draw, Level, Noise, Recipe, Replace, Sampled
from harness.errors import SpecError, closest


@dataclass(frozen=True, slots=True)
class FlaxScheduler:
    """A scheduler in Flax by its recipe; made anew for every run.

    compiled: whether `step` runs under `jax.jit`, as in the pipelines; not for one that draws noise.
    A step that takes a `key` gets a new one each time, unless the recipe's arguments name it (`key`: false for none).
    """

    recipe: Recipe
    compiled: bool = False

    def describe(self) -> str:
        """The class and its options, for people."""
        options = ", ".join(f"{name}={value!r}" for name, value in self.recipe.options.items())
        return f"{self.recipe.name}({options}), {self.recipe.steps} steps"

    def grid(self) -> tuple[Level, ...]:
        """The level of each call of the model in order, and last that of what comes out."""
        with jax.enable_x64(self.recipe.wide):
            return self._levels(*self.made(()))

    def timesteps(self) -> tuple[float, ...]:
        """What the model is told, call by call."""
        with jax.enable_x64(self.recipe.wide):
            return tuple(map(float, np.asarray(self.made(())[1].timesteps)))

    def spread(self) -> float | None:
        """The deviation of the noise that sampling starts from; None where the scheduler says none."""
        with jax.enable_x64(self.recipe.wide):
            said = getattr(self.made(())[1], "init_noise_sigma", None)
            return None if said is None else float(said)

    def noised(self, sample: Array, noise: Array) -> Array:
        """The sample with the noise of each timestep of the grid added, (timesteps, batch, width)."""
        kind = jnp.float64 if self.recipe.wide else jnp.float32
        with jax.enable_x64(self.recipe.wide):
            scheduler, state = self.made(np.shape(sample))
            made = [
                scheduler.add_noise(state, jnp.asarray(sample, kind), jnp.asarray(noise, kind), timestep[None])
                for timestep in state.timesteps
            ]
            return np.asarray(made, dtype=np.float64)

    def made(self, shape: tuple[int, ...]) -> tuple[Any, Any]:
        """The scheduler and its state, with timesteps for samples of that shape; used under `enable_x64`."""
        kind = scheduler_class(self.recipe.name, wide=self.recipe.wide, edits=self.recipe.edits)
        with quiet(globals_of(kind.__init__)):
            scheduler = kind(**self.recipe.options)
        state = scheduler.create_state()
        return scheduler, scheduler.set_timesteps(state, self.recipe.steps, shape, **self.recipe.schedule)

    def run(self, start: Array, denoise: Denoise, noise: Noise, *, replace: Replace | None = None) -> Sampled:
        """Sample from `start`, (batch, width), which is at the first level.

        The model sees the output of `scale_model_input`, unscaled by the level that it has by the grid.
        replace: gives the sample to go on with after each step.
        """
        kind = jnp.float64 if self.recipe.wide else jnp.float32
        calls: list[Call] = []
        states: list[Array] = []
        with jax.enable_x64(self.recipe.wide):
            scheduler, state = self.made(np.shape(start))
            levels, family, view = self._levels(scheduler, state), self._family(), View.of(scheduler, state)
            sample = jnp.asarray(start, dtype=kind)
            step = jax.jit(partial(scheduler.step, return_dict=False)) if self.compiled else None
            with drawing(globals_of(type(scheduler).step), noise) as draws:
                for number, timestep in enumerate(state.timesteps):
                    level = levels[number]
                    scaled = scheduler.scale_model_input(state, sample, timestep)
                    seen = np.asarray(scaled, dtype=np.float64) / family.scale(view, level)
                    denoised = denoise(seen, level)
                    calls.append(Call(float(timestep), level, seen, denoised))
                    output = jnp.asarray(family.output(view, seen, denoised, level), dtype=kind)
                    arguments = self._arguments(scheduler.step, number)
                    given = (state, output, timestep, sample)
                    sample, state = (step or partial(scheduler.step, return_dict=False))(*given, **arguments)[:2]
                    if replace is not None:
                        there = np.asarray(sample, dtype=np.float64)
                        sample = jnp.asarray(replace(number, there, levels[number + 1]), dtype=kind)
                    states.append(np.asarray(sample, dtype=np.float64))
        return Sampled(tuple(calls), tuple(draws), tuple(states), levels[1:])

    def _arguments(self, step: Callable[..., Any], number: int) -> dict[str, Any]:
        given = dict(self.recipe.arguments)
        if given.pop("key", True) and "key" in inspect.signature(step).parameters:
            given["key"] = jax.random.key(number)
        return given

    def _family(self) -> Family:
        twin = self.recipe.name.removeprefix("Flax")
        if twin not in FAMILIES:
            raise SpecError(f"scheduler {self.recipe.name!r}", "no known family", todo=closest(twin, FAMILIES))
        return FAMILIES[twin]

    def _levels(self, scheduler: Any, state: Any) -> tuple[Level, ...]:
        family, view = self._family(), View.of(scheduler, state)
        timesteps = np.asarray(state.timesteps)
        levels = [family.level(view, number, float(timestep)) for number, timestep in enumerate(timesteps)]
        return (*levels, family.last(view))


@dataclass(frozen=True, slots=True)
class View:
    """Of a scheduler in Flax and its state, what the families read from a scheduler in PyTorch."""

    config: Any
    sigmas: Array
    alphas_cumprod: Array
    final_alpha_cumprod: float

    @classmethod
    def of(cls, scheduler: Any, state: Any) -> View:
        """DPMSolverMultistep says no sigmas: those of its timesteps, and last that of timestep 0, where it ends."""
        sigmas = getattr(state, "sigmas", None)
        if sigmas is None and hasattr(state, "sigma_t"):
            sigmas = (state.sigma_t / state.alpha_t)[jnp.append(state.timesteps, 0)]
        products = np.asarray(state.common.alphas_cumprod)
        final = float(getattr(state, "final_alpha_cumprod", 1.0))
        return cls(scheduler.config, np.asarray(() if sigmas is None else sigmas), products, final)


@dataclass(slots=True)
class Generator:
    """In the place of `jax.random`: `normal` gives the noise that was handed in.

    The same key gives the same noise again, as with JAX: a draw is numbered by its key.
    """

    noise: Noise
    seen: list[bytes] = field(default_factory=list)
    draws: list[Draw] = field(default_factory=list)

    def normal(self, key: Any, shape: Any = (), dtype: Any = float) -> Any:
        """Noise of that shape.

        Raises:
            ValueError: what JAX raises for keys that are no single key.
        """
        jax.random.normal(key, (1,), dtype)
        name = np.asarray(jax.random.key_data(key)).tobytes()
        if name not in self.seen:
            self.seen.append(name)
        self.draws.append(Draw(float("nan"), float("nan")))
        return jnp.asarray(self.noise(self.seen.index(name)), dtype=dtype).reshape(shape)

    def __getattr__(self, name: str) -> Any:
        return getattr(jax.random, name)


@dataclass(frozen=True, slots=True)
class Noisy:
    """JAX, but for its random numbers."""

    random: Generator

    def __getattr__(self, name: str) -> Any:
        return getattr(jax, name)


@contextmanager
def drawing(place: dict[str, Any], noise: Noise) -> Iterator[list[Draw]]:
    """While it is open the code with those globals takes its noise from `noise`, and its draws are listed."""
    generator = Generator(noise)
    changed: dict[str, Any] = {"jax": Noisy(generator), "random": generator}
    with replaced(place, {name: value for name, value in changed.items() if name in place}):
        yield generator.draws


@contextmanager
def quiet(place: dict[str, Any]) -> Iterator[None]:
    """While it is open the code with those globals does not log: every class in Flax announces its removal."""
    silent = logging.Logger("harness.silent", level=logging.CRITICAL)
    with replaced(place, {"logger": silent}):
        yield


@contextmanager
def replaced(place: dict[str, Any], changed: dict[str, Any]) -> Iterator[None]:
    """While it is open those names have those values."""
    before = {name: place[name] for name in changed}
    place.update(changed)
    try:
        yield
    finally:
        place.update(before)


def globals_of(function: Callable[..., Any]) -> dict[str, Any]:
    """Those of the function's own module, beneath its decorators."""
    found: dict[str, Any] = inspect.unwrap(function).__globals__
    return found
