"""Make float64 of what a JAX program computes in a shorter type, whatever the model says about its types.

A model that casts to float32 (a norm, a softmax, a rotary embedding) has an island there. Its program is traced, and
evaluated again, equation by equation, with every short type in it widened.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Literal

from harness.adapters.jax.stepwise import MARK, bound, mark
from harness.adapters.rounding import half_units

SHORT = ("float16", "bfloat16", "float32", "complex64")


@dataclass(slots=True)
class Lift:
    """What could not be lifted, as primitive -> how often; and how many tables the program has stored short.

    Both are known once the lifted function has been traced.
    """

    islands: Counter[str] = field(default_factory=Counter)
    constants: int = 0
    _noise: tuple[Any, Any] | None = None

    @property
    def places(self) -> tuple[str, ...]:
        """The islands in words, sorted."""
        return tuple(f"{name} x{count}" for name, count in sorted(self.islands.items()))

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function with all that it computes in float64; for use under `enable_x64`, inside `jax.jit` or not.

        It takes one more argument first, `noise`: None, or a random key and a size of 0 or 1. With 1, every table that
        the program has stored short is moved by up to half a unit in its last place, as rounding may have moved it.
        """

        def lifted(noise: tuple[Any, Any] | None, *arguments: Any) -> Any:
            program, shapes = _traced(function, arguments)
            self.islands.clear()
            self.constants = 0
            self._noise = noise
            constants = [self._constant(value) for value in program.consts]
            results = self._evaluate(program.jaxpr, constants, jax.tree.leaves(arguments))
            return jax.tree.unflatten(jax.tree.structure(shapes), results)

        return lifted

    def _evaluate(self, program: Any, constants: Sequence[Any], arguments: Sequence[Any]) -> list[Any]:
        values = dict(zip(program.constvars, constants, strict=True))
        values |= dict(zip(program.invars, arguments, strict=True))

        def read(variable: Any) -> Any:
            return self._constant(variable.val) if isinstance(variable, Literal) else values[variable]

        for equation in program.eqns:
            results = self._apply(equation, [read(variable) for variable in equation.invars])
            values |= zip(equation.outvars, results, strict=True)
        return [read(variable) for variable in program.outvars]

    def _apply(self, equation: Any, arguments: list[Any]) -> Sequence[Any]:
        name, parameters = equation.primitive.name, equation.params
        if name == "scan":
            return self._scan(parameters, arguments)
        if name == "while":
            return self._while(parameters, arguments)
        if name == "cond":
            branches = [self._inner(branch) for branch in parameters["branches"]]
            chosen: Sequence[Any] = jax.lax.switch(arguments[0], branches, *arguments[1:])
            return chosen
        if name in INLINED or (name == "custom_jvp_call" and has_short(equation)):
            return self._inner(_body(parameters))(*arguments)
        if name == "custom_vjp_call" and has_short(equation):
            # Its own backward pass is what is under test, so it runs as it is written, in its own types.
            arguments = [
                jnp.asarray(value, variable.aval.dtype)
                for value, variable in zip(arguments, equation.invars, strict=True)
            ]
        if name == MARK:  # what stands there instead has the lifted type
            arguments = [jnp.asarray(value, _lifted(value.dtype)) for value in arguments]
        lifted = {key: _lifted(value) if key.endswith(TYPES) else value for key, value in parameters.items()}
        results = bound(equation.primitive, arguments, lifted)
        if any(_is_short(result) for result in results):
            self.islands[name] += 1
        return results

    def _inner(self, closed: Any) -> Callable[..., list[Any]]:
        if not hasattr(closed, "consts"):
            return lambda *arguments: self._evaluate(closed, (), arguments)
        constants = [self._constant(value) for value in closed.consts]
        return lambda *arguments: self._evaluate(closed.jaxpr, constants, arguments)

    def _scan(self, parameters: Any, arguments: list[Any]) -> list[Any]:
        fixed, carried = parameters["num_consts"], parameters["num_consts"] + parameters["num_carry"]
        body = self._inner(parameters["jaxpr"])

        def step(carry: Any, inputs: Any) -> tuple[Any, Any]:
            results = body(*arguments[:fixed], *carry, *inputs)
            return results[: carried - fixed], results[carried - fixed :]

        carry, stacked = jax.lax.scan(
            step,
            arguments[fixed:carried],
            arguments[carried:],
            length=parameters["length"],
            reverse=parameters["reverse"],
        )
        return [*carry, *stacked]

    def _while(self, parameters: Any, arguments: list[Any]) -> list[Any]:
        first, second = parameters["cond_nconsts"], parameters["cond_nconsts"] + parameters["body_nconsts"]
        condition, body = self._inner(parameters["cond_jaxpr"]), self._inner(parameters["body_jaxpr"])
        found: list[Any] = jax.lax.while_loop(
            lambda carry: condition(*arguments[:first], *carry)[0],
            lambda carry: body(*arguments[first:second], *carry),
            arguments[second:],
        )
        return found

    def _constant(self, value: Any) -> Any:
        if isinstance(value, jax.core.Tracer):
            # It is being traced itself, where a scan or a condition repeats it.
            return jnp.asarray(value, _lifted(value.dtype))
        dtype = np.dtype(np.float32) if _was_short(value) else getattr(value, "dtype", None)
        if dtype is None or _lifted(dtype) is dtype:
            return value
        if np.ndim(value) == 0 and dtype == np.float32 and _digits(value) < DIGITS:
            # A number that was written in a program, such as 1e-6: the shortest one that float32 rounds to this.
            return np.float64(str(np.float32(value)))
        self.constants += 1
        exact = jnp.asarray(value, WIDER[dtype.name])
        if self._noise is None or dtype == np.complex64:
            return exact
        key, size = self._noise
        unit = half_units(np.asarray(value).astype(np.float64), eps_of(dtype))
        # An array, and a mark: so the pieces that move tables are alike, and one is compiled.
        number = jnp.asarray(np.array([self.constants]))[0]
        part = UNIFORM(jax.random.fold_in(key, number), exact.shape, np.float64, -1.0, 1.0)
        return mark(exact + size * unit * part, f"table {self.constants}")


