"""Configurations drawn by Hypothesis, and the smallest on which twins disagree."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from harness.equivalence import fields
from harness.equivalence.family import Head
from harness.equivalence.search import Choice, choices, disagreement, heads_of, known_checks, settings_of

TOGETHER = 3
"""Fields set at once, on average: of many, one alone would make both sides refuse most configurations."""
COMPARED = 0.1
"""The share of the configurations that has to be compared: a search that both sides refuse has looked at nothing."""


@dataclass(frozen=True)
class Found:
    """The smallest configuration on which the twins disagree, and how."""

    head: Head
    drawn: tuple[Choice, ...]
    why: str
    seen: fields.Seen


@dataclass(frozen=True)
class Searched:
    """found: None where all agreed. tried, compared: how many configurations, those by which a find shrank included."""

    found: Found | None
    tried: int
    compared: int

    @property
    def enough(self) -> bool:
        return self.compared >= max(1, COMPARED * self.tried)


class DisagreementError(AssertionError):
    """What ends an example; args: a `Found`."""


@st.composite
def configurations(draw, family, run, known):
    """A class and the values of some fields, in the table's order.

    Each draw has the base first, so that Hypothesis leaves a field out where it can: no value means the base's own.
    """
    head = draw(st.sampled_from(heads_of(family)))
    by_field = choices(family, run, known)
    drawn = []
    # What is drawn does not depend on the class, so that another may be tried with the same values.
    for values in by_field.values():
        share = min(0.5, TOGETHER / len(by_field))
        bases = math.ceil(len(values) * (1 - share) / share)
        drawn.append(draw(st.sampled_from([None] * bases + list(values))))
    return head, tuple(choice for choice in drawn if choice and (not choice.heads or head.reference in choice.heads))


def search(family, run, rows, *, examples, derandomize=True):
    """Draw `examples` configurations of the family; what the register's `rows` know of it is left out.

    derandomize: the same examples every time; else by the seed that Hypothesis was given.
    """
    known = known_checks(family, rows)
    told, tried = {}, []

    @settings(
        max_examples=examples,
        derandomize=derandomize,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        report_multiple_bugs=False,
    )
    @given(configurations(family, run, known))
    def agree(configuration):
        head, drawn = configuration
        key = head.reference, repr(drawn)
        if key not in told:
            told[key] = fields.seen(family, head, settings_of(drawn), run=run)
            tried.append(told[key].line is not None)
        why = disagreement(told[key])
        if why:
            raise DisagreementError(Found(head, drawn, why, told[key]))

    try:
        agree()
    except DisagreementError as error:
        return Searched(error.args[0], len(tried), sum(tried))
    return Searched(None, len(tried), sum(tried))
