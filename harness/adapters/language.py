"""What the rooms above may ask of a causal language model, in any framework; none is imported here."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

from harness.adapters.protocols import Array
from harness.errors import BuildError, MissingError

Way = Literal["tree", "prefix", "plain"]
"""How requests are put to a model.

tree: tokens that several requests begin with stand once in a row, and a mask says which tokens each one follows.
prefix: what a batch of requests begins with is run once, and kept in a cache while the rest of each is run.
plain: a row a request, padded on the right.
"""


@dataclass(frozen=True, slots=True)
class Rows:
    """One call of a model, and what is asked of it.

    tokens, positions: (rows, length). valid: (rows, length), false where there is padding.
    seen: (rows, length, length), true where a token (second axis) may look at another (third); None for all before it.
    prefix: tokens that stand before every row, of which the first has position 0.
    row, column, token: (asked,), for each the log-probability of `token` next after what stands at [row, column].
    """

    tokens: Array
    positions: Array
    valid: Array
    row: Array
    column: Array
    token: Array
    seen: Array | None = None
    prefix: Array = field(default_factory=lambda: np.zeros(0, np.int64))


@runtime_checkable
class LanguageModel(Protocol):
    """A causal language model."""

    @property
    def ways(self) -> tuple[Way, ...]:
        """The ways in which it may be asked, the quickest first; whether it then answers rightly is to be proved."""
        ...

    @property
    def context(self) -> int | None:
        """How many tokens it can take; None if that is not known."""
        ...

    @property
    def compiles(self) -> bool:
        """Whether every new shape of a call costs a compilation."""
        ...

    @property
    def shapes(self) -> int:
        """How many shapes of calls have been compiled so far; 0 where nothing is."""
        ...

    def log_probabilities(self, rows: Rows) -> Array:
        """Natural logarithms, (asked,)."""
        ...

    def fingerprint(self) -> str:
        """The sha256 of its weights with their names, shapes and types, and of its configuration."""
        ...

    def versions(self) -> dict[str, str]:
        """Of the libraries that compute: other versions may give other scores."""
        ...

    def describe(self) -> str:
        """The framework and class, for people."""
        ...


def versions_of(*packages: str) -> dict[str, str]:
    """Of those that are loaded."""
    return {name: str(getattr(sys.modules[name], "__version__", "")) for name in packages if name in sys.modules}


KINDS = (
    ("torch.nn.modules.module.Module", "harness.adapters.pytorch.language"),
    ("transformers.modeling_flax_utils.FlaxPreTrainedModel", "harness.adapters.jax.language"),
    ("flax.linen.module.Module", "harness.adapters.jax.language"),
    ("flax.nnx.module.Module", "harness.adapters.jax.language"),
)


def language_model(model: Any, *, place: str = "zero_shot") -> LanguageModel:
    """`model` as a causal language model: one of transformers in PyTorch or Flax, a pair (linen module, params), an NNX
    module, the folder of a checkpoint (which PyTorch then runs), or any object that is a `LanguageModel` already.

    Raises:
        BuildError: no adapter takes the object, or the folder holds no such model.
        MissingError: a package that is needed is not installed.
    """
    if isinstance(model, (str, Path)):
        lean = _module("harness.adapters.pytorch.lean").load_lean(Path(model))
        model = lean or _module("harness.adapters.transformers.causal").load(Path(model))
    subject = model[0] if isinstance(model, tuple) and model else model
    bases = {f"{base.__module__}.{base.__qualname__}" for base in type(subject).__mro__}
    for base, module in KINDS:
        if base in bases:
            made: LanguageModel = _module(module).language_model(model)
            return made
    if isinstance(model, LanguageModel):
        return model
    raise BuildError(
        place,
        f"no adapter takes an object of type {type(model).__module__}.{type(model).__qualname__} as a language model",
        todo="Give a causal language model of transformers, a pair (linen module, params), or an nnx.Module.",
    )


def _module(name: str) -> ModuleType:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        problem = f"needs {error.name}, which is not installed"
        raise MissingError("zero_shot", problem, todo=f"Install {error.name}.") from None
