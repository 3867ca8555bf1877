"""What every path of the two real checkpoints costs, and that each computes what its reference computes.

The quick ones are every way and every kind of work in float32, and either framework's usual way in bfloat16; the slow
ones are all the rest.
"""

import pytest

from harness.bench.path import every_path

pytestmark = pytest.mark.benchmark(max_time=0.5)

MINILM, SMOLLM2 = "minilm-flax", "smollm2-flax-repaired"
WORKS = {MINILM: ("forward", "train"), SMOLLM2: ("forward", "train", "prefill", "decode")}
"""Case -> what its model does: an encoder takes no cache."""

USUAL = ("eager", "jit")
"""The way in which most people run either framework; any other is quick for the forward pass alone."""

TOO_LARGE = {(SMOLLM2, "mesh")}
"""Eight virtual devices would hold eight times 0.5 GiB, and in training three times that."""


def is_offered(case, path):
    """Whether the model has such a path anywhere: what only the machine lacks is skipped, with the reason."""
    if path.work not in WORKS[case] or (case, path.way) in TOO_LARGE:
        return False
    if path.way == "export" and path.work != "forward":
        return False
    if path.way == "mesh" and path.work not in ("forward", "train"):
        return False
    return path.device != "tpu" or path.framework == "jax"


def is_quick(case, path):
    if path.way == "compile" and case != MINILM:
        return False
    if path.way not in USUAL:
        return path.work == "forward" and path.precision == "float32"
    return path.precision == "float32" or path.work == "forward"


def paths(case, **fixed):
    """Those of a case as parameters; the meshes last, since they need a process with more devices."""
    chosen = sorted(
        filter(lambda path: is_offered(case, path), every_path(**fixed)), key=lambda path: path.way == "mesh"
    )
    return [
        pytest.param(case, path, id=f"{case}-{path}", marks=[] if is_quick(case, path) else [pytest.mark.slow])
        for path in chosen
    ]


def on(device):
    return pytest.mark.parametrize(("name", "path"), [each for case in WORKS for each in paths(case, device=device)])


@on("cpu")
def test_on_the_cpu(name, path, bench):
    check(name, path, bench)


@pytest.mark.gpu
@on("gpu")
def test_on_a_gpu(name, path, bench):
    check(name, path, bench)


@pytest.mark.tpu
@on("tpu")
def test_on_a_tpu(name, path, bench):
    check(name, path, bench)


def check(name, path, bench):
    """The fixture judges what was computed; here is that there are figures, and that they can be."""
    for package in ("torch", "transformers", "jax", "flax"):
        pytest.importorskip(package, reason=f"needs {package} 0, which is not installed")
    found = bench(name, path)
    figures = found.figures()
    assert figures["rounds"] >= 3
    assert 0 < figures["low_seconds"] <= figures["median_seconds"] <= figures["high_seconds"]
    # A path may be a little faster than the best of a yardstick; twice as fast is a count or a clock that is wrong.
    assert 0 < figures["flops_ratio"] < 2
    assert figures["host_peak_bytes"] >= figures["host_before_bytes"] > 0
    assert figures["recompiled"] == 0
    if path.device != "cpu":
        assert figures["accelerator"]
    if path.way in ("compile", "export", "jit", "aot", "mesh"):
        assert figures["compile_seconds"] > 0


def test_every_way_work_and_precision_is_quick_for_a_case():
    quick = [each.values[1] for case in WORKS for each in paths(case, device="cpu") if not each.marks]
    for part in ("way", "work", "precision"):
        assert {getattr(path, part) for path in quick} == {getattr(path, part) for path in every_path(device="cpu")}
