"""What one step of one sample came to on both sides, as the report and the register take it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.parity.compare import Array, Verdict, plain
from harness.parity.floor import FACTOR, measure
from harness.parity.outcome import reason_of, registered, verdict_of
from harness.register import Row
from harness.tolerance import CONTRACT

SHOWN = 160
"""Characters of an answer that are kept."""


@dataclass(frozen=True, slots=True)
class Step:
    """What is compared. sample: id. check: features, tokens, text and the like. title, reference, port: for people.

    asked: what both sides were given, in words.
    """

    sample: str
    check: str
    title: str
    reference: str
    port: str
    asked: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What both sides made of it.

    error: how far off the worst number is, or how many answers differ; infinite where the port raises or has another
        shape. scale: of the reference.
    limit: what is allowed. contract: what is within tolerance though rounding does not explain it.
    compared: elements or answers. worst: where the error is. answers: of the reference and of the port, in words.
    """

    step: Step
    error: float
    limit: float
    scale: float
    compared: int
    worst: str = ""
    answers: tuple[str, str] = ("", "")
    contract: float = 0.0

    @property
    def case(self) -> str:
        """How the record names the sample."""
        return self.step.sample

    @property
    def check(self) -> str:
        """Which step."""
        return self.step.check

    @property
    def title(self) -> str:
        """For people."""
        return self.step.title

    @property
    def subject(self) -> str:
        """How the register names the claim."""
        return f"{self.case}.{self.check}"

    @property
    def verdict(self) -> Verdict:
        """Agree within the limit; inconclusive where nothing was compared or the error is no number."""
        found = verdict_of(self.error, self.limit, compared=self.compared)
        within = found is Verdict.DIVERGE and self.error <= self.contract
        return Verdict.WITHIN_TOLERANCE if within else found

    @property
    def reason(self) -> str:
        """In a sentence what is outside, or "" where it agrees."""
        return reason_of(self.verdict, self.error, self.limit, compared=self.compared, worst=self.worst)

    def registered(self, rows: Sequence[Row]) -> tuple[str, ...]:
        """The ids of those rows of the register that explain it; nothing explains an inconclusive one."""
        return registered(self.verdict, self.error, rows)

    def metrics(self) -> dict[str, Any]:
        """The numbers of the result's line in the record."""
        return dict(plain({"error": self.error, "limit": self.limit, "scale": self.scale}))

    def to_dict(self) -> dict[str, Any]:
        """The result's own file."""
        return {
            "text": str(self),
            "reference": self.step.reference,
            "port": self.step.port,
            "taps": [],
            "outputs": [],
            "asked": self.step.asked,
            "answers": list(self.answers),
            "worst": self.worst,
        }

    def __str__(self) -> str:
        lines = [
            f"{self.subject}: {self.verdict.value.replace('_', ' ').upper()}",
            f"  reference   {self.step.reference}",
            f"  port        {self.step.port}",
            f"  error       {self.error:.3g} on values up to {self.scale:.3g}, where {self.limit:.3g} is allowed",
        ]
        told = (("asked", self.step.asked), ("reference's", self.answers[0]), ("port's", self.answers[1]))
        lines += [f"  {name:<11} {text}" for name, text in told if text]
        return "\n".join([*lines, f"  worst       {self.worst}"] if self.worst else lines)


def of_arrays(
    step: Step, reference: Array, port: Array, wide: Array, *, answers: tuple[str, str] = ("", "")
) -> Outcome:
    """Arrays of both sides, held to what rounding does to the reference. wide: what it is in float64."""
    ours, theirs = np.asarray(reference), np.asarray(port)
    if ours.shape != theirs.shape:
        worst = f"shapes {ours.shape} and {theirs.shape}"
        return Outcome(step, float("inf"), 0.0, 1.0, ours.size, worst, answers)
    if not ours.size:
        return Outcome(step, 0.0, 0.0, 1.0, 0, "", answers)
    distance = np.abs(ours.astype(np.float64) - theirs)
    # A NaN counts as farthest off.
    place = np.unravel_index(np.argmax(np.where(np.isnan(distance), np.inf, distance)), distance.shape)
    error = float(distance[place])
    rounding = measure(error, ours, np.asarray(wide), None, islands=False)
    where = f"at {[int(i) for i in place]}: {float(ours[place]):.6g} and {float(theirs[place]):.6g}"
    limit = FACTOR * rounding.floor
    scale = rounding.scale64 or 1.0
    return Outcome(step, error, limit, scale, ours.size, where if error else "", answers, CONTRACT)


def of_answers(step: Step, reference: Sequence[object], port: Sequence[object]) -> Outcome:
    """Answers one by one, of which none may differ, nor be missing on a side."""
    pairs = [(i, at(reference, i), at(port, i)) for i in range(max(len(reference), len(port)))]
    wrong = [pair for pair in pairs if pair[1] != pair[2]]
    worst = "answer {}: {!r} and {!r}".format(*wrong[0]) if wrong else ""
    told = _told(reference), _told(port)
    return Outcome(step, float(len(wrong)), 0.0, float(len(reference) or 1), len(reference), worst[:SHOWN], told)


def of_raised(step: Step, error: Exception) -> Outcome:
    """The port raised where the reference does not."""
    return Outcome(step, float("inf"), 0.0, 1.0, 1, f"the port raises {type(error).__name__}: {error}")


def worst_of(outcomes: Sequence[Outcome]) -> Outcome:
    """The outcome to show for several: the one farthest outside its limit; a NaN counts as farthest."""
    return max(outcomes, key=lambda each: (each.error != each.error, each.error - each.limit))


def at(answers: Sequence[object], place: int) -> object:
    """The answer at that place; None beyond the last."""
    return answers[place] if place < len(answers) else None


def _told(answers: Sequence[object]) -> str:
    text = " ".join(map(str, answers))
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
