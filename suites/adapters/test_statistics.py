"""Statistics of every module's output are those of the output itself."""

import numpy as np
import pytest

from harness.adapters.choose import adapt
from harness.adapters.protocols import UnsupportedError

X = {"x": np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32)}


def check(model):
    taps = {}
    adapt(model).run(X, tap=lambda name, array: taps.setdefault(name, array))
    found = adapt(model).statistics(X)
    assert list(found) == list(taps)
    for name, array in taps.items():
        assert found[name].shape == array.shape
        assert found[name].largest == pytest.approx(np.abs(array).max(), rel=1e-6)
        assert found[name].rms == pytest.approx(np.sqrt(np.square(array).mean()), rel=1e-5)


def test_pytorch():
    nn = pytest.importorskip("torch").nn
    check(nn.Sequential(nn.Linear(8, 4), nn.GELU(), nn.Linear(4, 2)))


def test_linen_and_a_scan_is_refused():
    jax = pytest.importorskip("jax")
    linen = pytest.importorskip("flax.linen")
    module = linen.Sequential([linen.Dense(4), linen.LayerNorm(), linen.Dense(2)])
    check((module, module.init(jax.random.key(0), X["x"])))

    class Layer(linen.Module):
        @linen.compact
        def __call__(self, x, _):
            return linen.Dense(8)(x), None

    class Scanned(linen.Module):
        @linen.compact
        def __call__(self, x):
            layers = linen.scan(Layer, variable_axes={"params": 0}, split_rngs={"params": True}, length=2)
            return layers()(x, None)[0]

    scanned = Scanned()
    with pytest.raises(UnsupportedError, match="inside a compiled loop"):
        adapt((scanned, scanned.init(jax.random.key(0), X["x"]))).statistics(X)
