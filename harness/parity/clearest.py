"""Where an error is clearest: the excerpt of a call that is enough to look for the fault."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from harness.parity.compare import Array
from harness.parity.excerpt import Excerpt, size
from harness.parity.floor import largest
from harness.parity.judge import Mask, mask_for

CLEAR = 0.1
"""Of the largest error in a row: from here on an error is clear."""

MORE = 16
"""Tokens that are kept from the first clear error on: a fault may need some beside the one where it shows."""


PADDING = 4
"""Tokens of padding that are kept of a row that has some: a fault may be in how they are masked."""


def clearest(
    inputs: Mapping[str, Any],
    names: Sequence[tuple[str, str]],
    outputs: Sequence[Mapping[str, Array]],
    masks: Mask,
) -> Excerpt | None:
    """The row that is farthest off, up to its first clear error; None where no output tells, or nothing is left out."""
    rows, length = size(inputs)
    found: tuple[float, Array] | None = None
    for name, target in names:
        ours, theirs = outputs[0].get(name), outputs[1].get(target)
        if ours is None or theirs is None or ours.shape != theirs.shape or ours.ndim < 2 or len(ours) != rows:
            continue
        by_token = length > 0 and ours.ndim > 2 and ours.shape[1] == length
        if not by_token and length and ours.ndim > 2:
            continue  # of pairs of tokens, or of heads
        error = _error(ours, theirs, (rows, length if by_token else 1))
        mask = mask_for(name, ours, masks) if by_token else None
        error = error if mask is None else np.where(mask, error, 0.0)
        relative = float(error.max(initial=0.0)) / (largest(ours) or 1.0)
        if relative > (found[0] if found else 0.0):
            found = relative, error
    if found is None:
        return None
    row = int(np.argmax(found[1].max(axis=1)))
    first = int(np.argmax(found[1][row] >= CLEAR * found[1][row].max()))
    tokens = min(first + MORE, length)
    end = min((_end(mask[row]) for mask in masks.values() if mask.shape == (rows, length)), default=length)
    padding = min(PADDING, length - end) if tokens <= end else 0
    return None if (rows, length) == (1, tokens + padding) else Excerpt(row, tokens, padding)


def _end(mask: Array) -> int:
    """Up to where a row has tokens that are valid."""
    return len(mask) - int(np.argmax(mask[::-1] != 0)) if mask.any() else len(mask)


def _error(ours: Array, theirs: Array, form: tuple[int, int]) -> Array:
    """The largest error at each place; infinite where only one side has a number."""
    found = np.empty(form)
    for row, (one, other) in enumerate(zip(ours, theirs, strict=True)):
        with np.errstate(invalid="ignore"):
            apart = np.abs(one - other)
        if not np.isfinite(apart).all():
            same = (one == other) | (np.isnan(one) & np.isnan(other))
            apart = np.where(same, 0.0, np.where(np.isfinite(apart), apart, np.inf))
        found[row] = apart.reshape(form[1], -1).max(axis=1, initial=0.0)
    return found
