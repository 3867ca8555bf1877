"""A JAX model as a pure function of its weights: run in float64, backwards, in training, step by step."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from harness.adapters.jax.arrays import collect, to_jax, to_numpy, view
from harness.adapters.jax.chance import Drawn, keep_all
from harness.adapters.jax.lift import SHORT, Lift
from harness.adapters.jax.replay import Backwards, Said, Watch, Watches, divided, instead_of, is_array, trace_of
from harness.adapters.jax.stepwise import QUICK, stepwise
from harness.adapters.jax.wide import wide, widened, widening
from harness.adapters.leaves import named_outputs
from harness.adapters.protocols import (
    LEARNING_RATE,
    MOMENTUM,
    WEIGHT_DECAY,
    Array,
    Call,
    Gradients,
    Leaves,
    Optimizer,
    State,
    Statistics,
    UnsupportedError,
    Weight,
    Wide,
)

Weights = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Program:
    """`apply(weights, arrays, key)` gives the model's result and the weights that the run changed.

    weights: dotted path -> array, every one of a floating type. trained: those that are parameters.
    apply: with a random `key` it runs in training mode, without one in inference mode.

    Everything here is used inside a session, and under `enable_x64`, by which the weights are widened. What has been
    compiled is kept for the next run with the same shapes.
    """

    weights: Weights
    trained: frozenset[str]
    apply: Callable[[Weights, Mapping[str, Any], Any], tuple[Any, Weights]]
    _kept: dict[Any, Compiled] = field(default_factory=dict)

    def described(self) -> dict[str, Weight]:
        """The weights as they are stored."""
        return {
            name: Weight(view(array), name in self.trained, str(array.dtype)) for name, array in self.weights.items()
        }

    def run(self, inputs: Mapping[str, Any], state: State, *, key: Any = None, uniform: float = 0.5) -> Wide:
        """The outputs in float64; with a random `key` in training mode, no element dropped, and the buffers then."""
        weights, (arrays, fixed) = self.widened(state), split(inputs)

        def make(made: Compiled) -> Callable[..., Any]:
            def outputs(weights: Weights, arrays: Any, key: Any, uniform: Any) -> tuple[dict[str, Any], Weights]:
                with keep_all(made.drawn, uniform):
                    result, changed = self.apply(weights, {**arrays, **fixed}, key)
                return arrays_of(result), changed

            return made.lift(outputs)

        made = self._compiled("run", make, arrays, fixed, key is None)
        found, changed = made(noise(state), weights, arrays, key, jnp.float64(uniform))
        buffers = {} if key is None else {**self._buffers(weights), **changed}
        # The arrays leave JAX inside its float64 mode: outside, the first operation would make them float32.
        return Wide(
            collect(found),
            made.lift.places,
            made.lift.constants,
            _to_numpy(buffers),
            dropped=made.drawn.masked,
            uniform=made.drawn.uniform,
            shared=made.drawn.shared,
        )

    def run_stepwise(self, inputs: Mapping[str, Any], state: State) -> dict[str, Array]:
        """The outputs with weights and inputs in float64, operation by operation: what is short by itself stays so."""
        arrays, fixed = split(inputs)
        return collect(arrays_of(self.apply(self.widened(state), {**arrays, **fixed}, None)[0]))

    def run_compiled(self, inputs: Mapping[str, Any]) -> dict[str, Array]:
        """The outputs in inference mode, in the types that weights and inputs have, as `jax.jit` makes them."""
        every = to_jax(inputs)
        arrays = {name: value for name, value in every.items() if isinstance(value, jax.Array)}
        fixed = {name: value for name, value in every.items() if name not in arrays}

        def run(weights: Weights, arrays: Any) -> dict[str, Any]:
            return arrays_of(self.apply(weights, {**arrays, **fixed}, None)[0])

        return collect(jax.jit(run)(self.weights, arrays))

    def gradients(self, inputs: Mapping[str, Any], cotangents: Mapping[str, Array], state: State) -> Gradients:
        """Of the loss sum(output x cotangent), in inference mode."""
        arrays, fixed = split(inputs)
        floats = {name: value for name, value in arrays.items() if jnp.issubdtype(value.dtype, jnp.floating)}
        others = {name: value for name, value in arrays.items() if name not in floats}
        parameters, buffers = self.divided_weights(self.widened(state))

        def make(made: Compiled) -> Callable[..., Any]:
            run = made.lift(lambda weights, arrays: arrays_of(self.apply(weights, {**arrays, **fixed}, None)[0]))

            def loss(parameters: Weights, floats: Any, noise: Any, buffers: Any, others: Any, cotangents: Any) -> Any:
                return loss_of(run(noise, {**buffers, **parameters}, {**others, **floats}), cotangents)

            return jax.grad(loss, argnums=(0, 1))

        made = self._compiled("gradients", make, arrays, fixed, tuple(cotangents))
        found, inwards = made(parameters, floats, noise(state), buffers, others, dict(cotangents))
        return Gradients(_to_numpy(found), _to_numpy(inwards), made.lift.places, made.lift.constants)

    def train(
        self,
        inputs: Mapping[str, Any],
        cotangents: Mapping[str, Array],
        optimizer: Optimizer,
        steps: int,
        frozen: Collection[str],
        state: State,
    ) -> dict[str, Array]:
        """Every weight after `steps` of the optimizer, in training mode, with no element dropped."""
        import optax  # of JAX's family, and only training needs it

        arrays, fixed = split(inputs)
        parameters, buffers = self.divided_weights(self.widened(state))

        def make(made: Compiled) -> Callable[..., Any]:
            def run(weights: Weights, arrays: Any) -> tuple[dict[str, Any], Weights]:
                with keep_all(made.drawn):
                    result, changed = self.apply(weights, {**arrays, **fixed}, jax.random.key(0))
                return arrays_of(result), changed

            lifted = made.lift(run)

            def loss(
                parameters: Weights, buffers: Weights, noise: Any, arrays: Any, cotangents: Any
            ) -> tuple[Any, Weights]:
                outputs, changed = lifted(noise, {**buffers, **parameters}, arrays)
                return loss_of(outputs, cotangents), {**buffers, **changed}

            return jax.grad(loss, has_aux=True)

        made = self._compiled("train", make, arrays, fixed, tuple(cotangents))
        rule = {
            "sgd": lambda rate: optax.sgd(rate, momentum=MOMENTUM),
            "adamw": lambda rate: optax.adamw(rate, weight_decay=WEIGHT_DECAY),
        }[optimizer](LEARNING_RATE[optimizer])
        update = jax.jit(rule.update)
        memory = rule.init(parameters)
        for _ in range(steps):
            found, changed = made(parameters, buffers, noise(state), arrays, dict(cotangents))
            buffers = {name: changed[name] for name in buffers}
            updates, memory = update(found, memory, parameters)
            stepped = optax.apply_updates(parameters, updates)
            parameters = {name: parameters[name] if name in frozen else stepped[name] for name in parameters}
        return _to_numpy({**parameters, **buffers})

    def draw(self, inputs: Mapping[str, Any], draws: int, seed: int, state: State) -> list[dict[str, Array]]:
        """The outputs of that many runs in training mode, each with other elements dropped."""
        weights, (arrays, fixed) = self.widened(state), split(inputs)

        def make(_made: Compiled) -> Callable[..., Any]:
            return lambda weights, arrays, key: arrays_of(self.apply(weights, {**arrays, **fixed}, key)[0])

        made = self._compiled("draw", make, arrays, fixed)
        return [collect(made(weights, arrays, jax.random.key(seed + number))) for number in range(draws)]

    def run_short(self, inputs: Mapping[str, Any], dtype: str) -> dict[str, Array]:
        """The outputs with weights and inputs in a shorter type."""

        def short(value: Any) -> Any:
            return value.astype(dtype) if is_weight(value) else value

        weights = {name: short(value) for name, value in self.weights.items()}
        arrays = {name: short(value) for name, value in to_jax(inputs).items()}
        return collect(arrays_of(self.apply(weights, arrays, None)[0]))

    def statistics(
        self, inputs: Mapping[str, Any], watching: Callable[[Callable[[str, Any], None]], AbstractContextManager[None]]
    ) -> dict[str, Statistics]:
        """Of every module's output, computed inside the compiled program, of which only the numbers come out."""
        every = to_jax(inputs)
        arrays = {name: value for name, value in every.items() if isinstance(value, jax.Array)}
        fixed = {name: value for name, value in every.items() if name not in arrays}

        def make(made: Compiled) -> Callable[..., Any]:
            def run(weights: Weights, arrays: Mapping[str, Any]) -> Any:
                met: dict[str, Any] = {}

                def tell(name: str, leaf: Any) -> None:
                    if jnp.issubdtype(leaf.dtype, jnp.floating) and leaf.size:
                        made.shapes[name] = leaf.shape
                        flat = leaf.reshape(-1)
                        both = (_largest(flat), jnp.sqrt(_squares(flat) / flat.size))
                        met[name] = jnp.stack([each.astype(jnp.float32) for each in both])

                with watching(tell):
                    self.apply(weights, {**arrays, **fixed}, None)
                return jnp.stack([met[name] for name in made.shapes])  # one array leaves faster than many numbers

            return run

        made = self._compiled("statistics", make, arrays, fixed, compile_=jax.jit)
        try:
            rows = np.asarray(made(self.weights, arrays))
        except jax.errors.UnexpectedTracerError as error:
            raise UnsupportedError(
                "a module runs inside a compiled loop, out of which no value can be taken"
            ) from error
        shapes = made.shapes.items()
        return {name: Statistics(shape, *map(float, row)) for (name, shape), row in zip(shapes, rows, strict=True)}

    def replay(
        self,
        inputs: Mapping[str, Any],
        meet: Callable[[Call], None],
        feed: Mapping[str, Leaves],
        graft: Mapping[str, Leaves],
        state: State,
        replaying: Replaying,
        *,
        training: bool,
    ) -> None:
        """Hand every call to `meet`, computed in float64, one operation after the other."""
        feed, graft = ({name: to_jax(leaves) for name, leaves in each.items()} for each in (feed, graft))
        given = (noise(state), widening(self.weights, state), inputs)
        made, arguments = self._watched(*given, {}, {}, replaying, training=training)
        instead = instead_of(made.shapes, feed, graft)
        if instead is None:  # it is traced with them
            made, arguments = self._watched(*given, feed, graft, replaying, training=training)
        tell(meet, made.said, made(*arguments, instead=instead or {}), made.fixed)

    def _watched(
        self,
        noise: Any,
        weights: Weights,
        inputs: Mapping[str, Any],
        feed: Mapping[str, Leaves],
        graft: Mapping[str, Leaves],
        replaying: Replaying,
        *,
        training: bool,
    ) -> tuple[Compiled, tuple[Any, ...]]:
        """The program of every call's inputs and outputs, with a mark at each of these, and its arguments."""
        arrays, fixed = split(inputs)
        parts = {name: divided(leaves) for name, leaves in feed.items()}
        changed = {name: each for name, (each, _) in parts.items()}
        arguments = (noise, weights, arrays, changed, graft)

        def make(made: Compiled) -> Callable[..., Any]:
            def run(weights: Weights, arrays: Any, changed: Any, graft: Any) -> Any:
                every = {name: {**still, **changed[name]} for name, (_, still) in parts.items()}
                watch = Watch(every, graft, trace_of(weights), made.shapes)
                watch.draws.count = lambda: (made.drawn.masked + made.drawn.uniform, made.drawn.shared)
                with replaying(watch), keep_all(made.drawn):
                    self.apply(weights, {**arrays, **fixed}, jax.random.key(0) if training else None)
                made.said = watch.said
                both = [[divided(leaves) for leaves in each] for each in watch.leaves]
                made.fixed = [[still for _, still in each] for each in both]
                return [[found for found, _ in each] for each in both]

            return made.lift(run)

        form = _form(feed), _form(graft), training

        def traced(function: Callable[..., Any]) -> Callable[..., Any]:
            return stepwise(function, arguments)

        return self._compiled("replay", make, arrays, fixed, form, compile_=traced), arguments

    def replay_gradients(
        self,
        inputs: Mapping[str, Any],
        meet: Callable[[Call], None],
        feed: Mapping[str, Leaves],
        graft: Mapping[str, Leaves],
        state: State,
        replaying: Replaying,
        *,
        cotangents: Mapping[str, Array],
        training: bool,
    ) -> dict[str, Array]:
        """Hand the gradients at every call to `meet`, and return those of the parameters."""
        arrays, fixed = split(inputs)
        parameters, buffers = self.divided_weights(self.widened(state))
        feed, graft = ({name: to_jax(leaves) for name, leaves in each.items()} for each in (feed, graft))

        every = {**buffers, **parameters}

        def run(made: Compiled, weights: Weights, arrays: Any, zeros: Any, feed: Any, graft: Any) -> Any:
            watch = Backwards(feed, graft, trace_of(weights), zeros)
            with replaying(watch), keep_all(made.drawn):
                result, _ = self.apply(weights, {**arrays, **fixed}, jax.random.key(0) if training else None)
            made.said, made.sizes = watch.said, watch.shapes
            return arrays_of(result), watch.total

        def make(made: Compiled) -> Callable[..., Any]:
            jax.eval_shape(lambda weights, arrays: run(made, weights, arrays, {}, feed, graft), every, arrays)
            lifted = made.lift(lambda *given: run(made, *given))

            def loss(parameters: Weights, zeros: Any, noise: Any, buffers: Any, arrays: Any, *given: Any) -> Any:
                *plans, cotangents = given
                outputs, total = lifted(noise, {**buffers, **parameters}, arrays, zeros, *plans)
                return loss_of(outputs, cotangents) + total

            return jax.grad(loss, argnums=(0, 1))

        structure = repr([(name, sorted(leaves)) for each in (feed, graft) for name, leaves in each.items()])
        made = self._compiled("replay gradients", make, arrays, fixed, structure, tuple(cotangents), training)
        zeros = jax.tree.map(jnp.zeros, made.sizes, is_leaf=lambda each: isinstance(each, tuple))
        found, bumps = made(parameters, zeros, noise(state), buffers, arrays, feed, graft, dict(cotangents))
        both = [[bumps.get(name, {}).get(side, {}) for side in ("outputs", "inputs")] for name, *_ in made.said]
        tell(meet, made.said[::-1], both[::-1], [[{}, {}]] * len(both))
        return _to_numpy(found)

    def widened(self, state: State) -> Weights:
        """The weights in float64, as `state` wants them."""
        return widened(self.weights, state)

    def divided_weights(self, weights: Weights) -> tuple[Weights, Weights]:
        return {name: value for name, value in weights.items() if name in self.trained}, self._buffers(weights)

    def _buffers(self, weights: Weights) -> Weights:
        return {name: value for name, value in weights.items() if name not in self.trained}

    def _compiled(
        self,
        name: str,
        make: Callable[[Compiled], Callable[..., Any]],
        arrays: Mapping[str, Any],
        fixed: Mapping[str, Any],
        *further: Any,
        compile_: Callable[..., Any] | None = None,
    ) -> Compiled:
        shapes = tuple((key, value.shape, str(value.dtype)) for key, value in arrays.items())
        key = (name, shapes, repr(sorted(fixed.items())), further)
        if key not in self._kept:
            made = Compiled()
            made.function = (compile_ or compiled)(make(made))
            self._kept[key] = made
        return self._kept[key]


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function under `jax.jit`."""
    return jax.jit(function, compiler_options=QUICK)


@dataclass(slots=True)
class Compiled:
    """A compiled function, and what was seen when it was traced."""

    lift: Lift = field(default_factory=Lift)
    drawn: Drawn = field(default_factory=lambda: Drawn())
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    said: list[Said] = field(default_factory=list)
    fixed: list[list[dict[str, Any]]] = field(default_factory=list)
    sizes: dict[str, Any] = field(default_factory=dict)
    function: Callable[..., Any] | None = None

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        assert self.function is not None
        return self.function(*arguments, **named)


def noise(state: State) -> tuple[Any, Any]:
    """What `Lift` moves tables by: a random key, and 1 where they are to be moved."""
    return jax.random.key(state.nudge or 0), jnp.float64(state.nudge is not None)


def is_weight(value: Any) -> bool:
    """Whether the leaf is an array of a floating type."""
    dtype = getattr(value, "dtype", None)
    return dtype is not None and (dtype.name in SHORT or dtype.name in ("float64", "complex128"))


def split(inputs: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The arrays among the inputs, in float64; and the rest (switches, None), which a compiled program has fixed."""
    every = to_jax(inputs)
    arrays = {name: value for name, value in every.items() if isinstance(value, jax.Array)}
    return wide(arrays), {name: value for name, value in every.items() if name not in arrays}


