"""Run a torch module with every call watched, fed with inputs from elsewhere, and its outputs replaced."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from harness.adapters.calling import Arguments, arguments_of
from harness.adapters.leaves import named_tap, with_taps
from harness.adapters.protocols import Array, Call, Leaves
from harness.adapters.pytorch.taps import to_numpy, to_tensor
from harness.adapters.pytorch.wide import wide


@contextmanager
def replaying(
    module: torch.nn.Module,
    meet: Callable[[Call], None],
    *,
    feed: Mapping[str, Leaves],
    graft: Mapping[str, Leaves],
    device: torch.device,
) -> Iterator[None]:
    """While open, every call of the module and its submodules is fed, told and grafted."""
    watch = _Watch(meet, feed, graft, device)
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
class _Watch:
    meet: Callable[[Call], None]
    feed: Mapping[str, Leaves]
    graft: Mapping[str, Leaves]
    device: torch.device
    counts: Counter[str] = field(default_factory=Counter)
    open: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    seen: dict[int, tuple[torch.Tensor, int, Array]] = field(default_factory=dict)

    def hooks(self, path: str) -> tuple[Any, Any]:
        def entering(module: torch.nn.Module, positional: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
            self.counts[path] += 1
            name = path if self.counts[path] == 1 else f"{path}#{self.counts[path]}"
            given: Arguments = arguments_of(type(module), "forward", positional, keywords)
            self.open.append((name, self._held(given.leaves(torch.is_tensor))))
            changes = self.feed.get(name)
            return given.changed({leaf: self._tensor(value) for leaf, value in changes.items()}) if changes else None

        def leaving(module: torch.nn.Module, _positional: Any, output: Any) -> Any:
            name, inputs = self.open.pop()
            leaves = named_tap("", output, is_array=torch.is_tensor)
            caller = self.open[-1][0] if self.open else ""
            self.meet(Call(name, caller, type(module).__name__, inputs, self._held(leaves)))
            changes = {leaf: value for leaf, value in self.graft.get(name, {}).items() if leaf in leaves}
            if not changes:
                return None
            tensors = {leaf: self._tensor(value).to(leaves[leaf].dtype) for leaf, value in changes.items()}
            return with_taps(output, tensors, is_array=torch.is_tensor)

        return entering, leaving

    def _held(self, leaves: Mapping[str, Any]) -> dict[str, Any]:
        return {name: self._array(leaf) if torch.is_tensor(leaf) else leaf for name, leaf in leaves.items()}

    def _array(self, tensor: torch.Tensor) -> Array:
        """A copy, the same one for a tensor that was met before and has not been written to since."""
        known = self.seen.get(id(tensor))
        if known is None or known[1] != tensor._version:
            # The tensor is kept as well, so that no other one gets its id.
            known = self.seen[id(tensor)] = (tensor, tensor._version, to_numpy(tensor))
        return known[2]

    def _tensor(self, value: Any) -> Any:
        return wide(to_tensor(value, self.device))
