"""What twins are called with: small arrays of one set of shapes, made from the configuration's numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.errors import SpecError, closest

Array = npt.NDArray[Any]

BATCH, TOKENS, TARGETS, CHOICES = 2, 12, 7, 3
"""Rows, tokens of a text, of a text to be written, and answers to choose from."""
LONG = 33
"""Tokens of a text that attention in blocks does not hold in one, and that its blocks do not divide evenly."""
PADDED = 3
"""Tokens at the end of the second row that are padding."""
PLACE = 3
"""Where a padding token is put, to be seen."""
SAMPLES = 800
"""Of a recording: a twentieth of a second."""
RESERVED = 8
"""Tokens below this may have a meaning of their own, so that none is in a text."""


def make(kind: str, settings: Mapping[str, Any], *, seed: int = 0) -> dict[str, Array]:
    """One call: argument name -> array.

    kind: text, choices, text to text, image, ...: the keys of `KINDS`. settings: the configuration as plain values.

    Raises:
        SpecError: there is no such kind.
    """
    if kind not in KINDS:
        raise SpecError(f"inputs = {kind!r}", "there is no such kind", todo=closest(kind, KINDS))
    return KINDS[kind](settings, np.random.default_rng(seed))


def text(settings: Mapping[str, Any], generator: np.random.Generator) -> dict[str, Array]:
    """Token ids and their mask, (batch, tokens), the second row padded on the right; token types if there are any."""
    found = {"input_ids": _ids(settings, generator, TOKENS), "attention_mask": np.ones((BATCH, TOKENS), np.int64)}
    found["attention_mask"][1, -PADDED:] = 0
    found["input_ids"][1, -PADDED:] = padding_of(settings)
    kinds = settings.get("type_vocab_size") or 0
    if kinds > 1:
        found["token_type_ids"] = np.repeat([[0, 1]], TOKENS // 2, axis=1).repeat(BATCH, 0)
    return found


def left_padded_text(settings: Mapping[str, Any], generator: np.random.Generator) -> dict[str, Array]:
    """As `text`, the second row padded on the left, as texts that are to be gone on with are."""
    found = {"input_ids": _ids(settings, generator, TOKENS), "attention_mask": np.ones((BATCH, TOKENS), np.int64)}
    found["attention_mask"][1, :PADDED] = 0
    found["input_ids"][1, :PADDED] = padding_of(settings)
    return found


def untyped_text(settings: Mapping[str, Any], generator: np.random.Generator) -> dict[str, Array]:
    """As `text`, without token types, for which each side then has its own."""
    return {name: array for name, array in text(settings, generator).items() if name != "token_type_ids"}


def prompt(settings: Mapping[str, Any], generator: np.random.Generator) -> dict[str, Array]:
    """A text to be gone on with, unpadded: token ids and their mask."""
    ids = _ids(settings, generator, TOKENS)
    return {"input_ids": ids, "attention_mask": np.ones_like(ids)}


def long_text(settings: Mapping[str, Any], generator: np.random.Generator) -> dict[str, Array]:
    """As `text`, of `LONG` tokens."""
    call = text(settings, generator)
    more = {"input_ids": _ids(settings, generator, LONG - TOKENS)}
    more["attention_mask"] = np.ones_like(more["input_ids"])
    return {name: np.concatenate([more.get(name, more["attention_mask"]), each], axis=1) for name, each in call.items()}


def question(settings: Mapping[str, Any], generator: np.random.Generator) -> dict[str, Array]:
    """As `untyped text`, with the separator between question and context, at another place in either row."""
    found = untyped_text(settings, generator)
    found["input_ids"][np.arange(BATCH), [3, 5]] = settings["sep_token_id"]
    return found


def text_and_states(settings: Mapping[str, Any], generator: np.random.Generator) -> dict[str, Array]:
    """A text for a decoder, and what an encoder made of another, (batch, targets, width), the second row padded."""
    mask = np.ones((BATCH, TARGETS), np.int64)
    mask[1, -PADDED:] = 0
    states = generator.normal(size=(BATCH, TARGETS, int(settings["hidden_size"]))).astype(np.float32)
    return {**text(settings, generator), "encoder_hidden_states": states, "encoder_attention_mask": mask}


def choices(settings: Mapping[str, Any], generator: np.random.Generator) -> dict[str, Array]:
    """As `text`, (batch, choices, tokens)."""
    calls = [text(settings, generator) for _ in range(CHOICES)]
    return {name: np.stack([call[name] for call in calls], axis=1) for name in calls[0]}


def text_to_text(settings: Mapping[str, Any], generator: np.random.Generator) -> dict[str, Array]:
    """A text, and another that a decoder is to go on with, (batch, targets), unpadded."""
    given = {name: array for name, array in text(settings, generator).items() if name != "token_type_ids"}
    return {**given, **targets(settings, generator)}


def text_to_itself(settings: Mapping[str, Any], generator: np.random.Generator) -> dict[str, Array]:
    """A text for an encoder and decoder that both read it, each row ending in the end token where one is set."""
    found = {name: array for name, array in text(settings, generator).items() if name != "token_type_ids"}
    end = settings.get("eos_token_id")
    if isinstance(end, int):
        lengths = found["attention_mask"].sum(axis=1)
        found["input_ids"][np.arange(BATCH), lengths - 1] = end
    return {**found, "decoder_input_ids": found["input_ids"], "decoder_attention_mask": found["attention_mask"]}


def targets(settings: Mapping[str, Any], generator: np.random.Generator) -> dict[str, Array]:
    """Token ids for a decoder, (batch, targets), and their mask."""
    return {
        "decoder_input_ids": _ids(_part(settings, "decoder"), generator, TARGETS),
        "decoder_attention_mask": np.ones((BATCH, TARGETS), np.int64),
    }


def image(settings: Mapping[str, Any], generator: np.random.Generator) -> dict[str, Array]:
    """Pixels, (batch, channels, height, width), of the size that the configuration names."""
    settings = _part(settings, "vision_config", "encoder")
    size = settings.get("image_size") or 32
    height, width = (size, size) if isinstance(size, int) else size
    shape = (BATCH, int(settings.get("num_channels") or 3), height, width)
    return {"pixel_values": generator.normal(size=shape).astype(np.float32)}


def larger_image(settings: Mapping[str, Any], generator: np.random.Generator) -> dict[str, Array]:
    """As `image`, half as high and as wide again as the size that the configuration names."""
    settings = _part(settings, "vision_config", "encoder")
    return image({**settings, "image_size": int(settings["image_size"]) * 3 // 2}, generator)


def masked_image(settings: Mapping[str, Any], generator: np.random.Generator) -> dict[str, Array]:
    """Pixels, and which of the patches are hidden, (batch, patches)."""
    patches = (int(settings["image_size"]) // int(settings["patch_size"])) ** 2
    return {**image(settings, generator), "bool_masked_pos": generator.integers(0, 2, (BATCH, patches)) > 0}


def image_and_text(settings: Mapping[str, Any], generator: np.random.Generator) -> dict[str, Array]:
    """Pixels and a text."""
    return {**text(_part(settings, "text_config"), generator), **image(settings, generator)}


def image_to_text(settings: Mapping[str, Any], generator: np.random.Generator) -> dict[str, Array]:
    """Pixels, and a text that a decoder is to go on with."""
    return {**image(settings, generator), **targets(settings, generator)}


def audio(settings: Mapping[str, Any], generator: np.random.Generator) -> dict[str, Array]:
    """Samples, (batch, samples)."""
    del settings
    return {"input_values": generator.normal(size=(BATCH, SAMPLES)).astype(np.float32)}


def padded_audio(settings: Mapping[str, Any], generator: np.random.Generator) -> dict[str, Array]:
    """Samples and their mask, the last third of the second row padding."""
    found = audio(settings, generator)
    mask = np.ones((BATCH, SAMPLES), np.int64)
    mask[1, -SAMPLES // 3 :] = 0
    return {"input_values": found["input_values"] * mask.astype(np.float32), "attention_mask": mask}


def masked_audio(settings: Mapping[str, Any], generator: np.random.Generator) -> dict[str, Array]:
    """Samples, and which of the features made of them are hidden, (batch, features)."""
    features = SAMPLES
    for kernel, stride in zip(settings["conv_kernel"], settings["conv_stride"], strict=True):
        features = (features - kernel) // stride + 1
    return {**audio(settings, generator), "mask_time_indices": generator.integers(0, 2, (BATCH, features)) > 0}


def audio_to_text(settings: Mapping[str, Any], generator: np.random.Generator) -> dict[str, Array]:
    """Samples, and a text that a decoder is to go on with."""
    return {"inputs": audio(settings, generator)["input_values"], **targets(settings, generator)}


def padded_audio_to_text(settings: Mapping[str, Any], generator: np.random.Generator) -> dict[str, Array]:
    """As `audio to text`, with the last third of the second row padding."""
    found = padded_audio(settings, generator)
    return {"inputs": found.pop("input_values"), **found, **targets(settings, generator)}


def features(settings: Mapping[str, Any], generator: np.random.Generator) -> dict[str, Array]:
    """A spectrogram of the length that the encoder wants, (batch, bins, frames)."""
    shape = (BATCH, int(settings["num_mel_bins"]), 2 * int(settings["max_source_positions"]))
    return {"input_features": generator.normal(size=shape).astype(np.float32)}


def features_to_text(settings: Mapping[str, Any], generator: np.random.Generator) -> dict[str, Array]:
    """A spectrogram, and a text that a decoder is to go on with."""
    return {**features(settings, generator), **targets(settings, generator)}


KINDS: Mapping[str, Callable[[Mapping[str, Any], np.random.Generator], dict[str, Array]]] = {
    "text": text,
    "left padded text": left_padded_text,
    "untyped text": untyped_text,
    "prompt": prompt,
    "long text": long_text,
    "question": question,
    "text and states": text_and_states,
    "choices": choices,
    "text to text": text_to_text,
    "text to itself": text_to_itself,
    "image": image,
    "larger image": larger_image,
    "masked image": masked_image,
    "image and text": image_and_text,
    "image to text": image_to_text,
    "audio": audio,
    "padded audio": padded_audio,
    "masked audio": masked_audio,
    "audio to text": audio_to_text,
    "padded audio to text": padded_audio_to_text,
    "features": features,
    "features to text": features_to_text,
}

UNMASKED = ("image", "larger image", "masked image", "audio", "masked audio", "features")
"""The kinds with which no attention mask goes."""


def _part(settings: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    """The configuration of a part, if it has one of its own."""
    return next((settings[name] for name in names if isinstance(settings.get(name), Mapping)), settings)


def _ids(settings: Mapping[str, Any], generator: np.random.Generator, tokens: int) -> Array:
    settings = _part(settings, "encoder")
    words = int(settings.get("vocab_size") or 64)
    special = {value for name, value in settings.items() if name.endswith("token_id") and isinstance(value, int)}
    plain = [token for token in range(min(RESERVED, words // 2), words) if token not in special]
    return generator.choice(plain, (BATCH, tokens)).astype(np.int64)


def with_padding_seen(call: Mapping[str, Array], settings: Mapping[str, Any]) -> dict[str, Array]:
    """The call with a padding token in every text, and no token masked."""
    found = dict(call)
    for name in ("input_ids", "decoder_input_ids"):
        if name in found:
            found[name] = found[name].copy()
            found[name][..., PLACE] = padding_of(settings)
    return found | {name: np.ones_like(found[name]) for name in found if name.endswith("attention_mask")}


def padding_of(settings: Mapping[str, Any]) -> int:
    """The padding token of what reads a text, 0 where there is none."""
    value = _part(settings, "encoder", "text_config").get("pad_token_id")
    return value if isinstance(value, int) and value >= 0 else 0
