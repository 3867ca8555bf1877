"""Causes that show in the outputs themselves: a scale, a constant, a missing residual, an order, a cast, a cap."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from functools import partial

import numpy as np

from harness.parity.calls import same_array
from harness.parity.causes.evidence import Claim, Evidence
from harness.parity.compare import Array
from harness.parity.floor import EXACT


def skipped(evidence: Evidence) -> Iterator[Claim]:
    """The module hands on what it is given."""
    for name, given in evidence.inputs.items():
        if isinstance(given, np.ndarray) and given.shape == evidence.right.shape and not evidence.handed:
            yield Claim("module skipped", f"it puts out its {name}", partial(_given, name=name))


def _given(evidence: Evidence, name: str) -> tuple[None, Array]:
    return None, evidence.inputs[name]


def scaled(evidence: Evidence) -> Iterator[Claim]:
    """The output is a multiple of the right one."""
    right, got = _flat(evidence)
    factor = float(got @ right / (right @ right)) if right @ right else 0.0
    if factor and not np.isclose(factor, 1.0, rtol=1e-9):
        what = f"the output is {_number(factor, evidence.right.shape[-1:])} times what it should be"
        # In training either may be the reason where nothing tells what was drawn.
        name = "dropout or scale" if evidence.training and not any(evidence.drawn) and factor < 1 else "scale"
        yield Claim(name, what, lambda e: (e.got / factor, None))


def constant(evidence: Evidence) -> Iterator[Claim]:
    """The output differs by the same vector everywhere: a bias."""
    if evidence.right.ndim < 2 or evidence.right.shape != evidence.got.shape or evidence.right.dtype.kind != "f":
        return
    for axis in dict.fromkeys((evidence.right.ndim - 1, 1)):
        others = tuple(each for each in range(evidence.right.ndim) if each != axis)
        apart = _masked(evidence, evidence.right - evidence.got)
        if not np.isfinite(apart).any():
            continue
        with np.errstate(invalid="ignore"):  # where all is padding there is no mean
            count = np.sum(~np.isnan(apart), axis=others, keepdims=True)
            vector = np.nansum(apart, axis=others, keepdims=True) / count
        bias = evidence.weights.get("bias")
        known = bias is not None and np.allclose(vector.reshape(-1), bias, rtol=1e-7, atol=1e-9)
        name, what = ("bias missing", "its bias is never added") if known else ("constant", "a vector is missing")
        yield Claim(name, what, partial(_added, vector=vector))


def _added(evidence: Evidence, vector: Array) -> tuple[Array, None]:
    return evidence.got + vector, None


def combined(evidence: Evidence) -> Iterator[Claim]:
    """What is put out or handed on is a sum of activations at hand, with other coefficients than it should be."""
    shape = evidence.right.shape
    if evidence.right.dtype.kind != "f" or evidence.got.shape != shape:
        return
    tensors: dict[str, tuple[str, str]] = {}
    arrays: list[Array] = []
    for source, leaf, array in at_hand(evidence):
        same = any(np.array_equal(array, each) for each in arrays)
        if array.shape == shape and not same:
            tensors[f"{source} {leaf}".strip()] = (source, leaf)
            arrays.append(array)
    if not arrays or len(arrays) > MOST:
        return
    chosen = np.ones(shape, bool) if evidence.valid is None else np.broadcast_to(evidence.valid, shape)
    matrix = np.stack([array[chosen] for array in arrays], axis=1)
    if len(matrix) < 4 * len(arrays):
        return
    found = []
    for target in (evidence.right, evidence.got):
        solution = np.linalg.lstsq(matrix, target[chosen], rcond=None)[0]
        found.append(np.where(np.abs(solution) < 1e-9, 0.0, np.round(solution, 12)))
    if np.allclose(found[0], found[1], atol=1e-9):
        return
    names = list(tensors)
    missing = [name for name, a, b in zip(names, *found, strict=True) if a and not b]
    added = [name for name, a, b in zip(names, *found, strict=True) if b and not a]
    where = f"in what it gives {evidence.child}, " if evidence.handed else ""
    if missing and not added and all(np.isclose(a, 1) for a, b in zip(*found, strict=True) if a and not b):
        name, what = "residual missing", f"{', '.join(missing)} is not added"
    elif len(added) == len(missing) == 1 and _makes(evidence, *tensors[missing[0]], *tensors[added[0]]):
        name, what = "module skipped", f"{missing[0]} is left out"
    elif added and missing:
        name, what = "another activation", f"{', '.join(added)} is taken for {', '.join(missing)}"
    elif added:
        name, what = "residual added", f"{', '.join(added)} is added, and should not be"
    else:
        unlike = [(n, a, b) for n, a, b in zip(names, *found, strict=True) if not np.isclose(a, b, atol=1e-9)]
        parts = [f"{n} is added {b:.6g} times for {a:.6g}" for n, a, b in unlike]
        name, what = "scale of a sum", ", ".join(parts)
    what = where + what

    def predict(e: Evidence, solution: list[Array]) -> tuple[Array | None, Array | None]:
        known = {(source, leaf): array for source, leaf, array in at_hand(e)}
        parts = [known.get(key) for key in tensors.values()]
        if any(part is None or part.shape != e.right.shape for part in parts):
            return None, None
        sums = [sum(c * part for c, part in zip(each, parts, strict=True) if part is not None) for each in solution]
        return np.asarray(sums[0]), np.asarray(sums[1])

    yield Claim(name, what, partial(predict, solution=found))


def _makes(evidence: Evidence, name: str, _leaf: str, source: str, leaf: str) -> bool:
    """Whether the call of this name makes what it puts out of that activation."""
    call = evidence.inside.get(name)
    array = next((each for *key, each in at_hand(evidence) if key == [source, leaf]), None)
    return call is not None and any(same_array(given, array) for given in call.inputs.values())


MOST = 12
"""Activations of one shape: with more of them a sum could fit by chance."""


def reordered(evidence: Evidence) -> Iterator[Claim]:
    """The values are right and stand elsewhere along one axis."""
    right, got = evidence.right, evidence.got
    if right.shape != got.shape or right.ndim < 2 or right.dtype.kind != "f":
        return
    for axis, size in enumerate(right.shape):
        if not 1 < size <= LONGEST or size * right.size > PAIRED:
            continue
        ours, theirs = (np.moveaxis(each, axis, 0).reshape(size, -1) for each in (right, got))
        scale = np.abs(ours).max() or 1.0
        order = []
        for row in ours:
            near = np.abs(theirs - row).max(axis=1)
            order.append(int(near.argmin()) if near.min() <= EXACT * scale else -1)
        if -1 in order or order == list(range(size)):
            continue
        yield Claim("order", f"along axis {axis} it has {_order(order)}", partial(_taken, order=order, axis=axis))


def _taken(evidence: Evidence, order: list[int], axis: int) -> tuple[Array | None, None]:
    return (np.take(evidence.got, order, axis=axis) if evidence.got.shape[axis] == len(order) else None), None


LONGEST = 4096
PAIRED = 500_000_000
"""Numbers to compare when each is held against each: some seconds."""


def shortened(evidence: Evidence) -> Iterator[Claim]:
    """The output went through a type with fewer digits."""
    if evidence.right.dtype.kind == "f" and not evidence.is_mask:
        for name, through in TYPES.items():
            yield Claim("cast", f"it goes through {name}", partial(_put_through, through=through))
            # PyTorch goes from float64 to float16 in two steps, and rounds in both.
            yield Claim("cast", f"it goes through {name}", partial(_put_through, through=partial(_twice, through)))


def _put_through(evidence: Evidence, through: Callable[[Array], Array]) -> tuple[None, Array]:
    return None, through(evidence.right)


def _twice(through: Callable[[Array], Array], array: Array) -> Array:
    return through(array.astype(np.float32).astype(np.float64))


def _through(dtype: type) -> Callable[[Array], Array]:
    def through(array: Array) -> Array:
        return array.astype(dtype).astype(np.float64)

    return through


def _bfloat16(array: Array) -> Array:
    """The upper half of a float32, rounded to the nearest, ties to even."""
    bits = array.astype(np.float32).view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)
    return rounded.astype(np.uint32).view(np.float32).astype(np.float64)


TYPES: Mapping[str, Callable[[Array], Array]] = {
    "bfloat16": _bfloat16,
    "float16": _through(np.float16),
    "float32": _through(np.float32),
}
"""What is left of an array that goes through a type with fewer digits."""


def cut(evidence: Evidence) -> Iterator[Claim]:
    """Places at one end of an axis are lost, or those at the other end instead."""
    right, got = evidence.right, evidence.got
    if right.ndim == got.ndim and right.shape != got.shape and all(g <= r for r, g in zip(right.shape, got.shape)):
        fewer = ", ".join(f"{g} of {r}" for r, g in zip(right.shape, got.shape) if g < r)
        kept = got.shape
        yield Claim("cut", f"{fewer} are left", lambda e: (None, e.right[tuple(slice(g) for g in e.got.shape)]))
        yield Claim(
            "cut", f"the last {fewer} are left", lambda e: (None, e.right[tuple(slice(-g, None) for g in kept)])
        )
    for name, given in evidence.inputs.items():
        if not isinstance(given, np.ndarray) or given.ndim != right.ndim or evidence.handed:
            continue
        longer = [a for a in range(right.ndim) if given.shape[a] > right.shape[a]]
        if len(longer) == 1 and right.shape == got.shape:
            yield Claim(
                "cut", "it cuts at the start, the reference at the end", partial(_ends, name=name, axis=longer[0])
            )


def _ends(evidence: Evidence, name: str, axis: int) -> tuple[Array, Array]:
    given, size = np.moveaxis(evidence.inputs[name], axis, 0), evidence.right.shape[axis]
    return np.moveaxis(given[:size], 0, axis), np.moveaxis(given[-size:], 0, axis)


def transposed(evidence: Evidence) -> Iterator[Claim]:
    """Height and width of an image are swapped."""
    if evidence.right.ndim == 4 and evidence.right.dtype.kind == "f":
        what = "its height and width are swapped"
        yield Claim("image transposed", what, lambda e: (None, e.right.swapaxes(-1, -2)))


def standardised(evidence: Evidence) -> Iterator[Claim]:
    """Every row is brought to mean 0 and variance 1, which it should not be."""
    right = evidence.right
    if right.dtype.kind != "f" or right.shape != evidence.got.shape or right.ndim < 2 or right.shape[-1] < 2:
        return
    for ddof in (0, 1):
        for epsilon in (0.0, 1e-7, 1e-5):
            yield Claim(
                "normalised again", "each row to mean 0, variance 1", partial(_normal, ddof=ddof, epsilon=epsilon)
            )


def _normal(evidence: Evidence, ddof: int, epsilon: float) -> tuple[None, Array]:
    x = evidence.right
    return None, (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True, ddof=ddof) + epsilon)


def limited(evidence: Evidence) -> Iterator[Claim]:
    """The output is clipped, or bent towards a limit."""
    if evidence.right.dtype.kind != "f" or evidence.right.shape != evidence.got.shape:
        return
    low, high = float(evidence.got.min()), float(evidence.got.max())
    if high - low > EXACT * np.abs(evidence.right).max() and (
        evidence.right.max() > high or evidence.right.min() < low
    ):
        what = f"values are kept within {low:.4g} and {high:.4g}"
        yield Claim("clipped", what, lambda e: (None, np.clip(e.right, low, high)))
    right, got = _flat(evidence)
    at = int(np.abs(right).argmax())
    ratio = got[at] / right[at] if right[at] else 1.0
    if 0 < ratio < 1:
        cap = float(f"{abs(float(right[at])) / _solve(ratio):.4g}")
        yield Claim("soft cap", f"values are capped at {cap:g}", partial(_capped, cap=cap))


def _capped(evidence: Evidence, cap: float) -> tuple[None, Array]:
    return None, cap * np.tanh(evidence.right / cap)


def _solve(ratio: float) -> float:
    """The z at which tanh(z) / z is `ratio`."""
    low, high = 1e-9, 1e3
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if np.tanh(middle) / middle > ratio else (low, middle)
    return middle


def at_hand(evidence: Evidence) -> Iterator[tuple[str, str, Array]]:
    """The activations that the module has: its inputs, and what the calls inside put out; name of the call, leaf."""
    for name, given in evidence.inputs.items():
        if isinstance(given, np.ndarray) and given.dtype.kind == "f":
            yield "", name, given
    for name, call in evidence.inside.items():
        if call.name == evidence.child:
            continue
        for leaf, array in call.outputs.items():
            if array.dtype.kind == "f":
                yield name, leaf, array


def _flat(evidence: Evidence) -> tuple[Array, Array]:
    if evidence.right.shape != evidence.got.shape or evidence.right.dtype.kind != "f":
        return np.zeros(1), np.zeros(1)
    chosen = np.ones(evidence.right.shape, bool) if evidence.valid is None else evidence.valid
    chosen = np.broadcast_to(chosen, evidence.right.shape)
    return evidence.right[chosen], evidence.got[chosen]


def _masked(evidence: Evidence, array: Array) -> Array:
    return array if evidence.valid is None else np.where(evidence.valid, array, np.nan)


def _number(value: float, widths: tuple[int, ...]) -> str:
    """The number, and what it may be."""
    for width in widths:
        for power, words in ((0.5, "sqrt({})"), (-0.5, "1/sqrt({})"), (1.0, "{}"), (-1.0, "1/{}")):
            if np.isclose(value, width**power, rtol=1e-9):
                return f"{value:.6g} = {words.format(width)}"
    fraction = Fraction(value).limit_denominator(64)
    return f"{value:.6g} = {fraction}" if np.isclose(float(fraction), value, rtol=1e-12) else f"{value:.8g}"


def _list(values: Array) -> str:
    return ", ".join(f"{value:.6g}" for value in values)


def _order(order: list[int]) -> str:
    size = len(order)
    if order == list(range(size))[::-1]:
        return "everything in reverse"
    shift = (order[1] - order[0]) % size == 1 and order[0]
    if shift and order == [(each + shift) % size for each in range(size)]:
        return f"everything moved by {shift}"
    return f"another order: {', '.join(map(str, order[:6]))}{', ...' if size > 6 else ''}"
