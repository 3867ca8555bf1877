"""Inputs that a fault needs in order to show, derived from one call that a user gave."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

LONGEST = 512
"""Tokens of the full context that are tried at most; a longer context is cut to this, and the result says so."""

ROWS = 3
"""Sequences in a batch: of unequal lengths, one of them full."""

LEFT = "padded left"
"""How the names of probes begin that are padded on the left."""

TOKENS = ("input_ids", "decoder_input_ids", "tokens", "ids")
SPECIAL = (
    "pad_token_id",
    "eos_token_id",
    "bos_token_id",
    "sep_token_id",
    "cls_token_id",
    "mask_token_id",
    "decoder_start_token_id",
    "image_token_id",
)
"""Settings that name tokens with a meaning of their own: models treat them apart, so no probe puts them in a text."""

CONTEXTS = ("max_position_embeddings", "n_positions", "max_sequence_length", "max_target_positions")
BUCKETS = ("relative_attention_max_distance", "sliding_window", "block_size", "attention_window", "chunk_length")


@dataclass(frozen=True, slots=True)
class Probe:
    """A call, and what it is good for."""

    name: str
    inputs: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Probes:
    """The probes of a case; those that it cannot take, with the reason."""

    taken: tuple[Probe, ...]
    not_taken: Mapping[str, str] = field(default_factory=dict)


def derive(
    call: Mapping[str, Any],
    *,
    accepts: frozenset[str],
    settings: Mapping[str, Any],
    seed: int,
    mask: str = "",
    padding_row: bool = False,
) -> Probes:
    """Probes from a call.

    accepts: the arguments that both sides take. settings: the reference's configuration.
    mask: the input that marks valid positions, if it has a name of its own.
    padding_row: put the padding token once where it counts, so that its row's gradient shows. Frameworks differ in
        whether they have such a row, so that this is for two sides of one framework.
    """
    arrays = {name: np.asarray(value) for name, value in call.items() if hasattr(value, "shape")}
    fixed = {name: value for name, value in call.items() if name not in arrays}
    making = _Making(arrays, fixed, accepts, settings, mask, padding_row, np.random.default_rng(seed))
    if making.tokens:
        making.texts()
    elif any(array.dtype.kind == "f" for array in arrays.values()):
        making.signals()
    else:
        making.refuse("padding, loud and quiet", "the inputs hold neither tokens nor floats that could be varied")
    return Probes(tuple(making.taken), making.not_taken)


@dataclass(slots=True)
class _Making:
    arrays: dict[str, Array]
    fixed: dict[str, Any]
    accepts: frozenset[str]
    settings: Mapping[str, Any]
    mask: str
    padding_row: bool
    generator: np.random.Generator
    taken: list[Probe] = field(default_factory=list)
    not_taken: dict[str, str] = field(default_factory=dict)

    def refuse(self, name: str, reason: str) -> None:
        self.not_taken[name] = reason

    def take(self, name: str, inputs: Mapping[str, Any]) -> None:
        self.taken.append(Probe(name, {**self.fixed, **inputs}))

    @property
    def tokens(self) -> list[str]:
        """The inputs that hold tokens: by name, or the one that can be nothing else."""
        whole = [n for n, a in self.arrays.items() if a.dtype.kind in "iu" and a.ndim == 2]
        named = [name for name in whole if name in TOKENS]
        others = [name for name in whole if not any(word in name for word in ("mask", "type", "position", "label"))]
        return named or (others if len(others) == 1 else [])

    def texts(self) -> None:
        others = [name for name, array in self.arrays.items() if array.dtype.kind == "f"]
        masks = self._masks()
        lengths = {name: self.arrays[name].shape[1] for name in self.tokens}
        text = self._text(lengths)
        if others:
            self.refuse("other lengths and batches of text", f"the inputs {others} belong to these tokens")
            return
        if masks:
            self.take("unequal lengths, padded right, every token type, vocabulary's edges", self._padded(text, masks))
            self._left(text, masks)
        else:
            self.refuse("padding", "no attention mask is accepted on both sides")
            self.take("another batch, every token type, vocabulary's edges", text)
        bare = {name: text[name].copy() for name in self.tokens}
        for name in self.tokens:
            self._end(bare, name, np.ones_like(bare[name]))
        self.take("no mask, optional inputs left out", bare)
        self._gaps(bare)
        self._long()

    def signals(self) -> None:
        """Floats: other sizes of images, other lengths, loud and quiet."""
        main = max((n for n, a in self.arrays.items() if a.dtype.kind == "f"), key=lambda n: self.arrays[n].size)
        array = self.arrays[main]
        scale = float(np.std(array)) or 1.0

        def drawn(shape: tuple[int, ...]) -> Array:
            return (scale * self.generator.normal(size=shape)).astype(np.float32)

        rows = {n: np.concatenate([a] * ROWS)[:ROWS] if a.ndim else a for n, a in self.arrays.items()}
        new = drawn((ROWS, *array.shape[1:])) if array.ndim else drawn(())
        if array.ndim:
            new[-1] *= 30.0
            new[0] *= np.float32(1e-3)
        self.take("another batch, loud and quiet", {**rows, main: new})
        if array.ndim == 4:
            self._image(main, drawn)
        elif array.ndim in (2, 3) and main in ("input_values", "input_features"):
            self.take("another length", {main: drawn((*array.shape[:-1], array.shape[-1] + 37))})

    def _image(self, main: str, drawn: Callable[[tuple[int, ...]], Array]) -> None:
        shape = list(self.arrays[main].shape)
        # Channels are the shortest of the three axes, wherever they are.
        axes = [1, 2, 3]
        axes.remove(min(axes, key=lambda axis: shape[axis]))
        for name, grow in (("an image that is not square", (0, 7)), ("an image of another, odd size", (5, 3))):
            other = list(shape)
            for axis, more in zip(axes, grow, strict=True):
                other[axis] += more
            self.take(name, {main: drawn(tuple(other))})

    def _masks(self) -> dict[str, str]:
        """Tokens -> their mask, where both sides take one."""
        found = {}
        for name in self.tokens:
            mask = "decoder_attention_mask" if name.startswith("decoder_") else "attention_mask"
            if self.mask and not name.startswith("decoder_"):
                mask = self.mask
            if mask in self.accepts or mask in self.arrays:
                found[name] = mask
        return found

    def _text(self, lengths: Mapping[str, int], rows: int = ROWS) -> dict[str, Array]:
        text: dict[str, Array] = {}
        for name, length in lengths.items():
            allowed = self._vocabulary(name)
            ids = self.generator.choice(allowed, size=(rows, length))
            edges = np.array([allowed[-1], allowed[0]])[:length]
            ids[0, : len(edges)] = edges
            text[name] = ids.astype(self.arrays[name].dtype)
        types = "token_type_ids"
        if types in self.accepts and "input_ids" in text:
            count = int(self.settings.get("type_vocab_size") or 0)
            if count > 0:
                text[types] = self.generator.integers(0, count, size=text["input_ids"].shape)
        return text

    def _padded(self, text: Mapping[str, Array], masks: Mapping[str, str], *, left: bool = False) -> dict[str, Array]:
        inputs = dict(text)
        for name, mask in masks.items():
            inputs[name] = text[name].copy()
            rows, length = text[name].shape
            kept = np.maximum(1, length - np.arange(rows) * max(1, length // 3))
            place = np.arange(length)
            valid = place[None] < kept[:, None]
            inputs[mask] = (valid[:, ::-1] if left else valid).astype(self._mask_type(mask))
            pad = self.settings.get("pad_token_id")
            if isinstance(pad, int) and pad >= 0:
                inputs[name] = np.where(inputs[mask] != 0, text[name], pad).astype(text[name].dtype)
                if self.padding_row and not left and length > 2:
                    inputs[name][0, 2] = pad
            self._end(inputs, name, inputs[mask])
        return inputs

    def _end(self, inputs: dict[str, Array], name: str, mask: Array) -> None:
        """Let every text end as the given ones do, if that is a token that says so: models look for it."""
        ends = self.settings.get("eos_token_id")
        last = [end for end in (ends if isinstance(ends, list) else [ends]) if end in self.arrays[name]]
        if last:
            at = mask.shape[1] - 1 - np.argmax(mask[:, ::-1] != 0, axis=1)
            inputs[name][np.arange(len(at)), at] = last[0]

    def _left(self, text: Mapping[str, Array], masks: Mapping[str, str]) -> None:
        name = f"{LEFT}, with position ids"
        if "decoder_input_ids" in text:
            self.refuse(name, "an encoder-decoder is padded on the right")
        elif "position_ids" not in self.accepts:
            self.refuse(name, "no position ids are accepted on both sides")
        elif len(text) and self.tokens[0] in masks:
            inputs = self._padded(text, masks, left=True)
            mask = inputs[masks[self.tokens[0]]]
            inputs["position_ids"] = np.maximum(np.cumsum(mask != 0, axis=1) - 1, 0)
            self.take(name, inputs)

    def _gaps(self, bare: Mapping[str, Array]) -> None:
        """Positions that begin again and leave some out: a shift of all of them shows nothing where distances count."""
        name = "positions that leave some out"
        if "position_ids" not in self.accepts or "decoder_input_ids" in bare:
            self.refuse(name, "no position ids are accepted on both sides")
            return
        rows, length = bare[self.tokens[0]].shape
        contexts = self._numbers(CONTEXTS)
        positions = np.tile(np.cumsum(1 + np.arange(length) % 2) - 1, (rows, 1))
        positions[-1, length // 2 :] = np.arange(length - length // 2)
        if contexts and positions.max() >= min(contexts):
            self.refuse(name, f"the context has {min(contexts)} positions, which the given inputs need")
            return
        self.take(name, {**bare, "position_ids": positions})

    def _numbers(self, keys: Sequence[str]) -> list[int]:
        return [int(v) for key in keys if isinstance(v := self.settings.get(key), int) and v > 0]

    def _long(self) -> None:
        contexts = self._numbers(CONTEXTS)
        buckets = [2 * length for length in self._numbers(BUCKETS)]
        name = "the full context, more than one block or bucket"
        if not contexts and not buckets:
            self.refuse(name, "the reference's configuration names no longest context, block or bucket")
            return
        whole = min(contexts) if contexts else max(buckets)
        length = min(whole, LONGEST)
        given = max(self.arrays[name].shape[1] for name in self.tokens)
        if length <= given:
            self.refuse(name, f"the given inputs have its {length} tokens already")
            return
        if whole > LONGEST:
            self.refuse("the context beyond that", f"it has {whole} tokens, of which {LONGEST} are tried")
        self.take(name, self._text(dict.fromkeys(self.tokens, length), rows=1))

    def _vocabulary(self, name: str) -> Array:
        """The ids that a probe may draw from: all but special ones; without a configuration, those that were given."""
        size = self.settings.get("decoder_vocab_size") if name.startswith("decoder_") else None
        size = size or self.settings.get("vocab_size")
        if not isinstance(size, int) or name not in TOKENS[:2]:
            return np.unique(self.arrays[name])
        special: set[int] = set()
        for key in SPECIAL:
            value = self.settings.get(key)
            special.update(value if isinstance(value, list) else [value] if isinstance(value, int) else [])
        return np.array([each for each in range(size) if each not in special])

    def _mask_type(self, mask: str) -> Any:
        return self.arrays[mask].dtype if mask in self.arrays else np.int64
