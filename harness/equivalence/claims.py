"""Every claim about twins by the name that the register gives it: to make it again, alone or with a correction."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from harness.equivalence.beyond import beyond, checks_of
from harness.equivalence.family import Family, Head
from harness.equivalence.fields import check_name, values_of, varied_outcome
from harness.equivalence.forward import WAYS, forward
from harness.equivalence.outcome import Outcome
from harness.equivalence.trips import trips_of
from harness.errors import SpecError, closest

Claim = Callable[[], Outcome]


def claim_of(subject: str, families: Sequence[Family]) -> Claim:
    """What makes the claim of that name: `family.Reference.check`.

    Raises:
        SpecError: there is none; close names are offered.
    """
    for family in families:
        for head in family.head:
            if subject.startswith(f"{family.id}.{head.reference}."):
                claims = dict(claims_of(family, head))
                check = subject.removeprefix(f"{family.id}.{head.reference}.")
                if check in claims:
                    return claims[check]
                raise SpecError(f"subject {subject!r}", "there is no such check", todo=closest(check, claims))
    known = [f"{family.id}.{head.reference}" for family in families for head in family.head]
    raise SpecError(f"subject {subject!r}", "there are no such twins", todo=closest(subject, known))


def claims_of(family: Family, head: Head) -> Iterator[tuple[str, Claim]]:
    """Every check of these twins, and what makes it."""
    for way in WAYS:
        yield way, lambda way=way: forward(family, head, way)  # type: ignore[misc]
    for check in checks_of(family, head):
        yield check, lambda check=check: beyond(family, head, check)  # type: ignore[misc]
    for varied, value in values_of(family):
        if head.reference in (varied.heads or (family.head_of().reference,)):
            yield (
                check_name(varied, value),
                lambda varied=varied, value=value: varied_outcome(family, varied, value, head=head),  # type: ignore[misc]
            )
    yield from trips_of(family, head)
