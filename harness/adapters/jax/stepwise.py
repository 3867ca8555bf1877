"""A program that is traced once, then computed piece after piece, with other values where it has marks.

To compile a whole model takes seconds, and again for every other choice of what is fed or replaced. The marks divide
the program into pieces, most of which are alike, since layers are: of those one is compiled, for all runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.ad_checkpoint import checkpoint_name
from jax.extend.core import Literal

MARK = "name"
"""The primitive of `checkpoint_name`, which hands a value on as it is."""

QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
"""Most programs run a few times on a few rows: they are not worth optimizing long."""


def mark(value: Any, name: str) -> Any:
    """The value, with a mark of this name in the program that is being traced."""
    return checkpoint_name(value, name)  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class Later:
    """An argument that is to be in float64 when it is needed: a large model has many weights."""

    held: Any

    def make(self) -> Any:
        return jnp.asarray(self.held, np.float64)

    def shaped(self) -> jax.ShapeDtypeStruct:
        """Its shape and type, for a trace."""
        return jax.ShapeDtypeStruct(np.shape(self.held), np.float64)  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class Piece:
    """Some operations, or one mark, whose name is `mark` then; its `run` hands on what it is given.

    given, made: the program's variables that it reads, and that others need of it. spent: which nothing needs later.
    """

    given: tuple[Any, ...]
    made: tuple[Any, ...]
    spent: frozenset[Any]
    run: Callable[..., Sequence[Any]]
    mark: str = ""


@dataclass(frozen=True, slots=True)
class Stepwise:
    """A function in pieces, for arguments of certain shapes and types. structure: of its result."""

    program: Any
    structure: Any
    pieces: tuple[Piece, ...]

    def __call__(self, *arguments: Any, instead: Mapping[str, Any]) -> Any:
        """The result, where each mark that is named in `instead` hands on that value."""
        inner = self.program.jaxpr
        values = dict(zip(inner.constvars, self.program.consts, strict=True))
        values |= dict(zip(inner.invars, jax.tree.leaves(arguments), strict=True))

        def read(variable: Any) -> Any:
            if isinstance(variable, Literal):
                return variable.val
            if isinstance(values[variable], Later):
                values[variable] = values[variable].make()
            return values[variable]

        for piece in self.pieces:
            made = piece.run(*map(read, piece.given))
            if piece.mark in instead:
                made = [jnp.asarray(instead[piece.mark], each.aval.dtype) for each in piece.made]
            values |= zip(piece.made, made, strict=True)
            for variable in piece.spent:
                del values[variable]
        return jax.tree.unflatten(self.structure, [read(variable) for variable in inner.outvars])


def stepwise(function: Callable[..., Any], arguments: Sequence[Any]) -> Stepwise:
    """The function in pieces, for arguments of these shapes and types."""
    arguments = jax.tree.map(lambda each: each.shaped() if isinstance(each, Later) else each, arguments)
    program, shapes = jax.make_jaxpr(function, return_shape=True)(*arguments)
    return Stepwise(program, jax.tree.structure(shapes), tuple(_pieces(program.jaxpr))[::-1])


def bound(primitive: Any, arguments: Sequence[Any], parameters: Mapping[str, Any]) -> list[Any]:
    """The results of an operation."""
    found = primitive.get_bind_params(parameters)
    # A pair (functions, parameters) before JAX 0.9, the parameters alone since then.
    functions, parameters = found if isinstance(found, tuple) else ((), found)
    results = primitive.bind(*functions, *arguments, **parameters)
    return list(results) if primitive.multiple_results else [results]


def _pieces(program: Any) -> Iterator[Piece]:
    """The pieces, the last first: what is needed of one is known from those after it."""
    compiled: dict[Any, Callable[..., Any]] = {}
    needed = _variables(program.outvars)
    for name, operations in [(name, [*group]) for name, group in groupby(program.eqns, key=_mark)][::-1]:
        inside = _variables(variable for each in operations for variable in each.outvars)
        read = _variables(variable for each in operations for variable in each.invars)
        given = tuple(variable for variable in read if variable not in inside)
        made = tuple(variable for variable in inside if variable in needed)
        spent = frozenset(variable for variable in given if variable not in needed)
        needed |= dict.fromkeys(given)
        if name:
            yield Piece(tuple(operations[0].invars), tuple(inside), spent, _handed_on, name)
            continue
        form = _form(operations, given, made)
        if form not in compiled:
            compiled[form] = jax.jit(_computing(operations, given, made), compiler_options=QUICK)
        yield Piece(given, made, spent, compiled[form])


def _mark(operation: Any) -> str:
    return str(operation.params["name"]) if operation.primitive.name == MARK else ""


def _handed_on(*given: Any) -> Sequence[Any]:
    return given


def _variables(values: Iterable[Any]) -> dict[Any, None]:
    """Those that are no numbers written in the program, in order."""
    return {each: None for each in values if not isinstance(each, Literal)}


def _computing(operations: Sequence[Any], given: Sequence[Any], made: Sequence[Any]) -> Callable[..., list[Any]]:
    """The operations as a function of what is given."""

    def computed(*arguments: Any) -> list[Any]:
        values = dict(zip(given, arguments, strict=True))
        for each in operations:
            read = [variable.val if isinstance(variable, Literal) else values[variable] for variable in each.invars]
            values |= zip(each.outvars, bound(each.primitive, read, each.params), strict=True)
        return [values[variable] for variable in made]

    return computed


def _form(operations: Sequence[Any], given: Sequence[Any], made: Sequence[Any]) -> Any:
    """Equal for operations that are the same but for the names of their variables."""
    numbers: dict[Any, int] = {}

    def of(variable: Any) -> Any:
        if isinstance(variable, Literal):
            return repr(variable.val), variable.aval
        return numbers.setdefault(variable, len(numbers)), variable.aval

    steps = [
        (
            each.primitive,
            tuple(sorted(each.params.items())),
            tuple(map(of, each.invars)),
            tuple(map(of, each.outvars)),
        )
        for each in operations
    ]
    form = tuple(map(of, given)), tuple(steps), tuple(map(of, made))
    try:
        hash(form)
    except TypeError:  # a parameter is a list, or an array
        return object()
    return form
