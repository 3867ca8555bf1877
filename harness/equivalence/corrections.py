"""Changes to the library's source, as data, by which the causes in the register are proved."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.adapters.source import Replaced
from harness.errors import SpecError
from harness.reader import build, load, specification


@specification
class Correction:
    """A text of a module's installed source, found there exactly once, and the text in its place.

    id: of the register's row whose cause it proves; several of one id are made together.
    old, new: the text, and what stands in its place.
    module: below the library, as `models.llama.modeling_flax_llama`. also: modules whose classes extend those of it.
    """

    id: str
    module: str
    old: str
    new: str
    also: tuple[str, ...] = ()


@specification
class _File:
    correction: tuple[Correction, ...]


def read_corrections(folder: Path) -> tuple[Correction, ...]:
    """The corrections of the TOML files in `folder`, each under `[[correction]]`.

    Raises:
        SpecError: an unknown key or a wrong value, with its line.
    """
    found: list[Correction] = []
    for file in sorted(folder.glob("*.toml")):
        found += build(_File, load(file), file=file).correction
    return tuple(found)


def edits(corrections: Sequence[Correction], ids: Sequence[str]) -> dict[str, list[Replaced]]:
    """What `harness.adapters.transformers.corrected` takes: module -> its changes, for those ids.

    Raises:
        SpecError: there is none for an id.
    """
    found: dict[str, list[Replaced]] = {}
    for each in ids:
        chosen = [correction for correction in corrections if correction.id == each]
        if not chosen:
            raise SpecError(f"row {each!r}", "has no correction", todo="Write the change that mends it.")
        for correction in chosen:
            found.setdefault(correction.module, []).append(Replaced(correction.old, correction.new))
    also = [name for each in ids for correction in corrections if correction.id == each for name in correction.also]
    return found | {name: [] for name in also if name not in found}
