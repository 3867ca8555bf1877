"""A model of any JAX library as something that runs, holds weights, differentiates, trains and decodes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, Protocol

import jax

from harness.adapters.decoding import Steps
from harness.adapters.jax.arrays import collect, to_jax, to_numpy
from harness.adapters.jax.lift import Lift
from harness.adapters.jax.parallel import step_over
from harness.adapters.jax.program import Program, compiled, noise, tell
from harness.adapters.jax.replay import Watch, Watches, divided, trace_of
from harness.adapters.jax.session import session
from harness.adapters.protocols import (
    FORWARD,
    NOTHING,
    STORED,
    Array,
    Call,
    Chunk,
    Gradients,
    Leaves,
    Loading,
    Mode,
    Optimizer,
    Recipe,
    State,
    Statistics,
    Tap,
    Weight,
    Wide,
)
from harness.adapters.timed import Job, Ready
from harness.adapters.writing import Writing


class Kind(Protocol):
    """What one library's models do in their own way."""

    def call(self, arrays: Mapping[str, Any], tap: Tap | None) -> Any:
        """The model's result in inference mode, with its weights and types as they are."""

    def program(self, *, dtype: str = "") -> Program:
        """The model as a pure function; with a `dtype`, whatever type it has of its own is set to that."""

    def decode(
        self,
        _program: Program,
        inputs: Mapping[str, Any],
        chunks: Sequence[Chunk],
        compiling: Callable[[str, Callable[..., Any]], Callable[..., Any]],
        weights: Mapping[str, Any],
    ) -> dict[str, Array]:
        """The outputs of all steps. compiling: makes a function compute in float64, and fast;
        kept by its name from one run to the next.
        """

    def stepping(self, inputs: Mapping[str, Any], *, dtype: str = "") -> Steps:
        """How it is called step by step, as it is or with a `dtype`.

        Raises:
            UnsupportedError: it takes no cache, or has an encoder.
        """

    def watching(self, tell: Callable[[str, Any], None]) -> AbstractContextManager[None]:
        """While open, what every module puts out goes to `tell`, also while it is being traced."""

    def replaying(self, watch: Watches) -> AbstractContextManager[None]:
        """While open, `watch` stands around every module's call in a program that is being traced."""

    def generate(self, _arrays: Mapping[str, Any], _how: Writing) -> Any:
        """The tokens given and those written: see `Generates`."""

    def accepts(self) -> frozenset[str]:
        """The names of the arguments that the model takes."""

    def settings(self) -> dict[str, Any]:
        """The model's configuration, as plain values."""

    def recipe(
        self, path: str, held: Mapping[str, Array], given: Mapping[str, Any], inputs: Mapping[str, Any], output: str
    ) -> Recipe:
        """How a script builds the module at `path`; `held` are the weights of the whole model."""

    def loading(self, reference: Any, inputs: Mapping[str, Any], path: str, port_path: str) -> Loading:
        """How a script makes the model from the module `reference`."""

    def has_training_mode(self) -> bool:
        """Whether the model has a switch between training and inference."""

    def holding(self, weights: Mapping[str, Any]) -> Any:
        """The user's own kind of object, with these weights instead."""

    def describe(self) -> str:
        """The library and class, for people."""


