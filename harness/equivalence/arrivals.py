"""Which weights of a file arrived in a model, told by their bits, and whether a message names those that did not."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

from harness.adapters.protocols import Array
from harness.parity.floor import EPS32, FACTOR, largest

Weights = Mapping[str, Array]

LEAVES = ("kernel", "weight", "scale", "embedding")
"""What either framework calls the weight of a layer."""

RENAMED = {
    "running_mean": ("mean",),
    "running_var": ("var",),
    "mean": ("running_mean",),
    "var": ("running_var",),
    "original0": ("weight_g",),
    "original1": ("weight_v",),
    "weight_g": ("original0",),
    "weight_v": ("original1",),
}


def bits(array: Array) -> bytes:
    """The values of an array, in float32, in order of size: a transposed weight has the same."""
    return np.sort(np.asarray(array, np.float32), axis=None).tobytes()


def others(key: str, prefix: str) -> tuple[str, ...]:
    """What a weight may be called in a model that has it with the prefix, or without."""
    return key, f"{prefix}.{key}", key.removeprefix(f"{prefix}.")


def named(text: str, key: str, prefix: str) -> bool:
    """Whether the text has the weight's name, dotted or as a tuple, by what either framework calls it.

    >>> named("newly initialized: {('dense', 'kernel')}", "model.dense.weight", "model")
    True
    >>> named("newly initialized: ['dense.weights']", "model.dense.weight", "model")
    False
    """
    for name in others(key, prefix):
        *path, last = name.split(".")
        for leaf in (last, *(LEAVES if last in LEAVES else RENAMED.get(last, ()))):
            stem = path[:-2] if last in ("original0", "original1") and leaf != last else path
            dotted = re.escape(".".join([*stem, leaf]))
            if repr((*stem, leaf)) in text or re.search(rf"(?<![\w.]){dotted}(?![\w.])", text):
                return True
            if repr((*stem, leaf))[1:] in text:  # with what stands above parameters before it
                return True
    return False


def lost(
    source: Weights,
    loaded: Any,
    *,
    due: Callable[[str], bool],
    prefix: str,
    seen: Callable[[Array], bytes] = bits,
    tables: Collection[str] = (),
) -> str:
    """The first weight that went wrong, in words, or nothing.

    source: what the files hold. loaded: as `harness.adapters.transformers.trips.load` gives it. due: whether a
    weight has a place in the model; a buffer that holds a constant is none. seen: what of an array is held against
    another's. tables: what either model makes by itself, which has to be neither in the files nor from them.
    """
    told = f"{loaded.missing}\n{loaded.unexpected}"
    there = {seen(array) for array in loaded.weights.values()}
    for key, array in source.items():
        if seen(array) in there or key in tables:
            continue
        if due(key):
            return f"{key} does not arrive"
        if not named(told, key, prefix):
            return f"{key} is dropped, and no message names it"
    given = {seen(array) for array in source.values()}
    made = {*loaded.constant, *tables}
    for key, array in loaded.weights.items():
        if seen(array) not in given and key not in made and not named(loaded.missing, key, prefix):
            return f"{key} is not from the files, and no message names it"
    return ""


def false_alarm(source: Weights, held: Weights, loaded: Any, *, prefix: str) -> str:
    """The first weight that is said to be missing, though it holds what the file gave, in words, or nothing.

    held: the model's weights as they are when it is filled.
    """
    given = {bits(array) for array in source.values()}
    for key, array in held.items():
        if bits(array) in given and named(loaded.missing, key, prefix):
            return f"{key} is said to be newly initialized, and is not"
    return ""


def unlike(one: Mapping[str, Array], other: Mapping[str, Array]) -> str:
    """The first output that is another by more than rounding, in words, or nothing.

    The same weights need not give the same bits: where they lie in memory decides in which order a convolution sums.
    """
    for name, array in one.items():
        if name not in other or array.shape != other[name].shape:
            return f"the output {name} is gone, or of another shape"
        near = np.isclose(array, other[name], rtol=0.0, atol=FACTOR * EPS32 * largest(array), equal_nan=True)
        if not near.all():
            return f"the output {name} is another than before"
    return ""
