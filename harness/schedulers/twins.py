"""The schedulers in Flax against their twins in PyTorch, as data: which options, how many steps, what is compared."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any, Literal

from harness.adapters.sampling import Recipe, Samples
from harness.errors import SpecError, closest
from harness.reader import build, load, specification
from harness.schedulers.corrections import Corrections

ALGORITHM_2 = "sample_heun"
"""In the place of a twin: k-diffusion's function for algorithm 2 of Karras et al. (arXiv:2206.00364)."""

Precision = Literal["float64", "float32"]


@specification
class Trial:
    """Options that are tried on every row that names them.

    id: short, unique. options, arguments: of both twins' constructors and steps.
    reference_options: of the PyTorch twin's alone.
    steps: how many; none for the row's own. compiled: whether Flax takes them under `jax.jit`, as its pipelines do.
    precisions: the types in which it is tried; none for the row's own.
    """

    id: str
    options: Mapping[str, Any] = field(default_factory=dict)
    reference_options: Mapping[str, Any] = field(default_factory=dict)
    arguments: Mapping[str, Any] = field(default_factory=dict)
    steps: tuple[int, ...] = ()
    compiled: bool = False
    precisions: tuple[Precision, ...] = ()


@specification
class Twin:
    """One claim about a scheduler in Flax.

    id: short, unique. port: the class in Flax. reference: its twin in PyTorch, or `sample_heun`.
    options, reference_options, arguments: as of a trial. port_arguments: of the port's step alone.
    levels: for `sample_heun`, which noise levels: the port's own schedule, or as the paper has it the root of that.
    what: trajectory (every call, every state), noise added (`add_noise` at every timestep of the grid),
        timesteps (what the model is told), or refusal (both raise).
    steps, quick_steps: how many steps the slow and the quick tests ask for.
    trials, quick: ids of the trials of the slow and the quick tests, besides the row as it stands; no quick test
        where `quick_steps` is empty.
    batch: samples at once.
    mended: ids of corrections that are made first, to either twin: known causes that this row is not about.
    precisions: the types in which it is tried. note: for people, what it is about.
    """

    id: str
    port: str
    reference: str
    options: Mapping[str, Any] = field(default_factory=dict)
    reference_options: Mapping[str, Any] = field(default_factory=dict)
    arguments: Mapping[str, Any] = field(default_factory=dict)
    port_arguments: Mapping[str, Any] = field(default_factory=dict)
    levels: Literal["own", "root"] = "own"
    what: Literal["trajectory", "noise added", "timesteps", "refusal"] = "trajectory"
    steps: tuple[int, ...] = (10,)
    quick_steps: tuple[int, ...] = ()
    trials: tuple[str, ...] = ()
    quick: tuple[str, ...] = ()
    batch: int = 5
    mended: tuple[str, ...] = ()
    precisions: tuple[Precision, ...] = ("float64", "float32")
    note: str = ""


@specification
class Table:
    """A file of schedulers in Flax.

    twin: each a claim. trial: options that are tried on several.
    """

    twin: tuple[Twin, ...]
    trial: tuple[Trial, ...] = ()

    def named(self, id: str) -> Twin:  # noqa: A002
        """The row of that id.

        Raises:
            SpecError: there is none; close ids are offered.
        """
        twin: Twin = _named(id, self.twin, "twin")
        return twin

    def tried(self, twin: Twin, *, slow: bool) -> tuple[Trial, ...]:
        """The trials of a row, first the row as it stands.

        Raises:
            SpecError: it names one that the table lacks.
        """
        return (Trial(id=""), *(_named(name, self.trial, "trial") for name in (twin.trials if slow else twin.quick)))


@specification
class Setting:
    """One run of both sides: the row with a trial, a number of steps, a type, and the corrections made."""

    twin: Twin
    trial: Trial
    steps: int
    wide: bool
    corrected: tuple[str, ...] = ()

    def __str__(self) -> str:
        words = (self.trial.id, f"{self.steps} step{'' if self.steps == 1 else 's'}", f"float{64 if self.wide else 32}")
        return ", ".join(word for word in words if word)

    def sides(self, corrections: Corrections) -> tuple[Any, Samples]:
        """Reference and port, ready to run."""
        from harness.adapters.diffusers.choose import driven

        twin, trial, ids = self.twin, self.trial, (*self.twin.mended, *self.corrected)
        options = {**twin.options, **trial.options}
        arguments = {**twin.arguments, **trial.arguments}
        port = Recipe(
            twin.port,
            self.steps,
            options,
            arguments={**arguments, **twin.port_arguments},
            wide=self.wide,
            edits=corrections.of(ids, twin.port),
        )
        if twin.reference == ALGORITHM_2:
            return self._heun(options), driven(port)
        theirs = {**options, **twin.reference_options, **trial.reference_options}
        edits = corrections.of(ids, twin.reference)
        reference = Recipe(twin.reference, self.steps, theirs, arguments=arguments, wide=self.wide, edits=edits)
        return driven(reference), driven(port, compiled=trial.compiled)

    def _heun(self, options: Mapping[str, Any]) -> Any:
        """Algorithm 2 on sigma_max^2 (sigma_min / sigma_max)^(2 i / (N - 1)), or on the root of that, and 0.

        That is t_i in the column VE of the paper's table 1, whose level is sigma(t) = sqrt(t).
        """
        from harness.adapters.k_diffusion.run import Original

        least, most = options["sigma_min"], options["sigma_max"]
        shares = [number / (self.steps - 1) for number in range(self.steps)]
        levels = [most**2 * (least / most) ** (2.0 * share) for share in shares]
        sigmas = (*(map(math.sqrt, levels) if self.twin.levels == "root" else levels), 0.0)
        names = {"s_churn": "s_churn", "s_min": "s_tmin", "s_max": "s_tmax", "s_noise": "s_noise"}
        return Original("heun", sigmas, {to: options[name] for name, to in names.items()}, self.wide)


def read_twins(file: Path) -> Table:
    """The table of a TOML file.

    Raises:
        SpecError: an unknown key or a wrong value, with its line; two rows or trials of one id; an unknown trial.
    """
    table: Table = build(Table, load(file), file=file)
    for kind, entries in (("twin", table.twin), ("trial", table.trial)):
        ids = [entry.id for entry in entries]
        for id in ids:  # noqa: A001
            if ids.count(id) > 1:
                raise SpecError(str(file), f"the {kind} {id!r} is there twice", todo="Give one another id.")
    for twin in table.twin:
        table.tried(twin, slow=True), table.tried(twin, slow=False)
    return table


def settings(table: Table, twin: Twin, *, slow: bool, corrected: Sequence[str] = ()) -> tuple[Setting, ...]:
    """Every run that the quick or the slow tests make of a row."""
    own = twin.steps if slow else twin.quick_steps
    return tuple(
        Setting(twin=twin, trial=trial, steps=steps, wide=precision == "float64", corrected=tuple(corrected))
        for trial in table.tried(twin, slow=slow)
        for steps in trial.steps or own
        for precision in trial.precisions or twin.precisions
    )


def _named(id: str, entries: Any, kind: str) -> Any:  # noqa: A002
    for entry in entries:
        if entry.id == id:
            return entry
    raise SpecError(f"{kind} {id!r}", "not in the table", todo=closest(id, [entry.id for entry in entries]))
