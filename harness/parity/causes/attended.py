"""Attention: what is mixed, with which scale, mask, heads, rotary angles and cache."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial

import numpy as np

from harness.parity.causes.attention import Attention, Change, Projected, projected
from harness.parity.causes.evidence import Claim, Evidence, both
from harness.parity.causes.outputs import TYPES
from harness.parity.causes.rotary import BASES, Turns, rotary
from harness.parity.compare import Array
from harness.parity.floor import EXACT

Variants = Iterator[tuple[str, str, Attention]]
"""Name of the cause, what the port does, its attention."""


def attended(evidence: Evidence) -> Iterator[Claim]:
    """The reference is attention; the port is one with something else in it."""
    given = projected(evidence)
    if given is None or evidence.right.ndim not in (3, 4):
        return
    reference = _reference(evidence, given.query.shape[-1])
    if reference is None:
        return
    for name, what, form in _variants(evidence, reference, given):
        claim = Claim(name, what, partial(_both, reference=reference, port=form))
        if form(evidence) is not None and claim.holds(evidence):
            yield claim


def _both(evidence: Evidence, reference: Attention, port: Attention) -> tuple[Array | None, Array | None]:
    return both(reference(evidence), port(evidence))


def _reference(evidence: Evidence, size: int) -> Attention | None:
    for width in [each for each in range(1, size + 1) if size % each == 0]:
        for scale in (0.0, 1.0):
            for causal in (False, True):
                form = Attention(width, scale, causal=causal)
                made = form(evidence)
                if made is None or made.shape != evidence.right.shape:
                    continue
                if evidence.training:  # dropout that is held still scales all
                    form = replace(form, factor=float((made * evidence.right).sum() / (made * made).sum()))
                    made = made * form.factor
                if evidence.apart(made, evidence.right) <= EXACT:
                    return form
    return None


def _variants(evidence: Evidence, form: Attention, given: Projected) -> Variants:
    if evidence.earlier:
        yield from _cached(form, rotated=rotary(evidence) is not None)
    yield from _scales(form, given)
    yield from _masks(form)
    yield from _heads(form, given)
    turns = rotary(evidence)
    if turns is not None:
        yield from _rotations(form, turns)
    yield from _windows(form, given.key.shape[1])


def _scales(form: Attention, given: Projected) -> Variants:
    width, size = form.width, given.query.shape[-1]
    usual = form.scale or width**-0.5
    for scale, what in (
        (1.0, "no scale"),
        (1 / width, f"1/{width}, the width of a head, for its root"),
        (size**-0.5, f"1/sqrt({size}), the model's width, for that of a head"),
        (width**-0.5, f"1/sqrt({width}), where the reference has none"),
        (usual**2, "the usual one twice"),
    ):
        yield "attention scale", what, replace(form, scale=scale)
    for layer in range(2, 13):
        yield "attention scale", f"the usual one divided by {layer}", replace(form, scale=usual / layer)
        yield "attention scale", f"the usual one times {layer}", replace(form, scale=usual * layer)
    for through in TYPES:
        yield "softmax in another type", f"the softmax goes through {through}", replace(form, through=through)


def _masks(form: Attention) -> Variants:
    yield "mask ignored", "its mask is not used", replace(form, mask="ignored")
    yield "mask ignored", "its mask is not used, but for later tokens", replace(form, mask="ignored", causal=True)
    yield "mask inverted", "it sees what is masked", replace(form, mask="inverted")
    yield "causal mask missing", "each token sees later ones", replace(form, mask="padding alone", causal=False)
    yield "causal mask missing", "each token sees later ones", replace(form, causal=False)
    yield "causal mask added", "no token sees later ones", replace(form, causal=True)
    for mask in ("next seen", "next seen, no padding"):
        yield "causal off by one", "each token sees the next", replace(form, mask=mask, causal=False)
    yield "causal off by one", "no token sees itself", replace(form, mask="itself hidden")
    yield "relative positions ignored", "nothing is added for them", replace(form, relative=False)
    for fill in (-1.0, -10.0, -100.0, -1000.0, -10000.0):
        yield "mask value", f"masked scores are lowered by {-fill:g}", replace(form, fill=fill)
    yield "mask after the softmax", "the mask is applied to the weights", replace(form, after_softmax=True)
    yield "softmax axis", "the softmax is over the queries", replace(form, over_queries=True)


def _heads(form: Attention, given: Projected) -> Variants:
    width, size = form.width, given.query.shape[-1]
    yield "query and key swapped", "keys ask and queries answer", replace(form, swapped=True)
    yield "key and value swapped", "values answer, and keys are mixed", replace(form, read=_swapped)
    yield "head split order", "heads are split width first", replace(form, heads_first=not form.heads_first)
    yield "head order", "the heads of the values stand in reverse", replace(form, read=_values_reversed)
    for other in [each for each in range(1, size + 1) if size % each == 0 and each != width]:
        what = f"{size // other} heads for {size // width}"
        yield "number of heads", what, replace(form, width=other)
        yield "number of heads", what, replace(form, width=other, scale=form.scale or width**-0.5)
    yield "groups tiled", "groups of keys are tiled, not each repeated", replace(form, tiled=not form.tiled)


def _rotations(form: Attention, turns: Turns) -> Variants:
    yield "rotary pairing", "neighbours are rotated, not halves", replace(form, pairs="neighbours")
    yield "rotary pairing", "neighbours are rotated, by the angles of halves", replace(form, pairs="mixed")
    for end in range(1, min(int(turns.positions.max()), FEW)):
        yield "positions end", f"positions end at {end}", replace(form, end=end)
    for which, left in (("query", "keys"), ("key", "queries"), ("none", "neither")):
        what = f"{left} are not rotated" if which != "none" else "nothing is rotated"
        yield "rotary not applied", what, replace(form, rotate=which)
    yield "rotary direction", "keys are turned the other way", replace(form, reverse_keys=True)
    yield "rotary twice", "keys are rotated twice", replace(form, rotate="keys twice")
    for base in BASES:
        yield "rotary base", f"{base:g} in the port", replace(form, base=base)
    for part in dict.fromkeys((form.width // 4 * 2, form.width // 2, form.width // 4)):
        if part and part % 2 == 0:
            yield "rotary partial", f"{part} of {form.width} are rotated", replace(form, part=part)


def _cached(form: Attention, *, rotated: bool) -> Variants:
    yield "newest key masked", "a step does not see its own token", replace(form, mask="newest hidden")
    yield "first key masked", "a step does not see the first token", replace(form, mask="first hidden")
    yield "cache position", "keys are stored one place early, over the first", replace(form, mask="first hidden")
    if rotated:
        yield "positions restart", "every step is at position 0", replace(form, rotate="none")
        for shift in (-2, -1, 1, 2):
            yield "position offset", f"a step with a filled cache is at {shift:+d}", replace(form, shift=shift)
    for what, change in CACHED.items():
        yield "cache written wrongly", what, replace(form, written=change)
        yield "cache read wrongly", what, replace(form, read=change)


def _windows(form: Attention, tokens: int) -> Variants:
    free = replace(form, mask="padding alone", causal=True)
    windows = [each for each in range(1, tokens) if tokens <= FEW or each & (each - 1) == 0]
    for window in windows:
        what = f"only the last {window} tokens are seen"
        yield "window", what, replace(form, window=window)
        yield "window", what, replace(free, window=window)
    for window in windows:
        yield "window", f"only {window} tokens to either side are seen", replace(form, distance=window)
        yield "window", f"only {window} tokens to either side are seen", replace(free, causal=False, distance=window)


FEW = 64
"""Tokens: of longer texts only windows that are a power of two are tried, as models have them."""


def _swapped(key: Array, value: Array) -> tuple[Array, Array]:
    return value, key


def _values_reversed(key: Array, value: Array) -> tuple[Array, Array]:
    return key, value[:, ::-1]


def _middle_lost(array: Array) -> Array:
    """All but the first and the last are zero."""
    kept = np.zeros(array.shape[2], bool)
    kept[[0, -1]] = True
    return np.where(kept[:, None], array, 0.0)


def _newest_kept(key: Array, value: Array, count: int) -> tuple[Array, Array]:
    kept = (np.arange(key.shape[2]) >= key.shape[2] - count)[:, None]
    return np.where(kept, key, 0.0), np.where(kept, value, 0.0)


def _first_for_all(array: Array) -> Array:
    """Every one but the newest is the first."""
    older = np.arange(array.shape[2]) < array.shape[2] - 1
    return np.where(older[:, None], array[:, :, :1], array)


CACHED: Mapping[str, Change] = {
    "the heads of the values stand in reverse": _values_reversed,
    "the heads of the keys stand in reverse": lambda key, value: (key[:, ::-1], value),
    "the heads stand in reverse": lambda key, value: (key[:, ::-1], value[:, ::-1]),
    "keys and values are swapped": _swapped,
    "values are those of the token before": lambda key, value: (key, np.roll(value, 1, 2)),
    "values are those of the token after": lambda key, value: (key, np.roll(value, -1, 2)),
    "every key is the first": lambda key, value: (np.broadcast_to(key[:, :, :1], key.shape), value),
    "every key and value is the first": lambda key, value: (key[:, :, :1] + 0 * key, value[:, :, :1] + 0 * value),
    "all between the first and the newest is zero": lambda key, value: (_middle_lost(key), _middle_lost(value)),
    **{f"all but the newest {n} is zero": partial(_newest_kept, count=n) for n in (1, 2, 3, 4, 8, 16)},
    "every key but the newest is the first": lambda key, value: (_first_for_all(key), value),
    "every key and value but the newest is the first": lambda k, v: (_first_for_all(k), _first_for_all(v)),
    "keys and values are zero": lambda key, value: (0 * key, 0 * value),
}
"""What a step with a filled cache may do to keys and values."""
