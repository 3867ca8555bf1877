"""A Llama straight from its folder, without transformers, whose import takes longer than scoring a hundred sentences.

It computes what `LlamaForCausalLM` does, which suites/zero_shot holds it to. What it does not know it does not take.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn
from torch.nn import functional

KNOWN = {"hidden_act": "silu", "rope_scaling": None, "rope_parameters": None, "quantization_config": None}
"""Settings that mean what is written here; another value, and the folder is transformers' to load."""


@dataclass(slots=True)
class Cache:
    """The keys and values of each layer, (rows, groups, tokens, size)."""

    layers: list[tuple[torch.Tensor, torch.Tensor]]

    def batch_repeat_interleave(self, count: int) -> None:
        """Every row so many times."""
        self.layers = [
            (key.repeat_interleave(count, 0), value.repeat_interleave(count, 0)) for key, value in self.layers
        ]


class Attention(nn.Module):
    """Rotary positions, grouped keys and values."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__()
        width, size, bias = settings["hidden_size"], settings["head_dim"], settings["attention_bias"]
        heads, self.size = settings["num_attention_heads"], size
        self.q_proj = nn.Linear(width, heads * size, bias=bias)
        self.k_proj = nn.Linear(width, settings["num_key_value_heads"] * size, bias=bias)
        self.v_proj = nn.Linear(width, settings["num_key_value_heads"] * size, bias=bias)
        self.o_proj = nn.Linear(heads * size, width, bias=bias)
        self.shared = heads // settings["num_key_value_heads"]

    def forward(
        self,
        hidden: torch.Tensor,
        waves: tuple[torch.Tensor, torch.Tensor],
        mask: torch.Tensor,
        past: tuple[torch.Tensor, torch.Tensor] | None,
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
        """The result, and the keys and values so far. mask: (rows, 1, tokens, keys)."""
        rows, tokens, _ = hidden.shape
        query, key, value = (
            each(hidden).view(rows, tokens, -1, self.size).transpose(1, 2)
            for each in (self.q_proj, self.k_proj, self.v_proj)
        )
        query, key = _turned(query, *waves), _turned(key, *waves)
        if past is not None:
            key, value = torch.cat((past[0], key), 2), torch.cat((past[1], value), 2)
        keys, values = key.repeat_interleave(self.shared, 1), value.repeat_interleave(self.shared, 1)
        found = functional.scaled_dot_product_attention(query, keys, values, attn_mask=mask)
        return self.o_proj(found.transpose(1, 2).reshape(rows, tokens, -1)), (key, value)


class FeedForward(nn.Module):
    """A linear layer that another one gates, and one back."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__()
        width, wide, bias = settings["hidden_size"], settings["intermediate_size"], settings["mlp_bias"]
        self.gate_proj = nn.Linear(width, wide, bias=bias)
        self.up_proj = nn.Linear(width, wide, bias=bias)
        self.down_proj = nn.Linear(wide, width, bias=bias)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.down_proj(
            functional.silu(self.gate_proj(hidden), inplace=True).mul_(self.up_proj(hidden))
        )
        return result


class Layer(nn.Module):
    """Attention, then the feed-forward part; each reads its input through a norm and adds to it."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__()
        width, epsilon = settings["hidden_size"], settings["rms_norm_eps"]
        self.self_attn, self.mlp = Attention(settings), FeedForward(settings)
        self.input_layernorm = nn.RMSNorm(width, eps=epsilon)
        self.post_attention_layernorm = nn.RMSNorm(width, eps=epsilon)

    def forward(self, hidden: torch.Tensor, waves: Any, mask: torch.Tensor, past: Any) -> tuple[torch.Tensor, Any]:
        attended, held = self.self_attn(self.input_layernorm(hidden), waves, mask, past)
        hidden = attended.add_(hidden)
        return self.mlp(self.post_attention_layernorm(hidden)).add_(hidden), held


class Decoder(nn.Module):
    """The layers with the embedding before and the norm behind them."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(settings["vocab_size"], settings["hidden_size"])
        self.layers = nn.ModuleList(Layer(settings) for _ in range(settings["num_hidden_layers"]))
        self.norm = nn.RMSNorm(settings["hidden_size"], eps=settings["rms_norm_eps"])


