"""Links between the weights of both sides: which holds which, where, and in what layout."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from harness.adapters.protocols import Array

KINDS = {
    "kernel": "weight",
    "scale": "weight",
    "embedding": "weight",
    "gamma": "weight",
    "beta": "bias",
    "running_mean": "mean",
    "running_var": "var",
}
"""What frameworks call the same thing: leaf of a name -> the word for it here; others are their own word."""


@dataclass(frozen=True, slots=True)
class Part:
    """A slice of an array: for each of its first axes, one place on it, or a range (start, stop)."""

    index: tuple[int | tuple[int, int], ...]

    def of(self, array: Array) -> Array:
        """The slice, as a view."""
        return array[tuple(slice(*each) if isinstance(each, tuple) else each for each in self.index)]


@dataclass(frozen=True, slots=True)
class Link:
    """One weight, or a part of one, that both sides hold.

    order: the axes of the reference's part, in the order in which the port has them; its shape follows from the port.
    certain: proved by the values, or the only choice left in a module that is proved. Otherwise it is a proposal, and
    is used for nothing. why: in words.
    """

    reference: str
    port: str
    order: tuple[int, ...]
    reference_part: Part | None = None
    port_part: Part | None = None
    certain: bool = True
    why: str = "same values"

    def of_reference(self, array: Array) -> Array:
        """The part of the reference's array."""
        return self.reference_part.of(array) if self.reference_part else array

    def of_port(self, array: Array) -> Array:
        """The part of the port's array."""
        return self.port_part.of(array) if self.port_part else array

    def to_port(self, part: Array, shape: tuple[int, ...]) -> Array:
        """The reference's part in the port's layout, of which `shape` is the shape."""
        return np.transpose(part, self.order).reshape(shape)

    def to_reference(self, part: Array, shape: tuple[int, ...]) -> Array:
        """The port's part in the reference's layout, of which `shape` is the shape."""
        turned = part.reshape([shape[axis] for axis in self.order])
        return np.transpose(turned, np.argsort(self.order))


@dataclass(frozen=True, slots=True)
class Pairing:
    """The links between the weights of both sides, and what is left over on either.

    different: pairs of one name and shape whose values differ. ambiguous: square weights whose layout the values do
    not decide.
    """

    links: tuple[Link, ...]
    only_reference: tuple[str, ...] = ()
    only_port: tuple[str, ...] = ()
    different: tuple[tuple[str, str], ...] = ()
    ambiguous: tuple[str, ...] = ()
    idle: tuple[str, ...] = ()

    @property
    def certain(self) -> tuple[Link, ...]:
        """The links that are used."""
        return tuple(link for link in self.links if link.certain)

    @property
    def proposed(self) -> tuple[Link, ...]:
        """The links that are not."""
        return tuple(link for link in self.links if not link.certain)


def split_name(name: str) -> tuple[str, str]:
    """The module that a weight belongs to, and its own name there."""
    home, _, leaf = name.rpartition(".")
    return home, leaf


STATISTICS = ("mean", "var")
"""Kinds of weights that are not trained, but kept up."""


def kind_of(name: str) -> str:
    """What a weight is, in one word for all frameworks: weight, bias, mean, var, or its own.

    >>> kind_of("layer.0.kernel"), kind_of("attention.in_proj_bias")
    ('weight', 'bias')
    """
    leaf = split_name(name)[1]
    own = KINDS.get(leaf, leaf)
    return next((word for word in ("weight", "bias") if own.endswith(f"_{word}")), own)


def words_of(name: str) -> str:
    """The name with its last part in the word for all frameworks."""
    return f"{split_name(name)[0]}.{kind_of(name)}"


def numbers_in(name: str) -> list[str]:
    """The numbers in a name: which layer it is of."""
    return re.findall(r"\d+", name)
