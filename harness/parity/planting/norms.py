"""Faults of normalisations: epsilon, mean, weight, bias, statistics."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from harness.parity.causes.norms import DEFAULTS, Norm
from harness.parity.compare import Array
from harness.parity.planting.evidence import close, evidence, first_floats, named
from harness.parity.planting.fault import Fault, Site, Watched, path_of, shifted


@dataclass(frozen=True, slots=True)
class Known:
    """The normalisation that a call is. last: its channels come last, as in Flax, where the model has them second."""

    norm: Norm
    last: bool = False

    def __call__(self, watched: Watched, name: str, x: Array | None = None) -> Array | None:
        """What it puts out; of another `x`, if given."""
        call = watched.calls.get(name)
        x = x if x is not None or call is None else first_floats(call)
        if call is None or x is None or "" not in call.outputs:
            return None
        turned = np.moveaxis(x, -1, 1) if self.last else x
        known = evidence(watched, name, call.outputs[""], inputs={"x": turned})
        with np.errstate(all="ignore"):
            made = self.norm(known)
        return np.moveaxis(made, 1, -1) if made is not None and self.last else made


def known_norm(watched: Watched, name: str) -> Known | None:
    """The normalisation that a call is, with its epsilon; None if it is none."""
    call = watched.calls[name]
    x, out = first_floats(call), call.outputs.get("")
    if x is None or out is None or x.shape != out.shape or x.ndim < 2 or watched.inside(name):
        return None
    forms = [Known(Norm()), Known(Norm(mean=False))]
    if "running_var" in named(watched.own(name)):
        running = Norm(statistics="running")
        forms = [Known(running), Known(running, last=True)]
    best: tuple[float, Known] | None = None
    for form in forms:
        for epsilon in DEFAULTS:
            candidate = replace(form, norm=replace(form.norm, epsilon=epsilon))
            made = candidate(watched, name)
            if made is not None and close(made, out):
                error = float(np.abs(made - out).max())
                if best is None or error < best[0]:
                    best = (error, candidate)
    return best[1] if best else None


def norm_faults(watched: Watched, name: str) -> Iterator[Fault]:
    """The call is a normalisation; with something else in it."""
    known = known_norm(watched, name)
    if known is None:
        return
    norm, held, site = known.norm, named(watched.own(name)), Site(name)
    other = 1e-6 if norm.epsilon != 1e-6 else 1e-5
    forms = [("epsilon", f"{other:g} for {norm.epsilon:g}", replace(norm, epsilon=other), "")]
    if norm.statistics == "row":
        what = "the mean is not subtracted" if norm.mean else "the mean is subtracted"
        forms.append(("mean subtracted", what, replace(norm, mean=not norm.mean), "the mean is 0 everywhere"))
        forms.append(("unbiased variance", "it divides by n - 1", replace(norm, unbiased=True), ""))
    else:
        forms += [
            ("batch statistics", "it normalises by the batch", replace(norm, statistics="batch"), ""),
            (
                "running mean ignored",
                "its running mean is not used",
                replace(norm, statistics="running, mean ignored"),
                "its running mean is 0 everywhere",
            ),
            (
                "running variance ignored",
                "its running variance is not used",
                replace(norm, statistics="running, variance ignored"),
                "its running variance is 1 everywhere",
            ),
        ]
    forms.append(("variance for deviation", "it divides by the variance", replace(norm, power=1.0), ""))
    if "weight" in held:
        unused = replace(norm, weight="none")
        forms.append(("weight unused", "its weight is never used", unused, "its weight is 1 everywhere"))
        forms.append(("1 + weight", "it multiplies by 1 + weight", replace(norm, weight="1 + weight"), ""))
    if "bias" in held:
        forms.append(("bias missing", "a norm's is never added", replace(norm, bias=False), "its bias is 0 everywhere"))
    for cause, what, form, unseen in forms:
        yield Fault(cause, what, path_of(name), shifted(site, known, replace(known, norm=form)), unseen)
