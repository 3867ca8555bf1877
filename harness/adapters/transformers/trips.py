"""Models of transformers written to a folder and read back by the library's public functions, and what is said then."""

from __future__ import annotations

import logging as standard
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest.mock import patch

import jax
import numpy as np
import torch
from flax.serialization import msgpack_restore, msgpack_serialize
from safetensors import safe_open
from safetensors.numpy import save_file
from transformers.utils import logging

from harness.adapters.protocols import Array
from harness.adapters.transformers.twins import flatten_dict, unflatten_dict

SHARDS = 3
"""At least as many files hold a model that is saved in shards."""

STATES = ("params", "batch_stats")
"""Above the weights of a Flax model that has running statistics."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model as `from_pretrained` gave it.

    model: None where the parameters came apart from it. weights: by dotted name, each in its own type.
    empty: names of weights that hold no numbers. constant: of buffers
    that hold one number throughout. missing, unexpected: what was said of such weights, all of it.
    """

    model: Any
    weights: Mapping[str, Array]
    empty: tuple[str, ...]
    constant: tuple[str, ...]
    missing: str
    unexpected: str


def save(model: Any, folder: Path, form: str) -> None:
    """The model written to the folder by its `save_pretrained`.

    form: safetensors, bin (pickled by PyTorch) or msgpack, each also `sharded`.
    """
    model.save_pretrained(folder, **as_asked(model, form))


