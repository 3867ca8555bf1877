"""Functions of a loaded module made to do what their changed source says, without another module or class."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import CodeType, FunctionType, ModuleType
from typing import Any


@contextmanager
def bodies(changes: list[tuple[FunctionType, CodeType]]) -> Iterator[None]:
    """While open, each function runs that code, for whoever holds it: classes that inherit it too."""
    with ExitStack() as stack:
        for function, code in changes:
            stack.callback(setattr, function, "__code__", function.__code__)
            function.__code__ = code
        yield


def changed_bodies(module: ModuleType, before: str, after: str) -> list[tuple[FunctionType, CodeType]] | None:
    """The functions of the module that two sources of it tell apart, with the code of the second.

    None if they differ elsewhere than in the bodies of functions and methods that the module still has.
    """
    pairs = _differing(
        *(compile(source, str(module.__file__), "exec", dont_inherit=True) for source in (before, after))
    )
    if pairs is None:
        return None
    found = [(_function(module, code.co_qualname), code) for code in pairs]
    usable = [(function, code) for function, code in found if function is not None]
    fits = all(function.__code__.co_freevars == code.co_freevars for function, code in usable)
    return usable if fits and len(usable) == len(found) else None


def _differing(before: CodeType, after: CodeType) -> list[CodeType] | None:
    """The functions in which two modules, or bodies of classes, differ, as the second has them."""
    if (before.co_code, before.co_names) != (after.co_code, after.co_names):
        return None
    found: list[CodeType] = []
    for old, new in zip(before.co_consts, after.co_consts, strict=True):
        if not isinstance(old, CodeType) or not isinstance(new, CodeType):
            if old != new:
                return None
        elif not old.co_flags & inspect.CO_OPTIMIZED:
            inside = _differing(old, new)
            if inside is None:
                return None
            found += inside
        elif _meaning(old) != _meaning(new):
            found.append(new)
    return found


def _meaning(code: Any) -> Any:
    """Code but for the lines where it stands."""
    if not isinstance(code, CodeType):
        return code
    return code.co_code, code.co_names, code.co_varnames, tuple(_meaning(each) for each in code.co_consts)


def _function(module: ModuleType, name: str) -> FunctionType | None:
    """The function of that qualified name, under its decorators, if it is one."""
    value: Any = module
    for part in name.split("."):
        value = vars(value).get(part) if isinstance(value, (type, ModuleType)) else None
    value = getattr(value, "__func__", None) or getattr(value, "fget", None) or value
    value = inspect.unwrap(value) if callable(value) else None
    return value if isinstance(value, FunctionType) else None
