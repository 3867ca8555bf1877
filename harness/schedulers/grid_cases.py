"""Which options the grids are compared under, as data; and how far a scheduler's grid is from the formulas'."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any

from harness.adapters.sampling import Level, Read
from harness.errors import SpecError
from harness.reader import build, load, specification
from harness.schedulers.grids import Grid
from harness.schedulers.training import Settings, training_of

QUICK = (2, 7)
SLOW = (3, 4, 5, 10, 13, 25, 30, 100, 333, 999, 1000)
"""Step counts that are tried unless a case names its own: few, some that do not divide 1000, and all there are."""

LEVELS = 1e-12
"""How far a level may be off in float64, by its size where that is above 1: the gate of the suite. Both sides compute
in float64, so what is left is rounding, at most 2e-13 where they agree (measured)."""

TOLD = 1e-9
"""How far a timestep may be off, in steps, where nothing is rounded: at most 7e-13 where they agree (measured)."""


@specification
class GridCase:
    """Options under which levels and timesteps are compared.

    id: short, unique. groups, also, without: the classes, by group and by name. options: of their constructors.
    grid, told: endings of the names of the checks of levels and of timesteps, "" for none.
    steps, slow: the step counts that quick and slow runs try; the usual ones by default.
    """

    id: str
    groups: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    steps: tuple[int, ...] = ()
    slow: tuple[int, ...] = ()
    grid: str = ""
    told: str = ""

    def counts(self, *, slow: bool) -> tuple[int, ...]:
        """The step counts of a quick run, or all."""
        return (self.steps or QUICK) + ((self.slow or (() if self.steps else SLOW)) if slow else ())

    def check(self, kind: str) -> str:
        """The name of its check of that kind, `grid` or `told`."""
        ending = self.grid if kind == "grid" else self.told
        return f"{kind}-{ending}" if ending else kind


@specification
class GridCases:
    """A file of grids.

    group: name -> scheduler classes. case: options under which the grids of some of them are compared.
    """

    group: Mapping[str, tuple[str, ...]]
    case: tuple[GridCase, ...]

    def classes(self, case: GridCase) -> tuple[str, ...]:
        """The scheduler classes that the case concerns, each once."""
        names = [name for group in case.groups for name in self.group[group]] + list(case.also)
        return tuple(name for name in dict.fromkeys(names) if name not in case.without)

    def named(self, id: str) -> GridCase:  # noqa: A002
        """The case of that id.

        Raises:
            KeyError: there is none.
        """
        return {case.id: case for case in self.case}[id]

    def checks(self) -> dict[tuple[str, str], tuple[GridCase, ...]]:
        """(class, check) -> its cases, in the order of the file."""
        found: dict[tuple[str, str], tuple[GridCase, ...]] = {}
        for case in self.case:
            for name in self.classes(case):
                for kind in ("grid", "told"):
                    key = name, case.check(kind)
                    found[key] = (*found.get(key, ()), case)
        return found


def read_cases(file: Path) -> GridCases:
    """The cases of a TOML file.

    Raises:
        SpecError: an unknown key or a wrong value, with its line; a group that is not there; a case without a class.
    """
    cases: GridCases = build(GridCases, load(file), file=file)
    ids = [case.id for case in cases.case]
    for case in cases.case:
        if ids.count(case.id) > 1:
            raise SpecError(str(file), f"the case {case.id!r} is there twice", todo="Give one another id.")
        unknown = [group for group in case.groups if group not in cases.group]
        if unknown:
            raise SpecError(str(file), f"case {case.id!r}: no group {unknown[0]!r}", todo="Add it under [group].")
        if not cases.classes(case):
            raise SpecError(str(file), f"case {case.id!r} concerns no class", todo="Name groups, or classes in `also`.")
    return cases


def levels_apart(got: Read, want: Grid) -> tuple[float, str]:
    """The largest distance of a level from the formulas', by its size where that is above 1, and where it is.

    By how many there are too many or too few, where the numbers of levels differ; 1 where a level is no number, and
    where there are none because setting them raised.
    """
    if got.refused:
        return 1.0, got.refused
    if len(got.levels) != len(want.levels):
        return float(abs(len(got.levels) - len(want.levels))), f"{len(got.levels)} levels, not {len(want.levels)}"
    errors = [_apart(here, there) for here, there in zip(got.levels, want.levels)]
    worst = max(range(len(errors)), key=errors.__getitem__)
    return errors[worst], f"level {worst} of {len(errors)}: {got.levels[worst]}, not {want.levels[worst]}"


def _apart(got: Level, want: Level) -> float:
    error = max(abs(got.alpha - want.alpha), abs(got.sigma - want.sigma)) / max(1.0, abs(want.sigma))
    return error if math.isfinite(error) else 1.0


def told_apart(got: Read, want: Grid, settings: Settings) -> tuple[float, str]:
    """By how many steps more than it may a timestep is off that of its sample's level, and which one is.

    A class that interpolates the training's sigmas may do it between them or between their logarithms.
    """
    if got.refused:
        return 1.0, got.refused
    if len(got.timesteps) != len(want.timesteps):
        return float(abs(len(got.timesteps) - len(want.timesteps))), (
            f"{len(got.timesteps)} timesteps, not {len(want.timesteps)}"
        )
    errors = [abs(told - right) for told, right in zip(got.timesteps, want.timesteps)]
    if not want.slack and "beta_schedule" in settings and settings.get("timestep_type") != "continuous":
        errors = [min(pair) for pair in zip(errors, _linear(got, want, settings))]
    errors = [max(0.0, error - want.slack) if math.isfinite(error) else 1.0 for error in errors]
    worst = max(range(len(errors)), key=errors.__getitem__)
    return errors[worst], f"timestep {worst}: {got.timesteps[worst]}, not {want.timesteps[worst]:.4f}"


def initial_apart(got: Read, settings: Settings) -> tuple[float, str]:
    """How far `init_noise_sigma` is from the size of the first sample, by that size, and which is which.

    The size is that of pure noise at the first level, or with data of variance 1 besides; the latter alone where sigma
    is unbounded and the spacing leading, whose first level is not nearly all noise. 0 for a class without.
    """
    if got.refused or math.isnan(got.initial):
        return (1.0, got.refused) if got.refused else (0.0, "none")
    first = got.levels[0]
    sizes = [first.sigma, math.hypot(first.alpha, first.sigma)]
    if first.alpha == 1.0 and settings.get("timestep_spacing") == "leading":
        sizes = sizes[1:]
    size = min(sizes, key=lambda size: abs(size - got.initial))
    return abs(size - got.initial) / size, f"{got.initial}, not {size}"


def _linear(got: Read, want: Grid, settings: Settings) -> Sequence[float]:
    training = training_of(settings, floor=True)
    return [abs(told - training.timestep_linear(level.ratio)) for told, level in zip(got.timesteps, want.levels)]
