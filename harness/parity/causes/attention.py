"""Attention: what is mixed, with which scale, mask, heads and rotary angles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from harness.parity.calls import allowed
from harness.parity.causes.evidence import Claim, Evidence
from harness.parity.compare import Array
from harness.parity.floor import EXACT

QUERY, KEY, VALUE = ("query", "q_proj", "q", "to_q"), ("key", "k_proj", "k", "to_k"), ("value", "v_proj", "v", "to_v")
FUSED = ("c_attn", "qkv", "in_proj", "query_key_value", "Wqkv")
BASES = (10000.0, 100000.0, 500000.0, 1000000.0)
"""Of rotary embeddings: Su et al. 2021 and Llama, Code Llama and SmolLM2, Llama 3, Code Llama's long context."""


@dataclass(frozen=True, slots=True)
class Attention:
    """softmax(query key^T x scale + mask) value, heads merged.

    width: of a head. heads_first: how the projections hold heads. mask: which of the module's is used, or how it is
    changed. rotate: which of the two are rotated; paired: neighbours are, instead of halves. tiled: groups of keys
    stand one after another for the queries, instead of each repeated.
    """

    width: int
    scale: float = 0.0
    heads_first: bool = True
    mask: str = "as given"
    fill: float | None = None
    swapped: bool = False
    over_queries: bool = False
    after_softmax: bool = False
    rotate: str = "both"
    paired: bool = False
    reverse_keys: bool = False
    base: float | None = None
    tiled: bool = False
    window: int = 0
    causal: bool = False
    distance: int = 0

    def __call__(self, evidence: Evidence) -> Array | None:
        """The mixed values (batch, tokens, heads x width), or the weights (batch, heads, tokens, keys) where those are
        what is wrong; None if this is no such attention.
        """
        projected = _projections(evidence)
        if projected is None:
            return None
        if any(each.ndim != 3 or each.shape[-1] % self.width for each in projected):
            return None
        query, key, value = (self._split(each) for each in projected)
        rotary = _rotary(evidence)
        if rotary is not None and rotary[0].shape[-1] != self.width:
            return None
        if rotary is not None:
            cos, sin = rotary if self.base is None else _angles(rotary, self.base)
            query = self._turn(query, cos, sin) if self.rotate in ("both", "query") else query
            key = self._turn(key, cos, -sin if self.reverse_keys else sin) if self.rotate in ("both", "key") else key
        if self.swapped:
            query, key = key, query
        times = max(1, query.shape[1] // key.shape[1])
        if times > 1:
            key, value = (np.tile(e, (1, times, 1, 1)) if self.tiled else e.repeat(times, 1) for e in (key, value))
        if query.shape[1] != key.shape[1]:
            return None
        scores = query @ key.swapaxes(-1, -2) * (self.scale or self.width**-0.5)
        seen, bias = self._seen(evidence, scores)
        if seen is None:
            return None
        scores = scores + bias
        if self.after_softmax:
            weights = _softmax(scores, -1) * seen
        else:
            hidden = LEAST if self.fill is None else self.fill
            scores = scores + np.where(seen, 0.0, hidden) if self.fill is not None else np.where(seen, scores, hidden)
            weights = _softmax(scores, -2 if self.over_queries else -1)
        if evidence.right.ndim == 4:
            return weights
        mixed: Array = (weights @ value).swapaxes(1, 2)
        return mixed.reshape(*mixed.shape[:2], -1)

    def _split(self, array: Array) -> Array:
        batch, tokens, size = array.shape
        heads = size // self.width
        if self.heads_first:
            return array.reshape(batch, tokens, heads, self.width).swapaxes(1, 2)
        return array.reshape(batch, tokens, self.width, heads).transpose(0, 3, 1, 2)

    def _turn(self, array: Array, cos: Array, sin: Array) -> Array:
        cos, sin = (each[:, None] if each.ndim == 3 else each for each in (cos, sin))
        half = self.width // 2
        if not self.paired:
            turned = np.concatenate([-array[..., half:], array[..., :half]], axis=-1)
            halves: Array = array * cos + turned * sin
            return halves
        cos, sin = (np.repeat(each[..., :half], 2, axis=-1) for each in (cos, sin))
        turned = np.stack([-array[..., 1::2], array[..., ::2]], axis=-1).reshape(array.shape)
        pairs: Array = array * cos + turned * sin
        return pairs

    def _seen(self, evidence: Evidence, scores: Array) -> tuple[Array | None, Array | float]:
        rows, columns = np.indices(scores.shape[-2:])
        seen = np.ones(scores.shape[-2:], bool)
        bias: Array | float = 0.0
        given = next(
            (
                leaf
                for name, leaf in evidence.inputs.items()
                if isinstance(leaf, np.ndarray) and ("mask" in name or "bias" in name) and leaf.ndim >= 2
            ),
            None,
        )
        if given is not None and self.mask != "ignored":
            marked = _marked(given)
            if marked.ndim == 2 and marked.shape == (scores.shape[0], scores.shape[-1]):
                marked = marked[:, None, None, :]
            if marked.ndim != 4:
                return None, 0.0
            seen = ~marked if self.mask == "inverted" else marked
            finite = given.dtype.kind == "f" and given.ndim == 4
            bias = np.where(np.abs(given) < 1e4, given, 0.0) if finite else 0.0
        if self.mask == "next seen":
            seen = seen | (columns == rows + 1)
        if self.causal:
            seen = seen & (columns <= rows)
        if self.window:
            seen = seen & (columns > rows - self.window)
        if self.distance:
            seen = seen & (np.abs(columns - rows) <= self.distance)
        try:
            return np.broadcast_to(seen, scores.shape), bias
        except ValueError:
            return None, 0.0


LEAST = float(np.finfo(np.float64).min)
"""What masks add or put in: where a row or column has nothing else, all of it weighs the same."""


def attended(evidence: Evidence) -> Iterator[Claim]:
    """The reference is attention; the port is one with something else in it."""
    projected = _projections(evidence)
    if projected is None or evidence.right.ndim not in (3, 4):
        return
    reference = _reference(evidence, projected)
    if reference is None:
        return
    for name, what, form in _variants(evidence, reference, projected[0].shape):
        claim = Claim(name, what, partial(_both, reference=reference, port=form))
        if form(evidence) is not None and claim.holds(evidence):
            yield claim


def _reference(evidence: Evidence, projected: tuple[Array, Array, Array]) -> Attention | None:
    size = projected[0].shape[-1]
    for width in [each for each in range(1, size + 1) if size % each == 0]:
        for scale in (0.0, 1.0):
            for causal in (False, True):
                form = Attention(width, scale, causal=causal)
                made = form(evidence)
                if made is not None and evidence.apart(made, evidence.right) <= EXACT:
                    return form
    return None


def _variants(evidence: Evidence, form: Attention, shape: tuple[int, ...]) -> Iterator[tuple[str, str, Attention]]:
    width, size, tokens = form.width, shape[-1], shape[1]
    for scale, what in (
        (1.0, "no scale"),
        (1 / width, f"1/{width}, the width of a head, for its root"),
        (size**-0.5, f"1/sqrt({size}), the model's width, for that of a head"),
        (width**-0.5, f"1/sqrt({width}), where the reference has none"),
    ):
        yield "attention scale", what, replace(form, scale=scale)
    for layer in range(1, 13):
        scale = (form.scale or width**-0.5) / layer
        yield "attention scale", f"the usual one divided by {layer}", replace(form, scale=scale)
    yield "mask ignored", "its mask is not used", replace(form, mask="ignored")
    yield "mask ignored", "its mask is not used, but for later tokens", replace(form, mask="ignored", causal=True)
    yield "mask inverted", "it sees what is masked", replace(form, mask="inverted")
    yield "causal off by one", "each token sees the next", replace(form, mask="next seen", causal=False)
    yield "causal mask missing", "each token sees later ones", replace(form, causal=False)
    yield "causal mask added", "no token sees later ones", replace(form, causal=True)
    for fill in (-1.0, -10.0, -100.0, -1000.0, -10000.0):
        yield "mask value", f"masked scores are lowered by {-fill:g}", replace(form, fill=fill)
    yield "mask after the softmax", "the mask is applied to the weights", replace(form, after_softmax=True)
    yield "softmax axis", "the softmax is over the queries", replace(form, over_queries=True)
    yield "query and key swapped", "keys ask and queries answer", replace(form, swapped=True)
    yield "head split order", "heads are split width first", replace(form, heads_first=not form.heads_first)
    for other in [each for each in range(1, size + 1) if size % each == 0 and each != width]:
        yield "number of heads", f"{size // other} heads for {size // width}", replace(form, width=other)
    yield "groups tiled", "groups of keys are tiled, not each repeated", replace(form, tiled=not form.tiled)
    if _rotary(evidence) is not None:
        yield "rotary pairing", "neighbours are rotated, not halves", replace(form, paired=not form.paired)
        for which, left in (("query", "keys"), ("key", "queries"), ("none", "neither")):
            what = f"{left} are not rotated" if which != "none" else "nothing is rotated"
            yield "rotary not applied", what, replace(form, rotate=which)
        yield "rotary direction", "keys are turned the other way", replace(form, reverse_keys=True)
        for base in BASES:
            yield "rotary base", f"{base:g} in the port", replace(form, base=base)
    windows = [each for each in range(1, tokens) if tokens <= FEW or each & (each - 1) == 0]
    for window in windows:
        yield "window", f"only the last {window} tokens are seen", replace(form, window=window)
    for window in windows:
        yield "window", f"only {window} tokens to either side are seen", replace(form, distance=window)


FEW = 64
"""Tokens: of longer texts only windows that are a power of two are tried, as models have them."""


def _both(evidence: Evidence, reference: Attention, port: Attention) -> tuple[Array | None, Array | None]:
    return reference(evidence), port(evidence)


def _projections(evidence: Evidence) -> tuple[Array, Array, Array] | None:
    """What the query, key and value projections inside put out."""
    inside: Mapping[str, Array] = {
        name.split("#")[0].rpartition(".")[2]: call.outputs[""]
        for name, call in evidence.inside.items()
        if "" in call.outputs and call.caller.split("#")[0] == evidence.path
    }
    found = [next((inside[name] for name in names if name in inside), None) for names in (QUERY, KEY, VALUE)]
    query, key, value = found
    if query is not None and key is not None and value is not None:
        return query, key, value
    fused = next((inside[name] for name in FUSED if name in inside), None)
    if fused is None or fused.shape[-1] % 3:
        return None
    query, key, value = np.split(fused, 3, axis=-1)
    return query, key, value


def _rotary(evidence: Evidence) -> tuple[Array, Array] | None:
    """The cosines and sines that the module is given, (batch, tokens, width of a head)."""
    found = [evidence.inputs.get(f"position_embeddings[{number}]") for number in (0, 1)]
    cos, sin = found
    return (cos, sin) if isinstance(cos, np.ndarray) and isinstance(sin, np.ndarray) else None


def _angles(rotary: tuple[Array, Array], base: float) -> tuple[Array, Array]:
    """Those of another base, at the same positions: the first frequency is 1 whatever the base is."""
    cos, sin = rotary
    width = cos.shape[-1]
    # The angle at frequency 1 is the position itself, found from the steps between neighbouring tokens.
    first = np.unwrap(np.arctan2(sin[..., 0], cos[..., 0]), axis=-1)
    positions = np.round(first - first[..., :1] + np.mod(first[..., :1], 2 * np.pi))
    angles = positions[..., None] * base ** -(np.arange(0, width, 2) / width)
    angles = np.concatenate([angles, angles], axis=-1)
    return np.cos(angles), np.sin(angles)


def _marked(given: Array) -> Array:
    if given.dtype.kind == "f" and given.ndim == 4:
        marked: Array = given > -1e4
        return marked
    return allowed(given)


def _softmax(scores: Array, axis: int) -> Array:
    with np.errstate(invalid="ignore"):
        powers = np.exp(scores - scores.max(axis, keepdims=True))
        result: Array = powers / powers.sum(axis, keepdims=True)
    return result


def rotated(evidence: Evidence) -> Iterator[Claim]:
    """The module makes the cosines or sines of rotary angles: which base, and which positions."""
    positions = _positions(evidence)
    if positions is None or evidence.right.shape[:-1] != positions.shape or evidence.handed:
        return
    width = evidence.right.shape[-1]
    stored = [evidence.weights.get("inv_freq"), evidence.theirs.get("inv_freq")]
    usual = [base ** -(np.arange(0, width, 2) / width) for base in BASES]
    known = [each for each in (*stored, *usual) if each is not None]
    reference = _table(evidence, evidence.right, known)
    if reference is None:
        return
    changes = [
        ("positions end", f"positions end at {end}", replace(reference, end=end))
        for end in range(1, int(positions.max()))
    ]
    changes += [
        ("position offset", f"positions are moved by {shift:+d}", replace(reference, shift=shift))
        for shift in (-2, -1, 1, 2)
    ]
    changes.append(("positions ignored", "every position is 0", replace(reference, end=0)))
    port = _table(evidence, evidence.got, known)
    if port is not None and _base(port) != _base(reference):
        changes.append(("rotary base", f"{_base(port):g} in the port, {_base(reference):g} in the reference", port))
    for name, what, table in changes:
        yield Claim(name, what, partial(_tables, reference=reference, port=table))


@dataclass(frozen=True, slots=True)
class Table:
    """cos or sin of position x frequency, twice along the last axis (Su et al. 2021)."""

    function: str
    frequencies: tuple[float, ...]
    shift: int = 0
    end: int | None = None

    def __call__(self, evidence: Evidence) -> Array | None:
        """The table for the positions that the module is given."""
        positions = _positions(evidence)
        if positions is None:
            return None
        positions = positions + self.shift if self.end is None else np.minimum(positions, self.end)
        angles = positions[..., None] * np.asarray(self.frequencies)
        angles = np.concatenate([angles, angles], axis=-1)
        result: Array = np.cos(angles) if self.function == "cos" else np.sin(angles)
        return result


def _base(table: Table) -> float:
    """The base, from the second of the frequencies 1, base^(-2 / width), ..."""
    width = 2 * len(table.frequencies)
    return float(f"{table.frequencies[1] ** (-width / 2):.4g}") if width > 2 else 0.0


def _positions(evidence: Evidence) -> Array | None:
    whole = (each for each in evidence.inputs.values() if isinstance(each, np.ndarray) and each.dtype.kind in "iu")
    return next(whole, None)


def _table(evidence: Evidence, target: Array, known: Sequence[Array]) -> Table | None:
    for function in ("cos", "sin"):
        for frequencies in known:
            table = Table(function, tuple(frequencies))
            made = table(evidence)
            if made is not None and evidence.apart(made, target) <= EXACT:
                return table
    return None


def _tables(evidence: Evidence, reference: Table, port: Table) -> tuple[Array | None, Array | None]:
    return reference(evidence), port(evidence)
