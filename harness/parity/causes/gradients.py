"""Causes that show backwards alone: gradients that are stopped, scaled, clipped, or handed straight through."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from harness.parity.causes.evidence import Claim, Evidence
from harness.parity.causes.outputs import combined, limited, scaled
from harness.parity.compare import Array
from harness.parity.floor import EXACT


def stopped(evidence: Evidence) -> Iterator[Claim]:
    """Nothing flows back, through all of it or through some channels."""
    where = f"to {evidence.child}" if evidence.handed else f"to its {evidence.leaf}" if evidence.leaf else "through it"
    if evidence.right.any():
        yield Claim("gradient stopped", f"none flows {where}", lambda e: (None, np.zeros_like(e.right)))
    for axis in range(evidence.right.ndim) if evidence.right.shape == evidence.got.shape else ():
        others = tuple(each for each in range(evidence.right.ndim) if each != axis)
        gone = ~evidence.got.any(others) & evidence.right.any(others)
        if 0 < gone.sum() < gone.size:
            what = f"none flows {where} in {int(gone.sum())} of {gone.size} places of axis {axis}"
            yield Claim("gradient stopped", what, partial(_without, gone=np.flatnonzero(gone), axis=axis))


def _without(evidence: Evidence, gone: Array, axis: int) -> tuple[None, Array]:
    left = np.moveaxis(evidence.right.copy(), axis, 0)
    left[gone[gone < len(left)]] = 0.0
    return None, np.moveaxis(left, 0, axis)


def straight(evidence: Evidence) -> Iterator[Claim]:
    """What comes back from above goes on unchanged."""
    for name, given in evidence.inputs.items():
        if isinstance(given, np.ndarray) and given.shape == evidence.right.shape and not evidence.handed:
            yield Claim("gradient straight through", "that of its output is handed on", partial(_given, name=name))


def _given(evidence: Evidence, name: str) -> tuple[None, Array]:
    return None, evidence.inputs[name]


def branches(evidence: Evidence) -> Iterator[Claim]:
    """The gradient is a sum of those that come back through the calls inside; one is left out, or counted otherwise."""
    for claim in combined(evidence):
        name = {"residual missing": "gradient stopped", "residual added": "gradient added"}.get(
            claim.name, "gradient scaled"
        )
        yield Claim(name, f"of what comes back, {claim.detail}", claim.predict)


def multiplied(evidence: Evidence) -> Iterator[Claim]:
    """It is a multiple of the right one, in all places or by groups of them."""
    for claim in scaled(evidence):
        yield Claim("gradient scaled", claim.detail.replace("the output", "it"), claim.predict)
    right, got = evidence.right, evidence.got
    if right.shape != got.shape or right.ndim < 2:
        return
    rows = tuple(range(1, right.ndim))
    weight = (got * right).sum(rows), (right * right).sum(rows)
    ratios = np.divide(weight[0], weight[1], out=np.ones(len(right)), where=weight[1] > 0)
    counts = np.round(np.divide(1.0, ratios, out=np.ones(len(right)), where=ratios > 0))
    if (counts > 1).any() and np.allclose(ratios * counts, 1.0, rtol=1e-9):
        yield Claim("gradient by frequency", "that of each row is divided by how often it is used", _by_frequency)


def _by_frequency(evidence: Evidence) -> tuple[Array, None]:
    rows = tuple(range(1, evidence.right.ndim))
    own = (evidence.got * evidence.right).sum(rows)
    counts = np.round(np.divide((evidence.right**2).sum(rows), own, out=np.ones(len(own)), where=own > 0))
    return evidence.got * counts.reshape(-1, *[1] * len(rows)), None


def rows_of_padding(evidence: Evidence) -> Iterator[Claim]:
    """A row of a table that is to have no gradient has one."""
    right, got = evidence.right, evidence.got
    if evidence.handed or right.shape != got.shape or right.ndim != 2:
        return
    wrong = np.flatnonzero(~right.any(1) & got.any(1))
    if len(wrong) == 1:
        yield Claim("padding row", f"row {wrong[0]} has a gradient", partial(_row_cleared, row=int(wrong[0])))


def _row_cleared(evidence: Evidence, row: int) -> tuple[Array, None]:
    cleared = evidence.got.copy()
    cleared[row] = 0.0
    return cleared, None


def clipped(evidence: Evidence) -> Iterator[Claim]:
    """It is kept within limits."""
    for claim in limited(evidence):
        if claim.name == "clipped":
            yield Claim("gradient clipped", claim.detail, claim.predict)
    for name, given in evidence.inputs.items():
        if isinstance(given, np.ndarray) and given.shape == evidence.right.shape == evidence.got.shape:
            left = given - (evidence.right - evidence.got)  # of what comes from above, which other gradients join
            low, high = float(f"{left.min():.9g}"), float(f"{left.max():.9g}")
            what = f"values are kept within {low:.4g} and {high:.4g}"
            yield Claim("gradient clipped", what, partial(_clipped, name=name, low=low, high=high))


def normalised(evidence: Evidence) -> Iterator[Claim]:
    """A norm's statistics are taken for constants."""
    x = evidence.before
    given = next((a for a in evidence.inputs.values() if isinstance(a, np.ndarray) and a.dtype.kind == "f"), None)
    weight = evidence.weights.get("weight")
    if evidence.handed or x is None or given is None or weight is None or x.shape != given.shape:
        return
    for mean in (True, False):
        form = partial(_norm, mean=mean)
        epsilon = next((e for e in EPSILONS if evidence.apart(form(evidence, e), evidence.right) <= EXACT), None)
        if epsilon is None:
            continue
        for what, kept in (
            ("the variance is taken for a constant", {"variance_flows": False}),
            ("the mean is taken for a constant", {"mean_flows": False}),
            ("mean and variance are taken for constants", {"variance_flows": False, "mean_flows": False}),
        ):
            port = partial(form, **kept)
            yield Claim("gradient stopped", what, partial(_modelled, ours=form, theirs=port, epsilon=epsilon))


def _clipped(evidence: Evidence, name: str, low: float, high: float) -> tuple[None, Array]:
    given = evidence.inputs[name]
    return None, evidence.right - given + np.clip(given, low, high)


EPSILONS = (1e-5, 1e-6, 1e-12, 1e-3, 1e-8)


def _modelled(evidence: Evidence, ours: partial[Array], theirs: partial[Array], epsilon: float) -> tuple[Array, Array]:
    return ours(evidence, epsilon), theirs(evidence, epsilon)


def _norm(
    evidence: Evidence, epsilon: float, *, mean: bool, mean_flows: bool = True, variance_flows: bool = True
) -> Array:
    """The gradient of (x - mean) / sqrt(variance + epsilon) x weight with respect to x."""
    x = evidence.before
    given = next(a for a in evidence.inputs.values() if isinstance(a, np.ndarray) and a.dtype.kind == "f")
    assert x is not None
    around = x - x.mean(-1, keepdims=True) if mean else x
    spread = 1 / np.sqrt((around**2).mean(-1, keepdims=True) + epsilon)
    inner = given * evidence.weights["weight"] * spread
    if variance_flows:
        inner = inner - around * spread**2 * (inner * around).mean(-1, keepdims=True)
    result: Array = inner - inner.mean(-1, keepdims=True) if mean and mean_flows else inner
    return result
