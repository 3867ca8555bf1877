"""Which weight and which tap is which: certain where values or names leave no choice, else a guess that says so."""

import numpy as np
import pytest

from harness.adapters.protocols import Weight
from harness.porting.guess import Guesses, Side, guess, in_order
from harness.porting.names import confirmed, pair_taps
from harness.porting.patterns import Line, generalised


def side(flax=False, seed=0, **shapes):
    generator = np.random.default_rng(seed)
    weights = {
        name.replace("__", "."): Weight(
            shape if isinstance(shape, np.ndarray) else generator.normal(size=shape), True, "float32"
        )
        for name, shape in shapes.items()
    }
    return Side(weights, flax)


def rows(found):
    return [(each.sources, each.targets, each.order, each.certain, each.why) for each in found.found]


def test_equal_values_are_certain_whatever_the_name():
    array = np.random.default_rng(0).normal(size=(3, 5))
    found = guess(side(a__weight=array), side(flax=True, b__kernel=np.ascontiguousarray(array.T)))
    assert rows(found) == [(("a.weight",), ("b.kernel",), (1, 0), True, "equal values")]


def test_an_equal_name_and_shape_is_certain_but_for_a_square_kernel_that_may_be_transposed():
    ours = side(fc__weight=(3, 5), square__weight=(4, 4), emb__weight=(7, 7), norm__weight=(5,))
    theirs = side(True, 1, fc__kernel=(5, 3), square__kernel=(4, 4), emb__embedding=(7, 7), norm__scale=(5,))
    found = guess(ours, theirs)
    square = "equal name and shape; a square kernel, whose shape does not show its layout"
    assert rows(found) == [
        (("fc.weight",), ("fc.kernel",), (1, 0), True, "equal name and shape"),
        (("square.weight",), ("square.kernel",), (1, 0), False, square),
        (("emb.weight",), ("emb.embedding",), (), True, "equal name and shape"),
        (("norm.weight",), ("norm.scale",), (), True, "equal name and shape"),
    ]


def test_a_square_kernel_of_one_framework_is_not_turned():
    found = guess(side(fc__weight=(4, 4)), side(seed=1, fc__weight=(4, 4)))
    assert rows(found) == [(("fc.weight",), ("fc.weight",), (), True, "equal name and shape")]


def test_windows_are_laid_out_as_the_frameworks_lay_them_out():
    ours = side(stem__weight=(8, 3, 4, 4), wave__weight=(6, 2, 5))
    there = side(True, 1, stem__kernel=(4, 4, 3, 8), wave__kernel=(5, 2, 6))
    assert [each.order for each in guess(ours, there).found] == [(2, 3, 1, 0), (2, 1, 0)]
    back = guess(side(True, stem__kernel=(4, 4, 3, 8)), side(seed=1, stem__weight=(8, 3, 4, 4)))
    assert back.found[0].order == (3, 2, 0, 1)


def test_shape_and_order_are_guesses():
    ours = side(a__weight=(3, 5), a__bias=(3,), b__weight=(3, 5), b__bias=(3,), c__weight=(2, 2))
    theirs = side(seed=1, x__weight=(3, 5), x__bias=(3,), y__weight=(3, 5), y__bias=(3,), z__weight=(2, 2))
    found = guess(ours, theirs)
    assert [(*each.sources, *each.targets) for each in found.found] == [
        ("a.weight", "x.weight"),
        ("a.bias", "x.bias"),
        ("b.weight", "y.weight"),
        ("b.bias", "y.bias"),
        ("c.weight", "z.weight"),
    ]
    assert {each.why for each in found.found} == {"only shape and order", "the only one of its shape"}
    assert not any(each.certain for each in found.found)


def test_kernels_before_biases_on_one_side_do_not_disturb_the_order():
    ours = side(gru__weight_ih_l0=(6, 2), gru__weight_hh_l0=(6, 2), gru__bias_ih_l0=(6,), gru__bias_hh_l0=(6,))
    theirs = side(seed=1, i__weight=(6, 2), i__bias=(6,), h__weight=(6, 2), h__bias=(6,))
    assert [each.targets[0] for each in guess(ours, theirs).found] == ["i.weight", "h.weight", "i.bias", "h.bias"]


def test_a_fused_projection_is_joined_or_split_and_guessed():
    apart = {f"{name}__weight": (4, 6) for name in ("att__q", "att__k", "att__v")}
    found = guess(side(**apart), side(True, 1, att__qkv__kernel=(6, 12)))
    assert (found.found[0].sources, found.found[0].order, found.found[0].axis, found.found[0].certain) == (
        ("att.q.weight", "att.k.weight", "att.v.weight"),
        (1, 0),
        0,
        False,
    )
    back = guess(side(att__qkv__weight=(12, 6)), side(seed=1, **apart))
    assert (len(back.found[0].targets), back.found[0].axis) == (3, 0)
    assert back.found[0].why == "only shape: split into 3 neighbours"