Replaying = Callable[[Watches], AbstractContextManager[None]]
"""Opens a model for one that watches the calls of its modules while it is traced."""


def tell(meet: Callable[[Call], None], said: Sequence[Said], found: Sequence[Any], fixed: Sequence[Any]) -> None:
    """Hand over the calls: name, caller and class of each; inputs and outputs, those computed and those fixed."""
    for (name, caller, kind, drawn), both, still in zip(said, found, fixed, strict=True):
        inputs, outputs = ({**rest, **_to_numpy(leaves)} for leaves, rest in zip(both, still, strict=True))
        meet(Call(name, caller, kind, inputs, outputs, drawn))


def _form(plan: Mapping[str, Leaves]) -> str:
    """Of what is fed or grafted: a program is traced for arrays of certain shapes and types, and has the rest fixed."""
    forms = {
        name: {leaf: (each.shape, str(each.dtype)) if is_array(each) else each for leaf, each in leaves.items()}
        for name, leaves in plan.items()
    }
    return repr(forms)


def arrays_of(result: Any) -> dict[str, Any]:
    """The arrays among what a model returned, by name."""
    return named_outputs(result, is_array=lambda value: isinstance(value, jax.Array))


def _largest(flat: Any) -> Any:
    """The largest |x|. XLA reduces an array as it stands eight times faster on a CPU than one to be computed first."""
    return jnp.maximum(jnp.max(flat), -jnp.min(flat))


def _squares(flat: Any) -> Any:
    """The sum of x^2, as the trace of rows x rows^T: on a CPU only matrix products sum in more than one lane."""
    rows = flat.reshape(4 if flat.size % 4 == 0 else 1, -1)
    return jnp.trace(rows @ rows.T)


def loss_of(outputs: Mapping[str, Any], cotangents: Mapping[str, Array]) -> Any:
    """The loss sum(output x cotangent)."""
    # 0 x NaN is NaN: padded positions may hold anything
    return sum(jnp.sum(jnp.where(each != 0, outputs[name] * each, 0.0)) for name, each in cotangents.items())


def _to_numpy(weights: Weights) -> dict[str, Array]:
    return {name: to_numpy(value) for name, value in weights.items()}
