"""The table of samplers, as data: which scheduler with which options, and what it is held against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from pathlib import Path
from typing import Any

from harness.adapters.sampling import Recipe
from harness.adapters.source import Replaced
from harness.errors import SpecError, closest
from harness.reader import build, load, specification


@specification
class Variant:
    """Options that are tried on every row that names them, or their group.

    id: short, unique. group: several variants by one name. options, schedule: what the constructor and `set_timesteps`
    get besides. steps: how many; 0 for the row's own.
    """

    id: str
    group: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    steps: int = 0
    schedule: Mapping[str, Any] = field(default_factory=dict)


@specification
class Row:
    """One sampler.

    id: short, unique. sampler: its name in the table of the diffusers documentation, or the class where that has none.
    scheduler, options, schedule, arguments: the class, and what its constructor, `set_timesteps` and `step` get; no
        scheduler where diffusers has no counterpart. family: for a scheduler `module:Class`, the class in diffusers
        whose samples and model outputs mean the same.
    steps: how many it is asked to make; 0 where `schedule` says it all. begin: the timestep that the run begins with.
    calls: how often a step calls the model.
    original: the function of k-diffusion without `sample_`; "" where there is none. original_arguments: what it gets.
    formula: the rule of `formulas` that it is held against instead.
    every: how many steps of the scheduler are one of the original. lead: how many calls are compared; 0 for all.
    quick, variants: ids of the variants that quick and slow tests try on it.
    weak: the stated order at which mean and variance of a stochastic sampler converge.
    order: the stated order of convergence; 0 for a stochastic sampler. order_options, order_steps: the grids that it
        is measured on. order_until: the least noise (sigma / alpha) at which.
    history: steps at the start, or below 1 the share of all, whose samples are made exact while the order is measured.
    stochastic: whether it adds noise, so that its mean and covariance are compared too.
    oracle: whether it ends at the sample if the model is always right. note: why something is not compared.
    constant_noise: whether the original is compared on a model that says the same noise of every sample, and then by
        its final sample alone.
    edits: changes to the scheduler's source, made in a copy.
    """

    id: str
    sampler: str
    scheduler: str = ""
    family: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    schedule: Mapping[str, Any] = field(default_factory=dict)
    arguments: Mapping[str, Any] = field(default_factory=dict)
    steps: int = 12
    begin: int = 0
    calls: int = 1
    original: str = ""
    original_arguments: Mapping[str, Any] = field(default_factory=dict)
    formula: str = ""
    every: int = 1
    lead: int = 0
    quick: tuple[str, ...] = ()
    variants: tuple[str, ...] = ()
    order: float = 0.0
    weak: float = 0.0
    order_options: Mapping[str, Any] | None = None
    order_steps: tuple[int, ...] = ()
    order_until: float = 0.0
    history: float = 0
    stochastic: bool = False
    oracle: bool = True
    note: str = ""
    constant_noise: bool = False
    edits: tuple[Replaced, ...] = ()

    def recipe(self, variant: Variant | None = None, *, wide: bool = True) -> Recipe:
        """How the scheduler is made, with the variant's options over the row's."""
        options, schedule, steps = dict(self.options), dict(self.schedule), self.steps
        if variant is not None:
            options |= variant.options
            schedule |= variant.schedule
            steps = variant.steps or steps
        made = Recipe(self.scheduler, steps, options, schedule, dict(self.arguments), self.begin, wide)
        return replace(made, edits=self.edits, family=self.family)


@specification
class Without:
    """Schedulers of which no claim is made.

    schedulers: the classes. reason: why.
    """

    schedulers: tuple[str, ...]
    reason: str


@specification
class Table:
    """A file of samplers.

    row: each a sampler. variant: options that are tried on several. without: the schedulers that have no row.
    """

    row: tuple[Row, ...]
    variant: tuple[Variant, ...] = ()
    without: tuple[Without, ...] = ()

    def named(self, id: str) -> Row:  # noqa: A002
        """The row of that id.

        Raises:
            SpecError: there is none; close ids are offered.
        """
        for row in self.row:
            if row.id == id:
                return row
        raise SpecError(f"row {id!r}", "not in the table", todo=closest(id, [row.id for row in self.row]))

    def tried(self, row: Row, *, slow: bool) -> tuple[Variant, ...]:
        """The variants of a row, first the row as it stands.

        Raises:
            SpecError: it names one that the table lacks.
        """
        found = {"as it stands": Variant(id="as it stands")}
        for name in (*row.quick, *(row.variants if slow else ())):
            matches = [each for each in self.variant if name in (each.id, each.group)]
            if not matches:
                known = [name for each in self.variant for name in (each.id, each.group) if name]
                raise SpecError(f"row {row.id!r}", f"no variant or group {name!r}", todo=closest(name, known))
            found |= {each.id: each for each in matches}
        return tuple(found.values())


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
