"""NNX modules.

Everything is done to a second module that is merged from the user's graph and state: it shares the arrays and nothing
else, so that the user's own is never touched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from harness.adapters.calling import argument_names, bind
from harness.adapters.decoding import Steps, incremental, plain_steps
from harness.adapters.flax_nnx.scripts import recipe
from harness.adapters.flax_nnx.taps import replaying, tapped
from harness.adapters.jax.arrays import collect, to_numpy
from harness.adapters.jax.lift import SHORT
from harness.adapters.jax.program import Program, Weights, is_weight, split
from harness.adapters.jax.replay import Watches
from harness.adapters.protocols import Array, Chunk, Loading, Recipe, Tap, UnsupportedError
from harness.adapters.writing import Writing


@dataclass(frozen=True, slots=True)
class Nnx:
    """An NNX module."""

    module: nnx.Module
    _watches: list[Watches] = field(default_factory=list)

    def call(self, arrays: Mapping[str, Any], tap: Tap | None) -> Any:
        module = nnx.merge(*nnx.split(self.module))
        nnx.Module.eval(module)  # type: ignore[no-untyped-call]
        if tap is None:
            return _call(module, arrays)
        with tapped(module, lambda name, leaf: tap(name, to_numpy(leaf))):
            return _call(module, arrays)

    def program(self, *, dtype: str = "") -> Program:
        def apply(weights: Weights, arrays: Mapping[str, Any], key: Any) -> tuple[Any, Weights]:
            module = self._with(weights)
            # Where a model cannot be traced in the wanted type, it is run as it is, in float32.
            if dtype and all(value.dtype != jnp.float32 for value in weights.values()):
                _set_type(module, dtype)
            # One of the two reaches every submodule's own switch.
            (nnx.Module.eval if key is None else nnx.Module.train)(module)  # type: ignore[no-untyped-call]
            if key is not None:
                nnx.reseed(module, default=key)
            with ExitStack() as stack:
                if self._watches:
                    stack.enter_context(replaying(module, self._watches[-1]))
                result = _call(module, arrays)
            return result, {} if key is None else _weights(module)

        weights = _weights(self.module)
        parameters = frozenset(
            ".".join(map(str, path)) for path, _ in nnx.to_flat_state(nnx.state(self.module, nnx.Param))
        )
        return Program(weights, parameters & frozenset(weights), apply)

    def decode(
        self,
        _program: Program,
        inputs: Mapping[str, Any],
        chunks: Sequence[Chunk],
        compiling: Callable[..., Any],
        weights: Mapping[str, Any],
    ) -> dict[str, Array]:
        def call(step: Mapping[str, Any]) -> Any:
            # A cache may be a tree of arrays: `split` would take it for a switch, for which a program is traced anew.
            trees = {name: value for name, value in step.items() if _is_tree(value)}
            arrays, fixed = split({name: value for name, value in step.items() if name not in trees})
            arrays |= trees
            run = compiling(
                f"step {fixed}", lambda weights, arrays: _program.apply(weights, {**arrays, **fixed}, None)[0]
            )
            return run(weights, arrays)

        return incremental(call, collect, inputs, chunks, self.accepts())

    def stepping(self, inputs: Mapping[str, Any], *, dtype: str = "") -> Steps:  # noqa: ARG002
        return plain_steps(inputs, self.accepts())

    def generate(self, _arrays: Mapping[str, Any], _how: Writing) -> Any:
        raise UnsupportedError("the model does not generate")

    def watching(self, tell: Callable[[str, Any], None]) -> AbstractContextManager[None]:
        del tell
        raise UnsupportedError("the modules of an NNX model are made anew inside a compiled function")

    @contextmanager
    def replaying(self, watch: Watches) -> Iterator[None]:
        self._watches.append(watch)
        try:
            yield
        finally:
            self._watches.pop()

    def accepts(self) -> frozenset[str]:
        return argument_names(type(self.module), "__call__")

    def settings(self) -> dict[str, Any]:
        return {}

    def recipe(
        self, path: str, held: Mapping[str, Array], given: Mapping[str, Any], inputs: Mapping[str, Any], output: str
    ) -> Recipe:
        del inputs
        return recipe(self.module, path, held, given, output=output)

    def loading(self, _reference: Any, _inputs: Mapping[str, Any], _path: str, _port_path: str) -> Loading:
        raise UnsupportedError("no library loaded it")

    def has_training_mode(self) -> bool:
        switches = ("deterministic", "use_running_average")
        return any(hasattr(each, name) for _, each in nnx.iter_modules(self.module) for name in switches)

    def holding(self, weights: Mapping[str, Any]) -> Any:
        module = self._with(weights)
        _set_type(module, "float64")
        return module

    def describe(self) -> str:
        return f"Flax NNX {type(self.module).__name__}"

    def _with(self, weights: Mapping[str, Any]) -> Any:
        graph, state = nnx.split(self.module)
        # Every leaf anew, random states too: one that was made outside of a trace may not be changed inside.
        flat = [
            (path, leaf.replace(weights.get(_name(path), leaf.get_value()))) for path, leaf in nnx.to_flat_state(state)
        ]
        return nnx.merge(graph, nnx.from_flat_state(flat))


def _weights(module: Any) -> dict[str, Any]:
    flat = nnx.to_flat_state(nnx.state(module))
    return {_name(path): leaf.get_value() for path, leaf in flat if is_weight(leaf.get_value())}


def _name(path: Sequence[Any]) -> str:
    return ".".join(map(str, path))


def _set_type(module: Any, dtype: str) -> None:
    for _, submodule in nnx.iter_modules(module):
        if jnp.dtype(getattr(submodule, "dtype", None) or "float64").name in SHORT:
            submodule.__setattr__("dtype", jnp.dtype(dtype))


def _is_tree(value: Any) -> bool:
    leaves = jax.tree.leaves(value)
    return bool(leaves) and not hasattr(value, "dtype") and all(isinstance(leaf, jax.Array) for leaf in leaves)


def _call(module: Any, arrays: Mapping[str, Any]) -> Any:
    positional, named = bind(module, arrays)
    return module(*positional, **named)
