"""Leave out of recipes what changes nothing: settings of configurations, and arguments of a call."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from harness.adapters.protocols import Array, Recipe

Run = Callable[[Recipe], Array]
SETTINGS, ARGUMENTS = 16, 8
"""Keywords that are tried: each takes a run of every module on the least input."""


def without_settings(recipes: Sequence[tuple[Recipe, Run]]) -> list[Recipe]:
    """The recipes without those settings that no result depends on, to the last bit.

    What one of them needs stays in all: a port that ignores a setting is to heed it once it is mended.
    """
    found = [recipe for recipe, _ in recipes]
    before = [_ran(run, recipe) for recipe, run in recipes]
    names = dict.fromkeys(name for recipe in found for call in _configurations(recipe.text) for name in _names(call))
    for name in list(names)[:SETTINGS]:
        shorter = [_changed(recipe, name, _configurations) for recipe in found]
        tried = [_ran(run, recipe) for recipe, (_, run) in zip(shorter, recipes, strict=True)]
        if all(map(_same, tried, before)):
            found = shorter
    return found


def without_arguments(recipe: Recipe, run: Run) -> Recipe:
    """The recipe without those arguments of its call that its result does not depend on, to the last bit."""
    before = _ran(run, recipe)
    for name in [each for call in _results(recipe.text) for each in _names(call)][:ARGUMENTS]:
        shorter = _changed(recipe, name, _results)
        recipe = shorter if _same(_ran(run, shorter), before) else recipe
    return recipe


def _ran(run: Run, recipe: Recipe) -> Array | None:
    """What the recipe gives; None if it cannot be run so."""
    try:
        return run(recipe)
    except Exception:  # what is left out may be needed
        return None


def _same(one: Array | None, other: Array | None) -> bool:
    return one is not None and other is not None and np.array_equal(one, other, equal_nan=True)


Calls = Callable[[str | ast.AST], list[ast.Call]]


def _configurations(text: str | ast.AST) -> list[ast.Call]:
    tree = ast.parse(text) if isinstance(text, str) else text
    calls = [each for each in ast.walk(tree) if isinstance(each, ast.Call)]
    return [each for each in calls if ast.unparse(each.func).endswith("Config")]


def _results(text: str | ast.AST) -> list[ast.Call]:
    """The call whose result is wanted."""
    tree = ast.parse(text) if isinstance(text, str) else text
    wanted = [each for each in ast.walk(tree) if isinstance(each, ast.Assign)]
    return [
        each.value for each in wanted if ast.unparse(each.targets[0]) == "result" and isinstance(each.value, ast.Call)
    ]


def _names(call: ast.Call) -> list[str]:
    return [each.arg for each in call.keywords if each.arg is not None]


def _changed(recipe: Recipe, name: str, calls: Calls) -> Recipe:
    return replace(recipe, text=_without(recipe.text, name, calls), text64=_without(recipe.text64, name, calls))


def _without(text: str, name: str, calls: Calls) -> str:
    tree = ast.parse(text)
    found = [call for call in calls(tree) if name in _names(call)]
    for call in found:
        call.keywords = [each for each in call.keywords if each.arg != name]
    return ast.unparse(tree) + "\n" if found else text