@dataclass(frozen=True, slots=True)
class JaxModel:
    """A JAX model; nothing of the user's changes."""

    kind: Kind
    device: str = "cpu"
    precision: str = "highest"
    framework: ClassVar[str] = "jax"
    _programs: dict[str, Program] = field(default_factory=dict)
    _steps: dict[str, tuple[Lift, Callable[..., Any]]] = field(default_factory=dict)

    def run(self, inputs: Mapping[str, Any], *, tap: Tap | None = None) -> dict[str, Array]:
        with session(device=self.device, precision=self.precision):
            return collect(self.kind.call(to_jax(inputs), tap))

    def run_compiled(self, inputs: Mapping[str, Any]) -> dict[str, Array]:
        with session(device=self.device, precision=self.precision):
            return self._program().run_compiled(inputs)

    def statistics(self, inputs: Mapping[str, Any]) -> dict[str, Statistics]:
        with session(device=self.device, precision=self.precision):
            return self._program().statistics(inputs, self.kind.watching)

    def run_wide(self, inputs: Mapping[str, Any], *, state: State = STORED) -> Wide:
        """The outputs in float64, with every conversion to a shorter type lifted."""
        with self._wide() as program:
            return program.run(inputs, state)

    def step_over(
        self, inputs: Mapping[str, Any], cotangents: Mapping[str, Array], *, devices: int
    ) -> dict[str, Array]:
        with jax.default_matmul_precision("highest"), jax.enable_x64(True):
            return step_over(self._program("float64"), inputs, cotangents, devices=devices)

    def run_stepwise(self, inputs: Mapping[str, Any], *, state: State = STORED) -> dict[str, Array]:
        with self._wide() as program:
            return program.run_stepwise(inputs, state)

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
        with self._wide() as program:
            if mode.cotangents is not None:
                return program.replay_gradients(
                    inputs,
                    meet,
                    feed,
                    graft,
                    state,
                    self.kind.replaying,
                    cotangents=mode.cotangents,
                    training=mode.training,
                )
            if mode.chunks:
                self._replay_steps(program, inputs, meet, feed, graft, state, mode.chunks)
            else:
                program.replay(inputs, meet, feed, graft, state, self.kind.replaying, training=mode.training)
        return {}

    def _replay_steps(
        self,
        program: Program,
        inputs: Mapping[str, Any],
        meet: Callable[[Call], None],
        feed: Mapping[str, Leaves],
        graft: Mapping[str, Leaves],
        state: State,
        chunks: Sequence[Chunk],
    ) -> None:
        counts: Counter[str] = Counter()

        def compiling(_name: str, function: Callable[..., Any]) -> Callable[..., Any]:
            def step(*arguments: Any) -> Any:
                watch = Watch(feed, graft, None, counts=counts)

                def run(*arguments: Any) -> Any:
                    watch.trace = trace_of(arguments)
                    with self.kind.replaying(watch):
                        result = function(*arguments)
                    return result, [[divided(leaves)[0] for leaves in both] for both in watch.leaves]

                result, found = Lift()(run)(noise(state), *arguments)
                tell(meet, watch.said, found, [[divided(leaves)[1] for leaves in both] for both in watch.leaves])
                return result

            return step

        self.kind.decode(program, inputs, chunks, compiling, program.widened(state))

    def run_short(self, inputs: Mapping[str, Any], *, precision: str) -> dict[str, Array]:
        with session(device=self.device, precision="highest"):
            return self.kind.program(dtype=precision).run_short(inputs, precision)

    def recipe(
        self, path: str, given: Mapping[str, Any], inputs: Mapping[str, Any], *, output: str, state: State = STORED
    ) -> Recipe:
        held = {name: state.values.get(name, each.array) for name, each in self.weights().items()}
        with session(device=self.device, precision=self.precision):
            return self.kind.recipe(path, held, given, inputs, output)

    def loading(self, reference: Any, inputs: Mapping[str, Any], path: str, port_path: str) -> Loading:
        return self.kind.loading(getattr(reference, "module", None), inputs, path, port_path)

    def weights(self) -> dict[str, Weight]:
        return self._program().described()

    def accepts(self) -> frozenset[str]:
        return self.kind.accepts()

    def settings(self) -> dict[str, Any]:
        return self.kind.settings()

    @contextmanager
    def holding(self, values: Mapping[str, Array]) -> Iterator[Any]:
        with self._wide() as program:
            yield self.kind.holding(program.widened(State(values)))

    def gradients(
        self, inputs: Mapping[str, Any], cotangents: Mapping[str, Array], *, state: State = STORED
    ) -> Gradients:
        with self._wide() as program:
            return program.gradients(inputs, cotangents, state)

    def has_training_mode(self) -> bool:
        return self.kind.has_training_mode()

    def run_training(
        self, inputs: Mapping[str, Any], *, state: State = STORED, seed: int = 0, uniform: float = 0.5
    ) -> Wide:
        with self._wide() as program:
            return program.run(inputs, state, key=jax.random.key(seed), uniform=uniform)

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
        with self._wide() as program:
            return program.train(inputs, cotangents, optimizer, steps, frozen, state)

    def draw(
        self, inputs: Mapping[str, Any], *, draws: int, seed: int, state: State = STORED
    ) -> list[dict[str, Array]]:
        with self._wide() as program:
            return program.draw(inputs, draws, seed, state)

    def decode(self, inputs: Mapping[str, Any], chunks: Sequence[Chunk], *, state: State = STORED) -> Wide:
        with self._wide() as program:
            used: list[Lift] = []

            def compiling(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
                if name not in self._steps:
                    lift = Lift()
                    self._steps[name] = (lift, compiled(lift(function)))
                used.append(self._steps[name][0])
                return partial(self._steps[name][1], noise(state))

            outputs = self.kind.decode(program, inputs, chunks, compiling, program.widened(state))
            places = tuple(dict.fromkeys(place for lift in used for place in lift.places))
            return Wide(outputs, places, sum(lift.constants for lift in used))

    def generate(self, inputs: Mapping[str, Any], how: Writing) -> Array:
        with session(device=self.device, precision=self.precision):
            return to_numpy(self.kind.generate(to_jax(inputs), how))

    def lacks(self, job: Job) -> str:
        from harness.adapters.jax import timed

        return timed.lacks(self, job)

    def ready(self, inputs: Mapping[str, Any], job: Job) -> AbstractContextManager[Ready]:
        from harness.adapters.jax import timed

        return timed.ready(self, inputs, job)

    def describe(self) -> str:
        return self.kind.describe()

    @contextmanager
    def _wide(self) -> Iterator[Program]:
        with ExitStack() as stack:
            stack.enter_context(session(device=self.device, precision=self.precision))
            stack.enter_context(jax.enable_x64(True))
            yield self._program("float64")

    def _program(self, dtype: str = "") -> Program:
        if dtype not in self._programs:
            self._programs[dtype] = self.kind.program(dtype=dtype)
        return self._programs[dtype]
