"""Names across frameworks are proposed, with how sure that is, and never applied."""

import numpy as np

from harness.adapters.protocols import Weight
from harness.parity.align import align
from harness.parity.linking import pair_weights
from harness.parity.naming import propose_names

RANDOM = np.random.default_rng(0)


def weights(**arrays):
    return {name.replace("__", "."): Weight(array, True, "float32") for name, array in arrays.items()}


def proposals(reference, port, ours, theirs):
    found = propose_names(align(reference, port), reference, port, pair_weights(ours, theirs))
    return {(each.reference, each.port): (each.certain, each.why) for each in found}


def test_the_weights_that_a_module_holds_are_certain_and_the_rest_is_proposed():
    first, second = (RANDOM.normal(size=(4, 4)).astype(np.float32) for _ in range(2))
    ours = weights(block__0__query__weight=first, block__0__out__weight=second)
    theirs = weights(layers_0__q__kernel=first.T, layers_0__o__kernel=second.T)
    reference = {"block.0.query": (2, 4), "block.0.act": (2, 9), "block.0.out": (2, 4), "block.0": (2, 4)}
    port = {"layers_0.q": (2, 4), "layers_0.gelu": (2, 9), "layers_0.o": (2, 4), "layers_0": (2, 4)}
    found = proposals(reference, port, ours, theirs)
    assert found["block.0.query", "layers_0.q"] == (True, "holds the same weights")
    assert found["block.0.out", "layers_0.o"] == (True, "holds the same weights")
    assert found["block.0", "layers_0"] == (False, "its parts are the other's parts")
    assert found["block.0.act", "layers_0.gelu"] == (False, "the only one left of its shape")


def test_another_shape_and_several_of_one_shape_are_left_alone():
    kernel = RANDOM.normal(size=(4, 4)).astype(np.float32)
    ours, theirs = weights(a__weight=kernel), weights(b__kernel=kernel)
    assert proposals({"a": (2, 4)}, {"b": (4, 2)}, ours, theirs) == {}
    assert proposals({"x": (2,), "y": (2,)}, {"u": (2,), "v": (2,)}, ours, theirs) == {}
