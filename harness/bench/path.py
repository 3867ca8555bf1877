"""A path by its name, such as `pytorch-eager-forward-float32-cpu`: one way in which a model can be run."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

from harness.adapters.timed import WAYS, Way, Work
from harness.errors import SpecError, closest

Precision = Literal["float32", "bfloat16"]
Device = Literal["cpu", "gpu", "tpu"]
WORKS, PRECISIONS, DEVICES = get_args(Work), get_args(Precision), get_args(Device)


@dataclass(frozen=True, slots=True)
class BenchPath:
    """framework and way: `pytorch` is run `eager`, under `compile`, or from `export`; `jax` `op-by-op`, under `jit`,
    compiled ahead of time (`aot`), or over a `mesh` of all devices with the batch divided.

    work: forward; train, a step of SGD; prefill and decode, of a causal model with its cache.
    """

    framework: str
    way: Way
    work: Work
    precision: Precision
    device: Device

    def __str__(self) -> str:
        return f"{self.framework}-{self.way}-{self.work}-{self.precision}-{self.device}"


def parse(name: str) -> BenchPath:
    """The path of that name.

    >>> parse("jax-op-by-op-forward-float32-cpu").way
    'op-by-op'

    Raises:
        SpecError: there is no such path; the closest is offered.
    """
    known = {str(path): path for path in every_path()}
    if name not in known:
        form = "A path is FRAMEWORK-WAY-WORK-PRECISION-DEVICE, such as 'jax-jit-forward-float32-cpu'."
        raise SpecError(f"path {name!r}", "there is none of that name", todo=closest(name, known, otherwise=form))
    return known[name]


def every_path(**fixed: Any) -> Iterator[BenchPath]:
    """All paths, or those with the given parts, such as `device="cpu"`."""
    for framework, ways in WAYS.items():
        for parts in itertools.product(ways, WORKS, PRECISIONS, DEVICES):
            path = BenchPath(framework, *parts)
            if all(getattr(path, part) == value for part, value in fixed.items()):
                yield path
