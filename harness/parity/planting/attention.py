"""Faults of attention: scale, mask, causality, window, softmax, heads, groups, rotary angles."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from harness.adapters.protocols import Call
from harness.cases.probes import CONTEXTS
from harness.parity.calls import allowed
from harness.parity.causes.attention import FUSED, KEY, QUERY, VALUE, Attention
from harness.parity.causes.rotary import BASES
from harness.parity.compare import Array
from harness.parity.planting.evidence import close, evidence, first_whole, floats
from harness.parity.planting.fault import Fault, Site, Watched, path_of, shifted
from harness.parity.planting.inputs import NO_PADDING

PROJECTIONS = (*QUERY, *KEY, *VALUE, *FUSED)
HEADS = ("num_attention_heads", "n_head", "num_heads", "encoder_attention_heads", "decoder_attention_heads", "n_heads")
WINDOWS = (8, 128)
"""Tokens: that of a small test, and that of the local layers of models that have some."""
ROUNDED = 1e-5
"""What a table of rotary angles that is stored in float32 may move the model of the attention by."""

Seen = Callable[[Array, Array, Array], Array]
"""From where one may see, and the numbers of rows and columns, to where the port would."""


@dataclass(frozen=True, slots=True)
class Known:
    """The attention that happens in the call `of` is given by its caller, or that it puts out itself.

    base: of the rotary angles, where the module is given none; 0 without rotation. child: whether what is mixed shows
    in what a call inside is given. seen: changes where one may see.
    """

    form: Attention
    base: float
    child: bool
    seen: Seen | None = None

    def __call__(self, watched: Watched, name: str) -> Array | None:
        """The mixed values, in the form that they have at the place."""
        of = watched.calls[name].caller if self.child else name
        call = watched.calls.get(of)
        now = self.array(watched, name)
        if call is None or now is None:
            return None
        inside = {child: _flat(each) for child, each in watched.inside(of).items()}
        inputs = _inputs(call, inside, self.base, self.form, self.seen)
        if inputs is None:
            return None
        form = replace(self.form, causal=False) if "seen mask" in inputs else self.form
        right = now.reshape(*now.shape[:2], -1)
        known = evidence(watched, of, right, inputs=inputs, inside=inside, child=name if self.child else "")
        try:
            with np.errstate(all="ignore"):
                made = form(known)
        except ValueError:  # the module's arrays are of other sizes than the form's
            return None
        return None if made is None or made.size != now.size else made.reshape(now.shape)

    def array(self, watched: Watched, name: str) -> Array | None:
        """What stands at the place."""
        call = watched.calls[name]
        if not self.child:
            return call.outputs.get("")
        return next(iter(floats(call).values()), None)


def _flat(call: Call) -> Call:
    """The call with heads and width of what it puts out in one axis."""
    array = call.outputs.get("")
    if array is None or array.ndim != 4:
        return call
    return replace(call, outputs={**call.outputs, "": array.reshape(*array.shape[:2], -1)})


def _inputs(
    call: Call, inside: Mapping[str, Call], base: float, form: Attention, seen: Seen | None
) -> dict[str, Any] | None:
    """What the module is given, rotary angles that it makes itself, and its mask as one for pairs of tokens."""
    inputs = dict(call.inputs)
    shapes = [_shape(inside, names) for names in (QUERY, KEY)]
    if any(len(shape) != 3 for shape in shapes):
        return None
    batch, length, keys = *shapes[0][:2], shapes[1][1]
    if base:
        positions = first_whole(replace(call, inputs={n: a for n, a in inputs.items() if "position" in n}))
        positions = np.arange(length)[None] if positions is None else positions
        angles = positions[..., None] * base ** -(np.arange(0, form.width, 2) / form.width)
        angles = np.concatenate([angles, angles], axis=-1)
        whole = np.broadcast_to(angles, (batch, *angles.shape[-2:]))
        inputs |= {"position_embeddings[0]": np.cos(whole), "position_embeddings[1]": np.sin(whole)}
    if seen is None and not form.causal:
        return inputs
    found = _pairs(inputs, (batch, length, keys), causal=form.causal)
    if found is None:
        return inputs if seen is None else None
    rows, columns = np.indices((length, keys))
    may = found if seen is None else np.broadcast_to(seen(found, rows, columns), found.shape)
    kept = {n: a for n, a in inputs.items() if not (isinstance(a, np.ndarray) and ("mask" in n or "bias" in n))}
    return {**kept, "seen mask": may}


def _shape(inside: Mapping[str, Call], names: Sequence[str]) -> tuple[int, ...]:
    """Of what a projection puts out: that of these names, or one that makes all three."""
    by_last = {path_of(child).rpartition(".")[2]: call for child, call in inside.items() if "" in call.outputs}
    found = next((by_last[each] for each in (*names, *FUSED) if each in by_last), None)
    return () if found is None else found.outputs[""].shape


def _pairs(inputs: Mapping[str, Any], shape: tuple[int, int, int], *, causal: bool) -> Array | None:
    """Where one may see (batch, 1, tokens, keys); None where the mask is of another kind."""
    batch, length, keys = shape
    rows, columns = np.indices((length, keys))
    seen = np.ones((batch, 1, length, keys), bool)
    masks = [a for n, a in inputs.items() if isinstance(a, np.ndarray) and ("mask" in n or "bias" in n) and a.ndim > 1]
    for mask in masks[:1]:
        if mask.dtype.kind == "f" and mask.ndim == 4:
            if ((mask != 0) & (np.abs(mask) < 1e4)).any():
                return None
            may = mask > -1e4
        else:
            may = allowed(mask)
        if may.ndim == 2 and may.shape == (batch, keys):
            may = may[:, None, None, :]
        if may.ndim != 4 or may.shape[1] != 1 or may.shape[-1] != keys:
            return None
        seen = seen & may
    return seen & (columns <= rows) if causal else seen


def known_attention(watched: Watched, name: str) -> tuple[Site, Known] | None:
    """The attention in a call, and where it shows; None if there is none that is known."""
    inside = watched.inside(name)
    lasts = {path_of(child).rpartition(".")[2] for child in inside}
    if not lasts & set(PROJECTIONS):
        return None
    places = [Site(name)] if name else []
    for child, call in inside.items():
        if path_of(child).rpartition(".")[2] not in PROJECTIONS:
            places += [Site(child, leaf, given=True) for leaf in list(floats(call))[:1]]
    for site in places:
        for form in _forms(watched, inside):
            for base in _bases(watched):
                known = Known(form, base, site.given)
                target = known.array(watched, site.call)
                if target is not None and target.ndim in (3, 4) and close(known(watched, site.call), target, ROUNDED):
                    return site, known
    return None


def _forms(watched: Watched, inside: Mapping[str, Call]) -> Iterator[Attention]:
    sizes = {array.shape for call in inside.values() if (array := call.outputs.get("")) is not None}
    split = [shape[-1] for shape in sizes if len(shape) == 4]
    first = next((a for c in inside.values() if (a := c.outputs.get("")) is not None), None)
    size = 0 if first is None else int(np.prod(first.shape[2:]))
    size = size // 3 if any(path_of(child).rpartition(".")[2] in FUSED for child in inside) else size
    heads = [int(watched.settings[key]) for key in HEADS if isinstance(watched.settings.get(key), int)]
    widths = [*split, *(size // each for each in heads if each and size % each == 0)]
    widths += [each for each in range(1, size + 1) if size % each == 0] if not widths and size <= SMALL else []
    for width in dict.fromkeys(widths):
        for scale in (0.0, 1.0):
            # Causal first: on a causal mask that is given both fit, and without one only this does.
            for causal in (True, False):
                yield Attention(width, scale, causal=causal)


SMALL = 256
"""Numbers a token: of wider attention the settings must say how many heads there are."""


def _bases(watched: Watched) -> tuple[float, ...]:
    own = watched.settings.get("rope_theta")
    nested = watched.settings.get("rope_parameters")
    own = own or (nested.get("rope_theta") if isinstance(nested, Mapping) else None)
    return tuple(dict.fromkeys((0.0, *([float(own)] if isinstance(own, (int, float)) else []), *BASES)))


def attention_faults(watched: Watched, name: str) -> Iterator[Fault]:
    """Attention happens in the call; with something else in it."""
    found = known_attention(watched, name)
    if found is None:
        return
    site, known = found
    form, path = known.form, path_of(name)
    width = form.width
    call = watched.calls[name]
    size = int(np.prod(known.array(watched, site.call).shape[2:]))  # type: ignore[union-attr]

    def fault(cause: str, what: str, other: Known, unseen: str = "") -> Fault:
        return Fault(cause, what, path, shifted(site, known, other), unseen)

    def formed(**changed: Any) -> Known:
        return replace(known, form=replace(form, **changed))

    usual = form.scale or width**-0.5
    yield fault(
        "attention scale", "none" if usual != 1 else "the usual", formed(scale=1.0 if usual != 1 else width**-0.5)
    )
    yield fault("attention scale", "it is doubled", formed(scale=2 * usual))
    yield fault("softmax axis", "over the queries", formed(over_queries=True))
    rotated = bool(known.base) or "position_embeddings[0]" in call.inputs
    if size > width:
        yield fault("head split order", "heads are split width first", formed(heads_first=not form.heads_first))
        if width % 2 == 0 and not rotated:
            yield fault("number of heads", "twice as many", formed(width=width // 2, scale=usual))
    if _groups(watched, name):
        yield fault("groups tiled", "groups of keys are tiled", formed(tiled=not form.tiled))
    limits = [limit for key in CONTEXTS if isinstance(limit := watched.settings.get(key), int) and limit > 0]
    windows = [window for window in WINDOWS if window < min(limits, default=window + 1)]
    # Attention of one text to another is neither causal nor has it a window.
    itself = _shape(watched.inside(name), QUERY)[1] == _shape(watched.inside(name), KEY)[1]
    yield from _masked(known, fault, formed, masked=_takes_mask(watched, call), causal=form.causal)
    yield from _along(known, fault, windows, causal=form.causal) if itself else ()
    if rotated:
        base = next(each for each in BASES if each != known.base)
        yield fault("rotary pairing", "neighbours are rotated", formed(pairs="neighbours"))
        yield fault("rotary not applied", "keys are not rotated", formed(rotate="query"))
        yield fault("rotary direction", "keys turn the other way", formed(reverse_keys=True))
        yield fault("rotary base", "another", formed(base=base if known.base else 5 * BASES[1]))


def _groups(watched: Watched, name: str) -> bool:
    """Whether keys are fewer than queries."""
    query, key = (_shape(watched.inside(name), names) for names in (QUERY, KEY))
    return query[:2] == key[:2] and key[-1:] < query[-1:]


def _masked(
    known: Known,
    fault: Callable[..., Fault],
    formed: Callable[..., Known],
    *,
    masked: bool,
    causal: bool,
) -> Iterator[Fault]:
    def ignored(seen: Array, rows: Array, columns: Array) -> Array:
        return np.ones_like(seen) & (columns <= rows if causal else True)

    def inverted(seen: Array, rows: Array, columns: Array) -> Array:
        return ~seen & (columns <= rows if causal else True)

    if masked:
        yield fault("mask ignored", "by the attention", replace(known, seen=ignored), NO_PADDING)
        yield fault("mask inverted", "by the attention", replace(known, seen=inverted), NO_PADDING)
    if masked or causal:
        unseen = "" if causal else NO_PADDING
        for fill in (-1.0, -10.0):
            yield fault("mask value", f"masked scores are lowered by {-fill:g}", formed(fill=fill), unseen)
        yield fault("mask after softmax", "it hides weights", formed(after_softmax=True), unseen)


def _along(known: Known, fault: Callable[..., Fault], windows: Sequence[int], *, causal: bool) -> Iterator[Fault]:
    """Which tokens of a text see which."""
    if causal:
        yield fault("causal mask missing", "later tokens are seen", replace(known, seen=_all_keys))
        yield fault("causal off by one", "the next token is seen", replace(known, seen=_the_next))
        yield fault("causal off by one", "a token does not see itself", replace(known, seen=_not_itself))
    else:
        yield fault("causal mask added", "later tokens are hidden", replace(known, seen=_no_later))
    for window in windows:
        near = replace(known, seen=partial(_near, window))
        yield fault("window", f"{window} tokens are seen", near, f"no input is longer than {window}")


def _takes_mask(watched: Watched, call: Call) -> bool:
    given = any("mask" in name and isinstance(a, np.ndarray) and a.ndim > 1 for name, a in call.inputs.items())
    return given or bool(watched.masks) or bool({"attention_mask", "decoder_attention_mask"} & watched.accepts)


def _all_keys(seen: Array, _rows: Array, _columns: Array) -> Array:
    """What the last token sees, for all."""
    return np.broadcast_to(seen[..., -1:, :], seen.shape)


def _the_next(seen: Array, rows: Array, columns: Array) -> Array:
    may: Array = seen | ((columns == rows + 1) & seen[..., -1:, :])
    return may


def _not_itself(seen: Array, rows: Array, columns: Array) -> Array:
    may: Array = seen & ((columns < rows) | (columns == 0))
    return may


def _no_later(seen: Array, rows: Array, columns: Array) -> Array:
    may: Array = seen & (columns <= rows)
    return may


def _near(window: int, seen: Array, rows: Array, columns: Array) -> Array:
    may: Array = seen & (np.abs(columns - rows) < window)
    return may
