"""Faults that any output may have: a scale, a cast, a cap, dropout at work, a module skipped, another order."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from harness.parity.compare import Array
from harness.parity.planting.evidence import floats
from harness.parity.planting.fault import Fault, Site, Watched, path_of, replaced

DROPPED = 0.1
"""The share of elements that dropout drops by default in BERT and its kin."""


def output_faults(watched: Watched, name: str) -> Iterator[Fault]:
    """The call puts out a multiple of what it should, a cast of it, or what it was given."""
    call = watched.calls[name]
    array = call.outputs.get("")
    if array is None or array.dtype.kind != "f" or watched.inside(name):
        return
    if "dropout" in call.kind.lower():
        yield _fault("dropout active", f"it drops {DROPPED:.0%} of the elements", name, _dropped)
        return
    if any(array is given or np.array_equal(array, given) for given in floats(call).values()):
        return  # it puts out what it was given
    yield _fault("scale", "it is doubled", name, lambda a: 2 * a)
    yield _fault("cast", "it goes through bfloat16", name, _bfloat16)
    yield _fault("cast", "it goes through float16", name, lambda a: a.astype(np.float16).astype(np.float64))
    cap = "values never reach where it bends"
    yield _fault("soft cap", "values are capped at 30", name, lambda a: 30 * np.tanh(a / 30), cap)
    if array.ndim > 1 and array.shape[-1] > 1:
        yield _fault("order", "everything stands in reverse", name, lambda a: a[..., ::-1])
    for leaf, given in floats(call).items():
        if given.shape == array.shape:

            def skipped(w: Watched, n: str, leaf: str = leaf) -> Array | None:
                return Site(n, leaf, given=True).of(w)

            yield Fault("module skipped", "it puts out what it is given", path_of(name), replaced(Site(name), skipped))
            break


def _fault(cause: str, what: str, name: str, change: Callable[[Array], Array], unseen: str = "") -> Fault:
    def made(watched: Watched, name: str) -> Array | None:
        now = Site(name).of(watched)
        with np.errstate(over="ignore"):
            return None if now is None else change(now)

    return Fault(cause, what, path_of(name), replaced(Site(name), made), unseen)


def _dropped(array: Array) -> Array:
    kept = np.random.default_rng(0).random(array.shape) >= DROPPED
    return array * kept / (1 - DROPPED)


def _bfloat16(array: Array) -> Array:
    """The upper half of a float32, rounded to the nearest, ties to even."""
    bits = array.astype(np.float32).view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)
    return rounded.astype(np.uint32).view(np.float32).astype(np.float64)
