"""Which row of a call, and how many of its tokens, are enough to see an error."""

import numpy as np
import pytest

from harness.parity.clearest import clearest
from harness.parity.excerpt import Excerpt

NAMES = [("logits", "scores")]
IDS = np.arange(3 * 64).reshape(3, 64)


def found(port, masks=None, inputs=None):
    reference = np.ones(port.shape)
    return clearest(inputs or {"input_ids": IDS}, NAMES, [{"logits": reference}, {"scores": port}], masks or {})


def logits(*wrong):
    port = np.ones((3, 64, 5))
    for row, token, error in wrong:
        port[row, token, 2] += error
    return port


@pytest.mark.parametrize(
    ("wrong", "wanted"),
    [
        ([(1, 0, 0.5)], Excerpt(1, 16)),
        ([(2, 40, 0.5)], Excerpt(2, 56)),
        ([(0, 63, 0.5)], Excerpt(0, 64)),
        ([(0, 3, 0.5), (2, 20, 1.0)], Excerpt(2, 36)),
        ([(1, 3, 0.01), (1, 20, 1.0)], Excerpt(1, 36)),
        ([(1, 3, 0.2), (1, 20, 1.0)], Excerpt(1, 19)),
        ([(0, 3, 0.5), (1, 7, np.nan)], Excerpt(1, 23)),
        ([], None),
    ],
    ids=["first", "late", "last", "farthest row", "first clear one", "clear enough", "no number", "none"],
)
def test_the_row_that_is_farthest_off_up_to_its_first_clear_error(wrong, wanted):
    assert found(logits(*wrong)) == wanted


def test_what_is_padding_is_not_looked_at():
    mask = np.ones((3, 64), int)
    mask[1, 30:] = 0
    assert found(logits((1, 50, 9.0), (2, 5, 0.1)), {"attention_mask": mask}) == Excerpt(2, 21)


@pytest.mark.parametrize(
    ("valid", "token", "wanted"),
    [
        (slice(0, 30), 5, Excerpt(1, 21, padding=4)),
        (slice(0, 30), 14, Excerpt(1, 30, padding=4)),
        (slice(0, 30), 20, Excerpt(1, 36)),
        (slice(0, 62), 5, Excerpt(1, 21, padding=2)),
        (slice(30, 64), 40, Excerpt(1, 56)),
    ],
    ids=["some", "right behind", "there already", "all there is", "on the left"],
)
def test_of_a_padded_row_some_padding_is_kept(valid, token, wanted):
    mask = np.zeros((3, 64), int)
    mask[1, valid] = 1
    assert found(logits((1, token, 0.5)), {"attention_mask": mask}) == wanted


def test_both_have_the_same_that_is_no_number():
    port = logits((0, 1, 0.5))
    port[1] = -np.inf
    reference = np.ones(port.shape)
    reference[1] = -np.inf
    assert clearest({"input_ids": IDS}, NAMES, [{"logits": reference}, {"scores": port}], {}) == Excerpt(0, 17)


def test_an_output_for_a_whole_row_says_which_row():
    port = np.ones((3, 5))
    port[2] = 2
    assert found(port) == Excerpt(2, 16)


def test_signals_are_cut_to_a_row():
    port = np.ones((3, 5, 5))
    port[1] = 2
    pixels = np.zeros((3, 2, 5, 5))
    assert found(port, inputs={"pixels": pixels}) == Excerpt(1, 0)
    assert Excerpt(1, 0).of({"pixels": pixels})["pixels"].shape == (1, 2, 5, 5)


def test_nothing_is_left_out_of_one_short_row():
    assert found(np.full((1, 12, 5), 2.0), inputs={"input_ids": IDS[:1, :12]}) is None


def test_masks_positions_and_types_are_cut_as_tokens_are():
    cut = Excerpt(1, 20).of(
        {
            "input_ids": IDS,
            "attention_mask": np.ones((3, 64)),
            "position_ids": np.arange(64)[None],
            "bias": np.zeros((3, 1, 64, 64)),
            "scale": np.float32(2),
            "pixels": np.zeros((3, 4, 8, 8)),
            "return_dict": True,
        }
    )
    assert {name: np.shape(each) for name, each in cut.items()} == {
        "input_ids": (1, 20),
        "attention_mask": (1, 20),
        "position_ids": (1, 20),
        "bias": (1, 1, 20, 20),
        "scale": (),
        "pixels": (1, 4, 8, 8),
        "return_dict": (),
    }
    np.testing.assert_array_equal(cut["input_ids"], IDS[1:2, :20])
    padded = Excerpt(1, 3, padding=2).of({"input_ids": IDS, "bias": np.zeros((3, 1, 64, 64))})
    np.testing.assert_array_equal(padded["input_ids"], [[64, 65, 66, 126, 127]])
    assert padded["bias"].shape == (1, 1, 5, 5)


def test_in_words():
    assert str(Excerpt(2, 16)) == "row 3, its first 16 tokens"
    assert str(Excerpt(1, 16, padding=4)) == "row 2, its first 16 tokens and 4 of padding"
    assert str(Excerpt(0, 0)) == "row 1"
