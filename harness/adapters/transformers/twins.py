"""A PyTorch model of transformers and its Flax twin, small, with weights that show faults, each made from the other by
the library's own conversion.
"""

from __future__ import annotations

import copy
import inspect
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest.mock import patch

import jax
import numpy as np
import torch
from flax import traverse_util
from transformers.utils import logging

from harness.adapters.drawn import drawn
from harness.adapters.protocols import Array

SILENT = 50
"""Above every level of a message."""

# Neither library says of which types these are.
flatten_dict: Any = traverse_util.flatten_dict
unflatten_dict: Any = traverse_util.unflatten_dict


@dataclass(frozen=True, slots=True)
class Twins:
    """Both sides, and the weights that the one which was converted did not get from the other, or could not use."""

    reference: Any
    port: Any
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()


def configuration(kind: str, settings: Mapping[str, Any]) -> Any:
    """The configuration of that class with these settings, attention computed by the model's own code.

    settings: a value written `"None"` is none, for which TOML has no word.
    """
    given = {name: None if value == "None" else value for name, value in settings.items()}
    made = _class(kind)(**copy.deepcopy(given))
    made._attn_implementation = "eager"
    # A table's keys are text, as they are in the library's own files, from which it makes them numbers again.
    made.pruned_heads = {int(layer): heads for layer, heads in made.pruned_heads.items()}
    return made


def to_flax(reference: str | torch.nn.Module, port: str, config: Any, *, seed: int, **shape: Any) -> Twins:
    """The reference with drawn weights, saved, and the port filled from that file as `from_pretrained(from_pt=True)`
    does, without the random weights that it draws before.

    reference: the class, or what `reference_of` made of it with this seed. shape: `input_shape`, where the port's
    class wants it to make its parameters.
    """
    model: Any = reference_of(reference, config, seed=seed) if isinstance(reference, str) else reference
    made = port_of(port, config, **shape)
    wanted = flatten_dict(made.params_shape_tree)
    with tempfile.TemporaryDirectory() as folder, quiet():
        model.save_pretrained(folder)
        found = _loading().load_pytorch_checkpoint_in_flax_state_dict(made, f"{folder}/model.safetensors", False)
    held = flatten_dict(found)
    missing = [key for key in wanted if key not in held]
    if missing:  # as the library draws them: a bias is zero then, a kernel random
        own = flatten_dict(made.init_weights(jax.random.PRNGKey(seed), made.input_shape))
        held |= {key: own[key] for key in missing}
    unexpected = [key for key in held if key not in wanted]
    wrong = [key for key in wanted if held[key].shape != wanted[key].shape]
    if wrong:
        raise ValueError(f"{dotted(wrong)[0]} is of shape {wanted[wrong[0]].shape}, not {held[wrong[0]].shape}")
    made.params = unflatten_dict({key: jax.numpy.asarray(leaf) for key, leaf in held.items() if key in wanted})
    return Twins(model, made, dotted(missing), dotted(unexpected))


def from_flax(reference: str, port: str, config: Any, *, seed: int, **shape: Any) -> Twins:
    """The port with drawn weights, saved, and the reference filled from it as `from_pretrained(from_flax=True)` is."""
    made = drawn_port(port, config, seed=seed, **shape)
    model = reference_of(reference, config, seed=seed + 1)
    own = {name: tensor.clone() for name, tensor in model.state_dict().items() if tensor.is_floating_point()}
    with tempfile.TemporaryDirectory() as folder, quiet():
        made.save_pretrained(folder)
        _loading().load_flax_checkpoint_in_pytorch_model(model, f"{folder}/flax_model.msgpack")
    trained = {name for name, tensor in model.named_parameters() if tensor.requires_grad}
    missing = [
        name for name, tensor in model.state_dict().items() if name in trained and torch.equal(tensor, own[name])
    ]
    return Twins(model.eval(), made, tuple(missing))


def drawn_port(name: str, config: Any, *, seed: int, **shape: Any) -> Any:
    """The Flax model with every parameter drawn by its name."""
    made = port_of(name, config, **shape)
    values = {key: _drawn_flax(key, leaf, seed=seed) for key, leaf in flatten_dict(made.params_shape_tree).items()}
    made.params = unflatten_dict({key: jax.numpy.asarray(leaf) for key, leaf in values.items()})
    return made


