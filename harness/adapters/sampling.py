"""What the rooms above may ask of a sampler of a diffusion model: to be driven, and to tell what it did."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from harness.adapters.source import Replaced

Array = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class Level:
    """How much noise a sample holds: x = alpha * x0 + sigma * noise, for data x0 and noise of variance 1."""

    alpha: float
    sigma: float

    @property
    def ratio(self) -> float:
        """Sigma / alpha: the noise of the sample when it is scaled so that the data keep their size."""
        return self.sigma / self.alpha if self.alpha else float("inf")


Denoise = Callable[[Array, Level], Array]
"""The mean of the data given a noisy sample of that level; both arrays (batch, width), float64."""

Noise = Callable[[int], Array]
"""The noise of the draw with that number, counted from 0; of the sample's shape, float64."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the model: what was asked (the sample unscaled, as it is at that level) and what came back.

    timestep: what a scheduler tells the model; NaN where a sampler has no timesteps.
    """

    timestep: float
    level: Level
    sample: Array
    denoised: Array


@dataclass(frozen=True, slots=True)
class Draw:
    """One draw of noise. start, end: the noise levels (sigma / alpha) it was asked for; NaN where none is said."""

    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Sampled:
    """What a sampler did: its calls of the model, its draws of noise, and what it put out after each step.

    states: the sample after each step, in the sampler's own scale. levels: of what is in `states`.
    """

    calls: tuple[Call, ...]
    draws: tuple[Draw, ...]
    states: tuple[Array, ...]
    levels: tuple[Level, ...]

    @property
    def final(self) -> Array:
        return self.states[-1]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a scheduler is made.

    name: its class in diffusers, or `module:Class`. family: the class in diffusers whose samples and model outputs mean
        the same, where that is not itself. steps: how many it is asked to make; 0 where `schedule` says it all.
    options: arguments of its constructor. schedule: further arguments of `set_timesteps`. arguments: of every `step`.
    begin: the timestep that the run begins with, counted from 0, as image-to-image pipelines begin in the middle.
    wide: whether it computes in float64 throughout. edits: changes to its source, made in a copy.
    """

    name: str
    steps: int
    options: Mapping[str, Any] = field(default_factory=dict)
    schedule: Mapping[str, Any] = field(default_factory=dict)
    arguments: Mapping[str, Any] = field(default_factory=dict)
    begin: int = 0
    wide: bool = True
    edits: tuple[Replaced, ...] = ()
    family: str = ""


@dataclass(frozen=True, slots=True)
class Read:
    """What a scheduler says of itself, or that it raised instead.

    levels: of each call of the model in order, and last that of what comes out. timesteps: what the model is told.
    initial: `init_noise_sigma`; NaN where it has none. refused: the exception that setting it up raised, in words.
    """

    levels: tuple[Level, ...] = ()
    timesteps: tuple[float, ...] = ()
    initial: float = float("nan")
    refused: str = ""


class Samples(Protocol):
    """A sampler with its grid of noise levels."""

    def grid(self) -> tuple[Level, ...]:
        """The level of each call of the model in order, and last that of what comes out."""

    def run(self, start: Array, denoise: Denoise, noise: Noise, *, replace: Replace | None = None) -> Sampled:
        """Sample from `start`, (batch, width), which is at the first level."""


Replace = Callable[[int, Array, Level], Array]
"""Given the number of a step, what it put out and the level: the sample to go on with."""
