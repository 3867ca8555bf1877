"""Whether a scheduler does what its original, or the formula it implements, does: every intermediate sample."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from harness.adapters.sampling import Array, Sampled
from harness.parity.compare import Difference, compare
from harness.schedulers.drive import BATCH, Pair, noises, run_pair
from harness.schedulers.exact import TWO_BUMPS, constant_noise
from harness.schedulers.outcome import Outcome, worst_of
from harness.schedulers.rows import Row, Variant
from harness.tolerance import Tolerance

GATES = {True: 1e-12, False: 1e-5}
"""Error / max|reference| that is allowed, by whether both compute in float64. A correct row measures 1e-13 and 2e-6."""


def agreement(row: Row, variants: Sequence[Variant], *, seed: int = 0) -> Outcome:
    """The worst of the row's variants, in float64 and in float32, with the trace of that one."""
    found = {wide: [_one(row, variant, wide=wide, seed=seed) for variant in variants] for wide in GATES}
    worst = {wide: worst_of(outcomes) for wide, outcomes in found.items()}
    numbers = {f"error{64 if wide else 32}": outcome.error for wide, outcome in worst.items()}
    return replace(worst_of(list(worst.values())), numbers=numbers, compared=sum(map(len, found.values())))


def trace_pairs(pair: Pair, *, limit: float, lead: int = 0, calls: bool = True) -> tuple[Difference, ...]:
    """Both runs, call by call: the noise level and the sample that the model saw, and last the final sample.

    limit: of the error of an array, relative to the largest sample so far with the data at their own size (x / alpha),
        since the rounding of a sample stays in all that follow; or to 1 where that is smaller.
    lead: how many calls are compared, and the final sample not; 0 for all. calls: whether calls are compared at all.
    """
    tables = [_table(side, lead) for side in (pair.reference, pair.port)]
    sizes = _sizes(pair.reference)
    names = dict.fromkeys(name for table in tables for name in table if calls or name == FINAL)
    found = []
    for name in names:
        reference, port = (table.get(name, ABSENT) for table in tables)
        tolerance = Tolerance(atol=limit * sizes.get(name, 1.0), reason="relative to the largest sample so far")
        found.append(compare(reference, port, name=name, tolerance=tolerance))
    return tuple(found)


FINAL = "final sample"
ABSENT = np.zeros((0,))
"""In the place of a call that one side does not make: another shape than any sample's, so it diverges."""


def _table(side: Sampled, lead: int) -> dict[str, Array]:
    found: dict[str, Array] = {}
    for number, call in enumerate(side.calls[: lead or None], start=1):
        found[f"call {number}: level"] = np.array([call.level.alpha, call.level.sigma])
        found[f"call {number}: sample"] = call.sample
    return found if lead else {**found, FINAL: side.final}


def _one(row: Row, variant: Variant, *, wide: bool, seed: int) -> Outcome:
    recipe = row.recipe(variant, wide=wide)
    shape = (BATCH, TWO_BUMPS.means.shape[1])
    start = np.random.default_rng(seed).standard_normal(shape)
    denoise = constant_noise(start) if row.constant_noise else TWO_BUMPS.denoise
    pair = run_pair(row, recipe, denoise, noises(4 * recipe.steps + 8, shape, seed=seed + 1), start)
    pairs = trace_pairs(pair, limit=GATES[wide], lead=row.lead, calls=not row.constant_noise)
    return Outcome(
        row=row.id,
        check="original",
        title=row.sampler,
        reference=pair.words[0],
        port=pair.words[1],
        error=_error(pairs, _sizes(pair.reference)),
        limit=GATES[wide],
        worst=f"{variant.id}, {recipe.steps} steps, {'float64' if wide else 'float32'}",
        compared=1,
        pairs=pairs,
        scale=max(each.scale for each in pairs),
    )


def _sizes(reference: Sampled) -> dict[str, float]:
    """What the error of an array is relative to, by its name."""
    sizes: dict[str, float] = {}
    size = 1.0
    for number, call in enumerate(reference.calls, start=1):
        if call.level.alpha:
            size = max(size, float(np.abs(call.sample).max()) / call.level.alpha)
        sizes[f"call {number}: level"] = max(1.0, call.level.sigma)
        sizes[f"call {number}: sample"] = size
    return {**sizes, FINAL: size}


def _error(pairs: Sequence[Difference], sizes: Mapping[str, float]) -> float:
    """The largest relative error; infinite where shapes differ or one side is not finite, NaN where neither is."""
    errors = []
    for pair in pairs:
        if pair.shape != pair.port_shape or pair.not_finite:
            return math.inf
        errors.append(math.nan if pair.both_nan else pair.error / sizes[pair.name])
    return math.nan if any(map(math.isnan, errors)) else max(errors)
