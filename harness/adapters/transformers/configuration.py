"""A model's configuration, read from the hub, made small."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import transformers

from harness.errors import BuildError

LAYERS, HEADS, HEAD, INNER, ROWS, LENGTH = 2, 4, 8, 64, 128, 64
"""Sizes of a model that is run in a second, and whose axes have different lengths."""

FIELDS: Mapping[str, int] = {
    **dict.fromkeys(("num_hidden_layers", "num_layers", "n_layer", "n_layers", "num_decoder_layers", "depth"), LAYERS),
    **dict.fromkeys(("encoder_layers", "decoder_layers"), LAYERS),
    **dict.fromkeys(("num_attention_heads", "num_heads", "n_head", "n_heads"), HEADS),
    **dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), HEADS),
    **dict.fromkeys(("hidden_size", "n_embd", "d_model", "dim", "embedding_size", "word_embed_proj_dim"), HEADS * HEAD),
    **dict.fromkeys(("head_dim", "d_kv"), HEAD),
    **dict.fromkeys(("intermediate_size", "n_inner", "d_ff", "hidden_dim"), INNER),
    **dict.fromkeys(("ffn_dim", "encoder_ffn_dim", "decoder_ffn_dim"), INNER),
    "vocab_size": ROWS,
    **dict.fromkeys(("max_position_embeddings", "n_positions", "n_ctx"), LENGTH),
    **dict.fromkeys(("max_source_positions", "max_target_positions"), LENGTH),
}
"""What the configurations of transformers call their sizes -> the small one; one that is smaller already stays."""

ABOUT = ("transformers_version", "architectures", "torch_dtype", "dtype", "_name_or_path", "model_type", "auto_map")
"""What a configuration says of itself, and not of the model."""


@dataclass(frozen=True, slots=True)
class Small:
    """A configuration made small. configuration, model: the names of the classes in transformers.

    settings: what it has other than by default, sizes left out. sizes: field -> the small size, and the one it had.
    """

    configuration: str
    model: str
    settings: Mapping[str, Any]
    sizes: Mapping[str, tuple[int, int]]


def small(name: str) -> Small:
    """The configuration of the model `owner/name` on the hub, or in a folder; a model of it is made once, to see.

    Raises:
        BuildError: it cannot be read, or no small model can be made of it.
    """
    place = f"--from-hub {name}"
    try:
        read = transformers.AutoConfig.from_pretrained(name)
    except (OSError, ValueError) as error:
        said = (str(error).splitlines() or [""])[0]
        todo = "Check the name, the network and HF_TOKEN; or give a folder that holds config.json."
        raise BuildError(place, f"its configuration cannot be read: {said}", todo=todo) from error
    sizes = _sizes(read.to_dict())
    settings = {key: value for key, value in read.to_diff_dict().items() if key not in ABOUT and key not in sizes}
    names = [each for each in read.architectures or () if hasattr(transformers, each)]
    found = Small(type(read).__name__, names[0] if names else "AutoModel", settings, sizes)
    try:
        made(found)
    except Exception as error:
        problem = f"no small model can be made of it: {type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        raise BuildError(place, problem, todo="Write the factory by hand, with sizes that go together.") from error
    return found


def made(found: Small) -> Any:
    """The model of a small configuration."""
    given = {**found.settings, **{key: size for key, (size, _) in found.sizes.items()}}
    configuration = getattr(transformers, found.configuration)(**given)
    kind = getattr(transformers, found.model)
    return kind.from_config(configuration) if found.model == "AutoModel" else kind(configuration)


def _sizes(said: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    sizes = {key: (size, said[key]) for key, size in FIELDS.items() if _above(said.get(key), size)}
    heads = next((said[key] for key in ("num_attention_heads", "num_heads", "n_head") if said.get(key)), 0)
    groups = said.get("num_key_value_heads")
    if isinstance(groups, int) and heads:
        sizes["num_key_value_heads"] = (max(1, min(HEADS, heads) * groups // heads), groups)
    patch, side = said.get("patch_size"), said.get("image_size")
    if isinstance(patch, int) and _above(side, 4 * patch):
        sizes["image_size"] = (4 * patch, side)
    if "vocab_size" in sizes:
        ids = [key for key, value in said.items() if key.endswith("_token_id") and _above(value, ROWS - 1)]
        # Apart from each other, and from the tokens 0 to 3 that others have.
        sizes |= {key: (4 + place, said[key]) for place, key in enumerate(ids)}
    return {key: pair for key, pair in sizes.items() if pair[0] != pair[1]}


def _above(value: Any, size: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > size
