"""A JAX program in pieces computes what it does as a whole, and other things where its marks hand on other values."""

import numpy as np
import pytest

X = np.linspace(-1, 1, 8)


@pytest.fixture
def jax():
    return pytest.importorskip("jax")


def layered(jax):
    from harness.adapters.jax.stepwise import mark

    def run(x):
        for number in range(5):
            x = mark(jax.nn.silu(x) * 0.5 + x, f"layer {number}")
        return {"x": x, "one": 1.0}

    return run


def test_pieces_give_what_the_whole_gives_and_go_on_from_what_stands_at_a_mark(jax):
    from harness.adapters.jax.stepwise import Later, stepwise

    run = layered(jax)
    with jax.enable_x64(True):
        pieces = stepwise(run, (Later(X.astype(np.float32)),))
        plain = pieces(Later(X.astype(np.float32)), instead={})
        right = run(jax.numpy.asarray(X.astype(np.float32), "float64"))
        np.testing.assert_allclose(plain["x"], right["x"], rtol=1e-14)
        last = pieces(X, instead={"layer 3": np.ones(8)})["x"]
        np.testing.assert_allclose(last, 1 + 0.5 / (1 + np.exp(-1)), rtol=1e-14)


def test_pieces_that_are_alike_are_one_and_others_are_not(jax):
    from harness.adapters.jax.stepwise import mark, stepwise

    def differing(x):
        for number in range(3):
            x = mark(x * (1e-17 + number), f"layer {number}")
        return x

    with jax.enable_x64(True):
        alike = stepwise(layered(jax), (X,)).pieces
        others = stepwise(differing, (X,)).pieces
        np.testing.assert_allclose(stepwise(differing, (X,))(X, instead={}), X * 1e-17 * (1 + 1e-17) * (2 + 1e-17))
    assert len({each.run for each in alike if not each.mark}) == 1
    assert len({each.run for each in others if not each.mark}) == 3
