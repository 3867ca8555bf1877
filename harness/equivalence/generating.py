"""Both sides write by themselves: the same tokens, or tokens between which rounding decides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from harness.adapters.protocols import Array
from harness.parity.compare import Verdict
from harness.parity.generation import TIE
from harness.parity.judge import Line

STEPS = 6
"""Tokens that are written."""


class Writers(Protocol):
    """Twins that write, and a call of theirs."""

    @property
    def sides(self) -> tuple[Any, Any]: ...

    @property
    def call(self) -> Mapping[str, Array]: ...


def generated(subject: Writers, *, beams: int, several_ends: bool = False) -> Iterator[Line]:
    """Texts as given: unpadded, padded left and, for an encoder, padded right.

    several_ends: with two end tokens, the first of which the reference writes second in the first text.
    """
    for name, call in _calls(subject.call).items():
        ends: Sequence[int] = ()
        if several_ends:
            plain = subject.sides[0].generate(call, steps=STEPS)
            new = plain[:, _given(subject, call) :]
            ends = sorted({int(new[0, 1]), int(new[-1, 2])})
            if len(ends) < 2:
                ends = [ends[0], (ends[0] + 1) % 8]
        ours, theirs = (side.generate(call, steps=STEPS, beams=beams, ends=ends) for side in subject.sides)
        yield compared(subject, call, ours, theirs, name, ends=ends, beams=beams)


def compared(
    subject: Writers,
    call: Mapping[str, Array],
    ours: Array,
    theirs: Array,
    name: str,
    *,
    ends: Sequence[int],
    beams: int,
) -> Line:
    """Row by row, up to the end of each text."""
    start, count = _given(subject, call), 0
    if ours.shape[1] <= start:
        return Line("generation", name, Verdict.INCONCLUSIVE, "the reference wrote nothing")
    for row in range(len(ours)):
        for at in range(start, ours.shape[1]):
            token = int(ours[row, at])
            other = int(theirs[row, at]) if at < theirs.shape[1] else -1
            if token != other:
                gap = _gap(subject, call, ours[row], theirs[row], row, beams=beams, at=at)
                if gap is not None and gap <= TIE:
                    break
                reason = f"text {row}, position {at}: token {token} in the reference, {other} in the port"
                return Line("generation", name, Verdict.DIVERGE, reason, where=f"position {at}", compared=count)
            count += 1
            if token in ends:
                break
    return Line("generation", name, Verdict.AGREE, compared=count)


def _calls(call: Mapping[str, Array]) -> dict[str, dict[str, Array]]:
    """The call without what a decoder is given, its texts padded in turn."""
    given = {name: value for name, value in call.items() if not name.startswith("decoder_")}
    if "input_ids" not in given:
        return {"as given": given}
    ids = np.array(given["input_ids"])
    plain = {"input_ids": ids[:, :-3], "attention_mask": np.ones_like(ids[:, :-3])}
    found = {"unpadded": plain}
    sides = ("left", "right") if any(name.startswith("decoder_") for name in call) else ("left",)
    for side in sides:
        padded, mask = np.array(plain["input_ids"]), np.array(plain["attention_mask"])
        cut = slice(0, 2) if side == "left" else slice(-2, None)
        padded[1, cut], mask[1, cut] = 0, 0
        found[f"padded {side}"] = {"input_ids": padded, "attention_mask": mask}
    return found


def _given(subject: Writers, call: Mapping[str, Array]) -> int:
    """How many of a decoder's tokens are given; one that has an encoder begins with one of its own."""
    return 1 if _encodes(subject) else call["input_ids"].shape[1]


def _gap(
    subject: Writers, call: Mapping[str, Array], ours: Array, theirs: Array, row: int, *, beams: int, at: int
) -> float | None:
    """How much likelier the reference's own text is to it than the port's, as a share of the largest logit.

    Greedily the two tokens are compared, with beams the whole texts; None if the port's text is too short to tell.
    """
    if at >= len(theirs):
        return None
    reference = subject.sides[0]
    first = {name: value[row : row + 1] for name, value in call.items()}
    scores = []
    for text in (ours, theirs):
        name = "decoder_input_ids" if _encodes(subject) else "input_ids"
        inputs = {**first, name: text[None, :-1]}
        if name == "input_ids":
            inputs["attention_mask"] = np.concatenate(
                [first["attention_mask"], np.ones((1, len(text) - 1 - first["attention_mask"].shape[1]), int)], axis=1
            )
        logits = reference.run_wide(inputs).outputs["logits"][0]
        top = (
            logits
            - np.log(np.exp(logits - logits.max(-1, keepdims=True)).sum(-1, keepdims=True))
            - logits.max(-1, keepdims=True)
        )
        start = at - 1 if beams == 1 else _given(subject, call) - 1
        stop = at if beams == 1 else len(text) - 1
        scores.append((sum(top[place, int(text[place + 1])] for place in range(start, stop)), np.abs(logits).max()))
    return float(abs(scores[0][0] - scores[1][0]) / scores[0][1])


def _encodes(subject: Writers) -> bool:
    return any(name.startswith("decoder_") for name in subject.call)
