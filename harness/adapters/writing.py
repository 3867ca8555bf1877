"""How a text is gone on with by a model that writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

PADDING = 0
"""The token after the end of a text that a model has written."""


@dataclass(frozen=True, slots=True)
class Writing:
    """How a text is gone on with: up to `steps` tokens, each the likeliest.

    beams: how many texts are kept at every step. ends: tokens that end a text, instead of those that the model names;
    what has ended is filled up with `PADDING`. distinct: no token twice, nor an end that is forced, so that a small
    random model, which would repeat one token for ever, writes what depends on all that it has read.
    """

    steps: int
    beams: int = 1
    ends: Sequence[int] = ()
    distinct: bool = False

    def options(self) -> dict[str, Any]:
        """What the `generate` of a transformers model is given."""
        # A single end as the library's own configurations have it: as a number.
        ends = {"eos_token_id": self.ends[0] if len(self.ends) == 1 else list(self.ends)} if self.ends else {}
        distinct = {"no_repeat_ngram_size": 1, "forced_eos_token_id": None} if self.distinct else {}
        return {
            **ends,
            **distinct,
            "max_new_tokens": self.steps,
            "num_beams": self.beams,
            "do_sample": False,
            "pad_token_id": PADDING,
        }
