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
        signature = inspect.signature(function)
        signature.bind_partial(**inputs)
    except (TypeError, ValueError):
        return tuple(inputs.values()), {}
    # One that takes anything at all (`*args, **kwargs`) hands it on to one that may call it otherwise.
    kinds = {parameter.kind for parameter in signature.parameters.values()}
    anything = inspect.Parameter.VAR_POSITIONAL in kinds and not set(inputs) & set(signature.parameters)
    return (tuple(inputs.values()), {}) if anything else ((), dict(inputs))


def argument_names(cls: type, method: str) -> frozenset[str]:
    """The names of the arguments that `method` of a class takes.

    One that hands on whatever it gets (`**kwargs`) takes what the method that it overrides takes.

    >>> class Base:
    ...     def call(self, ids, mask=None): ...
    >>> class Wrapped(Base):
    ...     def call(self, *args, **kwargs): ...
    >>> sorted(argument_names(Wrapped, "call"))
    ['ids', 'mask']
    """
    names: set[str] = set()
    for base in cls.__mro__:
        function = vars(base).get(method)
        if not callable(function):
            continue
        parameters = inspect.signature(function).parameters.values()
        names |= {each.name for each in parameters if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)}
        if not any(each.kind is each.VAR_KEYWORD for each in parameters):
            break
    return frozenset(names - {"self"})
