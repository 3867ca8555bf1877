"""The taps of the reference with their axes as the port has them, where a case says in which order those are."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from harness.cases.mapping import matches
from harness.errors import MappingError
from harness.parity.compare import Array

Axes = tuple[int | tuple[int, ...], ...]
"""The reference's axes in the port's order; those that the port has as one stand together: `[0, [1, 2], 3]`."""

Shapes = Mapping[str, tuple[int, ...]]


def reordered(shapes: Shapes, axes: Mapping[str, Axes], *, place: str) -> dict[str, Axes]:
    """Tap -> its order, for those that a pattern names and that have as many axes as it speaks of.

    Raises:
        MappingError: a pattern matches no such tap, or does not name every axis once.
    """
    for pattern, order in axes.items():
        if sorted(flat(order)) != list(range(len(flat(order)))):
            raise MappingError(
                place,
                f"axes of {pattern!r} are {list(order)}",
                todo=f"Name each axis from 0 to {len(flat(order)) - 1} once.",
            )
    found: dict[str, Axes] = {}
    used = set()
    for name, shape in shapes.items():
        fitting = [pattern for pattern, order in axes.items() if len(flat(order)) == len(shape)]
        chosen = matches(name, fitting)
        if chosen is not None:
            found[name] = axes[chosen]
            used.add(chosen)
    for pattern in axes:
        if pattern not in used:
            count = len(flat(axes[pattern]))
            raise MappingError(
                place, f"no tap with {count} axes is called {pattern!r}", todo="Remove the line, or mend its pattern."
            )
    return found


def flat(axes: Axes) -> tuple[int, ...]:
    """The axes one by one."""
    return tuple(axis for each in axes for axis in ((each,) if isinstance(each, int) else each))


def shape_in(axes: Axes, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape in the port's order.

    >>> shape_in((0, (2, 1)), (2, 3, 4))
    (2, 12)
    """
    return tuple(
        shape[each] if isinstance(each, int) else int(np.prod([shape[axis] for axis in each])) for each in axes
    )


def array_in(axes: Axes, array: Array) -> Array:
    """The array in the port's order; a view, if no axes are joined."""
    return np.transpose(array, flat(axes)).reshape(shape_in(axes, array.shape))
