"""Activation functions: which one the reference has, and which one the port."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial

import numpy as np

from harness.parity.causes.evidence import Claim, Evidence
from harness.parity.compare import Array
from harness.parity.floor import EXACT

_erf = np.vectorize(math.erf, otypes=[float])


def _sigmoid(x: Array) -> Array:
    result: Array = 0.5 * (1 + np.tanh(x / 2))
    return result


ACTIVATIONS: Mapping[str, Callable[[Array], Array]] = {
    "erf GELU": lambda x: 0.5 * x * (1 + _erf(x / math.sqrt(2))),
    "tanh GELU": lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "quick GELU": lambda x: x * _sigmoid(1.702 * x),
    "SiLU": lambda x: x * _sigmoid(x),
    "ReLU": lambda x: np.maximum(x, 0),
    "ReLU6": lambda x: np.clip(x, 0, 6),
    "squared ReLU": lambda x: np.maximum(x, 0) ** 2,
    "leaky ReLU of 0.01": lambda x: np.where(x > 0, x, 0.01 * x),
    "leaky ReLU of 0.2": lambda x: np.where(x > 0, x, 0.2 * x),
    "ELU": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "softplus": lambda x: np.logaddexp(x, 0),
    "Mish": lambda x: x * np.tanh(np.logaddexp(x, 0)),
    "tanh": np.tanh,
    "sigmoid": _sigmoid,
    "hard swish": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "no activation": lambda x: x,
}
"""Hendrycks and Gimpel 2016 (GELU, and its tanh form), Ramachandran et al. 2017 (SiLU), Clevert et al. 2015 (ELU)."""


def activated(evidence: Evidence) -> Iterator[Claim]:
    """Both sides are functions of one number at hand; in a gated layer, times another."""
    for source in _sources(evidence):
        ours = _matching(evidence, evidence.right, source)
        if not ours:
            continue
        for theirs in _matching(evidence, evidence.got, source):
            if theirs != ours[0] and theirs[0] != ours[0][0]:
                what = f"{theirs[0]} in the port, {ours[0][0]} in the reference"
                yield Claim("activation", what, partial(_both, source=source, ours=ours[0], theirs=theirs))


Source = tuple[str, str]
Form = tuple[str, Source | None]
"""The name of the activation, and what it is multiplied by."""


def _matching(evidence: Evidence, target: Array, source: Source) -> list[Form]:
    x = _array(evidence, source)
    gates: list[Source | None] = [None]
    if evidence.handed:
        gates += [other for other in _sources(evidence) if other != source]
    found: list[Form] = []
    for name, function in ACTIVATIONS.items():
        if x is None:
            break
        made = function(x)
        for gate in gates:
            by = None if gate is None else _array(evidence, gate)
            if evidence.apart(made if by is None else made * by, target) <= EXACT:
                found.append((name, gate))
    return found


def _both(evidence: Evidence, source: Source, ours: Form, theirs: Form) -> tuple[Array | None, Array | None]:
    x = _array(evidence, source)
    if x is None:
        return None, None
    made = []
    for name, gate in (ours, theirs):
        by = None if gate is None else _array(evidence, gate)
        value = ACTIVATIONS[name](x)
        made.append(value if by is None else value * by)
    return made[0], made[1]


def _sources(evidence: Evidence) -> list[Source]:
    shape = evidence.right.shape
    found = [("", n) for n, a in evidence.inputs.items() if isinstance(a, np.ndarray) and a.shape == shape]
    inside = [c for c in evidence.inside.values() if c.name != evidence.child]
    return found + [(c.name, "") for c in inside if "" in c.outputs and c.outputs[""].shape == shape]


def _array(evidence: Evidence, source: Source) -> Array | None:
    name, leaf = source
    if not name:
        return evidence.inputs.get(leaf)
    call = evidence.inside.get(name)
    return None if call is None else call.outputs.get(leaf)
