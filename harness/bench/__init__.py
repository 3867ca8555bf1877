"""What a path costs, and whether a change made it slower, on machines that do other work meanwhile.

>>> from harness import bench
>>> bench.compare(lambda: sum(range(2000)), lambda: sum(range(4000))).outcome
'slower'
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.bench.abba import Judgement, Terms, compare
    from harness.bench.lockstep import Side, compare_sides

_HOMES = {
    "Judgement": "harness.bench.abba",
    "Side": "harness.bench.lockstep",
    "Terms": "harness.bench.abba",
    "compare": "harness.bench.abba",
    "compare_sides": "harness.bench.lockstep",
}

__all__ = ["Judgement", "Side", "Terms", "compare", "compare_sides"]


def __getattr__(name: str) -> Any:
    """Import a name when it is first used: the worker runs where there is no NumPy."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
