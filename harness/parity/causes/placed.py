"""A table of positions that is added to tokens: moved, left out, or resized for an image of another size."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

import numpy as np

from harness.parity.causes.evidence import Claim, Evidence, both
from harness.parity.compare import Array

Change = Callable[[Array, Array], Array]
"""From the tokens without positions (batch, tokens, width) and the table (1, tokens, width) to what is put out."""


def placed(evidence: Evidence) -> Iterator[Claim]:
    """A table of the module is added to tokens, of which one may stand for the class."""
    right = evidence.right
    name = next((name for name in evidence.weights if "position" in name and evidence.weights[name].ndim == 3), "")
    if not name or right.ndim != 3 or right.shape != evidence.got.shape:
        return
    if right.shape[1:] == evidence.weights[name].shape[1:]:
        for cause, what, change in _changes():
            yield Claim(cause, what, partial(_changed, name=name, change=change))
        return
    tokens = _tokens(evidence)
    ours = [way for way in RESIZES if tokens is not None and _fits(evidence, name, way, evidence.right)]
    for way in RESIZES if ours else ():
        if way != ours[0]:
            what = f"{way} in the port, {ours[0]} in the reference"
            yield Claim("position interpolation", what, partial(_resized, name=name, ours=ours[0], theirs=way))


def _changes() -> Iterator[tuple[str, str, Change]]:
    yield "positions ignored", "none are added", lambda tokens, _: tokens
    yield "positions ignored", "none is added to the first token", lambda tokens, table: tokens + _but_first(table)
    yield "positions reversed", "they stand in reverse", lambda tokens, table: tokens + table[:, ::-1]
    yield "class token last", "it stands after the others", lambda tokens, table: np.roll(tokens, -1, 1) + table
    for shift in (-2, -1, 1, 2):
        yield "position offset", f"each has that of the token {-shift:+d}", partial(_moved, shift=shift)


def _but_first(table: Array) -> Array:
    return np.concatenate([0 * table[:, :1], table[:, 1:]], axis=1)


def _moved(tokens: Array, table: Array, shift: int) -> Array:
    moved: Array = tokens + np.roll(table, shift, axis=1)
    return moved


def _changed(evidence: Evidence, name: str, change: Change) -> tuple[None, Array]:
    table = evidence.weights[name]
    return None, change(evidence.right - table, table)


def _tokens(evidence: Evidence) -> Array | None:
    """What the module has before positions are added: the class token, and the patches that a call inside put out."""
    shape = evidence.right.shape
    first = next((array for name, array in evidence.weights.items() if "cls" in name or "class" in name), None)
    for call in evidence.inside.values():
        patches = call.outputs.get("")
        if first is None or patches is None or patches.ndim != 3 or patches.shape[1] + 1 != shape[1]:
            continue
        return np.concatenate([np.broadcast_to(first, (shape[0], 1, shape[2])), patches], axis=1)
    return None


def _fits(evidence: Evidence, name: str, way: str, target: Array) -> bool:
    made = _placed(evidence, name, way)
    return made is not None and evidence.apart(made, target) <= RESIZED


RESIZED = 1e-6
"""Of the largest value: libraries compute the weights of an interpolation in float32."""


def _resized(evidence: Evidence, name: str, ours: str, theirs: str) -> tuple[Array | None, Array | None]:
    return both(_placed(evidence, name, ours), _placed(evidence, name, theirs))


def _placed(evidence: Evidence, name: str, way: str) -> Array | None:
    tokens, table = _tokens(evidence), evidence.weights[name]
    image = evidence.first
    if tokens is None or image is None or image.ndim != 4:
        return None
    side, count = int(np.sqrt(table.shape[1] - 1)), tokens.shape[1] - 1
    if side * side != table.shape[1] - 1:
        return None
    height = int(np.round(np.sqrt(count * image.shape[2] / image.shape[3])))
    if not height or count % height:
        return None
    grid = table[0, 1:].reshape(side, side, -1)
    rows, columns = (RESIZES[way](side, size) for size in (height, count // height))
    patches = np.einsum("ih,jw,hwc->ijc", rows, columns, grid).reshape(1, count, -1)
    made: Array = tokens + np.concatenate([table[:, :1], patches], axis=1)
    return made


def _cubic(sharpness: float, *, corners: bool = False) -> Callable[[int, int], Array]:
    """The weights (new, old) of cubic interpolation (Keys 1981), borders repeated."""

    def weights(old: int, new: int) -> Array:
        made = np.zeros((new, old))
        for row, place in enumerate(_places(old, new, corners=corners)):
            for tap in range(int(np.floor(place)) - 1, int(np.floor(place)) + 3):
                far = abs(place - tap)
                a = sharpness
                near = (a + 2) * far**3 - (a + 3) * far**2 + 1
                wide = a * far**3 - 5 * a * far**2 + 8 * a * far - 4 * a
                made[row, min(max(tap, 0), old - 1)] += near if far <= 1 else wide if far < 2 else 0.0
        return made

    return weights


def _linear(*, corners: bool = False) -> Callable[[int, int], Array]:
    def weights(old: int, new: int) -> Array:
        made = np.zeros((new, old))
        for row, place in enumerate(_places(old, new, corners=corners)):
            low = int(np.floor(place))
            for tap, share in ((low, 1 - place + low), (low + 1, place - low)):
                made[row, min(max(tap, 0), old - 1)] += share
        return made

    return weights


def _nearest(old: int, new: int) -> Array:
    return np.eye(old)[np.arange(new) * old // new]


def _places(old: int, new: int, *, corners: bool) -> Array:
    """Where the new values lie between the old ones, with the corners or the edges of both in one place."""
    if corners:
        return np.arange(new) * ((old - 1) / max(new - 1, 1))
    places: Array = (np.arange(new) + 0.5) * (old / new) - 0.5
    return places


RESIZES: Mapping[str, Callable[[int, int], Array]] = {
    "bicubic": _cubic(-0.75),
    "bicubic of sharpness -0.5": _cubic(-0.5),
    "bicubic with aligned corners": _cubic(-0.75, corners=True),
    "bilinear": _linear(),
    "bilinear with aligned corners": _linear(corners=True),
    "nearest": _nearest,
}
"""PyTorch's bicubic has sharpness -0.75, that of JAX and TensorFlow -0.5."""
