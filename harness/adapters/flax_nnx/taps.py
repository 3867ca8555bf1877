"""Tap an NNX module: each submodule is given a class of its own whose call tells the tap."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
from flax import nnx

from harness.adapters.jax.replay import Watches
from harness.adapters.leaves import named_tap


@contextmanager
def tapped(module: nnx.Module, tap: Callable[[str, Any], None]) -> Iterator[None]:
    """While open, what every submodule that is called puts out goes to `tap` under its dotted path.

    NNX has no hook around calls (its own capture has no order and misses inherited methods). The class of an instance
    is the one place that its graph keeps, also through scan and remat; values that are being traced are passed over.
    """
    with _classes(module, lambda path, cls: _watching(cls, path, tap) if path else cls):
        yield


@contextmanager
def replaying(module: nnx.Module, watch: Watches) -> Iterator[None]:
    """While open, `watch` stands around the call of every module, the given one included."""

    def watched(path: str, cls: type) -> type:
        def call(self: Any, *arguments: Any, **keywords: Any) -> Any:
            return watch.call(path, cls, lambda *a, **k: cls.__call__(self, *a, **k), arguments, keywords)

        return type(cls.__name__, (cls,), {"__call__": call})

    with _classes(module, watched):
        yield


@contextmanager
def _classes(module: nnx.Module, made: Callable[[str, type], type]) -> Iterator[None]:
    """While open, every callable submodule is of the class that `made` makes for its path and its own class."""
    every = [(path, submodule) for path, submodule in nnx.iter_modules(module) if callable(submodule)]
    classes = [type(submodule) for _, submodule in every]
    try:
        for path, submodule in every:
            # Plain assignment would enter the class into the graph's attributes, and stay there.
            object.__setattr__(submodule, "__class__", made(".".join(map(str, path)), type(submodule)))
        yield
    finally:
        for (_, submodule), cls in zip(every, classes, strict=True):
            object.__setattr__(submodule, "__class__", cls)


def _watching(cls: type, path: str, tap: Callable[[str, Any], None]) -> type:
    def call(self: Any, *arguments: Any, **keywords: Any) -> Any:
        result = cls.__call__(self, *arguments, **keywords)
        for name, leaf in named_tap(path, result, is_array=lambda value: isinstance(value, jax.Array)).items():
            if not isinstance(leaf, jax.core.Tracer):
                tap(name, leaf)
        return result

    return type(cls.__name__, (cls,), {"__call__": call})
