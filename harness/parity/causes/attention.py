"""A model of attention, with what a port may do otherwise as its fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from harness.adapters.protocols import Call
from harness.parity.calls import allowed
from harness.parity.causes.evidence import Evidence
from harness.parity.causes.outputs import TYPES
from harness.parity.causes.rotary import Turns, rotary, turned
from harness.parity.compare import Array

QUERY, KEY, VALUE = ("query", "q_proj", "q", "to_q"), ("key", "k_proj", "k", "to_k"), ("value", "v_proj", "v", "to_v")
FUSED = ("c_attn", "qkv", "in_proj", "query_key_value", "Wqkv")

Change = Callable[[Array, Array], tuple[Array, Array]]
"""Of keys and values, each (batch, heads, tokens, width of a head)."""


@dataclass(frozen=True, slots=True)
class Projected:
    """(batch, tokens, size) each. first: how many keys the first step of decoding made; new: the last one."""

    query: Array
    key: Array
    value: Array
    first: int
    new: int


@dataclass(frozen=True, slots=True)
class Attention:
    """softmax(query key^T x scale + mask) value, heads merged, times a factor (of dropout that is held still).

    width: of a head. heads_first: how the projections hold heads. mask: which of the module's is used, or how it is
    changed. rotate: which of the two are rotated, `part` of their width if it is not all; pairs: of what (see
    `turned`); shift: of the positions of steps with a filled cache; end: of all positions. tiled: groups of keys stand
    one after another for the queries, instead of each repeated. through: a type that the softmax goes through.
    written, read: what is done to keys and values of a step with a filled cache when they are stored, and to all of the
    cache when it is used.
    """

    width: int
    scale: float = 0.0
    factor: float = 1.0
    heads_first: bool = True
    mask: str = "as given"
    fill: float | None = None
    swapped: bool = False
    over_queries: bool = False
    after_softmax: bool = False
    rotate: str = "both"
    part: int = 0
    pairs: str = "halves"
    reverse_keys: bool = False
    base: float | None = None
    tiled: bool = False
    window: int = 0
    causal: bool = False
    distance: int = 0
    relative: bool = True
    through: str = ""
    shift: int = 0
    end: int = 0
    written: Change | None = None
    read: Change | None = None

    def __call__(self, evidence: Evidence) -> Array | None:
        """The mixed values (batch, tokens, heads x width), or the weights (batch, heads, tokens, keys) where those are
        what is wrong; None if this is no such attention.
        """
        given = projected(evidence)
        if given is None or any(each.shape[-1] % self.width for each in (given.query, given.key, given.value)):
            return None
        query, key, value = (self._split(each) for each in (given.query, given.key, given.value))
        turns = rotary(evidence)
        if turns is not None:
            if turns.cos.shape[-1] > self.width or turns.cos.shape[-2] != key.shape[2]:
                return None
            query, key = self._rotated(query, key, turns, given.first)
        if self.swapped:
            if query.shape[2] != key.shape[2]:
                return None
            query, key = key, query
        times = max(1, query.shape[1] // key.shape[1])
        key, value = self._from_cache(key, value, given)
        if times > 1:
            key, value = (np.tile(e, (1, times, 1, 1)) if self.tiled else e.repeat(times, 1) for e in (key, value))
        if query.shape[1] != key.shape[1] or query.shape[-1] != key.shape[-1]:
            return None
        weights = self._weights(evidence, query @ key.swapaxes(-1, -2) * (self.scale or self.width**-0.5))
        if weights is None or evidence.right.ndim == 4:
            return weights
        mixed: Array = (weights @ value).swapaxes(1, 2)
        return mixed.reshape(*mixed.shape[:2], -1) * self.factor

    def _split(self, array: Array) -> Array:
        batch, tokens, size = array.shape
        heads = size // self.width
        if self.heads_first:
            return array.reshape(batch, tokens, heads, self.width).swapaxes(1, 2)
        return array.reshape(batch, tokens, self.width, heads).transpose(0, 3, 1, 2)

    def _rotated(self, query: Array, key: Array, turns: Turns, first: int) -> tuple[Array, Array]:
        if self.base is not None or self.part or self.shift or self.end:
            positions = turns.positions + self.shift * (np.arange(turns.positions.shape[-1]) >= first)
            positions = np.minimum(positions, self.end) if self.end else positions
            turns = turns.at(positions, base=self.base, width=self.part)
        cos, sin = (each[:, None] if each.ndim == 3 else each for each in (turns.cos, turns.sin))
        newest = (..., slice(cos.shape[-2] - query.shape[2], None), slice(None))
        if self.rotate in ("both", "query", "keys twice"):
            query = turned(query, cos[newest], sin[newest], pairs=self.pairs)
        for _ in range({"both": 1, "key": 1, "keys twice": 2}.get(self.rotate, 0)):
            key = turned(key, cos, -sin if self.reverse_keys else sin, pairs=self.pairs)
        return query, key

    def _from_cache(self, key: Array, value: Array, given: Projected) -> tuple[Array, Array]:
        if self.written is not None:
            start = given.first if given.new else 0  # what is made once alone is changed whole when it is used again
            later = self.written(key[:, :, start:], value[:, :, start:])
            key, value = (
                np.concatenate([a[:, :, :start], b], axis=2) for a, b in zip((key, value), later, strict=True)
            )
        return (key, value) if self.read is None else self.read(key, value)

    def _weights(self, evidence: Evidence, scores: Array) -> Array | None:
        seen, bias = self._seen(evidence, scores)
        if seen is None:
            return None
        scores = scores + bias
        if self.after_softmax:
            return softmax(scores, -1) * seen
        hidden = LEAST if self.fill is None else self.fill
        scores = scores + np.where(seen, 0.0, hidden) if self.fill is not None else np.where(seen, scores, hidden)
        if self.through:
            through = TYPES[self.through]
            return through(softmax(through(scores), -1))
        return softmax(scores, -2 if self.over_queries else -1)

    def _seen(self, evidence: Evidence, scores: Array) -> tuple[Array | None, Array | float]:
        """What may be seen, and what is added to the scores."""
        queries, keys = scores.shape[-2:]
        # With a cache the queries are the last of the tokens.
        rows, columns = np.arange(keys - queries, keys)[:, None], np.arange(keys)
        seen, bias = np.ones((queries, keys), bool), self._relative(evidence)
        given = mask_of(evidence)
        if given is not None:
            marked = _marked(given)
            if marked.ndim == 2 and marked.shape == (scores.shape[0], scores.shape[-1]):
                marked = marked[:, None, None, :]
            if marked.ndim != 4 or marked.shape[-1] < scores.shape[-1]:
                return None, 0.0
            marked = marked[..., : scores.shape[-1]]
            seen = MASKS[self.mask](marked, rows, columns)
            if given.dtype.kind == "f" and given.ndim == 4:
                finite = np.where(np.abs(given) < 1e4, given, 0.0)[..., : scores.shape[-1]]
                bias = bias + finite * self.relative
        if self.causal:
            seen = seen & (columns <= rows)
        if self.window:
            seen = seen & (columns > rows - self.window)
        if self.distance:
            seen = seen & (np.abs(columns - rows) <= self.distance)
        try:
            return np.broadcast_to(seen, scores.shape), np.broadcast_to(bias, scores.shape)
        except ValueError:
            return None, 0.0

    def _relative(self, evidence: Evidence) -> Array | float:
        """What a table of relative positions inside adds to the scores: (queries, keys, heads) in T5."""
        for name, call in evidence.inside.items():
            added = call.outputs.get("")
            if self.relative and "relative" in name and added is not None and added.ndim == 3:
                return added.transpose(2, 0, 1)[None]
        return 0.0


LEAST = float(np.finfo(np.float64).min)
"""What masks add or put in: where a row or column has nothing else, all of it weighs the same."""

MASKS: Mapping[str, Callable[..., Array]] = {
    "as given": lambda seen, *_: seen,
    "inverted": lambda seen, *_: ~seen,
    "ignored": lambda seen, *_: np.ones_like(seen),
    "next seen": lambda seen, rows, columns: seen | (columns == rows + 1),
    "next seen, no padding": lambda seen, rows, columns: seen | ((columns == rows + 1) & but_padding(seen)),
    "itself hidden": lambda seen, rows, columns: seen & (columns != rows),
    "newest hidden": lambda seen, _, columns: seen & (columns < columns.max()),
    "first hidden": lambda seen, _, columns: seen & (columns > 0),
    "padding alone": lambda seen, rows, _: but_padding(seen) & (rows >= 0),
}
"""What may be seen, from what the module's mask lets one see, and the places of queries and keys."""


