"""What the rooms above may ask of a model, one Protocol a capability. No framework is imported here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy.typing as npt

Array = npt.NDArray[Any]
Tap = Callable[[str, Array], None]
"""Called with the path of a module and what it put out, in the order of execution."""


class Runs(Protocol):
    """Can be run, and watched while it runs."""

    def run(self, inputs: Mapping[str, Any], *, tap: Tap | None = None) -> dict[str, Array]:
        """The outputs of one call in inference mode, by name; the model is afterwards as it was before.

        inputs: argument name -> array. tap: gets the output of every module, under its dotted path.
        """

    def run_wide(self, inputs: Mapping[str, Any], *, nudge: int | None = None) -> Wide:
        """The outputs of the same call in float64; the model is afterwards as it was before.

        nudge: a seed; every stored weight is moved by a random part of half a unit in its last place, up or down, as
            far as rounding may have moved it when it was stored.
        """

    def describe(self) -> str:
        """The framework and class, for people: `PyTorch BertModel`."""


@dataclass(frozen=True, slots=True)
class Wide:
    """The outputs of a run in float64, and its islands: the places that computed in a shorter type all the same."""

    outputs: Mapping[str, Array]
    islands: tuple[str, ...] = ()
