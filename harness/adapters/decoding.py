"""Run a model step by step, for models that take a cache as an argument and return it among their results."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from harness.adapters.protocols import Array, Chunk, UnsupportedError

CACHES = ("past_key_values", "past_key_value", "layer_past", "past", "kv_cache", "cache")
"""What models call the argument that holds the keys and values of earlier steps."""

TOKENS = ("decoder_input_ids", "input_ids", "tokens", "ids", "inputs_embeds")
"""What models call the argument that is given step by step; the first that is there."""


def cache_name(accepted: Collection[str]) -> str:
    """The argument that takes the cache.

    Raises:
        UnsupportedError: there is none.
    """
    name = next((name for name in CACHES if name in accepted), None)
    if name is None:
        raise UnsupportedError("the model takes no cache")
    return name


def token_name(inputs: Mapping[str, Any]) -> str:
    """The input that is given step by step.

    Raises:
        UnsupportedError: there is none.
    """
    name = next((name for name in TOKENS if name in inputs), None)
    if name is None:
        raise UnsupportedError("the inputs hold no tokens")
    return name


def step_inputs(inputs: Mapping[str, Any], chunk: Chunk, accepted: Collection[str]) -> dict[str, Any]:
    """The inputs of one step: tokens and whatever else has a value a token from `start`, masks from the beginning.

    The encoder's inputs, in a model that has both, are given whole at every step.
    """
    tokens = token_name(inputs)
    length = np.shape(inputs[tokens])[1]
    own = [name for name in inputs if tokens != "decoder_input_ids" or name.startswith("decoder_")]
    step: dict[str, Any] = {}
    for name, value in inputs.items():
        shape = np.shape(value)
        if name not in own or len(shape) < 2 or shape[1] != length:
            step[name] = value
        else:
            step[name] = value[:, 0 if "mask" in name else chunk.start : chunk.stop]
    if "use_cache" in accepted:
        step["use_cache"] = True
    return step


def not_causal(model: Any, accepted: Collection[str]) -> str:
    """Why the model cannot be run step by step with a cache, or ""."""
    able = getattr(model, "can_generate", None)
    if able is not None and not able():
        return f"{type(model).__name__} is no causal model: it does not generate"
    return "" if set(CACHES) & set(accepted) else "the model takes no cache"


@dataclass(frozen=True, slots=True)
class Steps:
    """How a causal model is called step by step.

    cache: its argument that takes the cache. given: what else a step is given. empty: what only the first one is.
    """

    cache: str
    given: Callable[[Chunk], dict[str, Any]]
    empty: Mapping[str, Any] = field(default_factory=dict)


def plain_steps(inputs: Mapping[str, Any], accepted: Collection[str]) -> Steps:
    """Those of a model that begins without a cache, and returns one.

    Raises:
        UnsupportedError: it takes none.
    """
    return Steps(cache_name(accepted), lambda chunk: step_inputs(inputs, chunk, accepted))


def incremental(
    call: Callable[[dict[str, Any]], Any],
    outputs: Callable[[Any], Mapping[str, Array]],
    inputs: Mapping[str, Any],
    chunks: Sequence[Chunk],
    accepted: Collection[str],
) -> dict[str, Array]:
    """The outputs of all steps joined. call: runs the model on a step's inputs; outputs: names what it returned."""
    cache = cache_name(accepted)
    pieces: dict[str, list[Array]] = {}
    held: dict[str, Any] = {}
    for chunk in chunks:
        result = call({**step_inputs(inputs, chunk, accepted), **held})
        held = {cache: cache_in(result, cache), **encoded_in(result, accepted)}
        for name, array in outputs(result).items():
            if array.ndim >= 2 and array.shape[1] == chunk.stop - chunk.start:
                pieces.setdefault(name, []).append(array)
    whole = {name: np.concatenate(parts, axis=1) for name, parts in pieces.items() if len(parts) == len(chunks)}
    if not whole:
        raise UnsupportedError("no output has a value a token")
    return whole


def encoded_in(result: Any, accepted: Collection[str]) -> dict[str, Any]:
    """What the encoder made, as the argument that later steps take instead of running it again; {} without one."""
    encoded = getattr(result, "encoder_last_hidden_state", None)
    return {"encoder_outputs": (encoded,)} if encoded is not None and "encoder_outputs" in accepted else {}


def cache_in(result: Any, name: str) -> Any:
    """The cache that a model returned, which takes it as its argument `name`.

    Raises:
        UnsupportedError: there is none.
    """
    if isinstance(result, Mapping):
        found = next((result[key] for key in (name, "past_key_values", "present", "cache") if key in result), None)
    elif isinstance(result, tuple):
        found = result[-1] if len(result) > 1 else None
    else:
        found = getattr(result, name, None)
    if found is None:
        raise UnsupportedError("the model returned no cache")
    return found
