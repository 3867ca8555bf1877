"""Say how a script calls a function of plain Python."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from harness.adapters.code import Code, chosen, place_of
from harness.adapters.protocols import Recipe


def recipe(function: Callable[..., Any], given: Mapping[str, Any], *, output: str) -> Recipe:
    """A function that can be imported, called with its inputs by position.

    Raises:
        UnsupportedError: it cannot be.
    """
    code = Code()
    name = f"np.{function.__name__}" if isinstance(function, np.ufunc) else code.name(function)
    called = ", ".join(f"inputs[{leaf!r}]" for leaf in given)
    after = chosen(output)
    text = f"def NAME(weights, inputs):\n    result = {name}({called})\n"
    text += f"    return np.asarray({f'result{after}' if after else 'first(result)'})\n"
    return Recipe(tuple(code.imports), tuple(code.folders), text, text, (), {}, name, place_of(function))
