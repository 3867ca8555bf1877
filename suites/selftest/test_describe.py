"""Errors of every kind, planted: what is said of them is so, and nothing is said that is not."""

import numpy as np
import pytest

from harness.parity.causes.describe import Shown, describe
from harness.parity.causes.evidence import Evidence

BATCH, TOKENS, WIDTH, HEADS = 3, 20, 8, 4


def evidence(right, got, **more):
    return Evidence("module", "Module", right, got, {}, {}, {}, {}, **more)


def described(plant, *, inputs=2, masked=False, shape=(BATCH, TOKENS, WIDTH), shown=(), heads=HEADS):
    """What is said of an error that `plant` makes of (right values, where they count, random numbers)."""
    every = []
    for seed in range(inputs):
        generator = np.random.default_rng(seed)
        right = generator.normal(size=shape)
        valid = np.ones(shape, bool)
        if masked:
            valid[1, 12:] = False
        got = plant(right.copy(), generator)
        every.append({"output": evidence(right, got, valid=valid)})
    return list(describe(every, [{TOKENS}] * inputs, shown=shown, heads=heads).said)


def noisy(*place):
    """An error of no pattern at one place."""

    def plant(x, generator):
        x[place] += generator.normal(size=x[place].shape)
        return x

    return plant


ALL = slice(None)


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ((1,), "only in row 1"),
        (([0, 2],), "only in rows 0, 2"),
        ((ALL, slice(16, None)), "only from token 16 on"),
        ((ALL, slice(None, 5)), "only up to token 4"),
        ((ALL, 0), "only at the first token"),
        ((ALL, -1), "only at the last token"),
        ((ALL, [3, 7]), "only at tokens 3, 7"),
        ((ALL, slice(1, None, 2)), "only at 10 of 20 tokens"),
        ((ALL, ALL, 5), "only in channel 5"),
        ((ALL, ALL, [1, 2, 5, 7]), "only in 4 of 8 channels"),
        ((ALL, ALL, slice(4, 6)), "only in head 2 of 4"),
        ((ALL, ALL, slice(1, 5)), "only in channels 1 to 4 of 8"),
    ],
)
def test_where_it_is(place, says):
    assert described(noisy(*place)) == [says]


def test_two_limits_at_once():
    assert described(noisy(ALL, slice(16, None), 5)) == ["only from token 16 on", "only in channel 5"]


def test_an_error_that_is_everywhere_is_only_said_to_be_so():
    assert described(noisy(ALL)) == ["almost everywhere"]
    assert described(noisy(ALL), masked=True) == ["almost everywhere"]


def test_an_error_here_and_there_has_no_pattern():
    def plant(x, generator):
        return np.where(generator.random(x.shape) < 0.6, x + generator.normal(size=x.shape), x)

    assert described(plant) == ["in no pattern that is looked for"]


def test_what_is_so_on_one_input_alone_is_not_said():
    def plant(x, generator):
        x[int(generator.integers(3))] += generator.normal(size=x.shape[1:])
        return x

    rows = {tuple(described(lambda x, g, s=s: noisy(s)(x, g))) for s in range(3)}
    assert rows == {("only in row 0",), ("only in row 1",), ("only in row 2",)}
    assert described(plant, inputs=6) == ["in no pattern that is looked for"]


def test_errors_at_padding_count_for_nothing():
    assert described(noisy(ALL, slice(10, None)), masked=True) == ["only from token 10 on"]
    assert described(lambda x, g: noisy(0)(noisy(1, slice(12, None))(x, g), g), masked=True) == ["only in row 0"]


def test_rows_that_hold_padding():
    assert described(noisy(1), masked=True) == ["only in rows that hold padding"]
    assert described(noisy([0, 2]), masked=True) == ["only in rows without padding"]


def test_a_row_without_the_tokens_that_are_wrong_is_not_called_sound():
    assert described(noisy(ALL, slice(14, None)), masked=True) == ["only from token 14 on"]


def test_the_last_token_is_the_last_that_counts():
    def plant(x, generator):
        for row, place in ((0, -1), (1, 11), (2, -1)):
            x[row, place] += generator.normal(size=WIDTH)
        return x

    assert described(plant, masked=True) == ["only at the last token"]


def test_an_error_that_grows_with_the_position():
    def plant(x, generator):
        return x + np.arange(1, TOKENS + 1)[:, None] * 1e-3 * generator.normal(size=x.shape)

    assert described(plant) == ["almost everywhere", "growing with the position"]


def test_one_that_grows_as_the_values_do_does_not():
    def plant(x, generator):
        return x

    every = []
    for seed in range(3):
        generator = np.random.default_rng(seed)
        size = np.arange(1, TOKENS + 1)[:, None]
        right = size * generator.normal(size=(BATCH, TOKENS, WIDTH))
        every.append({"": evidence(right, right + 1e-3 * size * generator.normal(size=right.shape))})
    assert describe(every, [{TOKENS}] * 3).said == ("almost everywhere",)


