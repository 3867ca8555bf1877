"""Originals that diffusers has no counterpart of: by themselves, without noise, against the exact solution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from harness.adapters.sampling import Array, Level
from harness.schedulers.exact import TWO_BUMPS
from harness.schedulers.order import BATCH, STEPS, WIDTH, Measured, outcome_of
from harness.schedulers.outcome import Outcome
from harness.schedulers.rows import Row

LEVELS = (14.6, 0.03)
"""The largest and least sigma: those of the linear betas from 0.00085 to 0.012 in 1000 steps, rounded."""

TOLERANCES = (1e-3, 1e-4, 1e-5, 1e-6)
"""Of a sampler that chooses its own steps; its error is measured against its calls of the model."""


def original_order(row: Row, *, seed: int = 0) -> Outcome:
    """The order of the row's original on a grid even in log(sigma), or Karras's, without the step to no noise."""
    errors = _adaptive(row, TOLERANCES, seed) if row.original == "dpm_adaptive" else _on_grids(row, STEPS, seed)
    return outcome_of(row, Measured(errors), row.order, f"k-diffusion sample_{row.original}")


def _on_grids(row: Row, steps: Sequence[int], seed: int) -> Mapping[int, float]:
    found = {}
    for count in steps:
        sigmas = np.geomspace(*LEVELS, count + 1)
        if row.options.get("use_karras_sigmas"):
            # Karras et al., arXiv:2206.00364, equation 5, with rho = 7.
            sigmas = np.linspace(LEVELS[0] ** (1 / 7), LEVELS[1] ** (1 / 7), count + 1) ** 7
        # `dpm_fast` is told how often it may call the model. With one call less than three a step it ends with a
        # second-order step; with three it would end with a first-order one, whose error falls as the square.
        given = {"n": 3 * count - 1} if row.original == "dpm_fast" else {}
        found[count] = _error(row, [float(sigma) for sigma in sigmas], given, seed)[1]
    return found


def _adaptive(row: Row, tolerances: Sequence[float], seed: int) -> Mapping[int, float]:
    return dict(_error(row, LEVELS, {"rtol": each, "atol": each}, seed) for each in tolerances)


def _error(row: Row, sigmas: Sequence[float], given: Mapping[str, float], seed: int) -> tuple[int, float]:
    """How often the model was called, and the root mean square of the final sample's error."""
    from harness.adapters.k_diffusion.run import Original

    start = np.random.default_rng(seed).standard_normal((BATCH, WIDTH)) * LEVELS[0]
    [exact] = TWO_BUMPS.flow(start, [Level(1.0, sigma) for sigma in LEVELS])
    original = Original(row.original, sigmas, {**row.original_arguments, **given})

    def silent(_number: int) -> Array:
        return np.zeros_like(start)

    run = original.run(start, TWO_BUMPS.denoise, silent)
    return len(run.calls), float(np.sqrt(np.mean((run.final - exact) ** 2)))
