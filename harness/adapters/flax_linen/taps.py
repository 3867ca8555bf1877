"""Tap a linen model by module path, without touching it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import flax.linen as nn
import jax

from harness.adapters.jax.replay import Watches
from harness.adapters.leaves import named_tap


@contextmanager
def tapped(tap: Callable[[str, Any], None], *, traced: bool = False) -> Iterator[None]:
    """While open, what the `__call__` of every submodule puts out goes to `tap` under its dotted path.

    Values that are being traced (the shape-only pass of a scan, the body of a compiled function) are passed over,
    unless they are asked for by `traced`.
    Interceptors belong to one thread: run the model in this one.
    """
    parents: list[str] = []

    def intercept(following: Callable[..., Any], arguments: Any, keywords: Any, context: Any) -> Any:
        if context.method_name != "__call__":
            return following(*arguments, **keywords)
        path = _path(context.module, parents)
        parents.append(path)
        try:
            result = following(*arguments, **keywords)
        finally:
            parents.pop()
        if path:
            for name, leaf in named_tap(path, result, is_array=lambda value: isinstance(value, jax.Array)).items():
                if traced or not isinstance(leaf, jax.core.Tracer):
                    tap(name, leaf)
        return result

    with nn.intercept_methods(intercept):
        yield


def _path(module: nn.Module, parents: list[str]) -> str:
    """The module's path; that of a module applied on its own inside another (a tied head) hangs on its parent's."""
    path = ".".join(module.path)
    if path or not parents:
        return path
    name = module.name or type(module).__name__
    return f"{parents[-1]}.{name}" if parents[-1] else name


@contextmanager
def replaying(watch: Watches) -> Iterator[None]:
    """While open, `watch` stands around the `__call__` of every module, the model's own included."""
    parents: list[str] = []

    def intercept(following: Callable[..., Any], arguments: Any, keywords: Any, context: Any) -> Any:
        if context.method_name != "__call__":
            return following(*arguments, **keywords)
        path = _path(context.module, parents)
        parents.append(path)
        try:
            return watch.call(path, type(context.module), following, arguments, keywords)
        finally:
            parents.pop()

    with nn.intercept_methods(intercept):
        yield


@contextmanager
def met(meet: Callable[[str, nn.Module], Any]) -> Iterator[None]:
    """While open, `meet` gets the path of every module that is called, and the module as it stands in that call."""
    parents: list[str] = []

    def intercept(following: Callable[..., Any], arguments: Any, keywords: Any, context: Any) -> Any:
        if context.method_name != "__call__":
            return following(*arguments, **keywords)
        path = _path(context.module, parents)
        meet(path, context.module)
        parents.append(path)
        try:
            return following(*arguments, **keywords)
        finally:
            parents.pop()

    with nn.intercept_methods(intercept):
        yield
