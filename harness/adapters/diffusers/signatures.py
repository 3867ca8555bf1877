"""Which options the scheduler classes take, read from their source: nothing is imported."""

from __future__ import annotations

import ast
import functools
from importlib.util import find_spec

from harness.adapters.diffusers.copies import file_of


@functools.cache
def takes(name: str) -> tuple[str, ...]:
    """The names of the constructor's arguments; none where diffusers is not installed.

    Raises:
        SpecError: the installed diffusers has no scheduler of that name.
    """
    if find_spec("diffusers") is None:
        return ()
    for node in ast.parse(file_of(name).read_text()).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            for part in node.body:
                if isinstance(part, ast.FunctionDef) and part.name == "__init__":
                    return tuple(argument.arg for argument in part.args.args[1:])
    return ()
