"""Both sides write by themselves: the same tokens, or tokens between which rounding decides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from harness.adapters.protocols import Array
from harness.adapters.writing import Writing
from harness.parity.generation import TIE, texts_line
from harness.parity.judge import Line

STEPS = 10
"""Tokens that are written."""
UNPADDED = "unpadded"
WRITING = {"greedy": Writing(STEPS), "beams": Writing(STEPS, beams=3), "end tokens": Writing(STEPS)}
"""The checks of what is written -> how, but for the end tokens, which depend on what the reference writes."""


class Writers(Protocol):
    """Twins that write, a call of theirs, and their configuration as plain values."""

    @property
    def sides(self) -> tuple[Any, Any]: ...

    @property
    def settings(self) -> Mapping[str, Any]: ...

    @property
    def call(self) -> Mapping[str, Array]: ...


def generated(subject: Writers, check: str) -> Iterator[Line]:
    """Texts as given, one of `WRITING`: unpadded, padded left and, for an encoder, padded right."""
    for name, call in calls_of(subject.call).items():
        how = how_to_write(check, name)
        if check == "end tokens":
            # The first of them the reference writes second in the first text.
            new = _begun(subject, subject.sides[0].generate(call, how))[:, _given(subject, call) :]
            ends = sorted({int(new[0, 1]), int(new[-1, 2])})
            how = replace(how, ends=ends if len(ends) > 1 else [ends[0], (ends[0] + 1) % 8])
        ours, theirs = (_begun(subject, side.generate(call, how)) for side in subject.sides)
        yield compared(subject, call, ours, theirs, name, how)


def how_to_write(check: str, name: str) -> Writing:
    """How a text of that name is written: unpadded as the configuration has it, the others in distinct tokens."""
    return replace(WRITING[check], distinct=name != UNPADDED)


def compared(
    subject: Writers,
    call: Mapping[str, Array],
    ours: Array,
    theirs: Array,
    name: str,
    how: Writing,
) -> Line:
    """What both wrote, row by row."""

    def tied(row: int, at: int) -> bool:
        return _gap(subject, call, ours[row], theirs[row], row, beams=how.beams, at=at) <= TIE

    return texts_line(name, ours, theirs, start=_given(subject, call), ends=how.ends or _ends(subject), tied=tied)


def calls_of(call: Mapping[str, Array]) -> dict[str, dict[str, Array]]:
    """The call without what a decoder is given, its texts padded in turn."""
    given = {name: value for name, value in call.items() if not name.startswith("decoder_")}
    if "input_ids" not in given:
        return {"as given": given}
    ids = np.array(given["input_ids"])
    plain = {"input_ids": ids[:, :-3], "attention_mask": np.ones_like(ids[:, :-3])}
    found = {UNPADDED: plain}
    sides = ("left", "right") if any(name.startswith("decoder_") for name in call) else ("left",)
    for side in sides:
        padded, mask = np.array(plain["input_ids"]), np.array(plain["attention_mask"])
        cut = slice(0, 2) if side == "left" else slice(-2, None)
        padded[1, cut], mask[1, cut] = 0, 0
        found[f"padded {side}"] = {"input_ids": padded, "attention_mask": mask}
    return found


def _ends(subject: Writers) -> Sequence[int]:
    """The tokens with which the models end a text by themselves."""
    end = subject.settings.get("eos_token_id")
    return end if isinstance(end, list) else [end] if end is not None else []


def _begun(subject: Writers, texts: Array) -> Array:
    """With the token with which a decoder begins, which Whisper in PyTorch leaves out of what it has written."""
    start = subject.settings.get("decoder_start_token_id")
    if not _encodes(subject) or start is None or (texts[:, 0] == start).all():
        return texts
    return np.concatenate([np.full((len(texts), 1), start), texts], axis=1)


def _given(subject: Writers, call: Mapping[str, Array]) -> int:
    """How many of a decoder's tokens are given; one that has an encoder begins with one of its own."""
    return 1 if _encodes(subject) else call["input_ids"].shape[1]


def _gap(
    subject: Writers, call: Mapping[str, Array], ours: Array, theirs: Array, row: int, *, beams: int, at: int
) -> float:
    """How much likelier the reference's own text is to it than the port's, as a share of the largest logit.

    Greedily the two tokens are compared, with beams the whole texts.
    """
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
