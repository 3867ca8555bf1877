"""Watch every call of a module while its program is traced, feed it with other inputs, replace its outputs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax

from harness.adapters.calling import arguments_of
from harness.adapters.leaves import named_tap, with_taps
from harness.adapters.protocols import Leaves


@dataclass(slots=True)
class Watch:
    """What happened in the calls of one trace, in the order in which they ended.

    feed, graft: call -> leaf -> array, as `Replays.replay` has them. trace: whose values can be handed out; those of
    an inner one (the body of a compiled loop) cannot, and such a call is passed over.
    """

    feed: Mapping[str, Leaves]
    graft: Mapping[str, Leaves]
    trace: Any
    said: list[tuple[str, str, str]] = field(default_factory=list)
    leaves: list[tuple[dict[str, Any], dict[str, Any]]] = field(default_factory=list)
    _counts: Counter[str] = field(default_factory=Counter)
    _open: list[str] = field(default_factory=list)

    def call(
        self, path: str, cls: type, following: Callable[..., Any], positional: tuple[Any, ...], keywords: Any
    ) -> Any:
        """The result of `following`, watched."""
        self._counts[path] += 1
        name = path if self._counts[path] == 1 else f"{path}#{self._counts[path]}"
        given = arguments_of(cls, "__call__", positional, keywords)
        inputs = given.leaves(is_array)
        if changes := self.feed.get(name):
            positional, keywords = given.changed(changes)
        self._open.append(name)
        try:
            result = following(*positional, **keywords)
        finally:
            self._open.pop()
        outputs = named_tap("", result, is_array=is_array)
        if all(self._ours(leaf) for leaf in [*inputs.values(), *outputs.values()]):
            self.said.append((name, self._open[-1] if self._open else "", cls.__name__))
            self.leaves.append((inputs, outputs))
        changes = {
            leaf: value.astype(outputs[leaf].dtype)
            for leaf, value in self.graft.get(name, {}).items()
            if leaf in outputs
        }
        return with_taps(result, changes, is_array=is_array) if changes else result

    def _ours(self, leaf: Any) -> bool:
        return not isinstance(leaf, jax.core.Tracer) or getattr(leaf, "_trace", self.trace) is self.trace


def is_array(value: Any) -> bool:
    """Whether the leaf is an array, traced or not."""
    return hasattr(value, "dtype") and hasattr(value, "shape")
