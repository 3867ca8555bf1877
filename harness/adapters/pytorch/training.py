"""A torch module backwards and in training, in float64."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from harness.adapters.leaves import is_shared
from harness.adapters.protocols import LEARNING_RATE, MOMENTUM, WEIGHT_DECAY, Array, Optimizer

OPTIMIZERS: dict[Optimizer, Callable[[Any], torch.optim.Optimizer]] = {
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=LEARNING_RATE["sgd"], momentum=MOMENTUM),
    "adamw": lambda parameters: torch.optim.AdamW(parameters, lr=LEARNING_RATE["adamw"], weight_decay=WEIGHT_DECAY),
}


class KeepAll(TorchFunctionMode):
    """Dropout keeps every element and scales it as it would those that it keeps; uniform numbers are all the same.

    dropped: elements that went through dropout; uniform: random numbers that the model drew for masks of its own. A
    mask that is drawn by hand keeps every element, too, where the uniform number is one half.
    """

    def __init__(self, uniform: float = 0.5) -> None:
        super().__init__()
        self.value = uniform
        self.dropped = 0
        self.uniform = 0
        self.shared = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        if name in DROPOUTS:
            self.shared += name not in ("dropout", "dropout_")
            return self._kept(*args, **kwargs)
        if name == "scaled_dot_product_attention":
            return self._attended(*args, **kwargs)
        if name in ("rand", "rand_like"):
            drawn = func(*args, **kwargs)
            self.uniform += drawn.numel()
            return drawn.fill_(self.value)
        if name in ("bernoulli", "bernoulli_"):
            kept = args[1] if len(args) > 1 else kwargs.get("p")
            drawn = args[0] if name == "bernoulli_" else torch.empty_like(args[0])
            if kept is None:
                kept = 0.5 if name == "bernoulli_" else args[0]
            self.uniform += drawn.numel()
            # As `floor(p + uniform)` has it, which is how others write the same.
            return drawn.copy_(torch.as_tensor(self.value >= 1 - kept))
        return func(*args, **kwargs)

    def __enter__(self) -> KeepAll:
        super().__enter__()  # type: ignore[no-untyped-call]
        # Functions of torch that call these inside are run with the mode closed.
        self._before = (functional.dropout, functional.scaled_dot_product_attention)
        functional.dropout = self._kept
        functional.scaled_dot_product_attention = self._attended  # type: ignore[assignment]
        return self

    def __exit__(self, *error: Any) -> None:
        functional.dropout, functional.scaled_dot_product_attention = self._before
        super().__exit__(*error)  # type: ignore[no-untyped-call]

    def _attended(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attn_mask: torch.Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        **further: Any,
    ) -> torch.Tensor:
        """Attention of which all is kept. What scales the weights scales their sum alike."""
        result = ATTENTION(query, key, value, attn_mask, 0.0, is_causal, **further)
        return self._kept(result, dropout_p, elements=query.shape[:-1].numel() * key.shape[-2])

    def _kept(  # the names are those of torch.nn.functional.dropout
        self,
        input: torch.Tensor,  # noqa: A002
        p: float = 0.5,
        training: bool = True,
        inplace: bool = False,  # noqa: ARG002
        *,
        elements: int | None = None,
    ) -> torch.Tensor:
        rate = float(p)
        if not training or rate == 0.0:
            return input
        self.dropped += input.numel() if elements is None else elements
        self.shared += is_shared(tuple(input.shape))
        return input * 0.0 if rate >= 1.0 else input / (1.0 - rate)


ATTENTION = functional.scaled_dot_product_attention

DROPOUTS = ("dropout", "dropout_", "dropout1d", "dropout2d", "dropout3d", "feature_dropout")


def loss_of(outputs: Mapping[str, torch.Tensor], cotangents: Mapping[str, Array]) -> torch.Tensor:
    """sum(output x cotangent) over the outputs that have a cotangent; what a cotangent leaves out is not touched."""
    total = torch.zeros((), dtype=torch.float64)
    for name, cotangent in cotangents.items():
        weights = torch.from_numpy(cotangent).to(outputs[name].device)
        # 0 x NaN is NaN: padded positions may hold anything
        total = total.to(weights.device) + torch.where(weights != 0, outputs[name] * weights, 0.0).sum()
    return total


@contextmanager
def trainable(module: torch.nn.Module) -> Iterator[dict[str, torch.nn.Parameter]]:
    """While open, gradients can be taken; yields the parameters that are trained, by name.

    A module without any (it was loaded to be used only) has all of its parameters trained. The gradients that the
    user holds are set aside and put back.
    """
    parameters = {name: each for name, each in module.named_parameters() if each.is_floating_point()}
    wanted = [(each, each.requires_grad, each.grad) for each in parameters.values()]
    frozen = not any(wants for _, wants, _ in wanted)
    try:
        for parameter, wants, _ in wanted:
            parameter.grad = None
            parameter.requires_grad_(wants or frozen)
        with torch.enable_grad():
            yield {name: parameter for name, parameter in parameters.items() if parameter.requires_grad}
    finally:
        for parameter, wants, gradient in wanted:
            # Without this order torch compares the type of a gradient with that of the data while it is float64.
            parameter.grad = None
            parameter.requires_grad_(wants)
            _restore(parameter, gradient)


def _restore(parameter: torch.nn.Parameter, gradient: torch.Tensor | None) -> None:
    if gradient is None:
        return
    data = parameter.data
    parameter.data = data.to(gradient.dtype)
    parameter.grad = gradient
    parameter.data = data


@contextmanager
def in_training(module: torch.nn.Module) -> Iterator[None]:
    """While open, the module is in training mode, with the random state set aside."""
    modes = [(child, child.training) for child in module.modules()]
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    try:
        module.train()
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        for child, training in modes:
            child.training = training
