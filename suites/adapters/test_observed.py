"""Models of real frameworks that compute something else when they are tapped, or when they are not compiled."""

import numpy as np
import pytest

import harness

X = {"x": np.linspace(-2, 2, 16, dtype=np.float32).reshape(2, 8)}


def claims(found):
    return [(line.probe, line.verdict) for line in found.lines if line.check == "forward"]


def test_a_torch_module_that_looks_at_its_hooks():
    torch = pytest.importorskip("torch")

    class Plain(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = torch.nn.Linear(8, 8)

        def forward(self, x):
            return self.inner(x)

    class Fused(Plain):
        def forward(self, x):
            return self.inner(x) + (0.0 if self.inner._forward_hooks else 0.01)

    torch.manual_seed(0)
    one, same, fused = Plain(), Plain(), Fused()
    for each in (same, fused):
        each.load_state_dict(one.state_dict())
    good = harness.check(one, same, X, checks=["forward"])
    assert good.verdict is harness.Verdict.AGREE
    assert not claims(good)
    found = harness.check(one, fused, X, checks=["forward"])
    assert found.verdict is harness.Verdict.DIVERGE
    assert claims(found) == [("without taps", harness.Verdict.DIVERGE)]


@pytest.fixture
def linen():
    return pytest.importorskip("flax.linen")


def dense(linen, extra):
    """A pair (module, params) that adds `extra(x)` to a matrix product."""
    import jax

    class Model(linen.Module):
        @linen.compact
        def __call__(self, x):
            made = linen.Dense(8)(x)
            return made + extra(x)

    model = Model()
    return model, model.init(jax.random.key(0), np.zeros((2, 8), np.float32))["params"]


def test_a_linen_module_that_is_right_either_way(linen):
    found = harness.check(dense(linen, lambda x: 0.0), dense(linen, lambda x: 0.0), X, checks=["forward"])
    assert found.verdict is harness.Verdict.AGREE
    assert not claims(found)
    assert not found.notes
    assert "compiled as a whole" not in found.not_checked


def test_a_linen_module_that_sees_interceptors(linen):
    from flax.linen import module

    def extra(x):
        return 0.0 if list(module._global_interceptor_stack) else 0.01

    found = harness.check(dense(linen, lambda x: 0.0), dense(linen, extra), X, checks=["forward"])
    assert found.verdict is harness.Verdict.DIVERGE
    assert claims(found)[0] == ("without taps", harness.Verdict.DIVERGE)


def test_a_linen_module_that_is_another_when_it_is_compiled(linen):
    import jax

    def extra(x):
        return 0.01 if isinstance(x, jax.core.Tracer) else 0.0

    found = harness.check(dense(linen, lambda x: 0.0), dense(linen, extra), X, checks=["forward"])
    assert found.verdict is harness.Verdict.DIVERGE
    assert claims(found) == [("compiled as a whole", harness.Verdict.DIVERGE)]


def test_a_linen_module_that_cannot_be_compiled(linen):
    def extra(x):
        return 0.0 if float(x[0, 0]) < 0 else 1.0

    found = harness.check(dense(linen, lambda x: 0.0), dense(linen, extra), X, checks=["forward"])
    assert found.verdict is harness.Verdict.AGREE
    assert found.not_checked["compiled as a whole"].startswith("the port raised ConcretizationTypeError")


def test_an_nnx_module_that_is_another_when_it_is_compiled():
    nnx = pytest.importorskip("flax.nnx")
    import jax

    class Model(nnx.Module):
        def __init__(self, wrong):
            self.inner = nnx.Linear(8, 8, rngs=nnx.Rngs(0))
            self.wrong = wrong

        def __call__(self, x):
            return self.inner(x) + (self.wrong if isinstance(x, jax.core.Tracer) else 0.0)

    assert harness.check(Model(0.0), Model(0.0), X, checks=["forward"]).verdict is harness.Verdict.AGREE
    found = harness.check(Model(0.0), Model(0.01), X, checks=["forward"])
    assert claims(found) == [("compiled as a whole", harness.Verdict.DIVERGE)]