def test_what_fits_nothing_is_left_over():
    found = guess(side(a__weight=(3, 5)), side(seed=1, b__weight=(4, 7)))
    assert (found.found, found.only_reference, found.only_port) == ((), ("a.weight",), ("b.weight",))


def test_weights_are_put_in_the_order_in_which_their_modules_run():
    weights = side(head__kernel=(2, 2), blocks__0__up__bias=(2,), blocks__0__up__kernel=(2, 2), blocks__0__scale=(2,))
    assert list(in_order(weights.weights, ["blocks.0.up", "blocks.0", "head"])) == [
        "blocks.0.up.kernel",
        "blocks.0.up.bias",
        "blocks.0.scale",
        "head.kernel",
    ]


def lines(*pairs, certain=True):
    return [Line((name,), (target,), None, certain, "equal values") for name, target in pairs]


@pytest.mark.parametrize(
    ("pairs", "names", "pattern"),
    [
        ([("h.0.up", "layers_0.fc1"), ("h.1.up", "layers_1.fc1")], [], ("h.*.up", "layers_*.fc1")),
        ([("h.0.0", "a.0.x"), ("h.0.2", "a.0.y"), ("h.1.0", "a.1.x"), ("h.1.2", "a.1.y")], [], ("h.*.0", "a.*.x")),
        ([("cell", "c"), ("cell#2", "c#2"), ("cell#3", "c#3")], [], ("cell", "c")),
        ([("h.0", "x.0"), ("h.1", "x.1")], ["h.2"], ("h.0", "x.0")),
        ([("h.0", "x.1"), ("h.1", "x.0")], [], ("h.0", "x.1")),
    ],
    ids=["layers", "numbers of two kinds", "calls", "not true of all", "another order"],
)
def test_lines_become_patterns_only_where_they_are_true_of_all_names(pairs, names, pattern):
    every = [name for name, _ in pairs] + names
    found = generalised(lines(*pairs), every)
    assert (found[0].sources[0], found[0].targets[0]) == pattern


def test_a_pattern_is_as_certain_as_the_least_certain_of_its_lines():
    rows = [*lines(("h.0.up", "x.0.up")), Line(("h.1.up",), ("x.1.up",), None, False, "only shape and order")]
    assert generalised(rows, ["h.0.up", "h.1.up"]) == [
        Line(("h.*.up",), ("x.*.up",), None, False, "only shape and order")
    ]


def arrays(**shapes):
    generator = np.random.default_rng(0)
    return {name.replace("__", "."): generator.normal(size=shape) for name, shape in shapes.items()}


def test_taps_are_paired_by_their_values_and_else_guessed():
    ours = arrays(same=(2, 3), moved=(2, 4), turned=(2, 3, 5), alone=(2, 9), left=(2, 2))
    theirs = {
        "same": ours["same"],
        "elsewhere": ours["moved"],
        "only": np.ones((2, 9)),
        "last": np.transpose(ours["turned"], (0, 2, 1)),
    }
    guesses = Guesses((), (), ())
    found = pair_taps(ours, theirs, guesses)
    assert {line.sources[0]: (line.targets[0], line.certain, line.why) for line in found.lines} == {
        "same": ("same", True, "equal values; equal name and shape"),
        "moved": ("elsewhere", True, "equal values"),
        "alone": ("only", False, "only shape: the only one left of its shape"),
    }
    assert found.only_reference == ("turned", "left")
    assert found.only_port == ("last",)


def test_modules_that_hold_the_same_weights_are_paired_also_with_axes_in_another_order():
    ours = arrays(embed=(2, 3, 5))
    theirs = {"patches": np.transpose(ours["embed"], (0, 2, 1))}
    guesses = guess(side(embed__weight=(3, 5)), side(True, 1, patches__kernel=(5, 3)))
    found = pair_taps(ours, theirs, guesses)
    assert found.axes == {"embed": (0, 2, 1)}
    sure = confirmed(guesses, found, side(embed__weight=(3, 5)), outputs=False)
    assert sure.found[0].certain
    assert sure.found[0].why == "the only one of its shape; its module puts out equal values"


def test_a_neutral_weight_stays_a_guess_whatever_the_outputs_are():
    ours = side(norm__weight=np.ones(5), fc__weight=(3, 5))
    guesses = guess(ours, side(seed=1, scale__weight=np.ones(5), dense__weight=(3, 5)))
    sure = confirmed(guesses, pair_taps({}, {}, guesses), ours, outputs=True)
    assert [(each.sources[0], each.certain) for each in sure.found] == [("norm.weight", False), ("fc.weight", True)]
    assert sure.found[1].why == "the only one of its shape; the outputs are equal"
