"""Relative positions: in which bucket each distance falls (Raffel et al. 2020), and what becomes of what is added."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from harness.parity.causes.evidence import Claim, Evidence
from harness.parity.compare import Array


@dataclass(frozen=True, slots=True)
class Buckets:
    """Distances up to half of the buckets have one each; the others fall into the rest by their logarithm.

    both_ways: keys after the query have half of the buckets. reverse: the sign of the distance is the other.
    """

    both_ways: bool
    count: int
    farthest: int
    reverse: bool = False
    rounded: bool = False

    def __call__(self, shape: tuple[int, ...]) -> Array:
        """(queries, keys), the queries being the last of the tokens."""
        rows, columns = np.indices(shape[-2:])
        apart = columns - rows - (shape[-1] - shape[-2])
        apart = -apart if self.reverse else apart
        count, start = self.count, np.zeros_like(apart)
        if self.both_ways:
            count //= 2
            start = np.where(apart > 0, count, 0)
            apart = np.abs(apart)
        else:
            apart = -np.minimum(apart, 0)
        exact = count // 2
        if not exact or self.farthest <= exact:
            return np.asarray(start)
        # In float32, as libraries have it: at a bucket's edge rounding decides.
        ratio = np.log(np.maximum(apart, 1).astype(np.float32) / exact) / np.log(self.farthest / exact)
        steps = ratio * (count - exact)
        far: Array = exact + (np.round(steps) if self.rounded else steps).astype(np.int64)
        result: Array = start + np.where(apart < exact, apart, np.minimum(far, count - 1))
        return result

    def __str__(self) -> str:
        ways = "both ways" if self.both_ways else "one way"
        more = (", the other way round" if self.reverse else "") + (", rounded" if self.rounded else "")
        return f"{self.count} buckets {ways} up to {self.farthest}{more}"


def bucketed(evidence: Evidence) -> Iterator[Claim]:
    """The module hands buckets to a table: which ones."""
    right = evidence.right
    if not evidence.handed or evidence.is_mask or right.dtype.kind not in "iu" or right.ndim < 2:
        return
    ours = next((form for form in FORMS if np.array_equal(form(right.shape), right.reshape(right.shape[-2:]))), None)
    if ours is None or evidence.got.shape != right.shape:
        return
    for form in FORMS:
        if form != ours:
            what = f"{form} in the port, {ours} in the reference"
            yield Claim("relative position buckets", what, partial(_both, ours=ours, theirs=form))


FORMS = tuple(
    Buckets(both_ways, count, farthest, reverse, rounded)
    for count, farthest, reverse, rounded, both_ways in itertools.product(
        (32, 16, 8, 64), (128, 64, 32, 16, 20, 256), (False, True), (False, True), (True, False)
    )
)


def _both(evidence: Evidence, ours: Buckets, theirs: Buckets) -> tuple[Array, Array]:
    shape = evidence.right.shape
    return np.broadcast_to(ours(shape), shape), np.broadcast_to(theirs(shape), shape)


def added(evidence: Evidence) -> Iterator[Claim]:
    """What is added to scores, hidden places included, is handed on or put out without one of its parts."""
    right = evidence.right
    if right.dtype.kind != "f" or right.ndim != 4 or right.shape != evidence.got.shape:
        return
    hidden = right <= HIDDEN
    if hidden.any():
        yield Claim("mask ignored", "it hides nothing", lambda e: (None, np.where(e.right <= HIDDEN, 0.0, e.right)))
    if right[~hidden].any():
        what = "nothing is added for them"
        yield Claim("relative positions ignored", what, lambda e: (None, np.where(e.right <= HIDDEN, e.right, 0.0)))
    yield Claim("nothing added", "neither mask nor positions", lambda e: (None, np.zeros_like(e.right)))


HIDDEN = -1e4
"""What masks add where nothing may be seen, at most."""
