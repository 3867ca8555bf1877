"""Which options the properties of the schedulers are tried under, and where a registered defect keeps them off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any

import numpy as np

from harness.errors import SpecError
from harness.reader import build, load, specification
from harness.schedulers.grids import CLASSES, CONVERSIONS
from harness.schedulers.training import Settings

TRAINING = 100
"""Timesteps of training: as many as let every step count be tried in no time."""

RUN_STEPS = 12
"""The most steps of a whole run: enough for every start-up and every lower order at the end."""

LIMITS = {
    "count": 0.0,
    "falling": 1e-12,
    "unique": 0.0,
    "arrives": 0.0,
    "begins": 0.0,
    "noised": 1e-12,
    "noised_within": 1e-12,
    "velocity": 1e-12,
    "batch": 1e-12,
    "finite": 0.0,
    "kept": 0.0,
    "again": 1e-12,
    "saved": 0.0,
}
"""The properties and the error that each allows: what is counted, none; in float64, rounding, as in `LEVELS`."""

RUNS = ("noised_within", "batch", "finite", "kept", "again")
"""The properties that take whole runs."""

SOLVERS = (
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "DEISMultistepScheduler",
    "UniPCMultistepScheduler",
    "SASolverScheduler",
)
"""They tell the model whole timesteps, by decision, so that close sigmas may share one."""


@specification
class Special:
    """What an option of some classes is drawn from, in the place of the usual.

    schedulers: the classes. option: its name. values: of it; none where it is left alone.
    """

    schedulers: tuple[str, ...]
    option: str
    values: tuple[Any, ...] = ()


@specification
class Example:
    """A property at options under which a registered defect breaks it.

    property: which. ending: of the check's name. schedulers: the classes. options: of their constructors.
    steps: the step counts.
    """

    property: str
    ending: str = ""
    schedulers: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    steps: tuple[int, ...]

    def check(self) -> str:
        """The name of the check."""
        return f"{self.property}-{self.ending}" if self.ending else self.property


@specification
class Misuse:
    """Options that nobody can mean: misspelt, contradictory, or outside of training.

    id: short, unique. options: of the constructor. steps: how many are asked for.
    schedulers: the classes; none for all.
    """

    id: str
    options: Mapping[str, Any] = field(default_factory=dict)
    steps: int = 5
    schedulers: tuple[str, ...] = ()


@specification
class Options:
    """values: option -> what it is drawn from. special: of single classes. example: known breaks. misuse: to refuse."""

    values: Mapping[str, tuple[Any, ...]]
    special: tuple[Special, ...] = ()
    example: tuple[Example, ...] = ()
    misuse: tuple[Misuse, ...] = ()

    def of(self, name: str, defaults: Mapping[str, Any]) -> dict[str, tuple[Any, ...]]:
        """What each option of the class is drawn from."""
        drawn = {option: values for option, values in self.values.items() if option in defaults}
        for special in self.special:
            if name in special.schedulers:
                drawn[special.option] = special.values
        return {option: values for option, values in drawn.items() if values}

    def examples(self) -> dict[tuple[str, str], tuple[Example, ...]]:
        """(class, check) -> its known breaks."""
        found: dict[tuple[str, str], tuple[Example, ...]] = {}
        for example in self.example:
            for name in example.schedulers:
                key = name, example.check()
                found[key] = (*found.get(key, ()), example)
        return found


def read_options(file: Path) -> Options:
    """The options of a TOML file.

    Raises:
        SpecError: an unknown key or a wrong value, with its line; a class or property that is not there.
    """
    options: Options = build(Options, load(file), file=file)
    named = [entry.schedulers for entry in options.special] + [entry.schedulers for entry in options.example]
    for names in (*named, *(entry.schedulers for entry in options.misuse)):
        for name in names:
            if name not in CLASSES:
                raise SpecError(str(file), f"no class {name!r}", todo="Name one of `CLASSES`.")
    for example in options.example:
        if example.property not in LIMITS:
            raise SpecError(str(file), f"no property {example.property!r}", todo=f"Known are {', '.join(LIMITS)}.")
    return options


def possible(settings: Settings) -> bool:
    """Whether the options go together: one conversion, and what the class itself refuses is not drawn."""
    if sum(bool(settings.get(name)) for name in (*CONVERSIONS, "use_flow_sigmas")) > 1:
        return False
    if (settings.get("prediction_type") == "flow_prediction") != bool(settings.get("use_flow_sigmas")):
        return False
    plain = settings.get("algorithm_type") in ("dpmsolver", "sde-dpmsolver")
    return not (plain and settings.get("final_sigmas_type") == "zero")


def promised(name: str, settings: Settings, steps: int) -> bool:
    """Whether the class promises anything for so many steps; what it gets wrong of them is in the grids."""
    training = settings.get("num_train_timesteps", TRAINING)
    if steps > settings.get("original_inference_steps", training) or (name == "UnCLIPScheduler" and steps == 1):
        return False
    if name == "PNDMScheduler" and not settings["skip_prk_steps"] and steps < 4:
        return False
    spacing = settings.get("timestep_spacing")
    if spacing == "trailing":
        return len(np.arange(training, 0, -(training / steps))) == steps
    if spacing == "leading" and name not in ("LCMScheduler", "TCDScheduler"):
        points = steps + (name in SOLVERS)
        return bool((points - 1) * (training // points) + settings.get("steps_offset", 0) < training)
    return True


def known(prop: str, name: str, settings: Settings, steps: int) -> bool:
    """Whether a registered defect breaks the property there: it is tried in an example of its own."""
    least = settings.get("final_sigmas_type") == "sigma_min"
    rounded = coarse(name, settings)
    if prop in ("begins", *RUNS) and rounded and (prop == "begins" or settings["beta_schedule"] == "squaredcos_cap_v2"):
        return True
    if prop in RUNS and _raises(name, settings):
        return True
    if prop == "finite" and name == "UniPCMultistepScheduler" and not (settings["lower_order_final"] or least):
        return True
    if prop == "arrives":
        repeats = name in ("DEISMultistepScheduler", "SASolverScheduler")
        all_steps = name == "CMStochasticIterativeScheduler" and steps == settings["num_train_timesteps"]
        return repeats or least or all_steps or settings.get("set_alpha_to_one") is False
    if prop in ("unique", "begins"):
        leading = settings.get("timestep_spacing") == "leading"
        return name in SOLVERS and steps >= settings["num_train_timesteps"] - leading
    if prop in ("noised", "noised_within") and steps > 1:
        between = name in ("KDPM2DiscreteScheduler", "DPMSolverSDEScheduler")
        cosine = name == "KDPM2AncestralDiscreteScheduler" and settings["beta_schedule"] == "squaredcos_cap_v2"
        index = name == "FlowMatchHeunDiscreteScheduler"
        return between or cosine or index or (rounded and (prop == "noised" or name == "SASolverScheduler"))
    if prop == "velocity":
        return name == "EulerDiscreteScheduler"
    if prop in ("again", "saved"):
        return name == "DPMSolverSinglestepScheduler" and not settings["lower_order_final"]
    return False


def _raises(name: str, settings: Settings) -> bool:
    """Whether its step raises an error that is no refusal."""
    third = settings.get("algorithm_type") == "sde-dpmsolver++" and settings.get("solver_order") == 3
    clipped = settings.get("algorithm_type") == "noise_prediction" and settings.get("thresholding")
    return bool((name == "EDMDPMSolverMultistepScheduler" and third) or (name == "SASolverScheduler" and clipped))


def coarse(name: str, settings: Settings) -> bool:
    """Whether whole timesteps are told of sigmas that lie between them, so that two may be told alike, by decision."""
    converted = any(settings.get(conversion) for conversion in (*CONVERSIONS, "use_flow_sigmas"))
    return (name in SOLVERS and converted) or (name.startswith("KDPM2") and bool(settings.get("use_karras_sigmas")))


def schedulers() -> Sequence[str]:
    """Every class with a family, in the order of `CLASSES`."""
    return tuple(CLASSES)
