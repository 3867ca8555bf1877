"""What the configurations of both sides say of a cause that is proved."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from harness.parity.causes import Cause

SETTINGS: Mapping[str, tuple[str, ...]] = {
    "rotary base": ("rope_theta", "rotary_emb_base"),
    "epsilon": ("layer_norm_eps", "layer_norm_epsilon", "rms_norm_eps", "norm_epsilon", "eps"),
    "activation": ("hidden_act", "activation_function", "hidden_activation", "feed_forward_proj"),
    "head not tied": ("tie_word_embeddings",),
    "head tied": ("tie_word_embeddings",),
    "window": ("sliding_window", "window_size"),
    "groups tiled": ("num_key_value_heads",),
    "number of heads": ("num_attention_heads", "n_head", "num_heads"),
}
"""Cause -> the settings that it is about, as transformers calls them."""

CALLED = {
    "erf GELU": ("gelu", "gelu_python"),
    "tanh GELU": ("gelu_new", "gelu_pytorch_tanh", "gelu_fast", "gelu_python_tanh"),
    "quick GELU": ("quick_gelu",),
    "SiLU": ("silu", "swish"),
    "ReLU": ("relu",),
    "squared ReLU": ("relu2",),
    "Mish": ("mish",),
    "tanh": ("tanh",),
    "sigmoid": ("sigmoid",),
}
"""What transformers calls the activation functions of the catalogue."""


def configured(cause: Cause, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    """What the configurations (reference's, port's) say of the cause, in words; empty where they say nothing of it."""
    for key in SETTINGS.get(cause.name, ()):
        if key not in theirs and key not in ours:
            continue
        if key in ours and key in theirs and ours[key] != theirs[key]:
            return f"the configuration's {key} is {theirs[key]!r} in the port, {ours[key]!r} in the reference"
        where = "" if key in ours and key in theirs else f" in the {'reference' if key in ours else 'port'} alone"
        value = theirs.get(key, ours.get(key))
        if _departs(cause, value):
            return f"the configuration's {key} is {value!r}{where}, which the port does not follow"
    return ""


def _departs(cause: Cause, value: Any) -> bool:
    """Whether the port does something else than the setting says, as far as the cause tells what it does."""
    if cause.name in ("head not tied", "head tied"):
        return value is (cause.name == "head not tied")
    if cause.name == "activation":
        function = cause.detail.split(" in the port")[0]
        return function in CALLED and str(value).lower() not in CALLED[function]
    does = re.search(r"(?:^|\s)([-+.\de]+) in the port", cause.detail)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or does is None:
        return False
    return f"{float(does[1]):g}" != f"{float(value):g}"
