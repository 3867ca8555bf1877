"""The files of a repository that a case's code stands in: which are loaded, and what they hold."""

from __future__ import annotations

import hashlib
import os
import sys
import traceback
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from harness.adapters.choose import adapt
from harness.adapters.protocols import Holds
from harness.cases.spec import Case, Factory
from harness.files import sha256_of
from harness.parity.playback import Recorded
from harness.parity.stored import Stored
from harness.settings import Repository

INSTALLED = ("site-packages", "dist-packages", ".venv", "venv", ".tox", "node_modules")
"""Folders inside a repository that hold no code of its own."""


def own_modules(root: Path) -> dict[str, Path]:
    """The modules that are loaded from the repository's own files, the harness left out: name -> file."""
    found = {}
    starts = tuple(f"{folder}{os.sep}" for folder in {root, root.resolve()})
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        # By its text first: thousands of modules are loaded, and few are the repository's.
        if isinstance(file, str) and file.startswith(starts) and not f"{name}.".startswith("harness."):
            path = Path(file).resolve()
            if path.is_relative_to(root.resolve()) and not set(path.parts[len(root.parts) :]) & set(INSTALLED):
                found[name] = path
    return found


def forget(root: Path) -> None:
    """Let every module of the repository's own go, so that all of them are imported anew, each seeing the others new.

    What `importlib.reload` does not: a class that one module took from another would be the old one.
    """
    for name in own_modules(root):
        del sys.modules[name]
    # A namespace package has no file; those of the repository hold nothing but modules that are gone.
    for name, module in list(sys.modules.items()):
        places = list(getattr(module, "__path__", ())) if getattr(module, "__file__", "") is None else []
        if places and all(Path(place).resolve().is_relative_to(root) for place in places):
            del sys.modules[name]


def hashes(root: Path) -> dict[str, str]:
    """Every file of `own_modules` by its path from the root -> its sha256."""
    files = sorted(set(own_modules(root).values()))
    return {str(file.relative_to(root.resolve())): sha256_of(file) for file in files if file.is_file()}


def unchanged(root: Path, known: Mapping[str, str]) -> bool:
    """Whether every file that is known holds what it held."""
    return all((root / name).is_file() and sha256_of(root / name) == held for name, held in known.items())


def files_of(case: Case, repository: Repository) -> list[Path]:
    """The files that a case is made of, as far as they are known without running it."""
    files = [case.file]
    if case.conversion:
        files.append(repository.conversions / f"{case.conversion}.toml")
    return files + [file for factory in factories_of(case) for file in _file_of(factory, repository.root)]


def factories_of(case: Case) -> list[Factory]:
    """All that makes something of a case."""
    tokenizers = [case.tokenizer.reference, case.tokenizer.port] if case.tokenizer else []
    factories = [case.reference, case.port, case.inputs, case.convert, case.end_to_end, *tokenizers]
    return [factory for factory in factories if factory]


def files_in(error: BaseException) -> list[Path]:
    """The files that an error came from: those of its traceback and of its causes, and one that cannot be read."""
    found = []
    while error:
        found += [Path(frame.filename) for frame in traceback.extract_tb(error.__traceback__)]
        if isinstance(error, SyntaxError) and error.filename:
            found.append(Path(error.filename))
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
    return found


def weights_digest(*sides: Any) -> str:
    """The weights of these models as a hash; of what holds none, nothing."""
    digest = hashlib.sha256()
    for side in sides:
        held = Recorded(side) if isinstance(side, Stored) else adapt(side)
        for name, weight in held.weights().items() if isinstance(held, Holds) else ():
            digest.update(f"{name} {weight.stored_as} {weight.array.shape}\n".encode())
            digest.update(memoryview(weight.array.tobytes()))
    return digest.hexdigest()


def _file_of(factory: Factory, root: Path) -> list[Path]:
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    try:
        spec = find_spec(factory.factory.partition(":")[0])
    except (ImportError, ValueError, SyntaxError):
        return []
    return [Path(spec.origin)] if spec and spec.origin and Path(spec.origin).is_file() else []
