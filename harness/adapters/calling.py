"""Pass named inputs to a side that may call its one argument by another name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.adapters.leaves import every_leaf, with_leaves


def bind(function: Callable[..., Any], inputs: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Positional and keyword arguments for `function`: a single input goes by position where its name is not taken.

    Several inputs always go by name, since their order says nothing.

    >>> bind(lambda x, y: None, {"x": 1, "y": 2})
    ((), {'x': 1, 'y': 2})
    >>> bind(abs, {"x": 1})
    ((1,), {})
    """
    if len(inputs) != 1:
        return (), dict(inputs)
    try:
        signature = inspect.signature(function)
        signature.bind_partial(**inputs)
    except (TypeError, ValueError):
        return tuple(inputs.values()), {}
    # One that takes anything at all (`*args, **kwargs`) hands it on to one that may call it otherwise.
    kinds = {parameter.kind for parameter in signature.parameters.values()}
    anything = inspect.Parameter.VAR_POSITIONAL in kinds and not set(inputs) & set(signature.parameters)
    return (tuple(inputs.values()), {}) if anything else ((), dict(inputs))


def argument_names(cls: type, method: str) -> frozenset[str]:
    """The names of the arguments that `method` of a class takes.

    One that hands on whatever it gets (`**kwargs`) takes what the method that it overrides takes.

    >>> class Base:
    ...     def call(self, ids, mask=None): ...
    >>> class Wrapped(Base):
    ...     def call(self, *args, **kwargs): ...
    >>> sorted(argument_names(Wrapped, "call"))
    ['ids', 'mask']
    """
    names: set[str] = set()
    for base in cls.__mro__:
        function = vars(base).get(method)
        if not callable(function):
            continue
        parameters = inspect.signature(function).parameters.values()
        names |= {each.name for each in parameters if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)}
        if not any(each.kind is each.VAR_KEYWORD for each in parameters):
            break
    return frozenset(names - {"self"})


@dataclass(frozen=True, slots=True)
class Arguments:
    """What a module's method was called with.

    names: of the positional ones. omitted: those that were not given, and are None by default.
    """

    positional: tuple[Any, ...]
    keywords: Mapping[str, Any]
    names: tuple[str, ...]
    omitted: tuple[str, ...] = ()

    def leaves(self, is_array: Callable[[Any], bool]) -> dict[str, Any]:
        """Every leaf by name: `mask`, `states[0]`; an argument that was not given, and is None then, is None."""
        given = [*zip(self.names, self.positional, strict=True), *self.keywords.items()]
        found = {
            f"{name}{inner}": leaf for name, value in given for inner, leaf in every_leaf(value, is_array=is_array)
        }
        return dict.fromkeys(self.omitted) | found

    def changed(self, leaves: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments with these leaves instead; one that was not given is given by name."""
        positional = tuple(
            with_leaves(value, _inside(name, leaves)) for name, value in zip(self.names, self.positional, strict=True)
        )
        keywords = {name: with_leaves(value, _inside(name, leaves)) for name, value in self.keywords.items()}
        keywords |= {name: leaves[name] for name in self.omitted if name in leaves}
        return positional, keywords


def arguments_of(cls: type, method: str, positional: tuple[Any, ...], keywords: Mapping[str, Any]) -> Arguments:
    """The arguments under the names that the class's method gives them; by number where it does not say."""
    parameters = [each for each in inspect.signature(getattr(cls, method)).parameters.values() if each.name != "self"]
    plain = [each.name for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    names = [*plain[: len(positional)], *map(str, range(len(plain), len(positional)))]
    omitted = tuple(
        each.name
        for each in parameters
        if each.default is None and each.name not in names and each.name not in keywords
    )
    return Arguments(positional, keywords, tuple(names), omitted)


def _inside(name: str, leaves: Mapping[str, Any]) -> dict[str, Any]:
    return {leaf[len(name) :]: value for leaf, value in leaves.items() if leaf == name or leaf.startswith(f"{name}[")}


@dataclass(slots=True)
class Draws:
    """How many random elements each of the calls that are open has drawn in its own code, and how many shared masks.

    count: the two numbers so far, of the whole run.
    """

    count: Callable[[], tuple[int, int]] = lambda: (0, 0)
    _open: list[tuple[int, int]] = field(default_factory=list)

    def enter(self) -> None:
        """A call begins: what is drawn from here on is its own."""
        self._open.append(self._now(0, 0))

    def leave(self) -> tuple[int, int]:
        """The innermost call ends: what it drew, which its caller did not."""
        start = self._open.pop()
        drawn = self._now(*start)
        self._open = [(one + drawn[0], other + drawn[1]) for one, other in self._open]
        return drawn

    def _now(self, elements: int, masks: int) -> tuple[int, int]:
        now = self.count()
        return now[0] - elements, now[1] - masks
