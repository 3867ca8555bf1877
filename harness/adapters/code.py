"""Say in Python how an object that is here was made: literals, what can be imported, configurations."""

from __future__ import annotations

import inspect
import json
import re
import sys
import sysconfig
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.adapters.protocols import UnsupportedError

UNSET = object()
NOT_SETTINGS = ("transformers_version", "model_type", "architectures", "torch_dtype", "dtype", "_name_or_path")
"""What a configuration notes of its origin."""


@dataclass(slots=True)
class Code:
    """Expressions, and the imports and folders that they need."""

    imports: dict[str, None] = field(default_factory=dict)
    folders: dict[str, None] = field(default_factory=dict)

    def expression(self, value: Any) -> str:
        """The value as Python.

        Raises:
            UnsupportedError: it is neither a literal, nor importable, nor a configuration.
        """
        if value is None or isinstance(value, (bool, int, float, str)):
            return repr(value)
        if isinstance(value, (list, tuple)) and type(value) in (list, tuple):
            inside = [self.expression(each) for each in value]
            return f"[{', '.join(inside)}]" if isinstance(value, list) else _tuple(inside)
        if type(value) is dict:
            return f"{{{', '.join(f'{key!r}: {self.expression(each)}' for key, each in value.items())}}}"
        if hasattr(value, "to_diff_dict"):
            return self.configuration(value)
        if callable(value) and hasattr(value, "__qualname__"):
            return self.name(value)
        raise UnsupportedError(f"{type(value).__name__} {str(value)[:40]!r} is no literal and cannot be imported")

    def name(self, thing: Any) -> str:
        """A class or function by name, imported.

        Raises:
            UnsupportedError: it cannot be imported from another script.
        """
        module, qualname = thing.__module__, thing.__qualname__
        if module == "__main__" or "<" in qualname:
            place = "the script that runs" if module == "__main__" else "a function, or is nameless"
            raise UnsupportedError(f"{qualname} is defined in {place}: it must be importable, from a file of its own")
        home = sys.modules.get(module)
        if _found(home, qualname) is not thing:
            raise UnsupportedError(f"{module}.{qualname} is not what is found under that name")
        top = module.split(".")[0]
        if "." not in qualname and top == "transformers" and getattr(sys.modules[top], qualname, None) is thing:
            self.imports[f"from {top} import {qualname}"] = None
        elif module != "builtins":
            self.imports[f"from {module} import {qualname.split('.')[0]}"] = None
            if folder := _folder(home, module):
                self.folders[folder] = None
        return str(qualname)

    def configuration(self, config: Any) -> str:
        """A configuration of transformers: its class, and what differs from the class's defaults.

        How attention is computed is named too, since a configuration by itself does not say.
        """
        differing = self.differing(config)
        if getattr(config, "_attn_implementation", None):
            differing["attn_implementation"] = config._attn_implementation
        name = self.name(type(config))
        return f"{name}({', '.join(f'{key}={self.expression(value)}' for key, value in differing.items())})"

    def differing(self, config: Any) -> dict[str, Any]:
        """What a configuration has other than by default.

        Raises:
            UnsupportedError: it is not JSON.
        """
        values = config.to_dict()
        try:
            default = type(config)().to_dict()
        except Exception:  # some want arguments
            default = {}
        differing = {
            key: value
            for key, value in values.items()
            if key not in NOT_SETTINGS and key[0] != "_" and (key not in default or default[key] != value)
        }
        try:
            json.dumps(differing)
        except TypeError as error:
            raise UnsupportedError(f"{type(config).__name__} is not JSON: {error}") from error
        return differing

    def constructed(
        self, cls: type, value_of: Callable[[str], Any], expression: Callable[[Any], str], skip: Sequence[str] = ()
    ) -> str:
        """`Class(argument=...)`, with every argument that `value_of` its name knows and that is not the default.

        Raises:
            UnsupportedError: an argument without a default is not known.
        """
        name = self.name(cls)
        parts = []
        # Of the function itself: some libraries make their objects through one that takes anything.
        for each in list(inspect.signature(_init(cls)).parameters.values())[1:]:
            if each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD) or each.name in skip:
                continue
            value = value_of(each.name)
            if value is UNSET and each.default is each.empty:
                raise UnsupportedError(f"{name} is made with {each.name!r}, and keeps nothing of that name")
            if value is not UNSET and not same(value, each.default):
                parts.append(f"{each.name}={expression(value)}")
        return f"{name}({', '.join(parts)})"


