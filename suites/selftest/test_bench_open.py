"""What the judge and the processes of paths do not do yet: each expected to fail, until it is mended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness import bench
from harness.bench import apart as aparts
from harness.bench.abba import Terms, alternate
from harness.bench.clock import Reading
from harness.bench.context import Context
from harness.bench.path import parse


def here(accelerator: str = "") -> Context:
    return Context("a processor", 2, accelerator, 1, "float32", {})


def constant(seconds: float, *, wall: float = 1.0, first: Sequence[float] = ()) -> Any:
    """A side that takes so long, by wall time so many times that; its first calls take what `first` says."""
    left = iter(first)

    def run(calls: int) -> Reading:
        took = next(left, seconds)
        return Reading(took * wall, took)

    return run


@pytest.mark.xfail(strict=True, reason="CPU time decides, which is that of waiting for the device")
def test_an_accelerator_without_a_clock_of_its_own_is_judged_by_wall_time() -> None:
    both = (here("a TPU"), here("a TPU"))
    found = alternate(constant(0.001), constant(0.001, wall=2.0), Terms(limit_seconds=9), contexts_of=both)
    assert found.clock == "wall"


@pytest.mark.xfail(strict=True, reason="two calls of the warm-up tell what a quad may cost")
def test_one_interrupted_call_of_the_warm_up_does_not_use_up_the_limit() -> None:
    both = (here(), here())
    slow_once = constant(1e-6, first=[1e-6, 0.005])
    assert alternate(slow_once, constant(1e-6), Terms(), contexts_of=both).outcome == "unchanged"


@pytest.mark.xfail(strict=True, reason="the warm-up takes four calls of each side, however long they are")
def test_the_warm_up_of_a_long_call_ends_at_the_limit() -> None:
    found = alternate(constant(5.0), constant(5.0), Terms(), contexts_of=(here(), here()))
    assert found.cpu_seconds <= 20


@pytest.mark.xfail(strict=True, reason="what callables in one process return is not looked at")
def test_nan_of_a_callable_is_no_outcome() -> None:
    whole = np.ones((120, 120))
    found = bench.compare(lambda: whole @ whole, lambda: (whole @ whole) * np.nan)
    assert "NaN" in found.reason


@pytest.mark.xfail(strict=True, reason="only on a CPU is the batch repeated until the devices divide it")
def test_the_batch_of_a_mesh_is_divided_by_the_cores_of_a_tpu(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Mapping[str, Any]] = []

    class Noted:
        def __init__(self, *arguments: Any, **options: Any) -> None: ...

        def __enter__(self) -> Noted:
            return self

        def ask(self, value: Mapping[str, Any], **options: Any) -> dict[str, Any]:
            asked.append(value)
            return {"built": True}

    monkeypatch.setattr(aparts, "Piped", Noted)
    aparts.Apart(Path())._process("a-case", parse("jax-mesh-forward-float32-tpu"))
    assert asked[0]["devices"] == 8
