"""The model that a word names: a side of a case, or a folder that transformers wrote."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.cases.spec import case_names, find_cases
from harness.errors import BuildError, SpecError, closest
from harness.parity.case import Parts
from harness.settings import Repository
from harness.zeroshot.size import Size

SIDES = ("reference", "port")


@dataclass(frozen=True, slots=True)
class Named:
    """A model with its tokenizer. size: None where it is not known."""

    name: str
    model: Any
    tokenizer: Any
    size: Size | None


def load_model(word: str, repository: Repository, *, progress: Callable[[str], None] | None = None) -> Named:
    """The model: `CASE` or `CASE:reference` for that side of a case, `CASE:port`, or a folder.

    Raises:
        SpecError: neither (close names are offered). ArtifactError, BuildError: it could not be had or built.
    """
    from harness.adapters.transformers.causal import load, load_tokenizer

    folder = Path(word)
    if folder.is_dir():
        model = load(folder)
        return Named(folder.resolve().name, model, load_tokenizer(folder), size_of(model))
    name, _, side = word.partition(":")
    known = case_names(repository)
    if name not in known or (side or "reference") not in SIDES:
        todo = closest(word, [*known, *(f"{each}:port" for each in known)])
        raise SpecError(f"model {word!r}", "neither a case nor a folder", todo=todo)
    (case,) = find_cases(repository, name)
    parts = Parts(case, repository, progress)
    model = parts.side(side or "reference")
    for held in parts.available.values():
        try:
            return Named(f"{name}:{side or SIDES[0]}", model, load_tokenizer(held), size_of(model))
        except BuildError as error:
            problem = error.problem
    todo = "Name a case whose artifacts hold a tokenizer."
    raise SpecError(f"model {word!r}", problem if parts.available else "the case has no artifact", todo=todo)


def size_of(model: Any) -> Size | None:
    """Its size, where it is a PyTorch model of transformers."""
    from harness.adapters.transformers.causal import size

    found = size(model)
    return Size(found[0], 2.0 * found[1]) if found else None
