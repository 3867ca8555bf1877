"""Both sides go on with the same texts by themselves: the same tokens, or tokens between which rounding decides."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from harness.adapters.protocols import Array, Generates, Runs, UnsupportedError
from harness.adapters.writing import PADDING, Writing
from harness.parity.compare import Verdict
from harness.parity.judge import Line

STEPS = 6
TIE = 1e-4
"""Times the largest logit: two candidates that are nearer to each other than this are a matter of rounding in float32,
which moves the logits of SmolLM2-135M by 3e-6 of theirs."""


def generation_line(sides: Sequence[Runs], inputs: Mapping[str, Any], *, ends: Sequence[int]) -> Line:
    """Greedy generation, with the stored weights in float32, compared row by row up to the end of each text.

    ends: the tokens that end a text.

    Raises:
        UnsupportedError: a side does not generate, or the inputs are more than tokens.
    """
    able = [side for side in sides if isinstance(side, Generates)]
    if len(able) < 2:
        raise UnsupportedError("a side is a function of Python, which does not generate")
    if "decoder_input_ids" in inputs or "input_ids" not in inputs:
        raise UnsupportedError("only decoders that are given tokens are asked to generate")
    ids = np.asarray(inputs["input_ids"])
    # Given, since a side that makes its own may take a token of the text for padding.
    call = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    start = call["input_ids"].shape[1]
    ours, theirs = (side.generate(call, Writing(STEPS)) for side in able)

    def tied(row: int, at: int) -> bool:
        return _tied(sides[0], ours[row : row + 1, :at], int(ours[row, at]), int(theirs[row, at]))

    return texts_line("greedy", ours, theirs, start=start, ends=ends, tied=tied)


def texts_line(
    name: str, ours: Array, theirs: Array, *, start: int, ends: Sequence[int], tied: Callable[[int, int], bool]
) -> Line:
    """What both wrote from position `start` on, row by row up to its end, after which there is nothing but padding.

    tied: whether rounding decides between the two tokens at that row and position; a row is compared up to there.
    """
    if ours.shape[1] <= start:
        return Line("generation", name, Verdict.INCONCLUSIVE, "the reference wrote nothing")
    count = 0
    for row in range(len(ours)):
        for at in range(start, ours.shape[1]):
            token = int(ours[row, at])
            other = int(theirs[row, at]) if at < theirs.shape[1] else -1
            where = f"position {at}"
            if token != other:
                if other >= 0 and tied(row, at):
                    break
                reason = f"text {row}, {where}: token {token} in the reference, {other} in the port"
                return Line("generation", name, Verdict.DIVERGE, reason, where=where, compared=count)
            count += 1
            if token in ends:
                for side, texts in (("reference", ours), ("port", theirs)):
                    if (texts[row, at + 1 :] != PADDING).any():
                        reason = f"text {row} ends at {where} with token {token}, and goes on in the {side}"
                        return Line("generation", name, Verdict.DIVERGE, reason, where=where, compared=count)
                break
    return Line("generation", name, Verdict.AGREE, compared=count)


def _tied(reference: Runs, text: Array, one: int, other: int) -> bool:
    """Whether the reference itself hardly prefers one token to the other after that text."""
    logits = next((a for a in reference.run_wide({"input_ids": text}).outputs.values() if a.ndim == 3), None)
    if logits is None:
        return False
    last = logits[0, -1]
    return bool(abs(last[one] - last[other]) <= TIE * np.abs(last[np.isfinite(last)]).max())
