"""Name the arrays inside whatever a model or module returned."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from copy import copy as copy_of
from typing import Any


def named_outputs(result: Any, *, is_array: Callable[[Any], bool]) -> dict[str, Any]:
    """The arrays of a model's result: a mapping's by key, a sequence's by index, a bare array as `output`.

    Deeper ones are `key[index]`; what is neither array, mapping nor sequence (None, a cache object) is left out.

    >>> named_outputs({"logits": 1.0, "hidden": (2.0, 3.0)}, is_array=lambda value: isinstance(value, float))
    {'logits': 1.0, 'hidden[0]': 2.0, 'hidden[1]': 3.0}
    """
    if is_array(result):
        return {"output": result}
    return {f"{key}{inner}": leaf for key, value in _items(result) for inner, leaf in _leaves(value, is_array=is_array)}


def named_tap(path: str, result: Any, *, is_array: Callable[[Any], bool]) -> dict[str, Any]:
    """The arrays of a module's result: the first under the module's `path`, others as `path[key]`.

    One framework returns a bare array where another returns a tuple of one: both are `path`.
    """
    leaves = list(_leaves(result, is_array=is_array))
    return {path if number == 0 else f"{path}{inner}": leaf for number, (inner, leaf) in enumerate(leaves)}


def every_leaf(value: Any, *, is_array: Callable[[Any], bool]) -> Iterator[tuple[str, Any]]:
    """Every array, number, switch and None inside, as `[key][index]`; anything else is left out."""
    if is_array(value) or value is None or isinstance(value, (bool, int, float, str)):
        yield "", value
    for key, item in _items(value):
        for inner, leaf in every_leaf(item, is_array=is_array):
            yield f"[{key}]{inner}", leaf


def with_leaves(value: Any, changes: Mapping[str, Any]) -> Any:
    """The value with the leaves of these names (as `every_leaf` gives them) replaced, in containers of the same kind.

    >>> with_leaves((1, {"a": 2}), {"[1][a]": 3})
    (1, {'a': 3})
    """
    if not changes:
        return value
    if "" in changes:
        return changes[""]
    made = {}
    for key, item in _items(value):
        start = f"[{key}]"
        inner = {name[len(start) :]: leaf for name, leaf in changes.items() if name.startswith(start)}
        made[key] = with_leaves(item, inner)
    if isinstance(value, Mapping):
        copy: Any = copy_of(value)
        for key, item in made.items():
            copy[key] = item
        return copy
    items = list(made.values())
    return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)


def with_taps(result: Any, changes: Mapping[str, Any], *, is_array: Callable[[Any], bool]) -> Any:
    """A module's result with the arrays of these names (as `named_tap("", result)` gives them) replaced."""
    places = [inner for inner, _ in _leaves(result, is_array=is_array)]
    return with_leaves(result, {places[0] if name == "" else name: leaf for name, leaf in changes.items()})


def is_shared(mask: tuple[int, ...]) -> bool:
    """Whether a mask of this shape (batch, tokens, channels) is one for all tokens, or for all channels, of a row."""
    return len(mask) == 3 and mask[0] > 1 and 1 in mask[1:]


def _leaves(value: Any, *, is_array: Callable[[Any], bool]) -> Iterator[tuple[str, Any]]:
    if is_array(value):
        yield "", value
        return
    for key, item in _items(value):
        for inner, leaf in _leaves(item, is_array=is_array):
            yield f"[{key}]{inner}", leaf


def _items(value: Any) -> list[tuple[Any, Any]]:
    if isinstance(value, Mapping):
        return list(value.items())
    if isinstance(value, (list, tuple)):
        return list(enumerate(value))
    return []
