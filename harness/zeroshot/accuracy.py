"""From scores to decisions, from decisions to accuracy, and what the choice of a normalisation changes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from harness.errors import RunError, SpecError, closest
from harness.zeroshot.scored import Scored

Normalisation = Literal["sum", "token", "character", "byte"]
NORMALISATIONS: tuple[Normalisation, ...] = get_args(Normalisation)

NORMAL_95 = 1.959963984540054
"""The quantile of the normal distribution that leaves 2.5 % above it."""

CLEAR = 6
"""So many changes, all towards one option, happen by chance once in 32: two-sided sign test, 2 / 2**6."""


@dataclass(frozen=True, slots=True)
class Accuracy:
    """The share of right decisions.

    standard_error: of a mean of zeros and ones, with n - 1 in the denominator as lm-eval has it; 0 for one example.
    interval: Wilson's, 95 % (Wilson 1927, doi:10.1080/01621459.1927.10502953); right for few examples, too.
    """

    accuracy: float
    standard_error: float
    interval: tuple[float, float]
    examples: int
    right: int
    normalisation: Normalisation


@dataclass(frozen=True, slots=True)
class Shift:
    """What a normalisation decides otherwise than the sum does.

    changed: how many decisions. towards: index of the option that they went to -> how many. longer: how many of those
    options are longer, in the unit, than the option of the sum: by arithmetic all are. gained: right decisions more.
    """

    normalisation: Normalisation
    examples: int
    changed: int
    towards: Mapping[int, int] = field(default_factory=dict)
    longer: int = 0
    gained: int = 0

    @property
    def one_sided(self) -> bool:
        """Whether the changes all go to one option, and are too many for chance."""
        return self.changed >= CLEAR and len(self.towards) == 1


def normalised(scored: Scored, normalisation: Normalisation) -> tuple[float, ...]:
    """The log-likelihood of each option, divided by its length in the unit.

    Raises:
        SpecError: there is no such normalisation.
        RunError: a log-likelihood is no number, of which nothing follows.
    """
    if not all(math.isfinite(value) for value in scored.log_likelihoods):
        problem = f"log-likelihoods {scored.log_likelihoods!r}, of which nothing follows"
        raise RunError(f"example {scored.id!r}", problem, todo="Look for NaN or infinity in the model's weights.")
    if normalisation == "sum":
        return scored.log_likelihoods
    lengths = {"token": scored.tokens, "character": scored.characters, "byte": scored.bytes}
    if normalisation not in lengths:
        place = f"normalisation {normalisation!r}"
        raise SpecError(place, "is not known", todo=closest(str(normalisation), NORMALISATIONS))
    return tuple(value / length for value, length in zip(scored.log_likelihoods, lengths[normalisation], strict=True))


def decide(scored: Scored, normalisation: Normalisation = "sum") -> int:
    """The index of the likeliest option; the first of equal ones.

    >>> both = Scored("1", 0, (-4.0, -4.4), tokens=(1, 1), characters=(3, 4), bytes=(3, 4))
    >>> decide(both, "sum"), decide(both, "character")
    (0, 1)
    """
    values = normalised(scored, normalisation)
    return values.index(max(values))


def accuracy(scored: Sequence[Scored], normalisation: Normalisation = "sum") -> Accuracy:
    """The share of examples of which the likeliest option is the target.

    Raises:
        RunError: there is no example.
    """
    if not scored:
        raise RunError("accuracy", "there is no example, so nothing is known", todo="Give a task with examples.")
    count = len(scored)
    right = sum(decide(each, normalisation) == each.target for each in scored)
    share = right / count
    error = math.sqrt(share * (1 - share) / (count - 1)) if count > 1 else 0.0
    return Accuracy(share, error, wilson(right, count), count, right, normalisation)


def wilson(right: int, count: int) -> tuple[float, float]:
    """The 95 % interval of a share.

    >>> [round(bound, 3) for bound in wilson(0, 10)]
    [0.0, 0.278]
    """
    share, square = right / count, NORMAL_95**2
    middle = share + square / (2 * count)
    half = NORMAL_95 * math.sqrt(share * (1 - share) / count + square / (4 * count**2))
    whole = 1 + square / count
    return max(0.0, (middle - half) / whole), min(1.0, (middle + half) / whole)


def shifts(scored: Sequence[Scored]) -> tuple[Shift, ...]:
    """Of every normalisation but the sum, what it decides otherwise."""
    return tuple(_shift(scored, each) for each in NORMALISATIONS if each != "sum")


def warnings(scored: Sequence[Scored]) -> tuple[str, ...]:
    """In a sentence each, the normalisations that change decisions in one direction."""
    return tuple(_warning(each) for each in shifts(scored) if each.one_sided)


def _shift(scored: Sequence[Scored], normalisation: Normalisation) -> Shift:
    changes = [(each, decide(each, "sum"), decide(each, normalisation)) for each in scored]
    changes = [(each, before, after) for each, before, after in changes if before != after]
    lengths = {"token": "tokens", "character": "characters", "byte": "bytes"}[normalisation]
    longer = sum(getattr(each, lengths)[after] > getattr(each, lengths)[before] for each, before, after in changes)
    gained = sum((after == each.target) - (before == each.target) for each, before, after in changes)
    towards = Counter(after for _, _, after in changes)
    return Shift(normalisation, len(scored), len(changes), dict(towards), longer, gained)


def _warning(shift: Shift) -> str:
    (option,) = shift.towards
    gained = f"{shift.gained:+d} right" if shift.gained else "as many right"
    return (
        f"per {shift.normalisation}, {shift.changed} of {shift.examples} decisions change, and every one to option "
        f"{option} (from 0), the longer one ({gained}): the normalisation decides here, not the model"
    )
