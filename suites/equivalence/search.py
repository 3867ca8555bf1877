"""Configurations drawn by Hypothesis, and the smallest on which twins disagree."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from harness.equivalence import fields
from harness.equivalence.family import Head
from harness.equivalence.search import (
    Choice,
    choices,
    disagreement,
    heads_of,
    known_as,
    known_checks,
    known_in,
    known_together,
    settings_of,
    told_apart,
)

TOGETHER = 6
"""Fields set at once, at most and half as many on average: of many, one alone makes both sides refuse."""
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
def configurations(draw, heads, by_field):
    """A class and the values of some fields, in the table's order.

    The first to be drawn is the base: no field, the widest class. So Hypothesis leaves out what it can.
    """
    # What is drawn does not depend on the class, so that another may be tried with the same values.
    value = st.one_of([st.sampled_from(values) for values in by_field.values()]) if by_field else st.nothing()
    found = draw(st.lists(value, max_size=TOGETHER, unique_by=lambda choice: choice.name))
    head = draw(st.sampled_from(heads))
    order = list(by_field)
    on_it = [choice for choice in found if not choice.heads or head.reference in choice.heads]
    return head, tuple(sorted(on_it, key=lambda choice: order.index(choice.name)))


def begins(family, head, run, rows):
    """Whether a class with no field set is where a search may begin: it runs, and is not known to diverge.

    Nor where the register knows that a class of the family does in this very run, though it does not show: chance may
    hide it.
    """
    if any(known_as(f"{family.id}.{each.reference}.{run}", rows) for each in family.head):
        return False
    found = fields.seen(family, head, {}, run=run)
    refused = found.reference.raised and found.port.raised
    return not refused and not (disagreement(found) and known_in(family, head, run, rows))


def search(family, run, rows, *, examples, derandomize=True):
    """Draw `examples` configurations of the family; what the register's `rows` know of it is left out.

    None where no class has this run as it stands, or the register knows that they diverge in it.
    derandomize: the same examples every time; else by the seed that Hypothesis was given.
    """
    known = known_checks(family, rows)
    by_field, together = choices(family, run, known), known_together(family, known)
    heads = [head for head in heads_of(family, run) if begins(family, head, run, rows)]
    told, tried = {}, []
    if not heads:
        return None

    @settings(
        max_examples=examples,
        derandomize=derandomize,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        report_multiple_bugs=False,
    )
    @given(configurations(heads, by_field))
    def agree(configuration):
        head, drawn = configuration
        key = head.reference, repr(drawn)
        made = settings_of(drawn)
        if any(each <= told_apart(made) for each in together):
            return
        if key not in told:
            told[key] = fields.seen(family, head, made, run=run)
            tried.append(told[key].line is not None)
        why = disagreement(told[key])
        if why:
            raise DisagreementError(Found(head, drawn, why, told[key]))

    try:
        agree()
    except DisagreementError as error:
        return Searched(error.args[0], len(tried), sum(tried))
    return Searched(None, len(tried), sum(tried))
