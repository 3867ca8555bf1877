"""Normalisations: which epsilon, with or without mean, weight and bias, and which statistics."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from harness.parity.causes.evidence import Claim, Evidence, both, described
from harness.parity.compare import Array
from harness.parity.floor import EXACT

DEFAULTS = (0.0, 1e-3, 1e-5, 1e-6, 1e-8, 1e-12)
"""Epsilons that libraries have by default: torch.nn 1e-5, Flax and T5 1e-6, TensorFlow 1e-3, BERT 1e-12."""


@dataclass(frozen=True, slots=True)
class Norm:
    """(x - mean) / (variance + epsilon)^power x weight + bias.

    statistics: "row" (of each position, over the last axis), "batch" (of each channel over all else), "running",
    "image" (of each channel of each image), or "time" (of each channel, which come last, of each row over its tokens).
    """

    epsilon: float = 0.0
    mean: bool = True
    weight: str = "weight"
    bias: bool = True
    statistics: str = "row"
    power: float = 0.5
    unbiased: bool = False

    def __call__(self, evidence: Evidence) -> Array | None:
        """What it makes of the first input, or None if it does not fit."""
        x, weights = evidence.first, evidence.weights
        if x is None or x.dtype.kind != "f":
            return None
        axis = -1 if self.statistics in ("row", "time") else 1
        if x.ndim < 2:
            return None
        centre, variance = self._statistics(x, evidence)
        if centre is None or variance is None:
            return None
        result = (x - centre if self.mean else x) / (variance + self.epsilon) ** self.power
        shape = [1] * x.ndim
        shape[axis] = x.shape[axis]
        weight, bias = weights.get("weight"), weights.get("bias")
        if any(each is not None and each.size != x.shape[axis] for each in (weight, bias)):
            return None
        if weight is not None and self.weight != "none":
            result = result * (weight + (self.weight == "1 + weight")).reshape(shape)
        return result + bias.reshape(shape) if bias is not None and self.bias else result

    def _statistics(self, x: Array, evidence: Evidence) -> tuple[Array | None, Array | None]:
        if self.statistics == "row":
            centre = x.mean(-1, keepdims=True)
            around = x - centre if self.mean else x
            count = x.shape[-1] - self.unbiased
            return centre, (around**2).sum(-1, keepdims=True) / count
        axes = tuple(each for each in range(x.ndim) if each != 1)
        axes = {"batch": axes, "image": axes[1:], "time": tuple(range(1, x.ndim - 1))}.get(self.statistics, ())
        if axes:
            return x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
        if not self.statistics.startswith("running"):
            return None, None
        shape = [1] * x.ndim
        shape[1] = x.shape[1]
        mean, variance = evidence.weights.get("running_mean"), evidence.weights.get("running_var")
        if mean is None or variance is None or mean.size != x.shape[1]:
            return None, None
        centre = mean * (self.statistics != "running, mean ignored")
        spread = np.ones_like(variance) if self.statistics == "running, variance ignored" else variance
        return centre.reshape(shape), spread.reshape(shape)


def normalised(evidence: Evidence) -> Iterator[Claim]:
    """The reference is a normalisation; the port is one with something else in it."""
    if evidence.handed or evidence.first is None or evidence.first.shape != evidence.right.shape:
        return
    reference = _fitted(
        evidence, evidence.right, [Norm(), Norm(mean=False), *(Norm(statistics=s) for s in ("running", "batch"))]
    )
    if reference is None:
        return
    subtracted = "the mean is not subtracted" if reference.mean else "the mean is subtracted"
    no_mean, no_variance = "running, mean ignored", "running, variance ignored"
    variants = [
        ("epsilon", "", reference),
        ("weight unused", "its weight is never used", replace(reference, weight="none")),
        ("1 + weight", "it multiplies by 1 + weight", replace(reference, weight="1 + weight")),
        ("bias missing", "its bias is never added", replace(reference, bias=False)),
        ("unbiased variance", "it divides by n - 1", replace(reference, unbiased=True)),
        ("variance for deviation", "it divides by the variance, not by its root", replace(reference, power=1.0)),
        ("batch statistics", "it normalises by the batch", replace(reference, statistics="batch")),
        ("running statistics", "it normalises by what it has stored", replace(reference, statistics="running")),
        ("image statistics", "it normalises each image by itself", replace(reference, statistics="image")),
        ("norm over time", "it normalises over tokens, not over channels", replace(reference, statistics="time")),
        ("running mean ignored", "its running mean is not used", replace(reference, statistics=no_mean)),
        ("running variance ignored", "its running variance is not used", replace(reference, statistics=no_variance)),
    ]
    if reference.statistics == "row":
        variants.insert(1, ("mean subtracted", subtracted, replace(reference, mean=not reference.mean)))
    held = replace(evidence, weights={**evidence.weights, **evidence.theirs})
    if evidence.theirs and reference(held) is not None and held.apart(reference(held), evidence.got) <= EXACT:  # type: ignore[arg-type]
        what = ", ".join(described(evidence, leaf, array) for leaf, array in evidence.theirs.items())
        yield Claim("other weights", what, partial(_with_theirs, reference=reference))
    for name, what, form in variants:
        port = _fitted(evidence, evidence.got, [form])
        if port is None or port == reference:
            continue
        if port.epsilon != reference.epsilon:
            epsilons = f"epsilon {port.epsilon:g} in the port, {reference.epsilon:g} in the reference"
            what, name = (f"{what}; {epsilons}", name) if what else (epsilons, "epsilon")
        yield Claim(name, what, partial(_both, reference=reference, port=port))


def _with_theirs(evidence: Evidence, reference: Norm) -> tuple[Array | None, Array | None]:
    return both(reference(evidence), reference(replace(evidence, weights={**evidence.weights, **evidence.theirs})))


def _both(evidence: Evidence, reference: Norm, port: Norm) -> tuple[Array | None, Array | None]:
    return both(reference(evidence), port(evidence))


def _fitted(evidence: Evidence, target: Array, forms: list[Norm]) -> Norm | None:
    """The form that makes the target, with its epsilon; one of the usual, or the one that fits best."""
    best: tuple[float, Norm] | None = None
    for form in forms:
        fit = _epsilon(evidence, target, form)
        epsilons = (form.epsilon, *DEFAULTS, *([fit] if fit is not None else []))
        for candidate in (replace(form, epsilon=epsilon) for epsilon in epsilons):
            made = candidate(evidence)
            error = evidence.apart(made, target) if made is not None else float("inf")
            if error <= EXACT and (best is None or error < best[0] / CLEARLY):
                best = (error, candidate)
    return best[1] if best else None


CLEARLY = 4.0
"""Times smaller an error must be for another epsilon to be taken: rounding alone differs by less."""


def _epsilon(evidence: Evidence, target: Array, form: Norm) -> float | None:
    """The epsilon by which the target is explained, from the value on which it has most effect."""
    x = evidence.first
    bare = replace(form, epsilon=0.0, weight="none", bias=False)(evidence)
    whole = replace(form, epsilon=0.0)(evidence)
    if x is None or bare is None or whole is None or whole.shape != target.shape:
        return None
    _, variance = form._statistics(x, evidence)
    if variance is None:
        return None
    spread = np.broadcast_to(variance, x.shape)
    offset = replace(form, epsilon=1.0)(replace(evidence, inputs={"x": np.zeros_like(x)})) if form.bias else None
    shift = 0.0 if offset is None or form.statistics == "running" else offset
    index = np.unravel_index(int(np.argmin(np.where(np.abs(bare) > 0.1, spread, np.inf))), x.shape)
    at = float((target - shift)[index])
    if form.statistics == "running" or not at:
        return None
    ratio = float((whole - shift)[index]) / at
    if ratio <= 0:
        return None
    return float(f"{float(spread[index]) * (ratio ** (1 / form.power) - 1):.6g}")
