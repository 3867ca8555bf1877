"""The repro once more without any file: weights and activations are drawn from a seed inside the script."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import SequenceMatcher
from typing import Any

import numpy as np

from harness.adapters.protocols import Array, Recipe
from harness.parity.least import Pair, Shown
from harness.parity.specimen import Side, inside
from harness.parity.weights import words_of

NUMBERS = 300
"""Of masks, positions and tables that stand in the script as they are: a person has to paste them."""

CAST = """
def cast(arrays):
    floats = {name: np.asarray(array, np.float32) for name, array in arrays.items() if array.dtype == np.float64}
    return {**arrays, **floats}

"""
LOAD = """
rng = np.random.default_rng(0)
weights = {WEIGHTS}
held = {HELD}
ours = {OURS}
MADE
theirs = {THEIRS}
got = port(cast(held), cast(theirs))
right = reference(cast(weights), cast(ours))FORM
"""


class NoneError(Exception):
    """There is no such script, for the reason given."""


def standalone(pair: Pair, shown: Shown, *, double: bool) -> tuple[list[tuple[str, Recipe]], str]:
    """The functions of the script, and the lines that draw what they are given.

    Raises:
        NoneError: the reference is not run, the port has weights of its own, or too much would have to stand there.
    """
    reference, port = pair.specimen.reference, pair.specimen.port
    if pair.reference is None or reference is None or port is None or reference.recipe is None or port.recipe is None:
        raise NoneError("the script does not run the reference")
    if not shown.valid.all():
        raise NoneError("some positions mean nothing")
    ours = {name: leaf for name, leaf in shown.reference.items() if isinstance(leaf, np.ndarray)}
    theirs = {name: leaf for name, leaf in shown.port.items() if isinstance(leaf, np.ndarray)}
    used = {name for name in ours if f"inputs[{name!r}]" in reference.recipe.text}
    taken = {name for name in theirs if f"inputs[{name!r}]" in port.recipe.text}
    functions, count = [("reference", reference.recipe), ("port", port.recipe)], 0
    made: list[str] = []
    own: dict[str, str] = {}
    first = next((name for name in ours if name in used and _is_float(ours[name])), "")
    for name in [each for each in ours if each in used]:
        if name in reference.makers and name != first:
            prefix, recipe = reference.makers[name]
            function = re.sub(r"\W+", "_", name).strip("_")
            functions.insert(len(made), (function, recipe))
            read = {n: a for n, a in inside(ours, prefix).items() if f"inputs[{n!r}]" in recipe.text}
            given = ", ".join(f"{n!r}: {_written(a, drawn=_is_float(a))}" for n, a in read.items())
            count += sum(array.size for array in read.values() if not _is_float(array))
            made.append(f"ours[{name!r}] = {function}({{}}, cast({{{given}}}))")
            continue
        own[name] = _written(ours[name], drawn=name == first)
        count += 0 if name == first or _is_constant(ours[name]) else ours[name].size
    port_own = {}
    for name in [each for each in theirs if each in taken]:
        found = _derived(name, theirs[name], {each: ours[each] for each in ours if each in used}, "ours")
        port_own[name] = found or _written(theirs[name], drawn=False)
        count += 0 if found or _is_constant(theirs[name]) else theirs[name].size
    if count > NUMBERS:
        raise NoneError(f"{count} numbers would have to stand in it")
    held = dict(_held(port, reference.recipe.weights))
    weights = {name: _written(array, drawn=True) for name, array in reference.recipe.weights.items()}
    text = LOAD if not double else LOAD.replace("cast(held)", "held").replace("cast(", "(")
    for word, table in (("WEIGHTS", weights), ("HELD", held), ("OURS", own), ("THEIRS", port_own)):
        text = text.replace(f"{{{word}}}", _table(table))
    text = text.replace("MADE\n", "".join(f"{line}\n" for line in made)).replace("FORM", pair.specimen.form or "")
    return functions, (CAST + "\n" if not double else "") + text.lstrip("\n")


def _table(values: Mapping[str, str]) -> str:
    return "{" + "".join(f"\n    {name!r}: {value}," for name, value in values.items()) + ("\n}" if values else "}")


def _held(port: Side, weights: Mapping[str, Array]) -> Iterator[tuple[str, str]]:
    """The port's weights as they follow from the reference's."""
    assert port.recipe is not None
    for name, array in port.recipe.weights.items():
        found = _derived(name.replace("/", "."), array, weights, "weights")
        if not found:
            raise NoneError(f"the port's {name} is not a weight of the reference's module")
        yield name, found


def _derived(name: str, array: Array, sources: Mapping[str, Array], table: str) -> str:
    """The array as one of the sources, perhaps with its axes in another order; empty if it is none of them."""
    found = []
    for source, held in sources.items():
        for order in ORDERS.get(held.ndim, ((),)):
            turned = held.transpose(order) if order else held
            if turned.shape == array.shape and np.array_equal(turned, array):
                way = f".transpose{order}" if order and held.ndim > 2 else ".T" if order else ""
                found.append(
                    (SequenceMatcher(None, words_of(name), words_of(source)).ratio(), f"{table}[{source!r}]{way}")
                )
                break
    return max(found, default=(0.0, ""))[1]


ORDERS: dict[int, tuple[tuple[int, ...], ...]] = {
    2: ((), (1, 0)),
    3: ((), (2, 1, 0), (0, 2, 1)),
    4: ((), (2, 3, 1, 0), (0, 2, 3, 1), (0, 3, 1, 2)),
}
"""The orders of axes in which frameworks keep dense and convolution kernels, and images."""


def _written(array: Array, *, drawn: bool) -> str:
    """The array in Python: as it is, or numbers like its own."""
    shape = tuple(int(size) for size in array.shape)
    if drawn and array.size and _is_float(array):
        if array.min() > 0:
            low, high = float(array.min()) * 0.9, float(array.max()) * 1.1
            return f"rng.uniform({low:.2g}, {high:.2g}, {shape})"
        return f"rng.normal({float(array.mean()):.1g}, {max(float(array.std()), 0.01):.1g}, {shape})"
    if _is_constant(array):
        return f"np.full({shape}, {array.flat[0].item()!r}, {array.dtype.name!r})"
    return f"np.array({array.tolist()!r}, {array.dtype.name!r})"


def _is_constant(array: Array) -> bool:
    return array.size > 0 and bool(np.all(array == array.flat[0]))


def _is_float(array: Any) -> bool:
    return isinstance(array, np.ndarray) and array.dtype.kind == "f"
