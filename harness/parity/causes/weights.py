"""Causes in the weights: another layer's, transposed, permuted, at their initial value, one element, never used."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from harness.parity.causes.evidence import Claim, Evidence, described, kind_of
from harness.parity.compare import Array


def multiplied(evidence: Evidence) -> Iterator[Claim]:
    """The reference is a matrix product with a bias; the port is one with something else in it."""
    x, weight, bias = evidence.first, evidence.weights.get("weight"), evidence.weights.get("bias")
    if evidence.handed or x is None or weight is None or weight.ndim != 2 or x.dtype.kind != "f":
        return
    # (out, in) in torch.nn.Linear, (in, out) in the Conv1D of GPT-2
    for matrix in (weight, weight.T):
        if x.shape[-1] != matrix.shape[1] or not _fits_few(x, matrix, bias, evidence.right):
            continue
        transposed = matrix is not weight
        for name, what, other, offset in _variants(evidence, matrix, bias, transposed=transposed):
            if other.shape == matrix.shape and _fits_few(x, other, offset, evidence.got):
                yield Claim(
                    name,
                    what,
                    partial(_both, transposed=transposed, other=other, offset=offset),
                )


def _fits_few(x: Array, matrix: Array, offset: Array | None, target: Array) -> bool:
    """Whether the product is the target at the first positions: most that are tried are seen there not to be."""
    few, wanted = (array.reshape(-1, array.shape[-1])[:FEW] for array in (x, target))
    made = _product(few, matrix, offset)
    return made.shape == wanted.shape and bool(np.abs(made - wanted).max() <= 1e-6 * np.abs(wanted).max())


FEW = 4


def _variants(
    evidence: Evidence, matrix: Array, bias: Array | None, *, transposed: bool
) -> Iterator[tuple[str, str, Array, Array | None]]:
    if bias is not None:
        yield "bias missing", "its bias is never added", matrix, None
    yield "kernel transposed", "its square kernel is transposed", matrix.T, bias
    yield "kernel reversed", "its outputs stand in reverse", matrix[::-1], bias
    yield "kernel reversed", "its inputs stand in reverse", matrix[:, ::-1], bias
    held = evidence.theirs.get("weight")
    if held is not None and held.shape == evidence.weights["weight"].shape:
        name, what = kind_of(evidence, "weight", held), described(evidence, "weight", held)
        if evidence.tied:
            name, what = "head not tied", f"the reference uses {evidence.tied}; {what}"
        yield name, what, held.T if transposed else held, evidence.theirs.get("bias", bias)
    for path, other in evidence.every.items():
        if (
            not path.endswith(".weight")
            or path == f"{evidence.path}.weight"
            or other.shape != evidence.weights["weight"].shape
        ):
            continue
        owner = path.removesuffix(".weight")
        offset = evidence.every.get(f"{owner}.bias")
        name = "head tied" if "embed" in owner or "wte" in owner or "shared" in owner else "weights of another module"
        yield name, f"it has the weights of {owner}", other.T if transposed else other, offset
        if bias is not None:
            yield name, f"it has the weight of {owner}, and its own bias", other.T if transposed else other, bias


def _both(
    evidence: Evidence, *, transposed: bool, other: Array, offset: Array | None
) -> tuple[Array | None, Array | None]:
    x, weight = evidence.first, evidence.weights.get("weight")
    if x is None or weight is None:
        return None, None
    return _product(x, weight.T if transposed else weight, evidence.weights.get("bias")), _product(x, other, offset)


def _product(x: Array, matrix: Array, bias: Array | None) -> Array:
    result: Array = x @ matrix.T
    return result if bias is None or bias.shape != matrix.shape[:1] else result + bias


def looked_up(evidence: Evidence) -> Iterator[Claim]:
    """The reference looks rows up in a table; the port looks up others."""
    ids, table = evidence.first, evidence.weights.get("weight")
    if evidence.handed or ids is None or ids.dtype.kind not in "iu" or table is None or table.ndim != 2:
        return
    if evidence.right.shape != (*ids.shape, table.shape[1]) or evidence.got.shape != evidence.right.shape:
        return
    last, highest = len(table) - 1, int(ids.max())
    yield Claim("nothing added", "it puts out zeros", lambda e: (None, np.zeros_like(e.right)))
    for row in range(min(4, len(table))):
        what = f"row {row} is taken whatever is given"
        yield Claim("default row", what, partial(_rows, change=partial(_always, row=row)))
    yield Claim("rows swapped", "the rows are taken in reverse", partial(_rows, change=lambda i: highest - i))
    # Where rows end, the highest id has the last of them.
    at = np.unravel_index(int(ids.argmax()), ids.shape)
    limit = int(np.abs(table - evidence.got[at]).max(axis=1).argmin())
    if 0 < limit < highest:
        yield Claim("rows end", f"rows end at {limit}", partial(_rows, change=partial(np.minimum, limit)))
    for shift in (each for each in range(-4, 5) if each and abs(each) <= highest):
        what = f"row {shift:+d} of the table is taken for each"
        yield Claim("position offset", what, partial(_rows, change=partial(_clipped, shift=shift, last=last)))
        yield Claim("position offset", what, partial(_rows, change=partial(_around, shift=shift, size=last + 1)))


def _always(ids: Array, row: int) -> Array:
    return np.full_like(ids, row)


def _clipped(ids: Array, shift: int, last: int) -> Array:
    moved: Array = np.clip(ids + shift, 0, last)
    return moved


def _around(ids: Array, shift: int, size: int) -> Array:
    moved: Array = (ids + shift) % size
    return moved


def _rows(evidence: Evidence, change: object) -> tuple[Array | None, Array | None]:
    ids, table = evidence.first, evidence.weights.get("weight")
    if ids is None or table is None or not callable(change):
        return None, None
    return table[ids], table[change(ids)]