def but_padding(seen: Array) -> Array:
    """The keys that any query may see."""
    return np.asarray(seen.any(axis=-2, keepdims=True))


def mask_of(evidence: Evidence) -> Array | None:
    """The mask that the module is given: what is added to the scores, or what may be seen."""
    given = [
        leaf
        for name, leaf in evidence.inputs.items()
        if isinstance(leaf, np.ndarray) and ("mask" in name or "bias" in name) and leaf.ndim >= 2
    ]
    added = [leaf for leaf in given if leaf.dtype.kind == "f" and leaf.ndim == 4 and leaf.shape[1] > 1]
    return next(iter([*added, *given]), None)  # relative positions hold the mask already


def projected(evidence: Evidence) -> Projected | None:
    """What the query, key and value projections inside put out; with a cache, those of the earlier steps too."""
    steps = [_of_step(inside, evidence.path) for inside in (*(each for _, each in evidence.earlier), evidence.inside)]
    queries, keys, values = ([array for array in each if array is not None] for each in zip(*steps, strict=True))
    if steps[-1][0] is None or not keys or len(keys) != len(values):
        return None
    newest = steps[-1][1]
    new = 0 if newest is None else newest.shape[1]
    return Projected(queries[-1], np.concatenate(keys, axis=1), np.concatenate(values, axis=1), keys[0].shape[1], new)


def _of_step(inside: Mapping[str, Call], path: str) -> tuple[Array | None, Array | None, Array | None]:
    named: dict[str, Array] = {
        name.split("#")[0].rpartition(".")[2]: _flat(call.outputs[""])
        for name, call in inside.items()
        if "" in call.outputs and call.outputs[""].ndim >= 3 and call.caller.split("#")[0] == path
    }
    query, key, value = (next((named[n] for n in names if n in named), None) for names in (QUERY, KEY, VALUE))
    fused = next((named[name] for name in FUSED if name in named), None)
    if query is None and fused is not None and fused.shape[-1] % 3 == 0:
        query, key, value = np.split(fused, 3, axis=-1)
    return query, key, value


def _flat(array: Array) -> Array:
    """(batch, tokens, size), whether or not heads have an axis."""
    return array.reshape(*array.shape[:2], -1)


def _marked(given: Array) -> Array:
    if given.dtype.kind == "f" and given.ndim == 4:
        marked: Array = given > -1e4
        return marked
    return allowed(given)


def softmax(scores: Array, axis: int) -> Array:
    """Along an axis."""
    with np.errstate(invalid="ignore"):
        powers = np.exp(scores - scores.max(axis, keepdims=True))
        result: Array = powers / powers.sum(axis, keepdims=True)
    return result