class LeanLlama(nn.Module):
    """Called as `LlamaForCausalLM` is, and its weights are called as there."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__()
        self.config = SimpleNamespace(**settings, to_dict=lambda: dict(settings))
        self.model = Decoder(settings)
        self.lm_head = nn.Linear(settings["hidden_size"], settings["vocab_size"], bias=False)

    def get_output_embeddings(self) -> nn.Module:
        return self.lm_head

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        past_key_values: Cache | None = None,
        use_cache: bool = False,
    ) -> SimpleNamespace:
        """`logits`, and `past_key_values` if they are wanted. attention_mask: as transformers takes it, or added."""
        before = past_key_values.layers[0][0].shape[2] if past_key_values else 0
        if position_ids is None:
            position_ids = torch.arange(before, before + input_ids.shape[1], device=input_ids.device)[None]
        waves, mask = self._waves(position_ids), _seen(attention_mask, input_ids.shape, before, input_ids.device)
        hidden, held = self.model.embed_tokens(input_ids), list[tuple[torch.Tensor, torch.Tensor]]()
        for number, layer in enumerate(self.model.layers):
            hidden, kept = layer(hidden, waves, mask, past_key_values and past_key_values.layers[number])
            if use_cache:
                held.append(kept)
        logits = self.lm_head(self.model.norm(hidden))
        return SimpleNamespace(logits=logits, past_key_values=Cache(held) if use_cache else None)

    def _waves(self, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosines and sines, (rows, 1, tokens, size)."""
        size = self.config.head_dim
        exponents = torch.arange(0, size, 2, device=positions.device).float() / size
        angles = positions[:, None, :, None].float() / self.config.rope_theta**exponents
        both = torch.cat((angles, angles), -1)
        return both.cos(), both.sin()


def load_lean(folder: Path) -> LeanLlama | None:
    """The model of the folder, its weights mapped from the file; None if it is none that is known here."""
    config, file = folder / "config.json", folder / "model.safetensors"
    if not (config.is_file() and file.is_file()):
        return None
    told = json.loads(config.read_text(encoding="utf-8"))
    if told.get("architectures") != ["LlamaForCausalLM"] or any(
        told.get(key, KNOWN[key]) != KNOWN[key] for key in KNOWN
    ):
        return None
    if told.get("dtype", told.get("torch_dtype")) != "float32" or "rope_theta" not in told:
        return None
    from safetensors.torch import load_file

    heads = told["num_attention_heads"]
    defaults = {"num_key_value_heads": heads, "attention_bias": False, "mlp_bias": False, "tie_word_embeddings": False}
    settings = {**defaults, "head_dim": told["hidden_size"] // heads, **told}
    weights = load_file(file)
    if settings["tie_word_embeddings"]:
        weights["lm_head.weight"] = weights["model.embed_tokens.weight"]
    with torch.device("meta"):
        model = LeanLlama(settings)
    model.load_state_dict(weights, assign=True)
    return model.eval()


def _turned(heads: torch.Tensor, cosines: torch.Tensor, sines: torch.Tensor) -> torch.Tensor:
    first, second = heads.chunk(2, -1)
    return heads * cosines + torch.cat((-second, first), -1) * sines


def _seen(mask: torch.Tensor | None, shape: torch.Size, before: int, device: torch.device) -> torch.Tensor:
    """What may be looked at, (rows, 1, tokens, keys)."""
    if mask is not None and mask.ndim == 4:
        return mask
    seen = torch.ones(shape[1], before + shape[1], dtype=torch.bool, device=device).tril(before)[None, None]
    if mask is None:
        return seen
    # A token of padding at the beginning would see nothing at all, and nothing has no softmax.
    itself = torch.eye(shape[1], before + shape[1], dtype=torch.bool, device=device).roll(before, 1)
    return (seen & mask[:, None, None, :].bool()) | itself
