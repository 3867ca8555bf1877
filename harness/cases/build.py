"""Turn a case's `module:factory` strings into models and inputs."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from harness.cases.spec import Factory
from harness.errors import BuildError, HarnessError, SpecError, closest, origin


def build(factory: Factory, available: Mapping[str, Any], *, root: Path, place: str) -> Any:
    """What the factory makes, called with its own arguments and those of `available` that it has a parameter for.

    root: the folder from which the module is imported, as pytest and Python do for the folder they run in.

    Raises:
        SpecError: no such module or function, an argument it does not take, or a parameter nobody provides.
        BuildError: the factory raised. HarnessError: what it raised itself, if it is one.
    """
    function = resolve(factory.factory, root=root, place=place)
    arguments = _arguments(function, factory, available, place)
    try:
        return function(**arguments)
    except HarnessError:
        raise  # it says itself where, and what to do
    except ModuleNotFoundError as error:
        raise BuildError(place, f"the factory {factory.factory!r} {_lacks(error)}", todo=_install(error)) from error
    except Exception as error:
        raise BuildError(
            place,
            f"the factory {factory.factory!r} raised {type(error).__name__}: {error} (at {origin(error)})",
            todo="Call it by hand with these arguments: " + (", ".join(arguments) or "none") + ".",
        ) from error


def takes(factory: Factory, name: str, *, root: Path, place: str) -> bool:
    """Whether the factory has a parameter of that name.

    Raises:
        SpecError: no such module or function.
    """
    parameters = inspect.signature(resolve(factory.factory, root=root, place=place)).parameters
    return name in parameters


def resolve(name: str, *, root: Path, place: str) -> Callable[..., Any]:
    """The function that `module:function` names.

    Raises:
        SpecError: no such module or function, or what it names cannot be called.
    """
    module_name, _, function_name = name.partition(":")
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and f"{module_name}.".startswith(f"{error.name}."):
            known = _modules(root)
            todo = f"{closest(module_name, known)} It is looked for from {root}."
            if module_name in known:
                package = module_name.partition(".")[0]
                todo = f"Another {package!r} is found before that of {root}: give its folder an __init__.py."
            raise SpecError(
                place, f"{name!r} cannot be imported: there is no module {error.name!r}", todo=todo
            ) from error
        raise SpecError(place, f"{name!r} cannot be imported: it {_lacks(error)}", todo=_install(error)) from error
    except ImportError as error:
        raise SpecError(
            place, f"{name!r} cannot be imported: {error}", todo=f"Install what is missing, or run from {root}."
        ) from error
    except Exception as error:
        raise SpecError(
            place,
            f"{name!r} cannot be imported: {type(error).__name__}: {error} (at {origin(error)})",
            todo=f"Mend it, or run from {root}.",
        ) from error
    function = getattr(module, function_name, None)
    if not callable(function):
        known = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise SpecError(place, f"{module_name} has no function {function_name!r}", todo=closest(function_name, known))
    return function  # type: ignore[no-any-return]


OTHERWISE = {
    "PIL": "pillow",
    "sklearn": "scikit-learn",
    "cv2": "opencv-python",
    "yaml": "pyyaml",
    "skimage": "scikit-image",
}
"""Packages that pip knows by another name than Python."""


def _lacks(error: ModuleNotFoundError) -> str:
    return f"needs the package {(error.name or '').partition('.')[0]!r}, which is not installed (at {origin(error)})"


def _install(error: ModuleNotFoundError) -> str:
    package = (error.name or "").partition(".")[0]
    return f"Run `pip install {OTHERWISE.get(package, package)}`."


def _modules(root: Path) -> list[str]:
    """The modules that may be meant: files of Python up to three folders deep."""
    found = [file.relative_to(root) for depth in ("*", "*/*", "*/*/*") for file in root.glob(f"{depth}.py")]
    return [".".join(path.with_suffix("").parts) for path in found if not path.parts[0].startswith(".")]


def _arguments(
    function: Callable[..., Any], factory: Factory, available: Mapping[str, Any], place: str
) -> dict[str, Any]:
    parameters = inspect.signature(function).parameters
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    for name in factory.arguments:
        if name not in parameters and not takes_any:
            raise SpecError(place, f"{factory.factory!r} takes no argument {name!r}", todo=closest(name, parameters))
    arguments = {name: value for name, value in available.items() if name in parameters} | dict(factory.arguments)
    for name, parameter in parameters.items():
        named = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        if named and parameter.default is parameter.empty and name not in arguments:
            raise SpecError(
                place,
                f"{factory.factory!r} wants {name!r}, which is neither an artifact of the case nor an argument",
                todo=f"Add it under [artifacts] or under arguments; there are {_listed(arguments, available)}.",
            )
    return arguments


def _listed(*tables: Mapping[str, Any]) -> str:
    return ", ".join(sorted({name for table in tables for name in table})) or "none"
