"""ScoreSdeVe, which predicts and corrects, in PyTorch: driven as its pipeline drives it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from harness.adapters.diffusers.copies import float64, scheduler_class
from harness.adapters.diffusers.run import drawing
from harness.adapters.diffusers.walk import walked
from harness.adapters.sampling import Array, Denoise, Level, Noise, Recipe, Replace, Sampled


@dataclass(frozen=True, slots=True)
class ScoreSde:
    """`ScoreSdeVeScheduler` by its recipe: at each level the model is called for every correction, then once more."""

    recipe: Recipe

    def describe(self) -> str:
        """The class and its steps, for people."""
        return f"{self.recipe.name}, {self.recipe.steps} steps"

    def grid(self) -> tuple[Level, ...]:
        """The level of each step, and last the one below: none."""
        with float64(self.recipe.wide):
            return (*(Level(1.0, float(sigma)) for sigma in self.made().sigmas), Level(1.0, 0.0))

    def timesteps(self) -> tuple[float, ...]:
        """The time of each step; the model is told the level instead."""
        with float64(self.recipe.wide):
            return tuple(map(float, self.made().timesteps))

    def spread(self) -> float:
        """The deviation of the noise that sampling starts from."""
        with float64(self.recipe.wide):
            return float(self.made().init_noise_sigma)

    def made(self) -> Any:
        """The scheduler itself, its timesteps and levels set; used under `float64`."""
        recipe = self.recipe
        scheduler = scheduler_class(recipe.name, wide=recipe.wide, edits=recipe.edits)(**recipe.options)
        scheduler.set_timesteps(recipe.steps, **recipe.schedule)
        scheduler.set_sigmas(recipe.steps)
        return scheduler

    def run(self, start: Array, denoise: Denoise, noise: Noise, *, replace: Replace | None = None) -> Sampled:
        """Sample from `start`, (batch, width), at the first level. The last state is the mean, as in the pipeline."""
        kind = torch.float64 if self.recipe.wide else torch.float32
        with float64(self.recipe.wide), drawing(self.made(), noise, of="step_pred") as (scheduler, draws):

            def correct(output: Array, sample: Array) -> Array:
                found = scheduler.step_correct(torch.from_numpy(output).to(kind), torch.from_numpy(sample).to(kind))
                return np.asarray(found.prev_sample, dtype=np.float64)

            def predict(output: Array, number: int, sample: Array) -> tuple[Array, Array]:
                found = scheduler.step_pred(
                    torch.from_numpy(output).to(kind), scheduler.timesteps[number], torch.from_numpy(sample).to(kind)
                )
                return np.asarray(found.prev_sample, np.float64), np.asarray(found.prev_sample_mean, np.float64)

            sigmas = [float(sigma) for sigma in scheduler.sigmas]
            times = scheduler.config.correct_steps
            rounded = np.asarray(torch.from_numpy(np.asarray(start)).to(kind), dtype=np.float64)
            return walked(rounded, sigmas, times, denoise, correct, predict, draws, replace)
