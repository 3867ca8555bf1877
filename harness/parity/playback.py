"""A trace in a file as a side: it gives back what was recorded, and can compute nothing new."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from harness.adapters.protocols import (
    FORWARD,
    NOTHING,
    STORED,
    Array,
    Call,
    Leaves,
    Mode,
    State,
    Tap,
    UnsupportedError,
    Weight,
    Wide,
)
from harness.parity.stored import Arrays, Run, Stored
from harness.parity.trace import Trace


@dataclass(frozen=True, slots=True)
class Recorded:
    """The weights of a stored trace, as something that holds them (`Holds`)."""

    stored: Stored

    def weights(self) -> dict[str, Weight]:
        """By name, those that were recorded; none, if none were."""
        arrays = self.stored.arrays(self.stored.index.weights)
        return {name: Weight(array, trained=True, stored_as=str(array.dtype)) for name, array in arrays.items()}

    def accepts(self) -> frozenset[str]:
        """What the first call was given."""
        run = self.stored.index.runs[0]
        return frozenset([*run.inputs, *run.fixed])

    def settings(self) -> dict[str, Any]:
        return {}

    def holding(self, values: Mapping[str, Array]) -> AbstractContextManager[Any]:
        del values
        raise UnsupportedError("is a trace, which holds no other weights")


@dataclass(frozen=True, slots=True)
class Playback:
    """One call of a stored trace, as something that runs (`Runs`) and replays (`Replays`). Arrays are read late."""

    stored: Stored
    number: int = 0

    @property
    def recorded(self) -> Run:
        return self.stored.index.runs[self.number]

    @property
    def inputs(self) -> dict[str, Any]:
        """The inputs of the call."""
        return dict(Arrays(self.stored, self.recorded.inputs, self.recorded.fixed))

    @property
    def trace(self) -> Trace:
        """What the run put out."""
        run, stored = self.recorded, self.stored
        return Trace(stored.arrays(run.outputs), stored.arrays(run.taps), stored.shapes(run.taps))

    def run(self, inputs: Mapping[str, Any], *, tap: Tap | None = None) -> dict[str, Array]:
        del inputs  # those of the recording
        if tap is not None:
            for name, key in self.recorded.taps.items():
                tap(name, self.stored.read(key))
        return dict(self.stored.arrays(self.recorded.outputs))

    def run_wide(self, inputs: Mapping[str, Any], *, state: State = STORED) -> Wide:
        del inputs
        wide = self.recorded.wide
        if wide is None:
            raise UnsupportedError(f"has no float64 in its trace: {self.recorded.why_not_wide}")
        if state.values:
            raise UnsupportedError("is a trace, which holds no other weights")
        outputs = wide.outputs if state.nudge is None else wide.nudged[state.nudge % len(wide.nudged)]
        return Wide(self.stored.arrays(outputs), wide.islands, wide.constants)

    def replay(
        self,
        inputs: Mapping[str, Any],
        meet: Callable[[Call], None],
        *,
        feed: Mapping[str, Leaves] = NOTHING,
        graft: Mapping[str, Leaves] = NOTHING,
        state: State = STORED,
        mode: Mode = FORWARD,
    ) -> Mapping[str, Array]:
        del inputs
        if feed or graft or state.values or state.nudge is not None or mode != FORWARD:
            raise UnsupportedError("a trace can be replayed as it was recorded, and in no other way")
        for call in self.calls().values():
            meet(call)
        return {}

    def calls(self) -> dict[str, Call]:
        """Every call of a module in float64, by name, in the order in which they ended.

        Raises:
            UnsupportedError: none was recorded.
        """
        wide = self.recorded.wide
        if wide is None or not wide.modules:
            why = self.recorded.why_not_wide if wide is None else wide.why_no_modules
            raise UnsupportedError(f"{self.describe()} has no calls of modules in its trace: {why}")
        return {
            each.name: Call(
                each.name,
                each.caller,
                each.kind,
                Arrays(self.stored, each.inputs, each.fixed),
                self.stored.arrays(each.outputs),
            )
            for each in wide.modules
        }

    def describe(self) -> str:
        return self.stored.index.model
