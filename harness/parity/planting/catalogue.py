"""The catalogue of causes, planted wherever the port has something that they apply to."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from harness.parity.planting.activations import activation_faults
from harness.parity.planting.attention import attention_faults
from harness.parity.planting.convolutions import convolution_faults
from harness.parity.planting.fault import Fault, Watched, path_of, spread
from harness.parity.planting.inputs import input_faults
from harness.parity.planting.norms import norm_faults
from harness.parity.planting.outputs import output_faults
from harness.parity.planting.products import product_faults, swapped_faults
from harness.parity.planting.sums import sum_faults
from harness.parity.planting.tables import table_faults

Family = Callable[[Watched, str], Iterator[Fault]]

FAMILIES: Mapping[str, tuple[Family, str]] = {
    "norms": (norm_faults, "no module is a normalisation that is known"),
    "tables": (table_faults, "no module looks rows up"),
    "products": (product_faults, "no module is a matrix product"),
    "swapped projections": (swapped_faults, "no module has projections of one form inside"),
    "convolutions": (convolution_faults, "no module is a convolution, or it is too large"),
    "activations": (activation_faults, "no activation stands between two modules, or is one"),
    "attention": (attention_faults, "no module mixes what projections inside it put out, in a known way"),
    "sums": (sum_faults, "no module adds or pools what is at hand"),
    "outputs": (output_faults, "nobody sees inside"),
}
"""What the causes apply to -> how they are planted there, and what it means if there is nothing."""

PLACES = 2
"""Places at which each cause is planted: the first and the last it applies to."""


def faults_for(watched: Watched, *, places: int = PLACES) -> tuple[list[Fault], dict[str, str]]:
    """The faults to plant in the port, seen in a run of it; and the families that apply to nothing, with the reason."""
    found = list(input_faults(watched))
    absent = {} if found else {"inputs": "the port takes no mask, positions or token types"}
    names = list(_representatives(watched, places))
    for family, (make, why) in FAMILIES.items():
        made = [fault for name in names for fault in _made(make, watched, name)]
        found += made
        if not made:
            absent[family] = why if watched.calls else "the port is a function, into which nobody sees"
    return spread(found, places), absent


def _made(make: Family, watched: Watched, name: str) -> list[Fault]:
    try:
        return list(make(watched, name))
    except (ValueError, TypeError, IndexError, KeyError, ArithmeticError):
        return []  # the module is of another kind than the family is about


def _representatives(watched: Watched, places: int) -> Iterator[str]:
    """Of the calls of one class whose paths differ by numbers alone, the first and, for two places, the last."""
    groups: dict[tuple[str, str], list[str]] = {}
    for name, call in watched.calls.items():
        if name == path_of(name):
            groups.setdefault((call.kind, re.sub(r"\d+", "*", name)), []).append(name)
    kept = {name for group in groups.values() for name in _ends(group, places)}
    yield from (name for name in watched.calls if name in kept)


def _ends(group: Sequence[str], places: int) -> set[str]:
    return {group[0], *(group[-1:] if places > 1 else ())}
