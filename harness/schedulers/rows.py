"""The table of samplers, as data: which scheduler with which options, and what it is held against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Any

from harness.adapters.sampling import Recipe
from harness.errors import SpecError, closest
from harness.reader import build, load, specification


@specification
class Variant:
    """Options that are tried on every row that names them. steps: how many; 0 for the row's own."""

    id: str
    options: Mapping[str, Any] = field(default_factory=dict)
    steps: int = 0
    schedule: Mapping[str, Any] = field(default_factory=dict)


@specification
class Row:
    """One sampler.

    id: short, unique. sampler: its name in the table of the diffusers documentation, or the class where that has none.
    scheduler, options, schedule, arguments: the class, and what its constructor, `set_timesteps` and `step` get; no
        scheduler where diffusers has no counterpart.
    steps: how many it is asked to make.
    calls: how often a step calls the model.
    original: the function of k-diffusion without `sample_`, and `original_arguments`; "" where there is none.
    every: how many steps of the scheduler are one of the original.
    quick, variants: ids of the variants that quick and slow tests try on it.
    order: the stated order of convergence; 0 for a stochastic sampler. order_options: the grid it is measured on.
    history: steps at the start whose samples are made exact while the order is measured.
    stochastic: the rule of its noise (see `moments`), or "" for none.
    oracles: what an oracle exists for: original, grid, order, moments, oracle. note: why not the others.
    """

    id: str
    sampler: str
    scheduler: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    schedule: Mapping[str, Any] = field(default_factory=dict)
    arguments: Mapping[str, Any] = field(default_factory=dict)
    steps: int = 12
    calls: int = 1
    original: str = ""
    original_arguments: Mapping[str, Any] = field(default_factory=dict)
    every: int = 1
    quick: tuple[str, ...] = ()
    variants: tuple[str, ...] = ()
    order: float = 0.0
    order_options: Mapping[str, Any] = field(default_factory=dict)
    order_steps: tuple[int, ...] = ()
    history: int = 0
    stochastic: str = ""
    oracle: bool = True
    note: str = ""

    def recipe(self, variant: Variant | None = None, *, wide: bool = True) -> Recipe:
        """How the scheduler is made, with the variant's options over the row's."""
        options, schedule, steps = dict(self.options), dict(self.schedule), self.steps
        if variant is not None:
            options |= variant.options
            schedule |= variant.schedule
            steps = variant.steps or steps
        return Recipe(self.scheduler, steps, options, schedule, dict(self.arguments), wide)


@specification
class Table:
    """All rows and variants of a file."""

    row: tuple[Row, ...]
    variant: tuple[Variant, ...] = ()

    def named(self, id: str) -> Row:  # noqa: A002
        """The row of that id.

        Raises:
            SpecError: there is none; close ids are offered.
        """
        row: Row = _named(id, self.row, "row")
        return row

    def tried(self, row: Row, *, slow: bool) -> tuple[Variant, ...]:
        """The variants of a row, first the row as it stands.

        Raises:
            SpecError: it names one that the table lacks.
        """
        names = (*row.quick, *(name for name in row.variants if name not in row.quick)) if slow else row.quick
        return (Variant(id="as it stands"), *(_named(name, self.variant, "variant") for name in names))


def read_table(file: Path) -> Table:
    """The table of a TOML file.

    Raises:
        SpecError: an unknown key or a wrong value, with its line; two rows of one id; an unknown variant.
    """
    table: Table = build(Table, load(file), file=file)
    for kind, entries in (("row", table.row), ("variant", table.variant)):
        ids = [entry.id for entry in entries]
        for id in ids:  # noqa: A001
            if ids.count(id) > 1:
                raise SpecError(str(file), f"the {kind} {id!r} is there twice", todo="Give one another id.")
    for row in table.row:
        table.tried(row, slow=True)
    return table


def _named(id: str, entries: Any, kind: str) -> Any:  # noqa: A002
    for entry in entries:
        if entry.id == id:
            return entry
    raise SpecError(f"{kind} {id!r}", "not in the table", todo=closest(id, [entry.id for entry in entries]))
