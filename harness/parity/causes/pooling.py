"""Pooling: one vector made of those of all tokens, one value made of those in a window of an image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from harness.parity.causes.evidence import Claim, Evidence, both
from harness.parity.causes.outputs import at_hand
from harness.parity.compare import Array
from harness.parity.floor import EXACT


@dataclass(frozen=True, slots=True)
class Pool:
    """One vector of those of all tokens, (batch, tokens, width), or of those that a mask, (batch, tokens), leaves.

    call, leaf: which activation, as `at_hand` names it. way: a key of `POOLS`, or with a mask of `MASKED`.
    """

    call: str
    leaf: str
    way: str
    mask: str = ""

    def __call__(self, evidence: Evidence) -> Array | None:
        """What it makes, or None where an activation or the mask is not there."""
        source = evidence.inside[self.call].outputs if self.call in evidence.inside else evidence.inputs
        tokens, mask = source.get(self.leaf), evidence.inputs.get(self.mask)
        if tokens is None:
            return None
        if not self.mask:
            return POOLS[self.way](tokens)
        return None if mask is None else MASKED[self.way](tokens, np.asarray(mask) != 0)

    def __str__(self) -> str:
        return self.way


def pooled(evidence: Evidence) -> Iterator[Claim]:
    """One vector is made of those of all tokens, or of those that are no padding; or one row stands for all."""
    right, got = evidence.right, evidence.got
    for call, leaf, given in at_hand(evidence):
        if given.ndim != 3 or right.shape != got.shape or right.shape != given[:, 0].shape:
            continue
        pools = [Pool(call, leaf, way) for way in POOLS]
        pools += [Pool(call, leaf, way, mask) for mask in _masks(evidence, given) for way in MASKED]
        ours = next((pool for pool in pools if _makes(pool, evidence, right)), None)
        if ours is None:
            continue
        for theirs in pools:
            if theirs != ours:
                what = f"{theirs} in the port, {ours} in the reference"
                yield Claim("pooling", what, partial(_pooled, reference=ours, port=theirs))
    if right.shape == got.shape and len(right) > 1 and np.ptp(got):
        for row in range(len(right)):
            what = "every row is the first" if row == 0 else f"every row after row {row} is that"
            yield Claim("first row for all" if row == 0 else "rows repeated", what, partial(_repeated, row=row))


POOLS: Mapping[str, Callable[[Array], Array]] = {
    "the first token": lambda x: x[:, 0],
    "the mean of all tokens": lambda x: x.mean(1),
    "the largest of all tokens": lambda x: x.max(1),
    "the last token": lambda x: x[:, -1],
    "the mean but for the first token": lambda x: x[:, 1:].mean(1),
}

MASKED: Mapping[str, Callable[[Array, Array], Array]] = {
    "the mean without padding": lambda x, mask: (x * mask[..., None]).sum(1) / mask.sum(1)[:, None],
    "the sum without padding by the number of all tokens": lambda x, mask: (x * mask[..., None]).mean(1),
    "the largest without padding": lambda x, mask: np.where(mask[..., None], x, -np.inf).max(1),
    "the last token that is no padding": lambda x, mask: x[np.arange(len(x)), _last(mask)],
    "the token of the number of the last that is no padding": lambda x, mask: x[np.arange(len(x)), mask.sum(1) - 1],
}


def _last(mask: Array) -> Array:
    last: Array = mask.shape[1] - 1 - mask[:, ::-1].argmax(1)
    return last


def _masks(evidence: Evidence, tokens: Array) -> list[str]:
    """The inputs that say of every token whether it counts, where some do not."""
    return [
        name
        for name, given in evidence.inputs.items()
        if isinstance(given, np.ndarray)
        and given.shape == tokens.shape[:2]
        and set(np.unique(given).tolist()) == {0, 1}
        and given.any(1).all()
    ]


def _makes(pool: Pool, evidence: Evidence, target: Array) -> bool:
    made = pool(evidence)
    return made is not None and evidence.apart(made, target) <= EXACT


def _pooled(evidence: Evidence, reference: Pool, port: Pool) -> tuple[Array | None, Array | None]:
    return both(reference(evidence), port(evidence))


def _repeated(evidence: Evidence, row: int) -> tuple[None, Array]:
    """Rows after `row` are taken for it."""
    return None, evidence.right[np.minimum(np.arange(len(evidence.right)), row)]


@dataclass(frozen=True, slots=True)
class Window:
    """The largest value or the mean of each window of (batch, channels, height, width), or of the whole image.

    size: of the window, 0 for the whole. divisor: of the sum, where that is not how many values there are.
    """

    largest: bool
    size: int = 0
    stride: int = 1
    padding: int = 0
    divisor: int = 0

    def __call__(self, evidence: Evidence) -> Array | None:
        """What it makes of the first input, or None if it does not fit."""
        x = evidence.first
        if x is None or x.ndim != 4 or x.dtype.kind != "f":
            return None
        if not self.size:
            whole: Array = x.max((-2, -1), keepdims=True) if self.largest else x.mean((-2, -1), keepdims=True)
            return x.sum((-2, -1), keepdims=True) / self.divisor if self.divisor else whole
        fill = -np.inf if self.largest else 0.0
        x = np.pad(x, [(0, 0), (0, 0), *[(self.padding, self.padding)] * 2], constant_values=fill)
        if min(x.shape[2:]) < self.size:
            return None
        windows = sliding_window_view(x, (self.size, self.size), axis=(2, 3))[:, :, :: self.stride, :: self.stride]
        made: Array = windows.max((-2, -1)) if self.largest else windows.mean((-2, -1))
        return made

    def __str__(self) -> str:
        what = "the largest value" if self.largest else "the mean"
        if not self.size:
            return f"the sum divided by {self.divisor}" if self.divisor else f"{what} of the image"
        return f"{what} of {self.size}x{self.size}, stride {self.stride}, padding {self.padding}"


def pooled_in_windows(evidence: Evidence) -> Iterator[Claim]:
    """The reference pools an image; the port pools it otherwise."""
    x = evidence.first
    if evidence.handed or x is None or x.ndim != 4 or evidence.right.ndim != 4 or x.shape[1] != evidence.right.shape[1]:
        return
    ours = next((form for form in FORMS if _is(form, evidence, evidence.right)), None)
    if ours is None:
        return
    sums, some = x.sum((-2, -1), keepdims=True), evidence.got != 0
    divisor = int(np.rint(np.median(sums[some] / evidence.got[some]))) if sums.shape == some.shape and some.any() else 0
    for form in (*FORMS, *([Window(largest=False, divisor=divisor)] if divisor > 0 else [])):
        if form != ours:
            what = f"{form} in the port, {ours} in the reference"
            yield Claim("pooling", what, partial(_both, reference=ours, port=form))


FORMS = (
    *(Window(largest) for largest in (False, True)),
    *(
        Window(largest, size, stride, padding)
        for size in (2, 3, 4, 5, 7)
        for stride in dict.fromkeys((1, 2, size))
        for padding in range(size // 2 + 1)
        for largest in (True, False)
    ),
)


def _is(form: Window, evidence: Evidence, target: Array) -> bool:
    made = form(evidence)
    return made is not None and made.shape == target.shape and evidence.apart(made, target) <= EXACT


def _both(evidence: Evidence, reference: Window, port: Window) -> tuple[Array | None, Array | None]:
    return both(reference(evidence), port(evidence))
