"""Flax linen models, functional by nature: those of transformers, and bare modules with their variables."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from harness.adapters.calling import argument_names, bind
from harness.adapters.decoding import Steps, incremental, plain_steps
from harness.adapters.flax_linen.decode import Compiling, decode_linen, decode_transformers, steps_of
from harness.adapters.flax_linen.loading import loading
from harness.adapters.flax_linen.scripts import recipe
from harness.adapters.flax_linen.taps import met, replaying, tapped
from harness.adapters.jax.arrays import collect, to_jax, to_numpy
from harness.adapters.jax.names import Names, names_of
from harness.adapters.jax.program import Program, Weights, split
from harness.adapters.jax.replay import Watches
from harness.adapters.protocols import Array, Chunk, Loading, Recipe, Tap, UnsupportedError
from harness.adapters.writing import Writing

READ = ("input_ids", "input_features", "pixel_values", "inputs")
"""What transformers models call that which they read."""
INFERENCE = {"deterministic": True, "train": False, "training": False, "use_running_average": True}
"""What linen modules call their switch between training and inference, and its value in inference."""


@dataclass(frozen=True, slots=True)
class TransformersFlax:
    """A `FlaxPreTrainedModel`."""

    model: Any

    def call(self, arrays: Mapping[str, Any], tap: Tap | None) -> Any:
        with _watched(tap):
            return self.model(**arrays)

    def program(self, *, dtype: str = "") -> Program:
        names = self._names()

        def apply(weights: Weights, arrays: Mapping[str, Any], key: Any) -> tuple[Any, Weights]:
            wanted = (
                {} if key is None else {"train": True, "deterministic": False, "dropout_rng": key, "indices_rng": key}
            )
            switches = {name: value for name, value in wanted.items() if name in self.accepts()}
            with self._having(_typed(self.model._module, dtype if _is_wide(weights) else "")):
                result = self.model(**arrays, params=self._params(names, weights), **switches)
            # A model with batch statistics returns them beside its result when it trains.
            stateful = key is not None and isinstance(result, tuple) and len(result) == 2
            if not stateful or not isinstance(result[1], Mapping):
                return result, {}
            return result[0], names.flatten(result[1])

        weights = names.flatten(self._variables())
        return Program(weights, frozenset(n for n in weights if names.paths[n][0] == "params"), apply)

    def decode(
        self,
        _program: Program,
        inputs: Mapping[str, Any],
        chunks: Sequence[Chunk],
        compiling: Compiling,
        weights: Mapping[str, Any],
    ) -> dict[str, Array]:
        if not hasattr(self.model, "init_cache"):
            raise UnsupportedError("the model takes no cache")
        with self._having(_typed(self.model._module, "float64")):
            return decode_transformers(
                self.model, self._params(self._names(), weights), split(inputs)[0], chunks, compiling
            )

    def stepping(self, inputs: Mapping[str, Any], *, dtype: str = "") -> Steps:
        if not hasattr(self.model, "init_cache"):
            raise UnsupportedError("the model takes no cache")
        with self._having(_typed(self.model._module, dtype)):
            return steps_of(self.model, inputs)

    def generate(self, arrays: Mapping[str, Any], how: Writing) -> Any:
        if not hasattr(self.model, "init_cache"):
            raise UnsupportedError("the model does not generate")
        # What is read comes first, whatever its name is.
        first = next((name for name in READ if name in arrays), next(iter(arrays)))
        others = {name: array for name, array in arrays.items() if name != first}
        return self.model.generate(arrays[first], **others, **how.options()).sequences

    def watching(self, tell: Callable[[str, Any], None]) -> AbstractContextManager[None]:
        return tapped(tell, traced=True)

    def replaying(self, watch: Watches) -> AbstractContextManager[None]:
        return replaying(watch)

    def accepts(self) -> frozenset[str]:
        return argument_names(type(self.model), "__call__")

    def settings(self) -> dict[str, Any]:
        found: dict[str, Any] = self.model.config.to_dict()
        return found

    def recipe(
        self, path: str, held: Mapping[str, Array], given: Mapping[str, Any], inputs: Mapping[str, Any], output: str
    ) -> Recipe:
        module = _module_at(path, lambda: self.call(to_jax(inputs), None))
        return recipe(module, path, self._names(), held, given, output=output)

    def loading(self, reference: Any, inputs: Mapping[str, Any], path: str, port_path: str) -> Loading:
        return loading(reference, self.model, inputs, path, port_path)

    def has_training_mode(self) -> bool:
        return bool(self.accepts() & {"train", "deterministic"})

    def holding(self, weights: Mapping[str, Any]) -> Any:
        copy = object.__new__(type(self.model))
        copy.__dict__.update(self.model.__dict__)
        copy._params = self._params(self._names(), weights)
        return copy

    def describe(self) -> str:
        return f"Flax {type(self.model).__name__}"

    def _variables(self) -> Mapping[str, Any]:
        params: Mapping[str, Any] = self.model.params
        return params if "params" in params else {"params": params}

    def _names(self) -> Names:
        return names_of(self._variables())

    def _params(self, names: Names, weights: Mapping[str, Any]) -> Any:
        tree = names.unflatten(weights)
        return tree if "params" in self.model.params else tree["params"]

    @contextmanager
    def _having(self, module: nn.Module) -> Iterator[None]:
        before = self.model._module
        self.model._module = module
        try:
            yield
        finally:
            self.model._module = before


@dataclass(frozen=True, slots=True)
class Linen:
    """A linen module with its variables: `{"params": ...}` with further collections, or the parameters alone."""

    module: nn.Module
    variables: Mapping[str, Any]

    def call(self, arrays: Mapping[str, Any], tap: Tap | None) -> Any:
        with _watched(tap):
            return self._apply(self.module, self._collections(), arrays)

    def program(self, *, dtype: str = "") -> Program:
        names = names_of(self._collections())

        def apply(weights: Weights, arrays: Mapping[str, Any], key: Any) -> tuple[Any, Weights]:
            module = _typed(self.module, dtype if _is_wide(weights) else "")
            variables = names.unflatten(weights)
            if key is None:
                return self._apply(module, variables, arrays), {}
            mutable = [name for name in variables if name != "params"]
            result, changed = self._apply(module, variables, arrays, rngs={"dropout": key}, mutable=mutable)
            return result, names.flatten(changed)

        weights = names.flatten(self._collections())
        return Program(weights, frozenset(n for n in weights if names.paths[n][0] == "params"), apply)

    def decode(
        self,
        _program: Program,
        inputs: Mapping[str, Any],
        chunks: Sequence[Chunk],
        compiling: Compiling,
        weights: Mapping[str, Any],
    ) -> dict[str, Array]:
        module = _typed(self.module, "float64")
        variables = names_of(self._collections()).unflatten(weights)
        if hasattr(module, "decode"):
            return decode_linen(module, variables, split(inputs)[0], self._apply, compiling)

        def call(step: Mapping[str, Any]) -> Any:
            arrays, fixed = split(step)
            run = compiling(
                f"step {fixed}", lambda variables, arrays: self._apply(module, variables, {**arrays, **fixed})
            )
            return run(variables, arrays)

        return incremental(call, collect, inputs, chunks, self.accepts())

    def stepping(self, inputs: Mapping[str, Any], *, dtype: str = "") -> Steps:  # noqa: ARG002
        return plain_steps(inputs, self.accepts())

    def generate(self, _arrays: Mapping[str, Any], _how: Writing) -> Any:
        raise UnsupportedError("the model does not generate")

    def watching(self, tell: Callable[[str, Any], None]) -> AbstractContextManager[None]:
        return tapped(tell, traced=True)

    def replaying(self, watch: Watches) -> AbstractContextManager[None]:
        return replaying(watch)

    def accepts(self) -> frozenset[str]:
        return argument_names(type(self.module), "__call__")

    def settings(self) -> dict[str, Any]:
        configuration = getattr(self.module, "config", None)
        found: dict[str, Any] = (
            configuration.to_dict() if configuration is not None and hasattr(configuration, "to_dict") else {}
        )
        return found

    def recipe(
        self, path: str, held: Mapping[str, Array], given: Mapping[str, Any], inputs: Mapping[str, Any], output: str
    ) -> Recipe:
        module = _module_at(path, lambda: self.call(to_jax(inputs), None))
        return recipe(module, path, names_of(self._collections()), held, given, output=output)

    def loading(self, _reference: Any, _inputs: Mapping[str, Any], _path: str, _port_path: str) -> Loading:
        raise UnsupportedError("no library loaded it")

    def has_training_mode(self) -> bool:
        return bool(self.accepts() & set(INFERENCE))

    def holding(self, weights: Mapping[str, Any]) -> Any:
        return self.module, names_of(self._collections()).unflatten(weights)

    def describe(self) -> str:
        return f"Flax linen {type(self.module).__name__}"

    def _collections(self) -> Mapping[str, Any]:
        return self.variables if "params" in self.variables else {"params": self.variables}

    def _apply(
        self,
        module: nn.Module,
        variables: Mapping[str, Any],
        arrays: Mapping[str, Any],
        *,
        rngs: Any = None,
        mutable: Any = False,
    ) -> Any:
        parameters = inspect.signature(type(module).__call__).parameters
        training = rngs is not None
        switches = {
            name: value != training for name, value in INFERENCE.items() if name in parameters and name not in arrays
        }
        positional, named = bind(module.__call__, arrays)
        return module.apply(variables, *positional, rngs=rngs, mutable=mutable, **(named | switches))


def _module_at(path: str, call: Callable[[], Any]) -> nn.Module:
    """The submodule as it stands in a run of the model, of which no number is computed."""
    found: dict[str, nn.Module] = {}
    with met(lambda name, module: found.setdefault(name, module)):
        jax.eval_shape(call)
    if path not in found:
        raise UnsupportedError(f"no module is called at {path!r}")
    return found[path]


@contextmanager
def _watched(tap: Tap | None) -> Iterator[None]:
    with ExitStack() as stack:
        if tap is not None:
            stack.enter_context(tapped(lambda name, leaf: tap(name, to_numpy(leaf))))
        yield


def _is_wide(weights: Weights) -> bool:
    """Whether a model is run in its wanted type; where that cannot be traced, it is run as it is, in float32."""
    return all(value.dtype != jnp.float32 for value in weights.values())


def _typed(module: nn.Module, dtype: str) -> nn.Module:
    """The module with its own `dtype`, if it has one, set to this; children that it makes get theirs from it."""
    has_one = bool(dtype) and getattr(module, "dtype", None) is not None
    return module.clone(dtype=jnp.dtype(dtype)) if has_one else module
