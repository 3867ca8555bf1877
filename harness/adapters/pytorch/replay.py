"""Run a torch module with every call watched, fed with inputs from elsewhere, and its outputs replaced."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from harness.adapters.calling import Arguments, Draws, arguments_of
from harness.adapters.leaves import named_tap, with_taps
from harness.adapters.protocols import Array, Call, Leaves
from harness.adapters.pytorch.taps import to_numpy, to_tensor, view
from harness.adapters.pytorch.wide import wide


@contextmanager
def watched_by(module: torch.nn.Module, watch: Watch | Backwards) -> Iterator[None]:
    """While open, every call of the module and its submodules goes through `watch`."""
    handles = []
    try:
        for path, submodule in module.named_modules():
            entering, leaving = watch.hooks(path)
            # First in, last out: hooks of the user's own are part of the module.
            handles.append(submodule.register_forward_pre_hook(entering, with_kwargs=True, prepend=True))
            handles.append(submodule.register_forward_hook(leaving))
        yield
    finally:
        for handle in handles:
            handle.remove()


@dataclass(slots=True)
class Watch:
    """Feeds, tells and grafts every call."""

    meet: Callable[[Call], None]
    feed: Mapping[str, Leaves]
    graft: Mapping[str, Leaves]
    device: torch.device
    copies: bool = True
    written: bool = False
    counts: Counter[str] = field(default_factory=Counter)
    open: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    draws: Draws = field(default_factory=Draws)
    seen: dict[int, tuple[torch.Tensor, int, Array]] = field(default_factory=dict)

    def hooks(self, path: str) -> tuple[Any, Any]:
        def entering(module: torch.nn.Module, positional: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
            self.counts[path] += 1
            name = path if self.counts[path] == 1 else f"{path}#{self.counts[path]}"
            given: Arguments = arguments_of(type(module), "forward", positional, keywords)
            self.open.append((name, self._held(given.leaves(torch.is_tensor))))
            self.draws.enter()
            changes = self.feed.get(name)
            return given.changed({leaf: self._tensor(value) for leaf, value in changes.items()}) if changes else None

        def leaving(module: torch.nn.Module, _positional: Any, output: Any) -> Any:
            name, inputs = self.open.pop()
            leaves = named_tap("", output, is_array=torch.is_tensor)
            caller = self.open[-1][0] if self.open else ""
            self.meet(Call(name, caller, type(module).__name__, inputs, self._held(leaves), self.draws.leave()))
            changes = {leaf: value for leaf, value in self.graft.get(name, {}).items() if leaf in leaves}
            if not changes:
                return None
            tensors = {leaf: self._tensor(value).to(leaves[leaf].dtype) for leaf, value in changes.items()}
            return with_taps(output, tensors, is_array=torch.is_tensor)

        return entering, leaving

    def _held(self, leaves: Mapping[str, Any]) -> dict[str, Any]:
        return {name: self._array(leaf) if torch.is_tensor(leaf) else leaf for name, leaf in leaves.items()}

    def _array(self, tensor: torch.Tensor) -> Array:
        """The tensor's array, the same one for a tensor that was met before and has not been written to since."""
        known = self.seen.get(id(tensor))
        if known is None or known[1] != tensor._version:
            # The tensor is kept as well, so that no other one gets its id.
            self.written |= known is not None
            array = to_numpy(tensor) if self.copies else view(tensor)
            known = self.seen[id(tensor)] = (tensor, tensor._version, array)
        return known[2]

    def overwritten(self) -> bool:
        """Whether a tensor that was told without a copy has been written to since, so that nothing told is certain."""
        since = any(tensor._version != version for tensor, version, _ in self.seen.values())
        return not self.copies and (self.written or since)

    def _tensor(self, value: Any) -> Any:
        return wide(to_tensor(value, self.device))


@dataclass(slots=True)
class Backwards:
    """Adds a zero to everything that goes into a call or comes out of it: its gradient is what flows back there.

    What is fed or grafted cuts the call off from what lies behind or before it: the loss has a term instead for what
    it puts out, times the gradient that is fed; and for what it is given, times the gradient that is grafted.
    """

    feed: Mapping[str, Leaves]
    graft: Mapping[str, Leaves]
    device: torch.device
    terms: list[torch.Tensor] = field(default_factory=list)
    calls: list[tuple[str, str, str, dict[str, Any], dict[str, Any]]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    open: list[int] = field(default_factory=list)

    def hooks(self, path: str) -> tuple[Any, Any]:
        """What to do when the module at `path` is called, and when it returns."""

        def entering(module: torch.nn.Module, positional: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
            self.counts[path] += 1
            name = path if self.counts[path] == 1 else f"{path}#{self.counts[path]}"
            given: Arguments = arguments_of(type(module), "forward", positional, keywords)
            caller = self.calls[self.open[-1]][0] if self.open else ""
            zeros: dict[str, torch.Tensor] = {}
            self.open.append(len(self.calls))
            self.calls.append((name, caller, type(module).__name__, {}, zeros))
            changes = self._changes(name, given.leaves(torch.is_tensor), self.graft, zeros)
            return given.changed(changes) if changes else None

        def leaving(_module: torch.nn.Module, _positional: Any, output: Any) -> Any:
            name, *_, zeros, _inputs = self.calls[self.open.pop()]
            if not name:
                return None
            changes = self._changes(name, named_tap("", output, is_array=torch.is_tensor), self.feed, zeros)
            return with_taps(output, changes, is_array=torch.is_tensor) if changes else None

        return entering, leaving

    def _changes(
        self, name: str, leaves: Mapping[str, Any], plan: Mapping[str, Leaves], zeros: dict[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        changes = {}
        for leaf, tensor in leaves.items():
            if not torch.is_tensor(tensor) or not tensor.is_floating_point():
                continue
            cut = leaf in plan.get(name, {})
            if cut and tensor.requires_grad:
                weights = wide(to_tensor(plan[name][leaf], self.device))
                self.terms.append(torch.where(weights != 0, tensor * weights, 0.0).sum())
            zeros[leaf] = torch.zeros_like(tensor).requires_grad_()
            changes[leaf] = (tensor.detach() if cut else tensor) + zeros[leaf]
        return changes

    def finish(self, loss: torch.Tensor, parameters: Mapping[str, torch.Tensor]) -> tuple[list[Call], dict[str, Array]]:
        """The calls, in the order in which gradients leave them, and the gradients of the parameters."""
        every = [
            (zero, into, leaf)
            for number, (*_, outputs, inputs) in enumerate(self.calls)
            for into, zeros in ((number, outputs), (-1 - number, inputs))
            for leaf, zero in zeros.items()
        ]
        total = loss + sum(self.terms)
        wanted = [*(zero for zero, _, _ in every), *parameters.values()]
        found = torch.autograd.grad(total, wanted, allow_unused=True)
        arrays = [
            to_numpy(torch.zeros_like(each) if gradient is None else gradient)
            for each, gradient in zip(wanted, found, strict=True)
        ]
        leaves: dict[int, dict[str, Array]] = {}
        for (_, into, leaf), array in zip(every, arrays, strict=False):
            leaves.setdefault(into, {})[leaf] = array
        calls = [
            Call(name, caller, kind, leaves.get(number, {}), leaves.get(-1 - number, {}))
            for number, (name, caller, kind, _, _) in enumerate(self.calls)
        ]
        return calls[::-1], dict(zip(parameters, arrays[len(every) :], strict=True))
