"""Pass named inputs to a side that may call its one argument by another name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any


def bind(function: Callable[..., Any], inputs: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Positional and keyword arguments for `function`: a single input goes by position where its name is not taken.

    Several inputs always go by name, since their order says nothing.

    >>> bind(lambda x, y: None, {"x": 1, "y": 2})
    ((), {'x': 1, 'y': 2})
    >>> bind(abs, {"x": 1})
    ((1,), {})
    """
    if len(inputs) != 1:
        return (), dict(inputs)
    try:
        inspect.signature(function).bind_partial(**inputs)
    except (TypeError, ValueError):
        return tuple(inputs.values()), {}
    return (), dict(inputs)
