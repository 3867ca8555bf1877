"""A module of transformers as it would be with stated lines replaced, in memory and for a while."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType

from harness.adapters.source import Replaced, line_in, replaced
from harness.adapters.transformers.inplace import bodies, changed_bodies

_OPEN: list[Mapping[str, Sequence[Replaced]]] = []


@contextmanager
def corrected(edits: Mapping[str, Sequence[Replaced]]) -> Iterator[None]:
    """While open, those modules are what their changed source makes of them, for everything that uses their names.

    edits: module below `transformers` (`models.llama.modeling_flax_llama`) -> the texts to replace, in order. A module
        whose classes extend those of another is named too, with no text, after the other.

    Raises:
        SpecError: there is no such module, or a text is not found exactly once in it.
    """
    for name in edits:  # before any is changed: what is imported meanwhile would extend the changed classes for good
        import_module(f"transformers.{name}")
    with ExitStack() as stack:
        for name, texts in edits.items():
            stack.enter_context(_instead(f"transformers.{name}", texts))
        _OPEN.append(edits)
        stack.callback(_OPEN.pop)
        yield


def in_force() -> dict[str, list[Replaced]]:
    """The changes of every `corrected` that is open: for another process that is to have them too."""
    found: dict[str, list[Replaced]] = {}
    for edits in _OPEN:
        for name, texts in edits.items():
            found.setdefault(name, []).extend(texts)
    return found


def line_of(module: str, text: str) -> int:
    """The number of the line on which `text` begins in the module's file, counted from 1."""
    return line_in(_source(import_module(f"transformers.{module}")), text, place=f"correction of {module}")


@contextmanager
def _instead(name: str, texts: Sequence[Replaced]) -> Iterator[None]:
    original = import_module(name)
    source = replaced(_source(original), texts, place=f"correction of {name}")
    # What all models extend is changed in place: their classes, those too that are imported meanwhile, have it as base.
    changes = None if ".models." in name else changed_bodies(original, _source(original), source)
    if changes is not None:
        with bodies(changes):
            yield
        return
    made = ModuleType(name)
    made.__dict__.update(__file__=original.__file__, __package__=original.__package__, __spec__=original.__spec__)
    try:
        sys.modules[name] = made
        # As the file itself would be: this one's `annotations` would make texts of what the library reads as classes.
        exec(compile(source, str(original.__file__), "exec", dont_inherit=True), made.__dict__)
        _swap(original, made)
        yield
    finally:
        sys.modules[name] = original
        # Also where the library has kept a name of it only meanwhile: it imports what it exports when it is asked for.
        _swap(made, original)


def _swap(old: ModuleType, new: ModuleType) -> None:
    """Let every name in the library that means something that `old` defines mean what `new` does."""
    defined = {
        id(value): vars(new)[key]
        for key, value in vars(old).items()
        if key in vars(new)
        and (getattr(value, "__module__", None) == old.__name__ or (isinstance(value, dict) and key.isupper()))
    }
    defined[id(old)] = new
    for module in _modules():
        if module is old or module is new:
            continue
        for key, value in list(vars(module).items()):
            if id(value) in defined:
                setattr(module, key, defined[id(value)])


def _modules() -> list[ModuleType]:
    """Every module of the library, those included that others hold as `transformers` though it is no longer imported:
    some of its own modules import it anew.
    """
    every = [module for module in list(sys.modules.values()) if isinstance(module, ModuleType)]
    found = [module for name, module in list(sys.modules.items()) if name.split(".")[0] == "transformers"]
    found += [held for module in every if (held := vars(module).get("transformers")) is not None]
    return list({id(module): module for module in found if isinstance(module, ModuleType)}.values())


def _source(module: ModuleType) -> str:
    return Path(str(module.__file__)).read_text(encoding="utf-8")
