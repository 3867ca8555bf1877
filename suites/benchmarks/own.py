"""What the harness itself takes for a comparison in which no framework has a part: two stacks of layers in NumPy."""

LAYERS = 24


def check():
    """A call without arguments: `harness.check` of two equal stacks, with a tap a layer."""
    import numpy as np

    import harness
    from harness.adapters.toy.layers import Layers

    inputs = {"x": np.linspace(-1, 1, 4096, dtype=np.float32).reshape(4, 32, 32)}

    def stack():
        return Layers({f"layers.{number}": lambda x: np.tanh(x) + x for number in range(LAYERS)})

    def call():
        found = harness.check(stack(), stack(), inputs)
        assert found.verdict is harness.Verdict.AGREE, str(found)
        return np.array([float(len(found.pairs))])

    return call
