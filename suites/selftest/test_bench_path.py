"""Paths by their names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.bench import apart as aparts
from harness.bench.path import DEVICES, PRECISIONS, WORKS, every_path, parse
from harness.bench.paths import repeated
from harness.errors import SpecError


def test_every_path_has_a_name_that_is_read_again() -> None:
    every = list(every_path())
    assert len({str(path) for path in every}) == len(every) == 7 * len(WORKS) * len(PRECISIONS) * len(DEVICES)
    assert all(parse(str(path)) == path for path in every)


def test_paths_are_chosen_by_their_parts() -> None:
    assert [str(path) for path in every_path(way="aot", work="forward", device="cpu")] == [
        "jax-aot-forward-float32-cpu",
        "jax-aot-forward-bfloat16-cpu",
    ]


def test_an_unknown_name_is_offered_the_closest() -> None:
    with pytest.raises(SpecError, match="Did you mean 'pytorch-eager-forward-float32-cpu'"):
        parse("pytorch-eager-foward-float32-cpu")
    with pytest.raises(
        SpecError, match="none of that name. A path is FRAMEWORK-WAY-WORK-PRECISION-DEVICE, such as 'jax"
    ):
        parse("")


def test_a_batch_is_repeated_until_devices_divide_it() -> None:
    given = {"x": np.arange(6).reshape(3, 2), "flag": True, "scale": np.float32(2)}
    found = repeated(given, 8)
    assert found["x"].shape == (8, 2)
    assert (found["x"][3:6] == given["x"]).all()
    assert found["flag"] is True
    assert found["scale"] == 2
    assert (repeated(given, 1)["x"] == given["x"]).all()


def test_the_batch_of_a_mesh_is_divided_by_the_cores_of_a_tpu(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Mapping[str, Any]] = []

    class Noted:
        def __init__(self, *arguments: Any, **options: Any) -> None: ...

        def start(self) -> Noted:
            return self

        def ask(self, value: Mapping[str, Any], **options: Any) -> dict[str, Any]:
            asked.append(value)
            return {"built": True}

    monkeypatch.setattr(aparts, "Piped", Noted)
    aparts.Apart(Path())._process("a-case", parse("jax-mesh-forward-float32-tpu"))
    assert asked[0]["devices"] == 8
