"""Faults of activation functions, in modules of their own or between two modules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from harness.parity.causes.activations import ACTIVATIONS
from harness.parity.compare import Array
from harness.parity.planting.evidence import close, earlier, floats, maybe
from harness.parity.planting.fault import Fault, Site, Watched, path_of, shifted

NEAR: Mapping[str, tuple[str, ...]] = {
    "erf GELU": ("tanh GELU", "quick GELU"),
    "tanh GELU": ("erf GELU", "quick GELU"),
    "quick GELU": ("erf GELU",),
    "SiLU": ("quick GELU", "hard swish"),
    "ReLU": ("leaky ReLU of 0.01", "ReLU6"),
    "tanh": ("sigmoid",),
    "sigmoid": ("tanh",),
}
"""What is taken for each by mistake; for any, that there is none."""


@dataclass(frozen=True, slots=True)
class Applied:
    """function(source) x gate inside the call `path` is, or where its child is fed, given by it."""

    function: str
    source: Site
    gate: Site | None
    call: str

    def __call__(self, watched: Watched, _name: str) -> Array | None:
        """What it puts out."""
        x = self.source.of(watched)
        by = self.gate.of(watched) if self.gate else None
        if x is None or (self.gate and by is None):
            return None
        made = ACTIVATIONS[self.function](x)
        return made if by is None else made * by


def activation_faults(watched: Watched, name: str) -> Iterator[Fault]:
    """What the call puts out, or gives to one inside, is an activation of an array at hand, perhaps times another."""
    for site in _targets(watched, name):
        found = _applied(watched, name, site)
        if found is None:
            continue
        for other in (*NEAR.get(found.function, ()), "no activation"):
            wrong = Applied(other, found.source, found.gate, name)
            unseen = "values never reach where the forms differ"
            yield Fault(
                "activation", f"{other} for {found.function}", path_of(name), shifted(site, found, wrong), unseen
            )
        return


def _targets(watched: Watched, name: str) -> Iterator[Site]:
    """What the call puts out, and what it gives to those inside, but for what one of them has made."""
    inside = watched.inside(name)
    made = [array for call in inside.values() for array in call.outputs.values()]
    sites = [Site(name)] if name else []
    sites += [Site(child.name, leaf, given=True) for child in inside.values() for leaf in floats(child)]
    for site in sites:
        array = site.of(watched)
        numbers = array is not None and array.dtype.kind == "f" and array.ndim > 1
        if array is not None and numbers and not any(maybe(array, other) for other in made):
            yield site


def _applied(watched: Watched, name: str, site: Site) -> Applied | None:
    target = site.of(watched)
    if target is None:
        return None
    # From a constant any other could be made.
    found = [(each, array) for each in earlier(watched, name, site) if (array := each.of(watched)) is not None]
    at_hand = [(each, array) for each, array in found if array.shape == target.shape and np.ptp(array[:1]) > 0]
    few = slice(0, 64)
    for source, x in at_hand[:MOST]:
        gates: list[Site | None] = [None, *(other for other, _ in at_hand[:MOST] if other != source)]
        for function, apply in ACTIVATIONS.items():
            with np.errstate(all="ignore"):
                made = apply(x.reshape(-1)[few])
            for gate in gates:
                by = gate.of(watched) if gate else None
                whole = made if by is None else made * by.reshape(-1)[few]
                plain = function == "no activation" or (gate is None and maybe(x, target))
                if plain or not close(whole, target.reshape(-1)[few]):
                    continue
                applied = Applied(function, source, gate, name)
                whole_array = applied(watched, name)
                if whole_array is not None and close(whole_array, target):
                    return applied
    return None


MOST = 8
"""Arrays at hand that are tried."""
