"""Whether two arrays hold the same numbers in another layout, or as a slice of one."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np

from harness.adapters.protocols import Array
from harness.parity.weights import Part


def layout(reference: Array, port: Array, *, close: float = 0.0) -> tuple[int, ...] | None:
    """The order of the reference's axes in which it holds what the port holds, reshaped if need be; None if none.

    close: what two values may differ by.
    """

    def same(one: Array, other: Array) -> bool:
        return bool(np.array_equal(one, other) if not close else np.abs(one - other).max(initial=0.0) <= close)

    if reference.size != port.size:
        return None
    flat = port.reshape(-1)
    axes = tuple(range(reference.ndim))
    if reference.shape == port.shape and same(reference, port):
        return axes
    for order in itertools.permutations(axes) if reference.ndim <= 5 else (axes,):
        turned = np.transpose(reference, order)
        # A reshape joins or splits axes; it never only swaps lengths.
        if _reshapes(turned.shape, port.shape) and same(turned.reshape(-1), flat):
            return order
    return None


def is_neutral(array: Array) -> bool:
    """Whether all values are the same, as those of a fresh bias or norm are."""
    return array.size == 0 or bool((array == array.flat[0]).all())


def slices(whole: Array, parts: Mapping[str, Array], close: float) -> list[tuple[str, tuple[int, ...], Part]]:
    """The parts that make up the whole, one after the other along one axis; empty unless all of it is found.

    A stack of layers may hold fused weights in turn.
    """
    for axis in range(whole.ndim):
        for single in (True, False):
            found: list[tuple[str, tuple[int, ...], Part]] = []
            start = 0
            left = dict(parts)
            while start < whole.shape[axis]:
                hits, start = _slice_at(whole, axis, start, left, single=single, close=close)
                if not hits:
                    break
                found += hits
                left = {name: array for name, array in left.items() if name not in {hit[0] for hit in hits}}
            else:
                if len(found) > 1:
                    return found
    return []


def matching_part(kernel: Part, whole: Array, own: Array) -> Part | None:
    """The part of a fused or stacked bias that goes with a part of its kernel: the same, but for the input's axis."""
    ranges = [place for place, each in enumerate(kernel.index) if isinstance(each, tuple)]
    candidates = [kernel.index, *(kernel.index[:at] + kernel.index[at + 1 :] for at in ranges)]
    for index in candidates:
        ends = [each[1] if isinstance(each, tuple) else each + 1 for each in index]
        inside = len(index) <= whole.ndim and all(a <= b for a, b in zip(ends, whole.shape, strict=False))
        if (
            inside
            and index
            and layout(own, Part(index).of(whole)) is not None
            and Part(index).of(whole).size < whole.size
        ):
            return Part(index)
    return None


def fingerprint(array: Array) -> tuple[int, int, int]:
    """Equal for arrays that hold the same float32 numbers, in any order."""
    bits = np.ascontiguousarray(array, dtype=np.float32).reshape(-1).view(np.uint32)
    return array.size, int(bits.sum(dtype=np.uint64)), int(np.bitwise_xor.reduce(bits))


def symmetric(array: Array) -> bool:
    """Whether a square matrix is its own transpose, so that its values do not tell the two apart."""
    return array.shape[0] == array.shape[1] > 1 and np.array_equal(array, array.T)


def _slice_at(
    whole: Array, axis: int, start: int, parts: Mapping[str, Array], *, single: bool, close: float
) -> tuple[list[tuple[str, tuple[int, ...], Part]], int]:
    """What stands at `start` of the axis, and where it ends."""
    size = whole.size // whole.shape[axis]
    before: tuple[tuple[int, int], ...] = tuple((0, length) for length in whole.shape[:axis])
    for name, array in parts.items():
        length = 1 if single else array.size // size
        if length == 0 or array.size != size * length or start + length > whole.shape[axis]:
            continue
        part = Part((*before, start if single else (start, start + length)))
        order = layout(array, part.of(whole), close=close)
        if order is not None:
            return [(name, order, part)], start + length
    if single and axis == 0 and whole.ndim > 2:
        inner = slices(whole[start], parts, close)
        return [(name, order, Part((start, *part.index))) for name, order, part in inner], start + 1
    return [], start


def _reshapes(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    if one == other:
        return True
    shorter, longer = sorted((_without_ones(one), _without_ones(other)), key=len)
    if len(shorter) == len(longer):
        return shorter == longer
    ends = set(itertools.accumulate(longer, lambda a, b: a * b))
    return all(end in ends for end in itertools.accumulate(shorter, lambda a, b: a * b))


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(length for length in shape if length != 1)
