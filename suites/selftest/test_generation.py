"""Generated texts are compared to their end; a tie that rounding decides is no fault."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from harness.adapters.protocols import UnsupportedError, Wide
from harness.parity.compare import Verdict
from harness.parity.generation import generation_line

CALL = {"input_ids": np.array([[5, 6], [7, 8]])}


@dataclass
class Speaker:
    """Says the words it was given; `logits` are what it thinks of every token."""

    words: list
    logits: np.ndarray = field(default_factory=lambda: np.arange(10.0))

    def generate(self, inputs, how):
        return np.concatenate([inputs["input_ids"], np.array(self.words)], axis=1)

    def run_wide(self, inputs, *, state=None):
        ids = inputs["input_ids"]
        return Wide({"logits": np.broadcast_to(self.logits, (*ids.shape, 10))})


def judged(ours, theirs, ends=(-1,), **options):
    return generation_line([Speaker(ours, **options), Speaker(theirs)], CALL, ends=ends)


def test_the_same_words_agree_and_others_diverge():
    assert judged([[1, 2, 3], [4, 5, 6]], [[1, 2, 3], [4, 5, 6]]).verdict is Verdict.AGREE
    found = judged([[1, 2, 3], [4, 5, 6]], [[1, 2, 3], [4, 9, 6]])
    assert found.verdict is Verdict.DIVERGE
    assert found.reason == "text 1, position 3: token 5 in the reference, 9 in the port"


def test_after_the_end_of_a_text_there_is_padding_as_long_as_it_takes():
    assert judged([[1, 2, 0], [4, 2, 0]], [[1, 2, 0, 0], [4, 2, 0, 0]], ends=(2,)).verdict is Verdict.AGREE
    found = judged([[1, 2, 0], [4, 5, 6]], [[1, 2, 7], [4, 5, 6]], ends=(2,))
    assert found.reason == "text 0 ends at position 3 with token 2, and goes on in the port"


def test_a_port_that_stops_early_diverges():
    assert judged([[1, 2, 3], [4, 5, 6]], [[1, 2], [4, 5]]).verdict is Verdict.DIVERGE


def test_a_tie_is_no_fault_and_ends_the_comparison_of_its_row():
    tied = np.full(10, 1.0)
    tied[3] += 1e-6
    assert judged([[1, 3, 3], [4, 5, 6]], [[1, 2, 9], [4, 5, 6]], logits=tied).verdict is Verdict.AGREE


def test_nothing_generated_is_inconclusive_and_other_inputs_are_refused():
    assert judged([[], []], [[], []]).verdict is Verdict.INCONCLUSIVE
    with pytest.raises(UnsupportedError, match="only decoders"):
        generation_line([Speaker([]), Speaker([])], {"x": np.ones(3)}, ends=(-1,))