def as_asked(model: Any, form: str) -> dict[str, Any]:
    """What `save_pretrained` and `push_to_hub` are told, for that form."""
    options: dict[str, Any] = {"safe_serialization": form.endswith("safetensors")}
    if form.startswith("sharded"):
        sizes = [np.size(array) * 4 for array in weights_of(model).values()]
        options["max_shard_size"] = max(sum(sizes) // SHARDS, 1)
    return options


def load(name: str, folder: Path | str, **options: Any) -> Loaded:
    """What the class of that name makes of the folder (or name of a repository) by its `from_pretrained`."""
    kind = getattr(import_module("transformers"), name)
    flax = name.startswith("Flax")
    more = {} if flax else {"output_loading_info": True, "attn_implementation": "eager"}
    with heard() as said, undrawn(kind) if flax else nullcontext():
        found = kind.from_pretrained(folder, **options, **more)
    model, rest = found if isinstance(found, tuple) else (found, None)
    told = rest if rest and not flax else {}
    missing = [text for text in said if "newly initialized" in text or "missing required keys" in text]
    unexpected = [text for text in said if "were not used when" in text]
    weights = flat(rest) if flax and rest is not None else weights_of(model)
    empty = () if flax else tuple(key for key, value in model.state_dict().items() if value.is_meta)
    buffers = (
        () if flax else tuple(name for name, held in model.named_buffers() if bool((held == held.flatten()[:1]).all()))
    )
    return Loaded(
        None if flax and rest is not None else model,
        weights,
        empty,
        buffers,
        "\n".join([*missing, repr(told.get("missing_keys", "")), repr(told.get("mismatched_keys", ""))]),
        "\n".join([*unexpected, repr(told.get("unexpected_keys", ""))]),
    )


@contextmanager
def heard() -> Iterator[list[str]]:
    """While open, the warnings of the library are collected rather than shown."""
    found: list[str] = []

    class Collected(standard.Handler):
        def emit(self, record: standard.LogRecord) -> None:
            found.append(record.getMessage())

    handler, before = Collected(), logging.get_verbosity()
    root = standard.getLogger("transformers")
    logging.set_verbosity(standard.WARNING)
    with patch.object(root, "handlers", [handler]):
        try:
            yield found
        finally:
            logging.set_verbosity(before)


@contextmanager
def undrawn(kind: Any) -> Iterator[None]:
    """While open, a Flax class begins with counted numbers rather than random weights: to draw those takes seconds."""
    original = kind.init_weights

    def counted(self: Any, rng: Any, input_shape: Any, params: Any = None) -> Any:
        del params
        shapes = jax.eval_shape(partial(original, self, input_shape=input_shape), rng)
        return jax.tree_util.tree_map(
            lambda leaf: jax.numpy.arange(leaf.size, dtype=leaf.dtype).reshape(leaf.shape), shapes
        )

    with patch.object(kind, "init_weights", counted):
        yield


def weights_of(model: Any) -> dict[str, Array]:
    """The weights of a model of either framework that are numbers, by dotted name; those on no device left out."""
    if not isinstance(model, torch.nn.Module):
        return flat(model.params)
    state = {name: tensor for name, tensor in model.state_dict().items() if tensor.is_floating_point()}
    return {name: _array(tensor) for name, tensor in state.items() if not tensor.is_meta}


def fixed_of(model: Any) -> frozenset[str]:
    """The names of the parameters of a PyTorch model that are not trained: tables that it makes by itself, and that
    files may hold.
    """
    found = model.named_parameters() if isinstance(model, torch.nn.Module) else ()
    return frozenset(name for name, tensor in found if not tensor.requires_grad)


def flat(parameters: Any) -> dict[str, Array]:
    """Parameters of a Flax model by dotted name, what stands above parameters and statistics left out."""
    found = {}
    for key, leaf in flatten_dict(parameters).items():
        found[".".join(key[1:] if "batch_stats" in parameters and key[0] in STATES else key)] = np.asarray(leaf)
    return found


def prefix_of(name: str) -> str:
    """What the class puts before the names of the model that it has inside."""
    return str(getattr(import_module("transformers"), name).base_model_prefix)


def files_of(folder: Path, form: str) -> list[Path]:
    """The files in which the weights lie."""
    return sorted(folder.glob(f"*.{form.split()[-1]}"))


def change(folder: Path, form: str, made: Callable[[dict[str, Array]], dict[str, Array]]) -> None:
    """The one file of weights in the folder, safetensors or msgpack, written anew with what `made` gives for them."""
    (file,) = files_of(folder, form)
    if file.suffix == ".safetensors":
        with safe_open(file, framework="numpy") as opened:
            metadata = opened.metadata()
            held = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
        save_file({key: np.array(array, order="C") for key, array in made(held).items()}, file, metadata)
        return
    tree = msgpack_restore(file.read_bytes())
    above = {".".join(key[1:]): key[0] for key in flatten_dict(tree)} if "batch_stats" in tree else {}
    leaves = {
        (above.get(name, "params"), *name.split(".")) if above else tuple(name.split(".")): leaf
        for name, leaf in made(flat(tree)).items()
    }
    file.write_bytes(msgpack_serialize(unflatten_dict(leaves)))


def stored(folder: Path, form: str) -> dict[str, Array]:
    """The weights that `change` would give."""
    found: dict[str, Array] = {}
    change(folder, form, lambda held: {**held, **(found.update(held) or {})})
    return {name: array for name, array in found.items() if np.issubdtype(array.dtype, np.floating)}


def halved(model: Any) -> Any:
    """The model with its weights rounded to bfloat16 and kept so."""
    if isinstance(model, torch.nn.Module):
        return model.to(torch.bfloat16)
    model.params = jax.tree_util.tree_map(lambda leaf: leaf.astype(jax.numpy.bfloat16), model.params)
    return model


def rounded(array: Array) -> Array:
    """The values as bfloat16 has them."""
    return np.asarray(array, np.float32).astype(jax.numpy.bfloat16)


def half(framework: str) -> Any:
    """The type of 16 bits with float32's range, as the framework's `dtype` argument takes it."""
    return torch.bfloat16 if framework == "pytorch" else jax.numpy.bfloat16


def _array(tensor: torch.Tensor) -> Array:
    """A tensor as NumPy holds it: bfloat16 in a type of its own that JAX brings along."""
    tensor = tensor.detach().cpu()
    if tensor.dtype is torch.bfloat16:
        return tensor.float().numpy().astype(jax.numpy.bfloat16)
    return np.asarray(tensor.numpy())
