"""Faults of matrix products: their bias, and kernels that are transposed, permuted, not loaded or another's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from harness.parity.causes.attention import KEY, QUERY, VALUE
from harness.parity.compare import Array
from harness.parity.planting.evidence import close, first_floats, named
from harness.parity.planting.fault import Fault, Planted, Site, Watched, path_of, replaced, shifted

Bias = Array | None
Change = Callable[[Array, Bias], tuple[Array, Bias]]
"""From the matrix (in, out) and the bias to others of the same form."""


@dataclass(frozen=True, slots=True)
class Product:
    """x matrix + bias. weight: whole name of what holds the matrix. turned: it is held as (out, in). axes: how many of
    the last axes of x are summed over.
    """

    weight: str
    turned: bool
    axes: int
    change: Change | None = None

    def matrix(self, watched: Watched, name: str, weight: str = "") -> Array | None:
        """The matrix (in, out); that of another weight of the same form, if named."""
        held, x = watched.weights.get(weight or self.weight), first_floats(watched.calls[name])
        if held is None or x is None:
            return None
        inner = int(np.prod(x.shape[x.ndim - self.axes :]))
        if held.size % inner:
            return None
        held = np.asarray(held, np.float64)
        return held.T if self.turned else held.reshape(inner, -1)

    def __call__(self, watched: Watched, name: str, rows: int | None = None) -> Array | None:
        """What it puts out; of the first rows alone, if told."""
        call = watched.calls.get(name)
        x, matrix = (first_floats(call), self.matrix(watched, name)) if call else (None, None)
        if call is None or x is None or matrix is None:
            return None
        bias = named(watched.own(name)).get("bias")
        bias = None if bias is None else bias.reshape(-1)
        if self.change is not None:
            matrix, bias = self.change(matrix, bias)
        flat = x.reshape(-1, matrix.shape[0])[:rows]
        made: Array = flat @ matrix
        made = made if bias is None else made + bias
        return made if rows is not None else made.reshape(call.outputs[""].shape)


def known_product(watched: Watched, name: str) -> Product | None:
    """The product that a call is, perhaps with a weight that is another module's as well; None if it is none."""
    call = watched.calls[name]
    x, out = first_floats(call), call.outputs.get("")
    if x is None or out is None or x.ndim < 2 or watched.inside(name) or out.size > LARGEST:
        return None
    start = f"{path_of(name)}." if path_of(name) else ""
    own = [n for n in watched.weights if n.startswith(start) and "." not in n[len(start) :]]
    for weight in own or watched.weights:
        held = watched.weights[weight]
        if held.ndim < 2:
            continue
        for axes in range(1, min(held.ndim, x.ndim - 1) + 1):
            inner = int(np.prod(x.shape[x.ndim - axes :]))
            outer = int(np.prod(out.shape[x.ndim - axes :]))
            for turned in (False, True):
                if turned and (held.ndim != 2 or held.shape != (outer, inner)):
                    continue
                if not turned and (held.size != inner * outer or held.shape[:axes] != x.shape[x.ndim - axes :]):
                    continue
                form = Product(weight, turned, axes)
                made = form(watched, name, FEW)
                if made is not None and close(made, out.reshape(-1, outer)[:FEW]):
                    return form
    return None


LARGEST = 100_000_000
FEW = 4
"""Rows that tell one weight from another."""


def product_faults(watched: Watched, name: str) -> Iterator[Fault]:
    """The call is a product; with something else in it."""
    known = known_product(watched, name)
    if known is None:
        return
    path, matrix = path_of(name), known.matrix(watched, name)
    bias = named(watched.own(name)).get("bias")
    if matrix is None:
        return

    def fault(cause: str, what: str, change: Change, unseen: str = "") -> Fault:
        wrong = Product(known.weight, known.turned, known.axes, change)
        return Fault(cause, what, path, shifted(Site(name), known, wrong), unseen)

    # A key's bias adds the same to all scores of a row, and no softmax sees it.
    if bias is not None and path.rpartition(".")[2] not in KEY:
        yield fault("bias missing", "it is never added", lambda m, _: (m, None), "its bias is 0 everywhere")
    if matrix.shape[0] == matrix.shape[1]:
        yield fault("kernel transposed", "it is square", lambda m, b: (m.T, b))
    yield fault("kernel permuted", "its inputs stand in reverse", lambda m, b: (m[::-1], b))
    yield fault("corrupted element", "one of its kernel has the other sign", _corrupted)
    tied = not known.weight.startswith(f"{path}." if path else "")
    if tied:
        yield fault("head not tied", "it is drawn at random", _drawn)
    else:
        yield fault("weights at initialisation", "its kernel is drawn at random", _drawn)
    held = watched.weights[known.weight]
    for other, array in watched.weights.items():
        if other != known.weight and array.shape == held.shape and _unlike(array, held):
            change = partial(_others, known, other)
            yield Fault("weights of another module", "of the next of its shape", path, replaced(Site(name), change))
            break


def _unlike(one: Array, other: Array) -> bool:
    return not np.array_equal(one.reshape(-1)[:64], other.reshape(-1)[:64])


def _corrupted(matrix: Array, bias: Bias) -> tuple[Array, Bias]:
    """A typical element, in the middle by size, with the other sign."""
    middle = matrix.shape[1] // 2
    at = int(np.argsort(np.abs(matrix[:, middle]))[matrix.shape[0] // 2])
    changed = matrix.copy()
    changed[at, middle] *= -1
    return changed, bias


def _drawn(matrix: Array, bias: Bias) -> tuple[Array, Bias]:
    return np.random.default_rng(0).normal(scale=float(matrix.std()) or 1.0, size=matrix.shape), bias


def _others(known: Product, weight: str, watched: Watched, name: str) -> Array | None:
    return Product(weight, known.turned, known.axes)(watched, name)


def swapped_faults(watched: Watched, name: str) -> Iterator[Fault]:
    """Two of the projections inside the call are swapped."""
    by_last = {path_of(child).rpartition(".")[2]: child for child in watched.inside(name)}
    found = {}
    for word, names in (("query", QUERY), ("key", KEY), ("value", VALUE)):
        found[word] = next((by_last[each] for each in names if each in by_last), None)
    for one, other in (("query", "key"), ("key", "value")):
        first, second = found[one], found[other]
        if first is None or second is None:
            continue
        shapes = [watched.calls[child].outputs[""].shape for child in (first, second)]
        if shapes[0] == shapes[1]:
            plant = partial(_swapped, first, second)
            yield Fault("projections swapped", f"{one} and {other}", path_of(name), plant)


def _swapped(one: str, other: str, watched: Watched) -> Planted:
    arrays = [Site(each).of(watched) for each in (one, other)]
    if arrays[0] is None or arrays[1] is None:
        return {}
    return {Site(one): arrays[1], Site(other): arrays[0]}
