"""What the pipeline of ScoreSdeVe does with its scheduler, whatever framework that is in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.adapters.sampling import Array, Call, Denoise, Level, Replace, Sampled


def walked(
    start: Array,
    sigmas: list[float],
    times: int,
    denoise: Denoise,
    correct: Callable[[Array, Array], Array],
    predict: Callable[[Array, int, Array], tuple[Array, Array]],
    draws: Any,
    replace: Replace | None,
) -> Sampled:
    """Sample from `start`, (batch, width), down the levels: at each `times` corrections, then one prediction.

    The model's output is the score (E[x0 | x] - x) / sigma^2 (Song et al., arXiv:2011.13456, section 2.2).
    correct: the sample from the score and the sample. predict: from the score, the step's number and the sample, what
    comes out and its mean.
    """
    calls: list[Call] = []
    states: list[Array] = []
    reached: list[Level] = []
    sample = mean = start
    for number, sigma in enumerate(sigmas):
        level = Level(1.0, sigma)
        for _ in range(times):
            sample = correct(_score(sample, level, denoise, calls), sample)
            states.append(sample)
            reached.append(level)
        sample, mean = predict(_score(sample, level, denoise, calls), number, sample)
        below = Level(1.0, sigmas[number + 1] if number + 1 < len(sigmas) else 0.0)
        if replace is not None:
            sample = mean = replace(number, sample, below)
        states.append(sample)
        reached.append(below)
    return Sampled(tuple(calls), tuple(draws), (*states, mean), (*reached, reached[-1]))


def _score(sample: Array, level: Level, denoise: Denoise, calls: list[Call]) -> Array:
    denoised = denoise(sample, level)
    calls.append(Call(level.sigma, level, sample, denoised))
    score: Array = (denoised - sample) / level.sigma**2
    return score
