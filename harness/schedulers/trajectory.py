"""Two runs of a sampler, array by array: what the model was told and shown, and what each step put out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from harness.adapters.sampling import Array, Sampled, Samples
from harness.parity.compare import Difference, Verdict, compare
from harness.schedulers.corrections import Corrections
from harness.schedulers.exact import TWO_BUMPS
from harness.schedulers.outcome import Outcome, worst_of
from harness.schedulers.twins import ALGORITHM_2, Setting
from harness.tolerance import Tolerance

LIMITS = {True: 1e-12, False: 1e-5}
"""The gates of float64 and float32, each relative to the largest number of the array."""

SEED = 20260101
WIDTH = 3
"""As many numbers a sample as `TWO_BUMPS` has."""


def twin_outcome(runs: Sequence[Setting], corrections: Corrections) -> Outcome:
    """The worst of those runs of one row.

    Raises:
        ValueError: there are none.
    """
    outcomes = [_one(setting, corrections) for setting in runs]
    worst = worst_of(outcomes)
    series: dict[int, float] = {}
    for setting, outcome in zip(runs, outcomes):
        series[setting.steps] = max(series.get(setting.steps, 0.0), outcome.error)
    return Outcome(
        worst.row,
        worst.check,
        worst.title,
        worst.reference,
        worst.port,
        worst.error,
        worst.limit,
        worst=worst.worst,
        compared=sum(outcome.compared for outcome in outcomes),
        numbers={"runs": float(len(runs))},
        pairs=worst.pairs,
        series=series,
    )


def compared(reference: Sampled, port: Sampled, *, limit: float, states: bool = True) -> tuple[Difference, ...]:
    """Every call's timestep and sample, and every state, of both runs; limit: relative to each array's largest number.

    states: whether both list a state a step; else the last alone is compared.
    """
    found = [_pair("calls", np.array(len(reference.calls)), np.array(len(port.calls)), limit)]
    told = [np.array([call.timestep for call in run.calls]) for run in (reference, port)]
    if not all(np.isnan(times).all() for times in told):
        found.append(_pair("timesteps", told[0], told[1], limit))
    if len(reference.calls) != len(port.calls):
        return tuple(found)
    for number, (one, other) in enumerate(zip(reference.calls, port.calls), start=1):
        found.append(_pair(f"sample {number}", one.sample, other.sample, limit))
        if states and number <= len(reference.states):
            found.append(_pair(f"state {number}", reference.states[number - 1], port.states[number - 1], limit))
    return (*found, _pair("final", reference.final, port.final, limit))


def largest(pairs: Iterable[Difference]) -> float:
    """The largest error, relative to its array; infinite where one side alone has no number, NaN where both lack it."""
    found = 0.0
    for pair in pairs:
        if pair.verdict is Verdict.INCONCLUSIVE:
            return float("nan")
        wrong = pair.not_finite or pair.shape != pair.port_shape
        found = max(found, float("inf") if wrong else pair.error / (pair.scale or 1.0))
    return found


def noise_of(number: int, batch: int) -> Array:
    """The draw of that number, (batch, width), the same in every run."""
    return np.random.default_rng([SEED, number]).standard_normal((batch, WIDTH))


def _one(setting: Setting, corrections: Corrections) -> Outcome:
    reference, port = setting.sides(corrections)
    limit, twin = LIMITS[setting.wide], setting.twin
    words = str(setting)
    try:
        pairs = _pairs(setting, reference, port, limit)
        error = largest(pairs)
    except _PortError as failed:
        pairs, error, words = (), float("inf"), f"{words}: {failed}"
    named = (twin.port, _said(reference), _said(port))
    return Outcome(twin.id, "twin", *named, error, limit, worst=words, compared=1, pairs=pairs)


def _pairs(setting: Setting, reference: Any, port: Any, limit: float) -> tuple[Difference, ...]:
    batch = setting.twin.batch
    if setting.twin.what == "refusal":
        return (_pair("refused", np.array(float(_refuses(reference))), np.array(float(_refuses(port))), limit),)
    if setting.twin.what == "timesteps":
        wanted = reference.timesteps()
        return (_pair("timesteps", np.array(wanted), np.array(_ported(port.timesteps)), limit),)
    if setting.twin.what == "noise added":
        given = (noise_of(0, batch), noise_of(1, batch))
        return (_pair("noised", reference.noised(*given), _ported(port.noised, *given), limit),)
    levels = [] if setting.twin.reference == ALGORITHM_2 else reference.grid()
    size = max(1.0, levels[0].sigma if levels else reference.sigmas[0])
    start = size * noise_of(1 << 20, batch)

    def noise(number: int) -> Array:
        return noise_of(number, batch)

    wanted = reference.run(start, TWO_BUMPS.denoise, noise)
    found = _ported(port.run, start, TWO_BUMPS.denoise, noise)
    spreads = [getattr(side, "spread", lambda: None)() for side in (reference, port)]
    first = [] if None in spreads else [_pair("first noise", np.array(spreads[0]), np.array(spreads[1]), limit)]
    return (*first, *compared(wanted, found, limit=limit, states=bool(levels)))


class _PortError(Exception):
    """What the port raised."""


def _ported(function: Any, *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except Exception as error:
        raise _PortError(f"{type(error).__name__}: {str(error).splitlines()[0]}") from error


def _refuses(side: Any) -> bool:
    try:
        side.timesteps()
    except ValueError:
        return True
    return False


def _pair(name: str, reference: Array, port: Array, limit: float) -> Difference:
    scale = float(np.abs(reference).max(initial=0.0, where=np.isfinite(reference))) if reference.size else 0.0
    tolerance = Tolerance(atol=limit * (scale or 1.0), reason="relative to the largest number of the array")
    return compare(np.asarray(reference, dtype=np.float64), np.asarray(port), tolerance=tolerance, name=name)


def _said(side: Samples) -> str:
    return str(getattr(side, "describe", lambda: type(side).__name__)())