@pytest.mark.parametrize("seed", range(20))
def test_noise_does_not_grow(seed):
    generator = np.random.default_rng(seed)
    right = generator.normal(size=(1, 8, 4))
    found = describe([{"": evidence(right, right + generator.normal(size=right.shape))}], [{8}])
    assert found.said == ("almost everywhere",)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda x: 0.5 * x, "it is 0.5 times the reference there"),
        (lambda x: -x, "it has the other sign there"),
        (lambda x: x + 0.25, "it is off by +0.25 there"),
        (lambda x: 0 * x, "it is 0 there"),
        (lambda x: 0 * x + 3, "it is one number there"),
        (lambda x: np.nan * x, "it is NaN there"),
        (lambda x: np.inf * x, "it is not finite there"),
    ],
)
def test_what_it_has_to_do_with_the_right_values(change, says):
    def plant(x, generator):
        x[:, 16:] = change(x[:, 16:])
        return x

    assert described(plant) == ["only from token 16 on", says]


def test_some_of_it_is_nan():
    def plant(x, generator):
        x[:, 16:] += generator.normal(size=x[:, 16:].shape)
        x[0, 17, 3] = np.nan
        return x

    assert described(plant) == ["only from token 16 on", "some of it is NaN"]


@pytest.mark.parametrize(
    ("shape", "each"), [((BATCH, 1, 1), "row"), ((1, TOKENS, 1), "token"), ((1, 1, WIDTH), "channel")]
)
def test_a_factor_for_each(shape, each):
    def plant(x, generator):
        return x * generator.uniform(1.5, 3, size=shape)

    assert described(plant) == ["almost everywhere", f"with a factor of its own for each {each}"]


def test_the_right_numbers_in_other_places():
    def plant(x, generator):
        return generator.permuted(x.reshape(-1)).reshape(x.shape)

    assert "with the right numbers in other places" in described(plant)


def test_another_shape():
    assert described(lambda x, _: x[:, :, :4]) == ["its shape is (3, 20, 4), the reference's (3, 20, 8)"]


def test_heads_on_an_axis_of_their_own():
    shape = (BATCH, HEADS, TOKENS, WIDTH)
    assert described(noisy(ALL, 2), shape=shape) == ["only in head 2"]
    assert described(noisy(ALL, ALL, slice(16, None)), shape=shape) == ["only from token 16 on"]


def test_an_axis_that_is_not_of_tokens_is_not_called_so():
    assert described(noisy(ALL, 2), shape=(BATCH, 6, WIDTH, WIDTH)) == ["only in 1 of 6 places on axis 1"]
    assert described(noisy(ALL, 2), shape=(BATCH, 6)) == ["only in channel 2"]


def test_what_a_table_in_float32_is_rounded_by_is_said_and_hides_no_larger_error():
    def small(x, generator):
        return x + 1e-7 * generator.normal(size=x.shape)

    assert described(small) == ["almost everywhere", "by no more than a table in float32 is rounded"]

    def both(x, generator):
        return noisy(ALL, slice(16, None))(small(x, generator), generator)

    assert described(both) == ["only from token 16 on"]


def test_an_error_before_the_others_that_is_small_but_no_rounding_is_not_overlooked():
    def plant(x, generator):
        x[:, 3] += 1e-5 * generator.normal(size=x[:, 3].shape)
        return noisy(ALL, slice(16, None))(x, generator)

    assert described(plant) == ["only at 5 of 20 tokens"]


def test_masks():
    seen = np.tri(6, dtype=bool)[None]
    found = describe([{"": evidence(seen, seen | np.eye(6, k=1, dtype=bool), is_mask=True)}])
    assert found.said == ("it lets see what the reference hides",)
    found = describe([{"": evidence(seen, ~seen, is_mask=True)}])
    assert str(found) == "it lets see what the reference hides; it hides what the reference lets see"


@pytest.mark.parametrize(
    ("shown", "says"),
    [
        ([(False, 20, True), (True, 20, False)], "seen only on inputs that hold padding, 1 without agree"),
        ([(False, 20, False), (True, 20, True)], "seen only on inputs without padding, 1 with it agree"),
        ([(False, 60, False), (False, 40, False), (True, 32, False)], "seen only on inputs of more than 32 tokens"),
    ],
)
def test_on_which_inputs(shown, says):
    assert described(noisy(ALL), shown=[Shown(*each) for each in shown]) == ["almost everywhere", says]


@pytest.mark.parametrize(
    "shown",
    [
        [],
        [(False, 20, True)],
        [(False, 20, True), (True, 20, True)],
        [(False, 60, False), (False, 20, False), (True, 32, False)],
        [(False, 60, False), (True, 0, False)],
    ],
)
def test_nothing_is_said_of_inputs_that_do_not_tell(shown):
    assert described(noisy(ALL), shown=[Shown(*each) for each in shown]) == ["almost everywhere"]