def port_of(name: str, config: Any, **shape: Any) -> Any:
    """The Flax model, whose parameters are shapes and are to be set."""
    kind = _class(name)
    draw = kind.init_weights

    def shapes(model: Any, key: Any, input_shape: Any, params: Any = None) -> Any:
        del params
        return jax.eval_shape(lambda key: draw(model, key, input_shape), key)

    # A model made of two others refuses `_do_init=False`, which would do the same for the rest.
    with patch.object(kind, "init_weights", shapes):
        return kind(copy.deepcopy(config), **shape)


def dotted(keys: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    """The names of parameters, sorted."""
    return tuple(sorted(".".join(key) for key in keys))


def reference_of(name: str, config: Any, *, seed: int) -> torch.nn.Module:
    """The PyTorch model with every trained weight drawn by its name, ready for inference."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: torch.nn.Module = _class(name)(copy.deepcopy(config)).eval()
    for each, tensor in [*model.named_parameters(), *model.named_buffers()]:
        trained = tensor.requires_grad or each.rpartition(".")[2] in ("running_mean", "running_var")
        if trained and tensor.is_floating_point():
            tensor.data.copy_(torch.from_numpy(drawn(each, tensor.detach().numpy(), seed=seed)))
    return model


def arguments_of(name: str) -> frozenset[str]:
    """What the class, of either framework, takes when it is called."""
    kind = _class(name)
    return frozenset(inspect.signature(kind.__call__ if name.startswith("Flax") else kind.forward).parameters)


def tables_of(reference: torch.nn.Module) -> frozenset[str]:
    """The names of what the reference stores and does not train: tables that the port may compute."""
    held = [*reference.named_parameters(), *reference.named_buffers()]
    return frozenset(name for name, tensor in held if not tensor.requires_grad and tensor.is_floating_point())


def settings_of(config: Any) -> dict[str, Any]:
    """The configuration as plain values, those of its parts inside."""
    found: dict[str, Any] = config.to_dict()
    return found


COMMON = ("is_decoder", "add_cross_attention", "tie_word_embeddings", "chunk_size_feed_forward")
"""What every configuration takes, and models may compute by."""


def fields_of(kind: str) -> tuple[str, ...]:
    """The arguments of the configuration's class, by name, and those of all configurations that models compute by."""
    own = inspect.signature(_class(kind).__init__).parameters
    named = [name for name, each in own.items() if name != "self" and each.kind is not each.VAR_KEYWORD]
    return tuple(dict.fromkeys([*named, *COMMON]))


def port_names() -> tuple[str, ...]:
    """Every concrete Flax class that the library exports, `FlaxAuto...` left out."""
    folder = Path(import_module("transformers").__file__ or "").parent / "models"
    found = []
    for file in sorted(folder.glob("*/modeling_flax_*.py")):
        if file.parent.name != "auto":
            module = import_module(f"transformers.models.{file.parent.name}.{file.stem}")
            found += [name for name in module.__all__ if not name.endswith("PreTrainedModel")]
    return tuple(found)


@contextmanager
def quiet() -> Iterator[None]:
    """While open, the library warns of nothing: what is missing is told otherwise."""
    before = logging.get_verbosity()
    logging.set_verbosity(SILENT)
    try:
        yield
    finally:
        logging.set_verbosity(before)


def _class(name: str) -> Any:
    """A class that the library exports, asked for anew each time: its module may be corrected."""
    return getattr(import_module("transformers"), name)


def _loading() -> Any:
    """The library's conversions, asked for anew each time: they may be corrected."""
    return import_module("transformers.modeling_flax_pytorch_utils")


def _drawn_flax(key: tuple[str, ...], leaf: Any, *, seed: int) -> Array:
    neutral = {"scale": 1.0, "weight": 1.0, "var": 1.0, "bias": 0.0, "mean": 0.0}
    array = np.full(leaf.shape, neutral.get(key[-1], 0.5), np.float32)
    if array.ndim > 1:
        array.flat[0] += 1.0  # no neutral value
    return drawn(".".join(key), array, seed=seed)
