"""What a module hands on wrong: a mask that is inverted, ignored or moved; positions that are moved or cut."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

import numpy as np

from harness.parity.causes.evidence import Claim, Evidence
from harness.parity.compare import Array


def masked(evidence: Evidence) -> Iterator[Claim]:
    """The mask that is handed on, as where one may see, is another than it should be."""
    if not evidence.is_mask:
        return
    yield Claim("mask inverted", "it hides what may be seen", lambda e: (None, ~e.right))
    yield Claim("mask ignored", "it hides nothing", lambda e: (None, np.ones_like(e.right)))
    if evidence.right.ndim == 2:
        for count in (1, 2):
            what = f"{count} more of each row are hidden at its end"
            yield Claim("lengths", what, partial(_shortened, count=count))
            yield Claim("lengths", f"{count} more of each row are seen at its end", partial(_lengthened, count=count))
    if evidence.right.ndim < 2 or evidence.right.shape[-1] < 2:
        return
    for name, what, change in _over_pairs(evidence.right.shape[-1]):
        yield Claim(name, what, partial(_paired, change=change))
    for shift in (-1, 1):
        yield Claim("mask moved", f"it is moved by {shift:+d}", partial(_moved, shift=shift))


def _shortened(evidence: Evidence, count: int) -> tuple[None, Array]:
    """Without the last that is seen, so many times."""
    seen = evidence.right
    for _ in range(count):
        following = np.concatenate([seen[:, 1:], np.zeros_like(seen[:, :1])], axis=1)
        seen = seen & following
    return None, seen


def _lengthened(evidence: Evidence, count: int) -> tuple[None, Array]:
    seen = evidence.right
    for _ in range(count):
        seen = seen | np.concatenate([np.zeros_like(seen[:, :1]), seen[:, :-1]], axis=1)
    return None, seen


def _over_pairs(size: int) -> Iterator[tuple[str, str, Callable[[Array, Array, Array], Array]]]:
    yield "causal mask missing", "later tokens can be seen", lambda seen, rows, columns: seen | (columns > rows)
    yield "padding mask ignored", "padding can be seen", lambda _seen, rows, columns: columns <= rows
    yield "causal off by one", "the next token can be seen", lambda seen, rows, columns: seen | (columns == rows + 1)
    yield "causal off by one", "the next token can be seen, unless it is padding", _next_seen
    yield "causal mask missing", "later tokens can be seen, unless they are padding", _later_seen
    yield "causal off by one", "a token does not see itself", lambda seen, rows, columns: seen & (columns != rows)
    yield "causal mask added", "later tokens cannot be seen", lambda seen, rows, columns: seen & (columns <= rows)
    for window in range(1, size):
        what = f"only the last {window} tokens can be seen"
        yield "window", what, partial(_within, window=window)


def _next_seen(seen: Array, rows: Array, columns: Array) -> Array:
    result: Array = seen | ((columns == rows + 1) & seen.any(-2, keepdims=True))
    return result


def _later_seen(seen: Array, _rows: Array, _columns: Array) -> Array:
    return np.broadcast_to(seen.any(-2, keepdims=True), seen.shape)


def _within(seen: Array, rows: Array, columns: Array, window: int) -> Array:
    return seen & (columns > rows - window)


def _paired(evidence: Evidence, change: Callable[[Array, Array, Array], Array]) -> tuple[None, Array]:
    seen = evidence.right
    rows, columns = np.indices((seen.shape[-2] if seen.ndim > 2 else 1, seen.shape[-1]))
    if seen.ndim == 2:
        rows, columns = rows[0], columns[0]
    return None, np.broadcast_to(change(seen, rows, columns), seen.shape)


def _moved(evidence: Evidence, shift: int) -> tuple[None, Array]:
    return None, np.roll(evidence.right, shift, axis=-1)


def numbered(evidence: Evidence) -> Iterator[Claim]:
    """Whole numbers that are handed on (ids, positions, types) are others than they should be."""
    right, got = evidence.right, evidence.got
    if not evidence.handed or evidence.is_mask or right.dtype.kind not in "iu" or right.ndim != got.ndim:
        return
    try:
        got = np.broadcast_to(got, right.shape)  # positions may be given once for all rows
    except ValueError:
        return
    shift = int(np.median(got - right))
    highest = int(got.max())
    changes: Mapping[str, tuple[str, Callable[[Array], Array]]] = {
        "offset": (f"each is {shift:+d}", lambda array: array + shift),
        "offset modulo": (
            f"each is {shift:+d}, beginning again at the end",
            lambda array: (array + shift) % (right.max() + 1),
        ),
        "cut": (f"they end at {highest}", lambda array: np.minimum(array, highest)),
        "default": (f"each is {int(got.flat[0])}", lambda array: np.full_like(array, got.flat[0])),
        "counted": (
            "they are counted from 0, whatever is given",
            _counted,
        ),
        "reversed": ("they stand in reverse", lambda array: array[..., ::-1]),
        "swapped": ("0 and 1 are swapped", lambda array: 1 - array),
    }
    names = {
        "offset": "position offset",
        "offset modulo": "position offset",
        "cut": "positions end",
        "counted": "positions ignored",
        "default": "default",
    }
    for key, (what, change) in changes.items():
        leaf = f"{evidence.leaf}: {what}"
        yield Claim(names.get(key, key), leaf, partial(_changed, change=change))


def _counted(array: Array) -> Array:
    return np.broadcast_to(np.arange(array.shape[-1]), array.shape)


def _changed(evidence: Evidence, change: Callable[[Array], Array]) -> tuple[Array | None, Array | None]:
    made = change(evidence.right)
    return None, made[: len(evidence.got)] if evidence.got.shape != made.shape else made
