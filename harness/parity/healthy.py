"""Weights under which a fault can show: none at a neutral value, none so small that what it does is lost.

A bias that is still zero, a norm weight that is still one, a row that was never trained: whether a port reads them
makes no difference to any output. Under default initialisation most weights are like that, or nearly.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from harness.adapters.protocols import Array, Weight
from harness.parity.layout import is_neutral
from harness.parity.weights import Link, kind_of

SMALL = 0.5
"""Times 1 / sqrt(fan-in): a matrix whose root mean square is below is scaled up to 1 / sqrt(fan-in). The default of
transformers, 0.02, is 0.1 for a width of 32. The matrices of SmolLM2-135M lie at 0.6 to 6.8, those of all-MiniLM-L6-v2
up to 1.9; below lie its positions (0.48), its unused pooler (0.18) and its token types (0.03)."""


def healthy(weights: Mapping[str, Weight], names: frozenset[str], *, seed: int) -> dict[str, Array]:
    """New values for those of the named weights that need them, each one that float32 holds exactly.

    Parameters, and the statistics of a batch normalisation, are disturbed; other buffers (tables, masks) are not.
    """
    generator = np.random.default_rng(seed)
    changed = {}
    for name, weight in weights.items():
        kind = kind_of(name)
        if name not in names or not (weight.trained or kind in ("mean", "var")) or not weight.array.size:
            continue
        new = _disturbed(weight.array.astype(np.float64), kind, generator)
        if new is not None:
            changed[name] = new.astype(np.float32).astype(np.float64)
    return changed


def in_port(changed: Mapping[str, Array], links: tuple[Link, ...], port: Mapping[str, Weight]) -> dict[str, Array]:
    """The same new values in the port's own arrays, by its names."""
    values: dict[str, Array] = {}
    for link in links:
        if link.reference in changed:
            whole = values.setdefault(link.port, port[link.port].array.astype(np.float64))
            part = link.of_port(whole)
            part[...] = link.to_port(link.of_reference(changed[link.reference]), part.shape)
    return values


def _disturbed(array: Array, kind: str, generator: np.random.Generator) -> Array | None:
    if is_neutral(array):
        value = float(array.flat[0])
        if kind == "var":
            return (value or 1.0) * generator.uniform(0.5, 1.5, array.shape)
        if value == 0:
            return 0.2 * generator.normal(size=array.shape)
        return value * (1 + 0.5 * generator.uniform(-0.5, 0.5, array.shape))
    if array.ndim < 2:
        return None
    # The longer of the outer axes is the width that feeds or is fed, whichever framework wrote it down.
    fan = array.size / max(array.shape[0], array.shape[-1])
    size = float(np.sqrt(np.mean(np.square(array)) * fan))
    empty = ~array.reshape(array.shape[0], -1).any(axis=1)
    if size >= SMALL and not empty.any():
        return None
    new = array / size if size < SMALL else array.copy()
    # An empty row is that of the padding token.
    new[empty] = generator.normal(size=new[empty].shape) / np.sqrt(fan)
    return new
