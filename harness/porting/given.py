"""Inputs for a model of which nothing is known but how it is called: those with which it runs, as code."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.adapters.protocols import Array, Holds, Runs, Weight
from harness.errors import SpecError
from harness.parity.weights import kind_of

BATCH, TOKENS = 2, 7
SIDES = (16, 32, 8, 64, 28, 224)
"""Of images: those of small models first."""
TRIES = 60
"""Calls that are tried at most: a model that takes three arguments has some dozens."""
READ = ("input_ids", "pixel_values", "input_features", "inputs_embeds")
"""What a model of transformers reads, which it does not name as required."""
WORDS = ("ids", "tokens", "token", "labels", "index", "indices")


@dataclass(frozen=True, slots=True)
class Given:
    """One input, drawn at random. high: whole numbers below it; 0 for normally distributed ones. why: in words."""

    shape: tuple[int, ...]
    high: int = 0
    mask: bool = False
    why: str = ""

    def array(self, generator: np.random.Generator) -> Array:
        """As the text draws it."""
        if self.mask:
            array = np.ones(self.shape, np.int64)
            array[-1, -2:] = 0
            return array
        if self.high:
            return generator.integers(0, self.high, self.shape)
        return generator.normal(size=self.shape).astype(np.float32)

    @property
    def text(self) -> str:
        """The expression that draws it; of a mask, without the part that it hides."""
        if self.mask:
            return f"(np.arange({self.shape[1]}) < np.array([[{self.shape[1]}], [{self.shape[1] - 2}]])).astype(int)"
        if self.high:
            return f"generator.integers(0, {self.high}, {self.shape})"
        return f"generator.normal(size={self.shape}).astype(np.float32)"


def guess_inputs(model: Any, side: Runs, *, place: str) -> dict[str, Given]:
    """Inputs by name with which the model runs.

    Raises:
        SpecError: none were found.
    """
    weights = side.weights() if isinstance(side, Holds) else {}
    settings = side.settings() if isinstance(side, Holds) else {}
    accepted = side.accepts() if isinstance(side, Holds) else frozenset()
    names = _required(model) or [next((name for name in READ if name in accepted), "")]
    if names == [""]:
        raise SpecError(place, "the reference does not say what it takes", todo=GIVE)
    kinds = [list(_candidates(name, weights, settings)) for name in names]
    last = "nothing could be thought of"
    for chosen in itertools.islice(itertools.product(*kinds), TRIES):
        given = dict(zip(names, chosen, strict=True))
        try:
            side.run(drawn(given))
        except Exception as error:
            last = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:100]}"
            continue
        if "attention_mask" in accepted and names[0] == "input_ids":
            given["attention_mask"] = Given(
                given["input_ids"].shape, mask=True, why="two tokens of the last are padding"
            )
        return given
    raise SpecError(place, f"no inputs were found for {', '.join(map(repr, names))} (the last try: {last})", todo=GIVE)


GIVE = "Give --inputs module:factory, a function that returns name -> array."


def drawn(given: Mapping[str, Given]) -> dict[str, Array]:
    """The arrays, as the written function draws them."""
    generator = np.random.default_rng(0)
    return {name: each.array(generator) for name, each in given.items()}


def _required(model: Any) -> list[str]:
    """The arguments that the model's call has no default for."""
    subject = model[0] if isinstance(model, tuple) else model
    call: Any = getattr(subject, "forward", subject)
    try:
        parameters = inspect.signature(call).parameters.values()
    except (TypeError, ValueError):
        return []
    named = [each for each in parameters if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)]
    return [each.name for each in named if each.default is each.empty and each.name != "self"]


def _candidates(name: str, weights: Mapping[str, Weight], settings: Mapping[str, Any]) -> Iterator[Given]:
    """What an argument may be, the likeliest first."""
    matrices = {key: each.array.shape for key, each in weights.items() if each.array.ndim > 1}
    tables = {key: shape for key, shape in matrices.items() if len(shape) == 2 and _is_table(key)}
    rows = [(int(settings["vocab_size"]), "vocab_size")] if "vocab_size" in settings else []
    rows += [(shape[0], key) for key, shape in tables.items()]
    whole = [Given((BATCH, TOKENS), high, why=f"token ids below the {high} rows of {key}") for high, key in rows[:2]]
    images = list(_images(matrices, settings))
    plain = [
        Given(shape, why=f"{key} has an axis of {width}")
        for key, sizes in list(matrices.items())[:3]
        for width in dict.fromkeys((sizes[-1], sizes[0]))
        for shape in ((BATCH, TOKENS, width), (BATCH, width))
    ]
    plain = plain or [Given((BATCH, TOKENS, 8), why="any size will do")]
    looks_whole = any(name == word or name.endswith(f"_{word}") for word in WORDS)
    first = next(iter(matrices), "")
    if looks_whole:
        rows = [(shape[0], key) for key, shape in matrices.items() if len(shape) == 2][:1]
        whole = whole or [
            Given((BATCH, TOKENS), high, why=f"token ids below the {high} rows of {key}") for high, key in rows
        ]
        yield from (*whole, Given((BATCH, TOKENS), 2, why="token ids"))
    elif first in tables:
        yield from (*whole, *plain, *images)
    elif len(matrices.get(first, ())) > 2:
        yield from (*images, *plain, *whole)
    else:
        yield from (*plain, *images, *whole)


def _images(matrices: Mapping[str, tuple[int, ...]], settings: Mapping[str, Any]) -> Iterator[Given]:
    """For a first kernel with a window: channels first, as PyTorch has them, and last."""
    found: Sequence[tuple[str, tuple[int, ...]]] = [(key, each) for key, each in matrices.items() if len(each) > 2]
    for key, shape in found[:1]:
        axes, channels = len(shape) - 2, (shape[1], shape[-2])
        first = kind_of(key) == "weight" and not key.endswith("kernel")
        sides = [each for each in (settings.get("image_size"),) if isinstance(each, int)]
        for side in dict.fromkeys((*sides, *SIDES)):
            window = (side,) * axes
            both = [(BATCH, channels[0], *window), (BATCH, *window, channels[1])]
            for size in both if first else both[::-1]:
                yield Given(size, why=f"the channels of {key}")


def _is_table(name: str) -> bool:
    return "emb" in name.lower() or name.endswith(("wte.weight", "tokens.weight"))
