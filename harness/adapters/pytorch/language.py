"""Causal language models in PyTorch: a tree of tokens under one mask, the head on what is asked alone."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from harness.adapters.calling import argument_names
from harness.adapters.language import Rows, Way, versions_of
from harness.adapters.protocols import Array
from harness.adapters.pytorch.session import inference
from harness.errors import RunError

CHUNK = 2048
"""So many words of the vocabulary at a time: the logits of 512 tokens then take 4 MB, whatever the vocabulary."""

KEPT = 31 * 2**20
"""Bytes once taken and given back. glibc then keeps twice as many of those that are free, instead of returning them
to the system and having every page cleared anew for the next result: 8 % of the time of scoring with SmolLM2-135M
(`M_TRIM_THRESHOLD` and `M_MMAP_THRESHOLD` in mallopt(3): the threshold moves up to 32 MiB)."""


@dataclass(slots=True)
class TorchLanguage:
    """A causal language model of transformers, or a module that is called like one and returns `logits`.

    It remembers the last prefix with its cache, and whether the model's logits are its head's output and nothing more.
    """

    model: torch.nn.Module
    compiles: bool = False
    shapes: int = 0
    _linear: bool | None = None
    _prefix: tuple[bytes, Any] | None = None

    @property
    def ways(self) -> tuple[Way, ...]:
        takes = argument_names(type(self.model), "forward")
        if self._head() is None:
            return ("plain",)
        tree: tuple[Way, ...] = ("tree",) if {"attention_mask", "position_ids"} <= takes else ()
        prefix: tuple[Way, ...] = ("prefix",) if {"past_key_values", "use_cache"} <= takes else ()
        return (*tree, *prefix, "plain")

    @property
    def context(self) -> int | None:
        configuration = getattr(self.model, "config", None)
        return getattr(configuration, "max_position_embeddings", None)

    def log_probabilities(self, rows: Rows) -> Array:
        with self._session():
            if rows.seen is None and not rows.prefix.size:
                return self._plainly(rows)
            places, which = np.unique(rows.row * rows.tokens.shape[1] + rows.column, return_inverse=True)
            return _numpy(self._sparingly(rows, self._tensor(places), self._tensor(which)))

    def fingerprint(self) -> str:
        digest = hashlib.sha256()
        configuration: Any = getattr(self.model, "config", None)
        if configuration is not None:
            digest.update(json.dumps(configuration.to_dict(), sort_keys=True, default=str).encode())
        for name, tensor in self.model.state_dict(keep_vars=True).items():
            digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
        return digest.hexdigest()

    def versions(self) -> dict[str, str]:
        return versions_of("torch", type(self.model).__module__.partition(".")[0])

    def describe(self) -> str:
        return f"PyTorch {type(self.model).__name__}"

    def _plainly(self, rows: Rows) -> Array:
        """As anybody would: from the model's own logits, of every token."""
        given = {"attention_mask": self._tensor(rows.valid).long(), "position_ids": self._tensor(rows.positions)}
        logits = _logits(self.model(**self._inputs(rows, given)))
        asked = logits[self._tensor(rows.row), self._tensor(rows.column)].float()
        return _numpy(torch.log_softmax(asked, dim=-1).gather(1, self._tensor(rows.token)[:, None])[:, 0])

    def _sparingly(self, rows: Rows, places: torch.Tensor, which: torch.Tensor) -> torch.Tensor:
        """With the head on the places alone (of all rows laid end to end); which: the place of everything asked."""
        tokens = self._tensor(rows.token)
        if self._linear is not False:
            hidden, logits = self._run(rows, places, shown=1 if self._linear is None else 0)
            if self._linear is None:
                self._linear = self._is_linear(hidden[:1], logits)
            if self._linear:
                return self._asked(hidden, which, tokens)
        _, logits = self._run(rows, places, shown=len(places))
        return torch.log_softmax(logits[0].float(), dim=-1)[which, tokens]

    def _run(self, rows: Rows, places: torch.Tensor, *, shown: int) -> tuple[torch.Tensor, torch.Tensor]:
        """What the head is given at the places, and the logits of the first `shown` of them."""
        given = {"position_ids": self._tensor(rows.positions), "attention_mask": self._mask(rows)}
        inputs = self._inputs(rows, {**given, **(self._cache(rows) if rows.prefix.size else {})})
        taken: list[torch.Tensor] = []

        def select(hidden: torch.Tensor) -> torch.Tensor:
            taken.append(hidden.reshape(-1, hidden.shape[-1])[places])
            return taken[-1][None, :shown]

        with _heedful(self._head(), select):
            logits = _logits(self.model(**inputs))
        if len(taken) != 1:
            problem = f"the head was called {len(taken)} times in one call of the model, want once"
            raise RunError(self.describe(), problem, todo="Ask for the way 'plain'.")
        return taken[0], logits

    def _is_linear(self, hidden: torch.Tensor, logits: torch.Tensor) -> bool:
        """Whether the logits are the head's product and nothing more, such as a softcap or a scale."""
        head = self._head()
        if not isinstance(head, torch.nn.Linear):
            return False
        product = functional.linear(hidden, head.weight, head.bias)
        return bool(torch.allclose(product, logits[0], rtol=1e-5, atol=1e-5))

    def _asked(self, hidden: torch.Tensor, which: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """The log-probabilities from what the linear head is given: a part of the vocabulary at a time."""
        head = self._head()
        assert isinstance(head, torch.nn.Linear)
        whole = torch.full((len(hidden),), -torch.inf, device=hidden.device)
        found = torch.zeros(len(tokens), device=hidden.device)
        for start in range(0, len(head.weight), CHUNK):
            part = slice(start, start + CHUNK)
            logits = functional.linear(
                hidden, head.weight[part], None if head.bias is None else head.bias[part]
            ).float()
            inside = (tokens >= start) & (tokens < start + CHUNK)
            found[inside] = logits[which[inside], tokens[inside] - start]
            whole = torch.logaddexp(whole, torch.logsumexp(logits, dim=1))
        return found - whole[which]

    def _mask(self, rows: Rows) -> torch.Tensor:
        """What may be looked at, the prefix in any case.

        Of a tree as attention adds it, nothing where a token may look, (rows, 1, length, prefix and length); otherwise
        1 where there is no padding, (rows, prefix and length).
        """
        seen = rows.valid if rows.seen is None else rows.seen[:, None]
        whole = np.concatenate((np.ones((*seen.shape[:-1], rows.prefix.size), bool), seen), axis=-1)
        if rows.seen is None:
            return self._tensor(whole).long()
        hidden, dtype = self._tensor(~whole), next(self.model.parameters()).dtype
        return torch.zeros(hidden.shape, dtype=dtype, device=hidden.device).masked_fill_(hidden, torch.finfo(dtype).min)

    def _cache(self, rows: Rows) -> dict[str, Any]:
        """The prefix's keys and values, once for every row."""
        key = rows.prefix.tobytes()
        if self._prefix is None or self._prefix[0] != key:
            given = {"input_ids": self._tensor(rows.prefix)[None], "use_cache": True}
            with _heedful(self._head(), lambda hidden: hidden[:, :0]):
                self._prefix = (key, self.model(**given).past_key_values)
        cache = copy.deepcopy(self._prefix[1])
        cache.batch_repeat_interleave(len(rows.tokens))
        return {"past_key_values": cache, "use_cache": True}

    def _inputs(self, rows: Rows, given: Mapping[str, Any]) -> dict[str, Any]:
        takes = argument_names(type(self.model), "forward")
        inputs = {"use_cache": False, **given, "input_ids": self._tensor(rows.tokens)}
        return {name: value for name, value in inputs.items() if name in takes}

    def _head(self) -> torch.nn.Module | None:
        get = getattr(self.model, "get_output_embeddings", None)
        return None if get is None else get()

    def _tensor(self, array: Array) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(next(self.model.parameters()).device)

    def _session(self) -> AbstractContextManager[Any]:
        on = next(self.model.parameters()).device.type
        return inference(self.model, device="gpu" if on == "cuda" else "cpu", precision="highest")


def language_model(model: torch.nn.Module) -> TorchLanguage:
    """The module as a causal language model."""
    torch.empty(KEPT, dtype=torch.uint8)
    return TorchLanguage(model)


@contextmanager
def _heedful(head: torch.nn.Module | None, choose: Callable[[torch.Tensor], torch.Tensor]) -> Iterator[None]:
    """While open, the head is given what `choose` makes of its input."""
    assert head is not None
    handle = head.register_forward_pre_hook(lambda _head, given: (choose(given[0]), *given[1:]))
    try:
        yield
    finally:
        handle.remove()


def _logits(result: Any) -> torch.Tensor:
    logits = result["logits"] if isinstance(result, Mapping) else getattr(result, "logits", result)
    if not isinstance(logits, torch.Tensor):
        problem = f"returned {type(result).__name__} without logits"
        raise RunError("language model", problem, todo="Give a model with a language modelling head.")
    return logits


def _numpy(values: torch.Tensor) -> Array:
    array: Array = values.double().cpu().numpy()
    return array
