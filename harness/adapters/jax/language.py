"""Causal language models in Flax, of transformers, linen or NNX: plain rows, compiled once a shape."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from harness.adapters.choose import adapt
from harness.adapters.jax.program import Program, arrays_of
from harness.adapters.language import Rows, Way, versions_of
from harness.adapters.protocols import Array
from harness.errors import RunError


@dataclass(slots=True)
class JaxLanguage:
    """A causal language model that is called with `input_ids` and returns `logits`.

    Flax models of transformers make their masks themselves and take none of a tree, so the rows are plain.
    """

    program: Program
    accepts: frozenset[str]
    settings: dict[str, Any]
    name: str
    ways: tuple[Way, ...] = ("plain",)
    compiles: bool = True
    _shapes: set[tuple[int, ...]] = field(default_factory=set)
    _compiled: Callable[..., Any] | None = None

    @property
    def context(self) -> int | None:
        return self.settings.get("max_position_embeddings")

    @property
    def shapes(self) -> int:
        return len(self._shapes)

    def log_probabilities(self, rows: Rows) -> Array:
        if self._compiled is None:
            self._compiled = jax.jit(self._asked)
        self._shapes.add(rows.tokens.shape)
        # As many are asked of every call as there are places, so that their number makes no shape of its own.
        room = rows.tokens.size
        asked = [_filled(each, -(-len(rows.row) // room) * room) for each in (rows.row, rows.column, rows.token)]
        given = {"input_ids": rows.tokens, "attention_mask": rows.valid, "position_ids": rows.positions}
        arrays = {name: jnp.asarray(value, jnp.int32) for name, value in given.items() if name in self.accepts}
        with jax.default_matmul_precision("highest"):
            found = self._compiled(self.program.weights, arrays, *asked)
        return np.asarray(found, np.float64)[: len(rows.row)]

    def fingerprint(self) -> str:
        digest = hashlib.sha256(json.dumps([self.name, self.settings], sort_keys=True, default=str).encode())
        for name, array in self.program.weights.items():
            digest.update(f"{name} {array.shape} {array.dtype}".encode())
            digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
        return digest.hexdigest()

    def versions(self) -> dict[str, str]:
        return versions_of("jax", "jaxlib", "flax", "transformers")

    def describe(self) -> str:
        return self.name

    def _asked(self, weights: Any, arrays: Any, row: Any, column: Any, token: Any) -> Any:
        outputs = arrays_of(self.program.apply(weights, arrays, None)[0])
        if "logits" not in outputs:
            problem = f"returned {', '.join(map(repr, outputs))}, no logits"
            raise RunError(self.name, problem, todo="Give a model with a language modelling head.")
        logits = outputs["logits"].astype(jnp.float32)
        return logits[row, column, token] - jax.nn.logsumexp(logits, axis=-1)[row, column]


def language_model(model: Any) -> JaxLanguage:
    """The model as a causal language model."""
    adapted: Any = adapt(model)
    return JaxLanguage(adapted.kind.program(), adapted.accepts(), adapted.settings(), adapted.describe())


def _filled(array: Array, room: int) -> Array:
    return np.pad(array, (0, room - len(array))).astype(np.int32)
