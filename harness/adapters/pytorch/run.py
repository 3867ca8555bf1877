"""A torch module as something that runs, holds weights, differentiates, trains and decodes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from harness.adapters.calling import argument_names, bind
from harness.adapters.decoding import incremental
from harness.adapters.leaves import named_outputs
from harness.adapters.protocols import (
    FORWARD,
    NOTHING,
    STORED,
    Array,
    Call,
    Chunk,
    Gradients,
    Leaves,
    Mode,
    Optimizer,
    Recipe,
    State,
    Statistics,
    Tap,
    UnsupportedError,
    Weight,
    Wide,
)
from harness.adapters.pytorch import timed
from harness.adapters.pytorch.replay import Backwards, Watch, watched_by
from harness.adapters.pytorch.scripts import recipe
from harness.adapters.pytorch.session import inference
from harness.adapters.pytorch.taps import tapped, to_numpy, to_tensor, view, watched
from harness.adapters.pytorch.training import OPTIMIZERS, KeepAll, in_training, loss_of, trainable
from harness.adapters.pytorch.wide import Lift, shortened, wide, widened
from harness.adapters.timed import Job
from harness.adapters.writing import Writing


@dataclass(frozen=True, slots=True)
class TorchModel:
    """A torch module as something that runs; afterwards it is bit for bit what it was."""

    module: torch.nn.Module
    device: str = "cpu"
    precision: str = "highest"
    framework: ClassVar[str] = "pytorch"

    def run(self, inputs: Mapping[str, Any], *, tap: Tap | None = None) -> dict[str, Array]:
        with inference(self.module, device=self.device, precision=self.precision) as device, ExitStack() as stack:
            if tap is not None:
                stack.enter_context(tapped(self.module, tap))
            return _collect(self._call({name: to_tensor(value, device) for name, value in inputs.items()}))

    def statistics(self, inputs: Mapping[str, Any]) -> dict[str, Statistics]:
        found: dict[str, tuple[tuple[int, ...], torch.Tensor, torch.Tensor]] = {}

        def tell(name: str, leaf: torch.Tensor) -> None:
            # each reads the memory once and makes no copy of it; the norm of order infinity is far slower
            flat = leaf.detach().reshape(-1)
            if flat.is_floating_point() and flat.numel():
                low, high = torch.aminmax(flat)
                largest, size = torch.maximum(high, -low), torch.linalg.vector_norm(flat)
                found[name] = (tuple(leaf.shape), largest, size / flat.numel() ** 0.5)

        with (
            inference(self.module, device=self.device, precision=self.precision) as device,
            watched(self.module, tell),
        ):
            self._call({name: to_tensor(value, device) for name, value in inputs.items()})
            return {name: Statistics(shape, float(a), float(b)) for name, (shape, a, b) in found.items()}

    def run_wide(self, inputs: Mapping[str, Any], *, state: State = STORED) -> Wide:
        """The outputs in float64, with every conversion to a shorter type lifted that goes through torch."""
        lift = Lift()
        with self._wide(state) as device:
            outputs = _collect(self._call(_wide_tensors(inputs, device), lift))
            return Wide(outputs, lift.places)

    def run_stepwise(self, inputs: Mapping[str, Any], *, state: State = STORED) -> dict[str, Array]:
        with self._wide(state) as device:
            return _collect(self._call(_wide_tensors(inputs, device)))

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
        if mode.cotangents is not None:
            return self._replay_backwards(inputs, meet, feed, graft, state, mode)
        # Steps that work in place on what was told are rare: only then is it all told again, from copies.
        calls = self._calls(inputs, feed, graft, state, mode, copies=False)
        if calls is None:
            calls = self._calls(inputs, feed, graft, state, mode, copies=True)
        for call in calls or ():
            meet(call)
        return {}

    def _calls(
        self,
        inputs: Mapping[str, Any],
        feed: Mapping[str, Leaves],
        graft: Mapping[str, Leaves],
        state: State,
        mode: Mode,
        *,
        copies: bool,
    ) -> list[Call] | None:
        """Every call of a run forwards; None if something that was not copied has been written to."""
        calls: list[Call] = []
        with ExitStack() as stack:
            device = stack.enter_context(self._wide(state))
            watch = Watch(calls.append, feed, graft, device, copies)
            if mode.training:
                stack.enter_context(in_training(self.module))
                keep = stack.enter_context(KeepAll())
                watch.draws.count = lambda: (keep.dropped + keep.uniform, keep.shared)
            stack.enter_context(watched_by(self.module, watch))
            if mode.chunks:
                lift = Lift()
                incremental(
                    lambda step: self._call(_wide_tensors(step, device), lift),
                    _collect,
                    inputs,
                    mode.chunks,
                    self.accepts(),
                )
            else:
                self._call(_wide_tensors(inputs, device), Lift())
            return None if watch.overwritten() else calls

    def _replay_backwards(
        self,
        inputs: Mapping[str, Any],
        meet: Callable[[Call], None],
        feed: Mapping[str, Leaves],
        graft: Mapping[str, Leaves],
        state: State,
        mode: Mode,
    ) -> Mapping[str, Array]:
        with ExitStack() as stack:
            device = stack.enter_context(self._wide(state))
            if mode.training:
                stack.enter_context(in_training(self.module))
                stack.enter_context(KeepAll())
            parameters = stack.enter_context(trainable(self.module))
            watch = Backwards(feed, graft, device)
            lift = Lift()
            with watched_by(self.module, watch):
                loss = loss_of(_named(self._call(_wide_tensors(inputs, device), lift)), mode.cotangents or {})
            with lift:
                calls, found = watch.finish(loss, parameters)
        for call in calls:
            meet(call)
        return found

    def run_short(self, inputs: Mapping[str, Any], *, precision: str) -> dict[str, Array]:
        dtype = getattr(torch, precision)
        with inference(self.module, device=self.device, precision="highest") as device, shortened(self.module, dtype):
            tensors = _wide_tensors(inputs, device)
            floats = {n: t.to(dtype) for n, t in tensors.items() if torch.is_tensor(t) and t.is_floating_point()}
            return _collect(self._call(tensors | floats))

    def recipe(
        self, path: str, given: Mapping[str, Any], inputs: Mapping[str, Any], *, output: str, state: State = STORED
    ) -> Recipe:
        del inputs
        return recipe(self.module, path, given, output=output, state=state)

    def weights(self) -> dict[str, Weight]:
        parameters = dict(self.module.named_parameters())
        # A module without any that is trained was loaded to be used only.
        frozen = not any(each.requires_grad for each in parameters.values())
        trained = {name for name, each in parameters.items() if each.requires_grad or frozen}
        both = [*self.module.named_parameters(), *self.module.named_buffers()]
        return {
            name: Weight(view(each), name in trained, str(each.dtype).removeprefix("torch."))
            for name, each in both
            if each.is_floating_point()
        }

    def accepts(self) -> frozenset[str]:
        return argument_names(type(self.module), "forward")

    def settings(self) -> dict[str, Any]:
        configuration = getattr(self.module, "config", None)
        if configuration is not None and hasattr(configuration, "to_dict"):
            found: dict[str, Any] = configuration.to_dict()
            return found
        tables = (each for each in self.module.modules() if isinstance(each, torch.nn.Embedding))
        rows = [each.padding_idx for each in tables if each.padding_idx is not None]
        return {"pad_token_id": rows[0]} if rows else {}

    @contextmanager
    def holding(self, values: Mapping[str, Array]) -> Iterator[torch.nn.Module]:
        with self._wide(State(values)):
            yield self.module

    def gradients(
        self, inputs: Mapping[str, Any], cotangents: Mapping[str, Array], *, state: State = STORED
    ) -> Gradients:
        lift = Lift()
        with self._wide(state) as device, trainable(self.module) as parameters:
            tensors = _wide_tensors(inputs, device)
            floats = {
                name: each.detach().clone().requires_grad_()
                for name, each in tensors.items()
                if torch.is_tensor(each) and each.is_floating_point()
            }
            loss = loss_of(_named(self._call(tensors | floats, lift)), cotangents)
            wanted = [*parameters.values(), *floats.values()]
            with lift:
                found = torch.autograd.grad(loss, wanted, allow_unused=True)
            arrays = [
                to_numpy(torch.zeros_like(each) if gradient is None else gradient)
                for each, gradient in zip(wanted, found, strict=True)
            ]
            names = dict(zip([*parameters, *floats], arrays, strict=True))
            # A parameter that this side does not train has no gradient: none flows.
            every = {name: names.get(name, 0.0 * to_numpy(each)) for name, each in self.module.named_parameters()}
            return Gradients(every, {name: names[name] for name in floats}, lift.places)

    def has_training_mode(self) -> bool:
        return True

    def run_training(
        self, inputs: Mapping[str, Any], *, state: State = STORED, seed: int = 0, uniform: float = 0.5
    ) -> Wide:
        lift = Lift()
        with self._wide(state) as device, in_training(self.module), KeepAll(uniform) as keep:
            torch.manual_seed(seed)
            outputs = _collect(self._call(_wide_tensors(inputs, device), lift))
            buffers = {name: to_numpy(each) for name, each in self.module.named_buffers() if each.is_floating_point()}
            drawn = {"dropped": keep.dropped, "uniform": keep.uniform, "shared": keep.shared}
            return Wide(outputs, lift.places, buffers=buffers, **drawn)

    def train(
        self,
        inputs: Mapping[str, Any],
        cotangents: Mapping[str, Array],
        *,
        optimizer: Optimizer,
        steps: int,
        frozen: Collection[str] = (),
        state: State = STORED,
    ) -> dict[str, Array]:
        with self._wide(state) as device, in_training(self.module), trainable(self.module) as every:
            parameters = {name: each for name, each in every.items() if name not in frozen}
            chosen = OPTIMIZERS[optimizer](list(parameters.values()))
            with KeepAll():
                for _ in range(steps):
                    chosen.zero_grad()
                    loss = loss_of(_named(self._call(_wide_tensors(inputs, device), Lift())), cotangents)
                    with Lift():
                        loss.backward()  # type: ignore[no-untyped-call]
                    for parameter in parameters.values():
                        # torch passes over a parameter that the loss does not reach; optax decays it all the same.
                        parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
                    chosen.step()
            both = [*self.module.named_parameters(), *self.module.named_buffers()]
            return {name: to_numpy(each) for name, each in both if each.is_floating_point()}

    def draw(
        self, inputs: Mapping[str, Any], *, draws: int, seed: int, state: State = STORED
    ) -> list[dict[str, Array]]:
        found = []
        for number in range(draws):
            # Anew for each, since a run in training mode may change the buffers.
            with self._wide(state) as device, in_training(self.module):
                torch.manual_seed(seed + number)
                found.append(_collect(self._call(_wide_tensors(inputs, device), Lift())))
        return found

    def decode(self, inputs: Mapping[str, Any], chunks: Sequence[Chunk], *, state: State = STORED) -> Wide:
        lift = Lift()
        with self._wide(state) as device:
            outputs = incremental(
                lambda step: self._call(_wide_tensors(step, device), lift), _collect, inputs, chunks, self.accepts()
            )
            return Wide(outputs, lift.places)

    def generate(self, inputs: Mapping[str, Any], how: Writing) -> Array:
        able = getattr(self.module, "can_generate", lambda: False)
        if not able():
            raise UnsupportedError("the model does not generate")
        with inference(self.module, device=self.device, precision=self.precision) as device:
            tensors = {name: to_tensor(value, device) for name, value in inputs.items()}
            module: Any = self.module
            written = module.generate(**tensors, **how.options())
            return to_numpy(getattr(written, "sequences", written))  # with states or attentions it is a record

    def lacks(self, job: Job) -> str:
        return timed.lacks(self.module, job, self.device)

    def ready(self, inputs: Mapping[str, Any], job: Job) -> AbstractContextManager[timed.TorchCall]:
        return timed.ready(self.module, inputs, job, device=self.device)

    def describe(self) -> str:
        return f"PyTorch {type(self.module).__name__}"

    @contextmanager
    def _wide(self, state: State) -> Iterator[torch.device]:
        with (
            inference(self.module, device=self.device, precision=self.precision) as device,
            widened(self.module, state),
        ):
            yield device

    def _call(self, tensors: Mapping[str, Any], lift: Lift | None = None) -> Any:
        positional, named = bind(self.module.forward, tensors)
        with lift or nullcontext():
            return self.module(*positional, **named)


def _wide_tensors(inputs: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
    return {name: wide(to_tensor(value, device)) for name, value in inputs.items()}


def _named(result: Any) -> dict[str, torch.Tensor]:
    return named_outputs(result, is_array=torch.is_tensor)


def _collect(result: Any) -> dict[str, Array]:
    return {name: to_numpy(leaf) for name, leaf in _named(result).items()}
