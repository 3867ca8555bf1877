"""Tap an NNX module: each submodule is given a class of its own whose call tells the tap."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
from flax import nnx

from harness.adapters.leaves import named_tap


@contextmanager
def tapped(module: nnx.Module, tap: Callable[[str, Any], None]) -> Iterator[None]:
    """While open, what every submodule that is called puts out goes to `tap` under its dotted path.

    NNX has no hook around calls (its own capture has no order and misses inherited methods). The class of an instance
    is the one place that its graph keeps, also through scan and remat; values that are being traced are passed over.
    """
    watched = [(path, submodule) for path, submodule in nnx.iter_modules(module) if path and callable(submodule)]
    classes = [type(submodule) for _, submodule in watched]
    try:
        for path, submodule in watched:
            # Plain assignment would enter the class into the graph's attributes, and stay there.
            object.__setattr__(submodule, "__class__", _watching(type(submodule), ".".join(map(str, path)), tap))
        yield
    finally:
        for (_, submodule), cls in zip(watched, classes, strict=True):
            object.__setattr__(submodule, "__class__", cls)


def _watching(cls: type, path: str, tap: Callable[[str, Any], None]) -> type:
    def call(self: Any, *arguments: Any, **keywords: Any) -> Any:
        result = cls.__call__(self, *arguments, **keywords)
        for name, leaf in named_tap(path, result, is_array=lambda value: isinstance(value, jax.Array)).items():
            if not isinstance(leaf, jax.core.Tracer):
                tap(name, leaf)
        return result

    return type(cls.__name__, (cls,), {"__call__": call})
