"""Weights are linked by what they hold, in whatever layout, and by nothing less."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.adapters.protocols import Weight
from harness.parity.healthy import healthy, in_port
from harness.parity.layout import layout
from harness.parity.linking import pair_by_gradients, pair_weights
from harness.parity.weights import Link

RANDOM = np.random.default_rng(0)


def drawn(*shape):
    return RANDOM.normal(size=shape).astype(np.float32)


def held(**arrays):
    return {name.replace("__", "."): Weight(array, True, "float32") for name, array in arrays.items()}


def linked(pairing):
    return {(link.reference, link.port) for link in pairing.certain}


def follows(pairing, reference, port):
    """Whether changing the reference's weights through the links gives what converting them would give."""
    changed = {name: weight.array.astype(np.float64) for name, weight in reference.items()}
    values = in_port(changed, pairing.certain, port)
    return all(np.array_equal(values[name], weight.array) for name, weight in port.items())


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.randoms())
def test_any_order_of_axes_is_found_and_undone(shape, random):
    array = RANDOM.normal(size=shape)
    order = list(range(len(shape)))
    random.shuffle(order)
    port = np.transpose(array, order)
    found = layout(array, port)
    assert found is not None
    link = Link("a", "b", found)
    assert np.array_equal(link.to_port(array, port.shape), port)
    assert np.array_equal(link.to_reference(port, array.shape), array)


def test_another_name_a_transposition_and_heads_of_their_own():
    weight = drawn(12, 8)
    reference = held(attn__query__weight=weight, attn__query__bias=np.zeros(12, np.float32))
    port = held(q__kernel=weight.T.reshape(8, 3, 4), q__bias=np.zeros((3, 4), np.float32))
    pairing = pair_weights(reference, port)
    assert linked(pairing) == {("attn.query.weight", "q.kernel"), ("attn.query.bias", "q.bias")}
    assert follows(pairing, reference, port)


def test_fused_and_stacked_weights_are_found_in_their_parts():
    parts = {f"layer.{i}.{name}": drawn(8, 8) for i in range(2) for name in ("q", "k", "v")}
    reference = {f"{name}.weight": Weight(array, True, "float32") for name, array in parts.items()}
    reference |= {f"{name}.bias": Weight(np.zeros(8, np.float32), True, "float32") for name in parts}
    kernel = np.stack([np.concatenate([parts[f"layer.{i}.{n}"].T for n in "qkv"], axis=1) for i in range(2)])
    port = held(layers__qkv__kernel=kernel, layers__qkv__bias=np.zeros((2, 24), np.float32))
    pairing = pair_weights(reference, port)
    assert len(pairing.certain) == 12
    assert (pairing.only_reference, pairing.only_port) == ((), ())
    assert follows(pairing, reference, port)


def test_the_reference_may_be_the_fused_one():
    q, k = drawn(8, 8), drawn(8, 8)
    reference = held(qk__weight=np.concatenate([q, k]), qk__bias=np.zeros(16, np.float32))
    port = held(q__weight=q, k__weight=k, q__bias=np.zeros(8, np.float32), k__bias=np.zeros(8, np.float32))
    pairing = pair_weights(reference, port)
    assert len(pairing.certain) == 4
    assert follows(pairing, reference, port)


def test_what_one_side_ties_the_other_may_hold_twice():
    table = drawn(9, 4)
    pairing = pair_weights(held(embed__weight=table), held(embed__weight=table, head__kernel=table.T))
    assert linked(pairing) == {("embed.weight", "embed.weight"), ("embed.weight", "head.kernel")}


def test_one_name_and_other_values_are_no_link():
    pairing = pair_weights(held(a__weight=drawn(4, 4)), held(a__weight=drawn(4, 4)))
    assert pairing.certain == ()
    assert pairing.different == (("a.weight", "a.weight"),)


def test_norms_under_other_names_are_only_proposed_until_their_gradients_prove_them():
    kernel, one, zero = drawn(4, 4), np.ones(4, np.float32), np.zeros(4, np.float32)
    reference = held(
        block__dense__weight=kernel,
        block__first__weight=one,
        block__first__bias=zero,
        block__second__weight=one,
        block__second__bias=zero,
    )
    port = held(b__wide__weight=kernel, b__n1__scale=one, b__n1__bias=zero, b__n2__scale=one, b__n2__bias=zero)
    pairing = pair_weights(reference, port)
    assert linked(pairing) == {("block.dense.weight", "b.wide.weight")}
    first, second, shift, other = (drawn(4) for _ in range(4))
    ours = {"block.first.weight": first, "block.first.bias": shift}
    ours |= {"block.second.weight": second, "block.second.bias": other}
    theirs = {"b.n2.scale": first, "b.n2.bias": shift, "b.n1.scale": second, "b.n1.bias": other}
    proved = pair_by_gradients(pairing, (reference, port), (ours, theirs))
    assert ("block.first.weight", "b.n2.scale") in linked(proved)
    assert ("block.second.bias", "b.n1.bias") in linked(proved)
    assert proved.proposed == ()


def test_a_parameter_that_nothing_depends_on_is_not_linked():
    reference, port = held(a__bias=np.zeros(4, np.float32)), held(b__bias=np.zeros(4, np.float32))
    pairing = pair_weights(reference, port)
    found = pair_by_gradients(pairing, (reference, port), ({"a.bias": drawn(4)}, {"b.bias": np.zeros(4)}))
    assert found.certain == ()
    assert found.idle == ("b.bias",)


def test_healthy_weights_have_no_neutral_and_no_lost_value():
    weights = held(
        dense__weight=0.02 * drawn(32, 32),
        dense__bias=np.zeros(32, np.float32),
        norm__weight=np.ones(32, np.float32),
        norm__running_var=np.ones(32, np.float32),
        embed__weight=np.concatenate([np.zeros((1, 32), np.float32), drawn(5, 32)]),
    )
    changed = healthy(weights, frozenset(weights), seed=0)
    assert set(changed) == set(weights)
    assert np.sqrt(np.mean(np.square(changed["dense.weight"])) * 32) > 0.9
    assert np.std(changed["dense.bias"]) > 0.1
    assert np.all(changed["norm.running_var"] > 0)
    assert np.any(changed["embed.weight"][0])
    assert all(np.array_equal(array, array.astype(np.float32)) for array in changed.values())


def test_a_trained_matrix_stays_as_it_is():
    assert healthy(held(dense__weight=drawn(32, 32)), frozenset({"dense.weight"}), seed=0) == {}


def test_a_parameter_of_the_port_that_matters_is_never_idle():
    folded = drawn(4, 4)
    reference = held(conv__weight=drawn(4, 4), norm__weight=np.ones(4, np.float32))
    port = held(conv__weight=folded, conv__bias=np.zeros(4, np.float32))
    gradients = (
        {"conv.weight": drawn(4, 4), "norm.weight": drawn(4)},
        {"conv.weight": drawn(4, 4), "conv.bias": drawn(4)},
    )
    found = pair_by_gradients(pair_weights(reference, port), (reference, port), gradients)
    assert found.idle == ()
