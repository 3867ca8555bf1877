"""Say how a script makes a transformers Flax model from its PyTorch original, by the library's own conversion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from harness.adapters.code import Code, place_of
from harness.adapters.protocols import Loading, UnsupportedError

SIZES: Mapping[str, int] = {
    "vocab_size": 64,
    "hidden_size": 32,
    "d_model": 32,
    "n_embd": 32,
    "intermediate_size": 48,
    "d_ff": 48,
    "d_kv": 8,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "num_hidden_layers": 1,
    "num_layers": 1,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "n_layer": 1,
    "num_attention_heads": 4,
    "num_heads": 4,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "n_head": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 32,
    "n_positions": 32,
}
"""A model as small as keeps heads, groups and layers apart."""
DROPPED = ("head_dim",)
"""What follows from the sizes."""

TEXT = """def pair():
    torch.manual_seed(0)
    reference = REFERENCE(CONFIG).eval()
    with tempfile.TemporaryDirectory() as folder:
        reference.save_pretrained(folder)
        return reference, PORT.from_pretrained(folder, from_pt=True)


def outputs(reference, port):
    inputs = {INPUTS}
    with torch.no_grad():
        right = reference(**{name: torch.from_numpy(array) for name, array in inputs.items()})
    return right["OUTPUT"].numpy(), np.asarray(port(**inputs)["OUTPUT"])
"""


def loading(reference: Any, model: Any, inputs: Mapping[str, Any], path: str, port_path: str) -> Loading:
    """The script's functions for a reference and a model of transformers that are given tokens.

    Raises:
        UnsupportedError: one is no such model, or is given something else.
    """
    if not (hasattr(reference, "save_pretrained") and hasattr(reference, "config")):
        raise UnsupportedError("the reference is no model of transformers in PyTorch")
    tokens = [name for name in ("input_ids", "decoder_input_ids") if name in inputs]
    if not tokens:
        raise UnsupportedError("the model is not given tokens")
    code = Code(imports={"import tempfile": None, "import torch": None})
    names = code.name(type(reference)), code.name(type(model)), code.name(type(reference.config))
    own = code.differing(reference.config)
    own.pop("attn_implementation", None)
    known = reference.config.to_dict()
    settings = {key: value for key, value in own.items() if key not in SIZES and key not in DROPPED}
    sizes = {key: size for key, size in SIZES.items() if key in known}
    ids = ", ".join(f"{name!r}: np.array([[5, 6, 7, 8]])" for name in tokens)
    text = TEXT.replace("INPUTS", ids).replace("REFERENCE", names[0]).replace("PORT", names[1])

    def written(chosen: Mapping[str, Any], output: str) -> str:
        config = ", ".join(f"{key}={code.expression(value)}" for key, value in {**sizes, **chosen}.items())
        return text.replace("CONFIG", f"{names[2]}({config})").replace("OUTPUT", output)

    def mend(original: Any, port: Any) -> bool:
        return _mend(original, port, path, port_path)

    return Loading(tuple(code.imports), tuple(code.folders), settings, written, mend, names[1], place_of(type(model)))


def _mend(original: Any, port: Any, path: str, port_path: str) -> bool:
    """Give the port's module the original's weights; whether it had others."""
    right = [each.detach().numpy() for each in original.get_submodule(path).state_dict().values()]
    held = port.params
    for part in port_path.split("."):
        held = held[part]
    changed = False
    for name, array in held.items():
        if isinstance(array, Mapping):
            continue
        fits = [turned for each in right for turned in (each, each.T) if turned.shape == np.shape(array)]
        if fits and not any(np.array_equal(each, array) for each in fits):
            held[name] = fits[-1]
            changed = True
    return changed
