"""A path that goes wrong becomes a result with its reason, and the others go on."""

import pytest

from harness import Verdict
from harness.bench.apart import Apart, Lacks
from harness.bench.path import parse

pytest.importorskip("torch", reason="needs torch 2, which is not installed")

EAGER, EXPORT = parse("pytorch-eager-forward-float32-cpu"), parse("pytorch-export-forward-float32-cpu")
CASE = """
title = "one path goes wrong"
[reference]
factory = "faulty:model"
arguments = {{ fault = "{fault}" }}
[port]
factory = "faulty:model"
arguments = {{ fault = "{fault}" }}
[inputs]
factory = "faulty:inputs"
"""
FAULTS = {
    "crash": "crashed with SIGSEGV",
    "hang": "hangs: no answer within 15 seconds",
    "memory": "out of memory: it held",
    "raise": "ValueError: a fault that is planted: raise",
}


@pytest.fixture(scope="module")
def repository(tmp_path_factory, request):
    root = tmp_path_factory.mktemp("faulty")
    (root / "pyproject.toml").write_text('[tool.harness]\ncases = "cases"\n')
    (root / "faulty.py").write_text((request.path.parent / "faulty.py").read_text())
    (root / "cases").mkdir()
    for fault in (*FAULTS, "nan", "faster", "tanh"):
        (root / f"cases/{fault}.toml").write_text(CASE.format(fault=fault))
    return root


@pytest.fixture
def apart(repository):
    with Apart(repository, timeout_seconds=15, memory_bytes=3 * 2**30) as found:
        yield found


def measured(apart, case, path):
    return apart.measure(case, path, seconds=0.05, least=5)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_path_that_gives_nothing(fault, apart):
    found = measured(apart, fault, EXPORT)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert FAULTS[fault] in found.reason
    assert found.measured is None
    other = measured(apart, fault, EAGER)
    assert other.verdict is Verdict.AGREE
    assert other.measured.median.value > 0


def test_nan_has_its_figures_and_diverges(apart):
    found = measured(apart, "nan", EXPORT)
    assert found.verdict is Verdict.DIVERGE
    assert "NaN or infinite on one side only" in found.reason
    assert found.measured is not None


def test_a_fast_path_that_computes_something_else_is_marked(apart):
    wrong, right = measured(apart, "faster", EXPORT), measured(apart, "faster", EAGER)
    assert (wrong.verdict, right.verdict) == (Verdict.DIVERGE, Verdict.AGREE)
    assert "elements are outside the tolerance" in wrong.reason


def test_a_path_off_by_less_than_the_contract_is_marked_too(apart):
    """The two forms of GELU: within 1e-3, and no rounding."""
    found = measured(apart, "tanh", EXPORT)
    assert found.verdict is Verdict.WITHIN_TOLERANCE
    assert "where rounding explains" in found.reason
    assert found.allowed < found.error < 1e-3


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("jax-jit-forward-float32-cpu", "neither side of the case is of jax"),
        ("pytorch-export-train-float32-cpu", "torch.export keeps a program of the forward pass"),
        ("pytorch-eager-decode-float32-cpu", "the model takes no cache"),
        ("pytorch-eager-forward-float32-tpu", "needs a TPU"),
    ],
)
def test_what_a_case_lacks_has_its_reason(path, reason, apart):
    found = measured(apart, "tanh", parse(path))
    assert isinstance(found, Lacks)
    assert reason in found.reason


def test_a_path_alone_has_a_process_that_is_gone_afterwards(repository):
    with Apart(repository, alone=True) as apart:
        assert measured(apart, "tanh", EAGER).verdict is Verdict.AGREE
        assert apart.running is None


def test_a_case_that_cannot_be_built_is_a_result(repository):
    (repository / "cases/broken.toml").write_text(CASE.format(fault="tanh").replace("faulty:inputs", "faulty:absent"))
    with Apart(repository) as apart:
        found = measured(apart, "broken", EAGER)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "no function 'absent'" in found.reason
