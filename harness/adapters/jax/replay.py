"""Watch every call of a module while its program is traced, feed it with other inputs, replace its outputs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import jax
import jax.numpy as jnp

from harness.adapters.calling import Draws, arguments_of
from harness.adapters.jax.stepwise import mark
from harness.adapters.leaves import named_tap, with_taps
from harness.adapters.protocols import Leaves

Said = tuple[str, str, str, tuple[int, int]]
"""Of a call: its name, its caller, its class, and what it drew."""


class Watches(Protocol):
    """Stands around the calls of modules while a program is traced."""

    def call(
        self, path: str, cls: type, following: Callable[..., Any], positional: tuple[Any, ...], keywords: Any
    ) -> Any:
        """The result of `following`, which is the call of the module at `path`."""


@dataclass(slots=True)
class Watch:
    """What happened in the calls of one trace, in the order in which they ended.

    feed, graft: call -> leaf -> array, as `Replays.replay` has them. trace: whose values can be handed out; those of
    an inner one (the body of a compiled loop) cannot, and such a call is passed over. marked: gets name and shape of a
    mark for every array that a call is given or puts out; without it none is made.
    """

    feed: Mapping[str, Leaves]
    graft: Mapping[str, Leaves]
    trace: Any
    marked: dict[str, tuple[int, ...]] | None = None
    draws: Draws = field(default_factory=Draws)
    said: list[Said] = field(default_factory=list)
    leaves: list[tuple[dict[str, Any], dict[str, Any]]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    _open: list[str] = field(default_factory=list)

    def call(
        self, path: str, cls: type, following: Callable[..., Any], positional: tuple[Any, ...], keywords: Any
    ) -> Any:
        """The result of `following`, watched."""
        self.counts[path] += 1
        name = path if self.counts[path] == 1 else f"{path}#{self.counts[path]}"
        given = arguments_of(cls, "__call__", positional, keywords)
        inputs = given.leaves(is_array)
        if fed := self.feed.get(name):
            # The types are those of the trace, which are lifted with it.
            types = {leaf: inputs[leaf].dtype for leaf in fed if leaf in inputs}
            changes = {leaf: value.astype(types[leaf]) if leaf in types else value for leaf, value in fed.items()}
            positional, keywords = given.changed(changes)
        elif marks := self._marks(name, GIVEN, inputs):
            positional, keywords = given.changed(marks)
        self._open.append(name)
        self.draws.enter()
        try:
            result = following(*positional, **keywords)
        finally:
            self._open.pop()
            drawn = self.draws.leave()
        outputs = named_tap("", result, is_array=is_array)
        if all(self._ours(leaf) for leaf in [*inputs.values(), *outputs.values()]):
            self.said.append((name, self._open[-1] if self._open else "", cls.__name__, drawn))
            self.leaves.append((inputs, outputs))
        grafted = {
            leaf: value.astype(outputs[leaf].dtype)
            for leaf, value in self.graft.get(name, {}).items()
            if leaf in outputs
        }
        changes = grafted or self._marks(name, MADE, outputs)
        return with_taps(result, changes, is_array=is_array) if changes else result

    def _marks(self, name: str, side: str, leaves: Leaves) -> dict[str, Any]:
        """The leaves that are computed in this trace, with marks."""
        if self.marked is None:
            return {}
        found = {}
        for leaf, value in leaves.items():
            if isinstance(value, jax.core.Tracer) and self._ours(value):
                self.marked[mark_of(name, side, leaf)] = value.shape
                found[leaf] = mark(value, mark_of(name, side, leaf))
        return found

    def _ours(self, leaf: Any) -> bool:
        return is_of(self.trace, leaf)


GIVEN, MADE = "given", "made"
"""The sides of a call."""


def mark_of(call: str, side: str, leaf: str) -> str:
    """The name of the mark of what a call is given, or puts out."""
    return f"{call!r} {side} {leaf!r}"


def instead_of(
    marked: Mapping[str, tuple[int, ...]], feed: Mapping[str, Leaves], graft: Mapping[str, Leaves]
) -> dict[str, Any] | None:
    """What is to stand at each mark; None where something has no mark, or another shape than what is marked."""
    plans = ((GIVEN, feed), (MADE, graft))
    instead = {
        mark_of(call, side, leaf): value
        for side, plan in plans
        for call, leaves in plan.items()
        for leaf, value in leaves.items()
    }
    fits = all(is_array(value) and marked.get(name) == value.shape for name, value in instead.items())
    return instead if fits else None


@dataclass(slots=True)
class Backwards:
    """Adds a zero to everything that goes into a call or comes out of it: its gradient is what flows back there.

    zeros: call -> "inputs" or "outputs" -> leaf -> the zero; without one, only shapes are noted in `shapes`. feed,
    graft: as for `Replays.replay`; they cut the call off from what lies behind or before it, and `total` has what it
    puts out times the gradient that is fed, and what it is given times the gradient that is grafted.
    """

    feed: Mapping[str, Leaves]
    graft: Mapping[str, Leaves]
    trace: Any
    zeros: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)
    shapes: dict[str, dict[str, dict[str, tuple[int, ...]]]] = field(default_factory=dict)
    said: list[Said] = field(default_factory=list)
    total: Any = 0.0
    _counts: Counter[str] = field(default_factory=Counter)
    _open: list[str] = field(default_factory=list)

    def call(
        self, path: str, cls: type, following: Callable[..., Any], positional: tuple[Any, ...], keywords: Any
    ) -> Any:
        """The result of `following`, with zeros added around it."""
        self._counts[path] += 1
        name = path if self._counts[path] == 1 else f"{path}#{self._counts[path]}"
        given = arguments_of(cls, "__call__", positional, keywords)
        inputs = given.leaves(is_array)
        if not all(is_of(self.trace, leaf) for leaf in inputs.values()):
            return following(*positional, **keywords)
        self.said.append((name, self._open[-1] if self._open else "", cls.__name__, (0, 0)))
        if changes := self._changes(name, "inputs", inputs, self.graft):
            positional, keywords = given.changed(changes)
        self._open.append(name)
        try:
            result = following(*positional, **keywords)
        finally:
            self._open.pop()
        if not name:
            return result
        changes = self._changes(name, "outputs", named_tap("", result, is_array=is_array), self.feed)
        return with_taps(result, changes, is_array=is_array) if changes else result

    def _changes(self, name: str, side: str, leaves: Mapping[str, Any], plan: Mapping[str, Leaves]) -> dict[str, Any]:
        changes = {}
        for leaf, value in leaves.items():
            if not is_array(value) or not jnp.issubdtype(value.dtype, jnp.floating) or not is_of(self.trace, value):
                continue
            self.shapes.setdefault(name, {}).setdefault(side, {})[leaf] = value.shape
            cut = leaf in plan.get(name, {})
            if cut:
                weights = plan[name][leaf]
                self.total = self.total + jnp.sum(jnp.where(weights != 0, value * weights, 0.0))
            if self.zeros:
                zero = self.zeros[name][side][leaf].astype(value.dtype)
                changes[leaf] = (jax.lax.stop_gradient(value) if cut else value) + zero
        return changes


def is_of(trace: Any, leaf: Any) -> bool:
    """Whether a value can be handed out of the trace: not one of an inner trace, such as the body of a loop."""
    return not isinstance(leaf, jax.core.Tracer) or getattr(leaf, "_trace", trace) is trace


def trace_of(values: Any) -> Any:
    """The trace that the values belong to."""
    return next((leaf._trace for leaf in jax.tree.leaves(values) if hasattr(leaf, "_trace")), None)


def divided(leaves: Leaves) -> tuple[dict[str, Any], dict[str, Any]]:
    """The arrays, which a compiled program computes, and the rest, which it has fixed."""
    arrays = {name: leaf for name, leaf in leaves.items() if is_array(leaf)}
    return arrays, {name: leaf for name, leaf in leaves.items() if name not in arrays}


def is_array(value: Any) -> bool:
    """Whether the leaf is an array, traced or not."""
    return hasattr(value, "dtype") and hasattr(value, "shape")
