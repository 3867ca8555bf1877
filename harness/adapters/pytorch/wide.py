"""A torch module in float64: weights cast in place and put back, conversions to shorter types lifted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

SHORT = (torch.float16, torch.bfloat16, torch.float32)
WIDER = {torch.complex64: torch.complex128, **dict.fromkeys(SHORT, torch.float64)}


@contextmanager
def widened(module: torch.nn.Module, *, nudge: int | None = None) -> Iterator[None]:
    """While open, the module's parameters and buffers are float64, and so is what torch makes by default.

    nudge: a seed, to move every parameter and buffer by up to half a unit in its last place.

    The very tensors from before are put back, so that nothing was rounded and ties are kept.
    """
    parameters = [(parameter, parameter.data) for parameter in module.parameters()]
    buffers = [(owner, name, buffer) for owner in module.modules() for name, buffer in owner._buffers.items()]
    default = torch.get_default_dtype()
    generator = None if nudge is None else np.random.default_rng(nudge)
    try:
        for parameter, data in parameters:
            parameter.data = _nudged(data, generator)
        casts = {id(buffer): _nudged(buffer, generator) for _, _, buffer in buffers if buffer is not None}
        for owner, name, buffer in buffers:
            owner._buffers[name] = None if buffer is None else casts[id(buffer)]
        torch.set_default_dtype(torch.float64)
        yield
    finally:
        torch.set_default_dtype(default)
        for parameter, data in parameters:
            parameter.data = data
        for owner, name, buffer in buffers:
            owner._buffers[name] = buffer


def wide(value: Any) -> Any:
    """A tensor of a shorter floating type in float64 (complex128); anything else as it is."""
    return value.to(WIDER[value.dtype]) if torch.is_tensor(value) and value.dtype in WIDER else value


def _nudged(data: torch.Tensor, generator: np.random.Generator | None) -> Any:
    if generator is None or data.dtype not in SHORT:
        return wide(data)
    ulp = torch.nextafter(data.abs(), torch.full_like(data, torch.inf)) - data.abs()
    part = torch.from_numpy(generator.uniform(-0.5, 0.5, tuple(data.shape))).to(data.device)
    # The mask value of a buffer may be infinite, or the last number before.
    return wide(data) + torch.where(ulp.isfinite(), wide(ulp) * part, 0.0)


class Lift(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Makes float64 of every conversion to, or creation of, a shorter type; counts what stays short all the same.

    A model that casts to float32 whatever its type is (a norm, a rotary embedding) has an island there; this lifts it
    without touching the model. `islands` names each operator that still met or made a short value: a constant that is
    no buffer, or a type that is fixed inside an operator.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.islands: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        kwargs = dict(kwargs or {})
        kwargs = {name: WIDER.get(value, value) if name == "dtype" else value for name, value in kwargs.items()}
        result = func(*args, **kwargs)
        leaves = torch.utils._pytree.tree_leaves((args, kwargs, result))
        if any(torch.is_tensor(leaf) and leaf.dtype in WIDER for leaf in leaves):
            self.islands[f"{func}"] += 1
        return result
