"""JAX programs in float64: loops, constants, half precision and functions with a backward pass of their own."""

import numpy as np
import pytest

import harness

X = {"x": np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32)}
AGREE = harness.Verdict.AGREE


@pytest.fixture
def jax():
    return pytest.importorskip("jax")


@pytest.fixture
def linen():
    return pytest.importorskip("flax.linen")


def lifted(jax, function, x):
    from harness.adapters.jax.lift import Lift

    with jax.enable_x64(True):
        lift = Lift()
        return np.asarray(jax.jit(lift(function))(None, jax.numpy.asarray(x, "float64"))), lift


def test_a_scan_that_begins_in_float32_is_widened(jax):
    jnp = jax.numpy

    def total(x):
        return jax.lax.scan(lambda carry, row: (carry + 0.1 * row, carry), jnp.zeros(8, jnp.float32), x)[0]

    found, lift = lifted(jax, total, X["x"])
    assert found.dtype == np.float64
    assert np.abs(found - 0.1 * X["x"].astype(np.float64).sum(axis=0)).max() < 1e-15
    assert lift.places == ()


def test_conditions_and_loops_are_widened(jax):
    jnp = jax.numpy

    def function(x):
        y = jax.lax.cond(x[0, 0] > 0, lambda v: v.astype(jnp.float32) * 3, lambda v: v.astype(jnp.float32) * 7, x)
        return jax.lax.while_loop(lambda each: each[0] < 3, lambda each: (each[0] + 1, each[1] / 3), (0, y))[1]

    found, _ = lifted(jax, function, X["x"])
    factor = 3 if X["x"][0, 0] > 0 else 7
    assert np.abs(found - X["x"].astype(np.float64) * factor / 27).max() < 1e-15


def test_a_number_that_was_computed_in_float32_is_a_table_and_one_that_was_written_is_not(jax):
    written, lift = lifted(jax, lambda x: x * np.float32(1e-6), X["x"])
    assert lift.constants == 0
    assert np.array_equal(written, X["x"].astype(np.float64) * 1e-6)
    for function in (lambda x: x * np.float32(1 / np.sqrt(8)), lambda x: x * np.arange(8, dtype=np.float32) / 7):
        assert lifted(jax, function, X["x"])[1].constants == 1


def test_half_precision_stays_half(jax):
    jnp = jax.numpy
    found, lift = lifted(jax, lambda x: jax.nn.softmax(x.astype(jnp.bfloat16)).astype(x.dtype), X["x"])
    exact = np.exp(X["x"]) / np.exp(X["x"]).sum(axis=-1, keepdims=True)
    assert 1e-4 < np.abs(found - exact).max() < 1e-2
    assert lift.places


def test_a_backward_pass_of_its_own_is_kept(jax, linen):
    torch = pytest.importorskip("torch")

    def port(slope):
        @jax.custom_vjp
        def double(x):
            return 2 * x

        double.defvjp(lambda x: (2 * x, None), lambda _, g: (slope * g,))

        class Port(linen.Module):
            @linen.compact
            def __call__(self, x):
                return double(linen.Dense(8)(x))

        return Port()

    class Reference(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.dense = torch.nn.Linear(8, 8)

        def forward(self, x):
            return 2 * self.dense(x)

    reference = Reference()
    params = {
        "Dense_0": {"kernel": reference.dense.weight.detach().numpy().T, "bias": reference.dense.bias.detach().numpy()}
    }
    assert harness.check(reference, (port(2.0), params), X).verdict is AGREE
    found = harness.check(reference, (port(3.0), params), X)
    assert {line.check for line in found.lines if line.verdict is not AGREE} == {"gradients", "train"}


def test_fused_projections_of_pytorch_and_heads_of_flax_are_linked(jax, linen):
    torch = pytest.importorskip("torch")
    attention = torch.nn.MultiheadAttention(8, 2, batch_first=True)

    class Reference(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = attention

        def forward(self, x):
            return self.attention(x, x, x, need_weights=False)[0]

    parts = attention.in_proj_weight.detach().numpy().reshape(3, 8, 8)
    names = ("query", "key", "value")
    zero = np.zeros((2, 4), np.float32)
    params = {name: {"kernel": part.T.reshape(8, 2, 4), "bias": zero} for name, part in zip(names, parts, strict=True)}
    out = attention.out_proj.weight.detach().numpy().T.reshape(2, 4, 8)
    params["out"] = {"kernel": out, "bias": np.zeros(8, np.float32)}
    port = (linen.MultiHeadDotProductAttention(num_heads=2), params)
    inputs = {"x": np.random.default_rng(0).normal(size=(2, 5, 8)).astype(np.float32)}

    class Port(linen.Module):
        @linen.compact
        def __call__(self, x):
            return linen.MultiHeadDotProductAttention(num_heads=2, name="a")(x, x)

    found = harness.check(Reference(), (Port(), {"a": port[1]}), inputs)
    assert (found.verdict, found.weights["linked"]) == (AGREE, 8)
    assert len(next(line for line in found.lines if line.check == "gradients").pairs) == 9


def test_a_leftover_of_a_conversion_is_trained_by_nobody(jax, linen):
    torch = pytest.importorskip("torch")
    dense = torch.nn.Linear(8, 8)
    kernel = dense.weight.detach().numpy().T
    params = {"kernel": kernel, "bias": dense.bias.detach().numpy(), "copy": {"kernel": kernel}}
    found = harness.check(dense, (linen.Dense(8), params), X)
    assert found.verdict is AGREE
    assert found.weights["only_port"] == ["copy.kernel"]
