"""A scheduler's class from a copy of its installed source: in float64, or with a stated line replaced."""

from __future__ import annotations

import ast
import functools
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from harness.adapters.source import Replaced, line_in, replaced
from harness.errors import SpecError, closest

WIDER = {"float32": "float64", "float": "double"}
"""How these sources spell float32 as an attribute (`torch.float32`, `x.float()`), and the same in float64."""

WIDER_FLAX = {**WIDER, "int32": "int64"}
"""The same for the sources in Flax: under `enable_x64` JAX counts in int64, and `lax.select` wants one type."""

FLAX_SHARED = "scheduling_utils_flax.py"
"""The file from which the schedulers in Flax take the training schedule."""


def scheduler_class(name: str, *, wide: bool, edits: Sequence[Replaced] = ()) -> Any:
    """The class called `name` from a copy of its file in the installed diffusers, or `module:Class` from the module's.

    wide: every float32 that the file spells is float64; the caller sets PyTorch's default type besides (`float64`),
        or JAX's (`enable_x64`). A scheduler in Flax then takes what it shares with others from a copy as well.

    Raises:
        SpecError: there is no such scheduler, or the text to replace is not found exactly once in its file.
    """
    module, _, short = name.rpartition(":")
    package = module.rpartition(".")[0] if module else "diffusers.schedulers"
    file = file_of(name)
    along = (file.with_name(FLAX_SHARED),) if wide and not module and file.stem.endswith("_flax") else ()
    return getattr(copied(file, package=package, wide=wide, edits=tuple(edits), along=along), short)


def scheduler_names() -> tuple[str, ...]:
    """Every scheduler class that the installed diffusers exports, by its file; those of Flax included."""
    return tuple(_files())


def file_of(name: str) -> Path:
    """The file that defines the scheduler.

    Raises:
        SpecError: the installed diffusers has none of that name (close names are offered), or there is no such module.
    """
    if ":" in name:
        spec = find_spec(name.rpartition(":")[0])
        if spec is None or spec.origin is None:
            raise SpecError(f"scheduler {name!r}", "there is no such module", todo="Name it as `package.module:Class`.")
        return Path(spec.origin)
    files = _files()
    if name not in files:
        raise SpecError(
            f"scheduler {name!r}", f"diffusers {version('diffusers')} has none of that name", todo=closest(name, files)
        )
    return files[name]


def line_of(name: str, text: str) -> int:
    """The number of the line on which `text` begins in the scheduler's file, counted from 1.

    Raises:
        SpecError: it does not occur exactly once.
    """
    file = file_of(name)
    return line_in(file.read_text(), text, place=_place(file))


@functools.lru_cache(maxsize=256)
def copied(
    file: Path, *, package: str, wide: bool, edits: tuple[Replaced, ...], along: tuple[Path, ...] = ()
) -> ModuleType:
    """The module of that file, compiled anew from its changed source. It is entered nowhere: `sys.modules` stays.

    along: files of the same package that are copied too, without the edits; what it imports of them comes from there.
    """
    tree = ast.parse(replaced(file.read_text(), edits, place=_place(file)))
    if wide:
        names = WIDER_FLAX if file.stem.endswith("_flax") else WIDER
        tree = ast.fix_missing_locations(_Wider(names).visit(tree))
    module = ModuleType(f"{package}.{file.stem}".lstrip("."))
    module.__file__ = str(file)
    module.__package__ = package
    with ExitStack() as stack:
        for known in (*(copied(other, package=package, wide=wide, edits=()) for other in along), module):
            stack.enter_context(_known(known))
        exec(compile(tree, str(file), "exec"), module.__dict__)
    return module


@contextmanager
def float64(wide: bool) -> Iterator[None]:
    """While it is open PyTorch makes float64 of numbers without a type, as a file's float64 copy expects."""
    import torch

    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64 if wide else torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


class _Wider(ast.NodeTransformer):
    def __init__(self, names: Mapping[str, str]) -> None:
        self.names = names

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        return ast.Attribute(node.value, self.names.get(node.attr, node.attr), node.ctx)


@contextmanager
def _known(module: ModuleType) -> Iterator[None]:
    """Dataclasses look up the module that they are defined in by its name: while they are made, it is this one."""
    before = sys.modules.get(module.__name__)
    sys.modules[module.__name__] = module
    try:
        yield
    finally:
        if before is None:
            del sys.modules[module.__name__]
        else:
            sys.modules[module.__name__] = before


@functools.cache
def _files() -> dict[str, Path]:
    spec = find_spec("diffusers")
    if spec is None or spec.origin is None:
        raise SpecError(
            "diffusers", "is not installed", todo="Install the extra: pip install 'parity-harness[diffusers]'."
        )
    found = {}
    for file in sorted((Path(spec.origin).parent / "schedulers").glob("scheduling_*.py")):
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.ClassDef) and node.name.endswith("Scheduler"):
                found[node.name] = file
    return found


def _place(file: Path) -> str:
    return f"{file.name} of diffusers {version('diffusers')}"
