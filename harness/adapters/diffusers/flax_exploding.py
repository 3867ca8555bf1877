"""The two schedulers in Flax whose data keep their size and whose steps are not `step`: KarrasVe and ScoreSdeVe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from harness.adapters.diffusers.copies import scheduler_class
from harness.adapters.diffusers.flax import drawing, globals_of, quiet
from harness.adapters.diffusers.walk import walked
from harness.adapters.sampling import Array, Call, Denoise, Level, Noise, Recipe, Replace, Sampled


@dataclass(frozen=True, slots=True)
class FlaxScoreSde:
    """`FlaxScoreSdeVeScheduler` by its recipe, driven as the pipeline drives its twin in PyTorch."""

    recipe: Recipe

    def describe(self) -> str:
        """The class and its steps, for people."""
        return f"{self.recipe.name}, {self.recipe.steps} steps"

    def grid(self) -> tuple[Level, ...]:
        """The level of each step, and last the one below: none."""
        with jax.enable_x64(self.recipe.wide):
            _, state = self.made(())
            return (*(Level(1.0, float(sigma)) for sigma in state.sigmas), Level(1.0, 0.0))

    def timesteps(self) -> tuple[float, ...]:
        """The time of each step; the model is told the level instead."""
        with jax.enable_x64(self.recipe.wide):
            return tuple(map(float, self.made(())[1].timesteps))

    def spread(self) -> float | None:
        """The deviation of the noise that sampling starts from; None: this class says none."""
        with jax.enable_x64(self.recipe.wide):
            said = getattr(self.made(())[1], "init_noise_sigma", None)
            return None if said is None else float(said)

    def made(self, shape: tuple[int, ...]) -> tuple[Any, Any]:
        """The scheduler and its state, with timesteps and levels; used under `enable_x64`."""
        scheduler, state = _made(self.recipe, shape)
        return scheduler, scheduler.set_sigmas(state, self.recipe.steps)

    def run(self, start: Array, denoise: Denoise, noise: Noise, *, replace: Replace | None = None) -> Sampled:
        """Sample from `start`, (batch, width), at the first level. The last state is the mean, as in the pipeline."""
        kind = jnp.float64 if self.recipe.wide else jnp.float32
        keys = iter(range(1 << 30))
        with jax.enable_x64(self.recipe.wide):
            scheduler, state = self.made(np.shape(start))

            def correct(output: Array, sample: Array) -> Array:
                found = scheduler.step_correct(
                    state, jnp.asarray(output, kind), jnp.asarray(sample, kind), jax.random.key(next(keys))
                )
                return np.asarray(found.prev_sample, dtype=np.float64)

            def predict(output: Array, number: int, sample: Array) -> tuple[Array, Array]:
                time = state.timesteps[number]
                given = (jnp.asarray(output, kind), time, jnp.asarray(sample, kind), jax.random.key(next(keys)))
                found = scheduler.step_pred(state, *given)
                return np.asarray(found.prev_sample, np.float64), np.asarray(found.prev_sample_mean, np.float64)

            sigmas = [float(sigma) for sigma in state.sigmas]
            rounded = np.asarray(jnp.asarray(start, dtype=kind), dtype=np.float64)
            with drawing(globals_of(type(scheduler).step_pred), noise) as draws:
                times = scheduler.config.correct_steps
                return walked(rounded, sigmas, times, denoise, correct, predict, draws, replace)


@dataclass(frozen=True, slots=True)
class FlaxKarras:
    """`FlaxKarrasVeScheduler` by its recipe, driven as the pipeline of its former twin in PyTorch drove that."""

    recipe: Recipe

    def describe(self) -> str:
        """The class, its options and steps, for people."""
        options = ", ".join(f"{name}={value!r}" for name, value in self.recipe.options.items())
        return f"{self.recipe.name}({options}), {self.recipe.steps} steps"

    def grid(self) -> tuple[Level, ...]:
        """The level of each step before noise is added, downwards, and last none."""
        with jax.enable_x64(self.recipe.wide):
            _, state = _made(self.recipe, ())
            return (*(Level(1.0, float(state.schedule[t])) for t in state.timesteps), Level(1.0, 0.0))

    def run(self, start: Array, denoise: Denoise, noise: Noise, *, replace: Replace | None = None) -> Sampled:
        """Sample from `start`, (batch, width), at the first level.

        The model's output is (E[x0 | x] - x) / sigma: `step` takes x + sigma output for the data.
        """
        kind = jnp.float64 if self.recipe.wide else jnp.float32
        calls: list[Call] = []
        states: list[Array] = []

        def model(sample: Any, sigma: Any) -> Any:
            level, seen = Level(1.0, float(sigma)), np.asarray(sample, dtype=np.float64)
            denoised = denoise(seen, level)
            calls.append(Call(float("nan"), level, seen, denoised))
            return jnp.asarray((denoised - seen) / level.sigma, dtype=kind)

        with jax.enable_x64(self.recipe.wide):
            scheduler, state = _made(self.recipe, np.shape(start))
            levels = [*(state.schedule[t] for t in state.timesteps), jnp.zeros((), kind)]
            sample = jnp.asarray(start, dtype=kind)
            with drawing(globals_of(type(scheduler).step), noise) as draws:
                for number, sigma in enumerate(levels[:-1]):
                    below = levels[number + 1]
                    raised, upper = scheduler.add_noise_to_input(state, sample, sigma, jax.random.key(number))
                    found = scheduler.step(state, model(raised, upper), upper, below, raised)
                    if below != 0:
                        output = model(found.prev_sample, below)
                        arguments = (upper, below, raised, found.prev_sample, found.derivative)
                        found = scheduler.step_correct(state, output, *arguments)
                    sample = found.prev_sample
                    if replace is not None:
                        there = np.asarray(sample, dtype=np.float64)
                        sample = jnp.asarray(replace(number, there, Level(1.0, float(below))), dtype=kind)
                    states.append(np.asarray(sample, dtype=np.float64))
        reached = tuple(Level(1.0, float(sigma)) for sigma in levels[1:])
        return Sampled(tuple(calls), tuple(draws), tuple(states), reached)


def _made(recipe: Recipe, shape: tuple[int, ...]) -> tuple[Any, Any]:
    kind = scheduler_class(recipe.name, wide=recipe.wide, edits=recipe.edits)
    with quiet(globals_of(kind.__init__)):
        scheduler = kind(**recipe.options)
    return scheduler, scheduler.set_timesteps(scheduler.create_state(), recipe.steps, shape, **recipe.schedule)
