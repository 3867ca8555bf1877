"""Models of plain Python and NumPy: any callable, and a chain of named layers for selftests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.adapters.toy.run import PlainModel


def adapt(model: Callable[..., Any]) -> PlainModel:
    """A callable that takes the inputs as keyword arguments and returns an array or named arrays."""
    return PlainModel(model)


__all__ = ["PlainModel", "adapt"]
