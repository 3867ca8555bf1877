"""A torch module in float64: weights cast in place and put back, conversions to shorter types lifted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from harness.adapters.protocols import STORED, State
from harness.adapters.rounding import nudged

SHORT = (torch.float16, torch.bfloat16, torch.float32)
WIDER = {torch.complex64: torch.complex128, **dict.fromkeys(SHORT, torch.float64)}


@contextmanager
def widened(module: torch.nn.Module, state: State = STORED) -> Iterator[None]:
    """While open, the module's parameters and buffers are float64 copies, and so is what torch makes by default."""
    generator = None if state.nudge is None else np.random.default_rng(state.nudge)

    def changed(name: str, data: torch.Tensor) -> torch.Tensor:
        given = state.values.get(name)
        if given is None:
            exact: torch.Tensor = wide(data.detach())
            exact = exact.clone() if data.dtype not in WIDER else exact
        else:  # one copy, and no more: a large model has a gigabyte of them
            exact = torch.from_numpy(np.array(given, np.result_type(given, np.float64))).to(data.device)
        # Values that are given are such as float32 holds, whatever the module holds meanwhile.
        like = data.dtype if given is None else torch.float32
        return _nudged(exact, generator, like=like) if state.moves(name) else exact

    default = torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.float64)
        with _swapped(module, changed):
            yield
    finally:
        torch.set_default_dtype(default)


@contextmanager
def shortened(module: torch.nn.Module, dtype: torch.dtype) -> Iterator[None]:
    """While open, the module's parameters and buffers are of a shorter type, as `module.to(dtype)` makes them."""
    with _swapped(module, lambda _, data: data.to(dtype) if data.is_floating_point() else data.clone()):
        yield


@contextmanager
def _swapped(module: torch.nn.Module, changed: Callable[[str, torch.Tensor], torch.Tensor]) -> Iterator[None]:
    """While open, the module holds what `changed` makes of its parameters and buffers, by name.

    The very tensors from before are put back, so that nothing was rounded and ties are kept.
    """
    parameters = [(name, parameter, parameter.data) for name, parameter in module.named_parameters()]
    buffers = [(owner, name, buffer) for owner in module.modules() for name, buffer in owner._buffers.items()]
    names = {id(buffer): name for name, buffer in module.named_buffers()}
    try:
        for name, parameter, data in parameters:
            parameter.data = changed(name, data)
        casts = {id(buffer): changed(names[id(buffer)], buffer) for _, _, buffer in buffers if buffer is not None}
        for owner, name, buffer in buffers:
            owner._buffers[name] = None if buffer is None else casts[id(buffer)]
        yield
    finally:
        for _, parameter, data in parameters:
            parameter.data = data
        for owner, name, buffer in buffers:
            owner._buffers[name] = buffer


def wide(value: Any) -> Any:
    """A tensor of a shorter floating type in float64 (complex128); anything else as it is."""
    return value.to(WIDER[value.dtype]) if torch.is_tensor(value) and value.dtype in WIDER else value


def _nudged(exact: torch.Tensor, generator: np.random.Generator | None, *, like: torch.dtype) -> torch.Tensor:
    if like not in SHORT:
        return exact
    return torch.from_numpy(nudged(exact.cpu().numpy(), torch.finfo(like).eps, generator)).to(exact.device)


LIFTED = {torch.float32: torch.float64, torch.complex64: torch.complex128}
"""A step in half precision is no caution of the model's, to be lifted, but a loss that both sides must share."""


class Lift(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Makes float64 of every conversion to, or creation of, float32; counts what stays short all the same.

    A model that casts to float32 whatever its type is (a norm, a rotary embedding) has an island there; this lifts it
    without touching the model. `islands` names each operator that still met or made a short value: a constant that is
    no buffer, or a type that is fixed inside an operator.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.islands: Counter[str] = Counter()

    @property
    def places(self) -> tuple[str, ...]:
        """The islands in words, sorted."""
        return tuple(f"{name} x{count}" for name, count in sorted(self.islands.items()))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        kwargs = dict(kwargs or {})
        kwargs = {name: LIFTED.get(value, value) if name == "dtype" else value for name, value in kwargs.items()}
        result = func(*args, **kwargs)
        leaves = torch.utils._pytree.tree_leaves((args, kwargs, result))
        if any(torch.is_tensor(leaf) and leaf.dtype in WIDER for leaf in leaves):
            self.islands[f"{func}"] += 1
        return result
