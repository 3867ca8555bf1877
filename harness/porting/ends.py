"""Two results of the use of a model from end to end: text and whole numbers are equal, others within the tolerance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from harness.errors import BuildError
from harness.parity.compare import Verdict
from harness.tolerance import Tolerance


def compare_ends(made: Any, *, tolerance: Tolerance, place: str) -> tuple[Verdict, str]:
    """The verdict on what a case's `end_to_end` returned, and in a sentence why.

    made: the result of the reference and that of the port: text, numbers, arrays, or tables and lists of them.

    Raises:
        BuildError: it is no pair.
    """
    if not isinstance(made, (tuple, list)) or len(made) != 2:
        got = f"a {type(made).__name__} of {len(made)}" if hasattr(made, "__len__") else repr(made)[:60]
        raise BuildError(place, f"returned {got}", todo="Return two: the reference's result and the port's.")
    ours, theirs = (dict(_leaves("", value)) for value in made)
    if not ours:
        return Verdict.INCONCLUSIVE, "nothing was compared: the reference's result is empty"
    if ours.keys() != theirs.keys():
        odd = next(name for name in {**ours, **theirs} if name not in ours or name not in theirs)
        side = "port" if odd in ours else "reference"
        return Verdict.DIVERGE, f"the {side} has no {odd or 'such result'}"
    for name, value in ours.items():
        if said := _apart(value, theirs[name], tolerance):
            return Verdict.DIVERGE, f"{name}: {said}" if name else said
    return Verdict.AGREE, f"{len(ours)} results agree, the first {_short(next(iter(ours.values())))}"


def _leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(f"{name}.{key}" if name else str(key), item)
    elif isinstance(value, (list, tuple)):
        for number, item in enumerate(value):
            yield from _leaves(f"{name}[{number}]", item)
    elif value is not None:
        yield name, value


def _apart(one: Any, other: Any, tolerance: Tolerance) -> str:
    """How two results differ, or ""."""
    if isinstance(one, str) or isinstance(other, str):
        return "" if one == other else f"{_short(one)} in the reference, {_short(other)} in the port"
    ours, theirs = np.asarray(one), np.asarray(other)
    if ours.shape != theirs.shape:
        return f"{ours.shape} in the reference, {theirs.shape} in the port"
    if ours.size == 0:
        return "is empty"
    if np.isnan(ours).any():
        return "is NaN in the reference"
    whole = ours.dtype.kind in "biu"
    off = ours != theirs if whole else ~np.isclose(theirs, ours, rtol=tolerance.rtol, atol=tolerance.atol)
    if not off.any():
        return ""
    at = tuple(int(each) for each in np.argwhere(off)[0])
    where = f" at {list(at)}" if at else ""
    return f"{ours[at]} in the reference, {theirs[at]} in the port{where}"


def _short(value: Any) -> str:
    text = repr(value) if isinstance(value, (str, int, float)) else f"an array {np.shape(value)}"
    return text if len(text) <= 60 else f"{text[:57]}..."