def _was_short(value: Any) -> bool:
    """Whether a scalar in float64 is one of float32 that was widened when the program was written down."""
    if np.ndim(value) or getattr(value, "dtype", None) != np.float64 or not np.isfinite(value):
        return False
    # One half is the same in both types; 1e-6 and 1 / sqrt(8) are not.
    return bool(np.abs(value) < 1e38 and np.float32(value) == value and float(str(np.float32(value))) != value)


def _digits(value: Any) -> int:
    """How many digits float32 needs to write the number down."""
    return len(str(np.float32(value)).lower().split("e")[0].strip("-0.").replace(".", ""))


def _traced(function: Callable[..., Any], arguments: Any) -> tuple[Any, Any]:
    """The program and the shapes of its results, for float64; or for float32, where the model does not allow that.

    A loop that begins with an explicit float32 cannot go on in float64: its program is widened afterwards instead.
    """
    try:
        return jax.make_jaxpr(function, return_shape=True)(*arguments)
    except TypeError:

        def shorter(value: Any) -> Any:
            return value.astype(np.float32) if getattr(value, "dtype", None) == np.float64 else value

        return jax.make_jaxpr(function, return_shape=True)(*jax.tree.map(shorter, arguments))


DIGITS = 7
"""From as many on a number is taken for one that was computed: float32 holds 7.2 of them."""

UNIFORM = jax.random.uniform
"""As it is: the program under test may run while others are held still."""

INLINED = ("jit", "pjit", "closed_call", "core_call", "remat", "remat2", "checkpoint")
"""Primitives that only group equations."""

TYPES = ("dtype", "element_type")
"""How the parameters of primitives that hold a type are called: `new_dtype`, `preferred_element_type`, ..."""

WIDER = {
    "float16": np.dtype("float64"),
    "bfloat16": np.dtype("float64"),
    "float32": np.dtype("float64"),
    "complex64": np.dtype("complex128"),
}


def eps_of(dtype: Any) -> float:
    """The distance from 1 to the next number of a floating type, those of JAX included."""
    return float(jnp.finfo(dtype).eps)  # type: ignore[no-untyped-call]


def has_short(equation: Any) -> bool:
    """Whether the equation, or one inside it, takes or makes a value of a short type."""
    if any(_is_short(variable.aval) for variable in (*equation.invars, *equation.outvars)):
        return True
    body = _body(equation.params)
    inner = getattr(body, "jaxpr", body)
    return any(has_short(each) for each in inner.eqns) if inner is not None else False


def _lifted(dtype: Any) -> Any:
    """float64 for float32. A step in half precision is no caution of the model's, but a loss both sides must share."""
    return WIDER[str(dtype)] if str(dtype) in ("float32", "complex64") else dtype


def _body(parameters: Any) -> Any:
    return next((parameters[key] for key in ("jaxpr", "call_jaxpr") if key in parameters), None)


def _is_short(value: Any) -> bool:
    return getattr(getattr(value, "dtype", None), "name", "") in SHORT