def _init(cls: type) -> Callable[..., Any]:
    found: Callable[..., Any] = next(vars(base)["__init__"] for base in cls.__mro__ if "__init__" in vars(base))
    return found


def attribute(thing: Any, name: str, path: str) -> Any:
    """What an object was made with, by the attribute of that name; a layer's number by its place. UNSET if unknown."""
    value = getattr(thing, name, UNSET)
    if value is UNSET and name in ("layer_idx", "layer_id", "layer_number", "layer_index"):
        numbers = re.findall(r"(?:^|\.)(\d+)(?=\.|$)", path)
        value = int(numbers[-1]) if numbers else 0
    return value


def same(value: Any, default: Any) -> bool:
    """Whether an argument may be left out."""
    if default is inspect.Parameter.empty:
        return False
    try:
        return bool(value is default or (type(value) is type(default) and value == default))
    except Exception:  # arrays, and whatever else does not compare
        return False


def place_of(cls: Any) -> str:
    """`package/file.py:line` of a class or function; empty if it has no source."""
    try:
        file, line = inspect.getsourcefile(cls), inspect.getsourcelines(cls)[1]
    except (OSError, TypeError):
        return ""
    home = sys.modules.get(cls.__module__)
    folder = Path(str(getattr(home, "__file__", file))).resolve().parents[_depth(home, cls.__module__)]
    path = Path(str(file)).resolve()
    return f"{path.relative_to(folder) if path.is_relative_to(folder) else path}:{line}"


def arguments(given: Mapping[str, Any], function: Callable[..., Any], array: str) -> str:
    """The arguments of a call, from its leaves by name: arrays as `array` makes them of `inputs["NAME"]`.

    What the function takes by default is left out; numbered ones go by position.
    """
    parameters = inspect.signature(function).parameters
    defaults = {name: each.default for name, each in parameters.items()}
    only = [n for n, each in parameters.items() if each.kind is each.POSITIONAL_ONLY and n != "self"]
    tree: dict[str, Any] = {}
    for leaf, value in given.items():
        keys = re.findall(r"[^\[\]]+", leaf)
        if len(keys) == 1 and not hasattr(value, "shape") and same(value, defaults.get(leaf, inspect.Parameter.empty)):
            continue
        at = tree
        for key in keys[:-1]:
            at = at.setdefault(key, {})
        at[keys[-1]] = array.replace("LEAF", f"inputs[{leaf!r}]") if hasattr(value, "shape") else repr(value)
    by_place = [name for name in tree if name.isdigit() or name in only]
    parts = [_nested(tree[name]) for name in by_place]
    return ", ".join([*parts, *(f"{name}={_nested(value)}" for name, value in tree.items() if name not in by_place)])


def chosen(output: str) -> str:
    """How the array `output` is taken from a `result`: the first of all where it is unnamed."""
    keys = re.findall(r"[^\[\]]+", output)
    return "".join(f"[{int(key) if key.isdigit() else key!r}]" for key in keys)


def _nested(value: Any) -> str:
    if not isinstance(value, dict):
        return str(value)
    if all(key.isdigit() for key in value):
        return _tuple([_nested(each) for each in value.values()])
    return f"{{{', '.join(f'{key!r}: {_nested(each)}' for key, each in value.items())}}}"


def _tuple(inside: Sequence[str]) -> str:
    return f"({', '.join(inside)}{',' if len(inside) == 1 else ''})"


def _found(home: Any, qualname: str) -> Any:
    at = home
    for part in qualname.split("."):
        at = getattr(at, part, None)
    return at


def _folder(home: Any, module: str) -> str:
    """The folder from which a module of the user's own is imported; empty for an installed one."""
    file = getattr(home, "__file__", None)
    if file is None:
        return ""
    path = Path(file).resolve()
    installed = [Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib", "stdlib")]
    if any(path.is_relative_to(each) for each in installed):
        return ""
    return str(path.parents[_depth(home, module)])


def _depth(home: Any, module: str) -> int:
    """How many folders above its file a module is imported from."""
    return module.count(".") + Path(str(getattr(home, "__file__", ""))).name.count("__init__.py")
