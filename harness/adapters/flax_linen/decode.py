"""Decode step by step with the caches of linen: those of transformers' models, and a collection called `cache`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from harness.adapters.calling import argument_names
from harness.adapters.decoding import Steps, step_inputs, token_name
from harness.adapters.jax.arrays import collect
from harness.adapters.jax.lift import WIDER
from harness.adapters.protocols import Array, Chunk, UnsupportedError

Compiling = Callable[[str, Callable[..., Any]], Callable[..., Any]]
"""Makes a function compute in float64, and fast; kept by its name from one run to the next."""


def decode_transformers(
    model: Any, params: Any, arrays: Mapping[str, Any], chunks: Sequence[Chunk], compiling: Compiling
) -> dict[str, Array]:
    """The outputs of all steps of a `FlaxPreTrainedModel`, whose cache and mask have the length of the whole."""
    tokens = token_name(arrays)
    batch, length = arrays[tokens].shape
    both = tokens == "decoder_input_ids"
    prefix = "decoder_" if both else ""
    mask = arrays.get(f"{prefix}attention_mask", jnp.ones((batch, length), int))
    given = {f"{prefix}attention_mask": mask}
    if both:
        encoder = {name: arrays[name] for name in arrays if not name.startswith("decoder_")}
        encode = compiling("encode", lambda params, encoder: model.encode(**encoder, params=params))
        given["encoder_outputs"] = encode(params, encoder)
        if "attention_mask" in encoder:
            given["encoder_attention_mask"] = encoder["attention_mask"]
    method = model.decode if both else model.__call__
    cache = _empty(jax.eval_shape(lambda: model.init_cache(batch, length, *_encoded(given))))
    call = compiling("step", lambda params, step, given: dict(method(**step, **given, params=params).items()))
    name = f"{prefix}position_ids"
    positions = arrays[name] if name in arrays else _counted(model, arrays[tokens])
    known = argument_names(type(model), "decode" if both else "__call__")
    sliced = {key: arrays[key] for key in (tokens, f"{prefix}token_type_ids") if key in arrays}
    if name in known:
        sliced[name] = positions
    pieces: dict[str, list[Array]] = {}
    for chunk in chunks:
        step = {key: array[:, chunk.start : chunk.stop] for key, array in sliced.items()}
        result = call(params, {**step, "past_key_values": cache}, given)
        cache = result.pop("past_key_values")
        for output, array in collect(result).items():
            if array.ndim > 1 and array.shape[1] == chunk.stop - chunk.start:
                pieces.setdefault(output, []).append(array)
    return {name: np.concatenate(parts, axis=1) for name, parts in pieces.items() if len(parts) == len(chunks)}


def steps_of(model: Any, inputs: Mapping[str, Any]) -> Steps:
    """The steps of a causal `FlaxPreTrainedModel`, in its own types.

    Raises:
        UnsupportedError: it has an encoder.
    """
    tokens = token_name(inputs)
    if tokens == "decoder_input_ids":
        raise UnsupportedError("an encoder stands before the decoder, whose steps are not run alone")
    batch, length = inputs[tokens].shape
    mask = inputs.get("attention_mask", jnp.ones((batch, length), int))
    positions = inputs["position_ids"] if "position_ids" in inputs else _counted(model, inputs[tokens])

    def given(chunk: Chunk) -> dict[str, Any]:
        part = slice(chunk.start, chunk.stop)
        return {tokens: inputs[tokens][:, part], "position_ids": positions[:, part], "attention_mask": mask}

    # Compiled, since flax makes weights at random and runs the model to make a cache, of which nothing depends on them.
    empty = jax.jit(lambda: model.init_cache(batch, length))()
    return Steps("past_key_values", given, {"past_key_values": empty})


def _counted(model: Any, tokens: Any) -> Any:
    """The positions that the model gives to these tokens by itself, which it does not do with a cache."""
    # RoBERTa and its kin count from their padding token.
    own = getattr(sys.modules[type(model).__module__], "create_position_ids_from_input_ids", None)
    if own:
        return own(tokens, model.config.pad_token_id)
    return jnp.broadcast_to(jnp.arange(tokens.shape[1]), tokens.shape)


def decode_linen(
    module: nn.Module,
    variables: Mapping[str, Any],
    arrays: Mapping[str, Any],
    apply: Callable[..., Any],
    compiling: Compiling,
) -> dict[str, Array]:
    """The outputs of a module with a field `decode`, token by token, whose cache is a collection."""
    tokens = token_name(arrays)
    module = module.clone(decode=True)
    length = arrays[tokens].shape[1]
    shapes = jax.eval_shape(lambda: apply(module, variables, arrays, mutable=["cache"])[1])
    if "cache" not in shapes:
        raise UnsupportedError("the module makes no cache when it decodes")
    held = _empty(shapes["cache"])
    run = compiling("step", lambda variables, step: apply(module, variables, step, mutable=["cache"]))
    pieces: dict[str, list[Array]] = {}
    for position in range(length):
        step = step_inputs(arrays, Chunk(position, position + 1), ())
        result, changed = run({**variables, "cache": held}, step)
        held = changed["cache"]
        for name, array in collect(result).items():
            if array.ndim > 1 and array.shape[1] == 1:
                pieces.setdefault(name, []).append(array)
    return {name: np.concatenate(parts, axis=1) for name, parts in pieces.items()}


def _encoded(given: Mapping[str, Any]) -> tuple[Any, ...]:
    return (given["encoder_outputs"],) if "encoder_outputs" in given else ()


def _empty(shapes: Any) -> Any:
    """Zeros: floats in float64; integers in int64, which `dynamic_update_slice` wants all of its indices in."""

    def zeros(leaf: Any) -> Any:
        integer = jnp.issubdtype(leaf.dtype, jnp.integer)
        return jnp.zeros(leaf.shape, jnp.int64 if integer else WIDER.get(leaf.dtype.name, leaf.dtype))

    return jax.tree.map(zeros, shapes)
