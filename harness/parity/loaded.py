"""The repro of weights that went wrong when a library loaded them: both models, made small by its own way."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from harness.adapters.choose import as_a_script
from harness.adapters.protocols import Array, Loading, Recipe
from harness.parity.floor import FACTOR
from harness.parity.least import CLEAR, LOST

LOAD = "right, got = outputs(*pair())"


def smallest(loading: Loading, output: str) -> tuple[Recipe, float] | None:
    """The functions with the fewest settings under which the module's weights are wrong, and what rounding explains,
    relative to the largest value: by what the outputs are off once the weights are put right.

    None if the weights are right, or if something else is wrong besides.
    """
    settings = dict(loading.settings)
    if _tried(loading, settings, output) is None:
        return None
    for key in list(settings):
        fewer = {name: value for name, value in settings.items() if name != key}
        if _tried(loading, fewer, output) is not None:
            settings = fewer
    after = _tried(loading, settings, output)
    if after is None or after > LOST:
        return None
    text = loading.written(settings, output)
    recipe = Recipe(loading.imports, loading.folders, text, text, (), {}, loading.called, loading.where)
    return recipe, FACTOR * max(after, LOST / CLEAR)


def _tried(loading: Loading, settings: Mapping[str, Any], output: str) -> float | None:
    """By how much the port is off once the module's weights are put right; None if they are right, or nothing shows."""
    space: dict[str, Any] = {"np": np}
    try:
        with as_a_script(double=False), quiet():
            exec("\n".join(loading.imports) + "\n" + loading.written(settings, output), space)
            both = space["pair"]()
            before = _relative(*space["outputs"](*both))
            if not loading.mend(*both) or before <= LOST:
                return None
            return _relative(*space["outputs"](*both))
    except Exception:  # settings that do not go together
        return None


@contextmanager
def quiet() -> Iterator[None]:
    """While open, nothing is logged: a library warns of weights that it did not find, each time."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def _relative(right: Array, got: Array) -> float:
    return float(np.abs(right - got).max() / (np.abs(right).max() or 1.0)) if right.shape == got.shape else float("inf")
