"""Two models on the same examples: where they decide differently, and whether that may be chance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from harness.errors import SpecError
from harness.zeroshot.accuracy import Normalisation, decide
from harness.zeroshot.scored import Scored


@dataclass(frozen=True, slots=True)
class Paired:
    """Of the same examples, how many both models have right, neither, the first alone and the second alone.

    p: how often chance alone makes the two as different or more: McNemar's test in its exact form (McNemar 1947,
    doi:10.1007/BF02295996), which is the two-sided sign test on those that one of them alone has right.
    """

    both: int
    neither: int
    first_alone: int
    second_alone: int
    p: float
    normalisation: Normalisation

    @property
    def examples(self) -> int:
        return self.both + self.neither + self.first_alone + self.second_alone

    @property
    def difference(self) -> float:
        """The second's accuracy less the first's."""
        return (self.second_alone - self.first_alone) / self.examples


def paired(first: Sequence[Scored], second: Sequence[Scored], normalisation: Normalisation = "sum") -> Paired:
    """What two models make of the same examples, in any order.

    Raises:
        SpecError: there are none, or they are not the same: an id that one alone has, or another target.
    """
    others = {each.id: each for each in second}
    _check(first, others, count=len(second))
    counts = {(one, other): 0 for one in (True, False) for other in (True, False)}
    for each in first:
        other = others[each.id]
        counts[decide(each, normalisation) == each.target, decide(other, normalisation) == other.target] += 1
    alone = counts[True, False], counts[False, True]
    return Paired(counts[True, True], counts[False, False], *alone, sign_test(*alone), normalisation)


def sign_test(one: int, other: int) -> float:
    """The probability, by fair coins, of a split of `one + other` at least as uneven.

    >>> sign_test(1, 9), sign_test(5, 5)
    (0.021484375, 1.0)
    """
    count = one + other
    tail = sum(math.comb(count, fewer) for fewer in range(min(one, other) + 1))
    return min(1.0, float(Fraction(2 * tail, 1 << count)))


def _check(first: Sequence[Scored], others: dict[str, Scored], *, count: int) -> None:
    ids = [each.id for each in first]
    if not ids or len(set(ids)) < len(ids) or len(others) < count:
        problem = "there is no example" if not ids else "an id stands twice"
        raise SpecError("paired comparison", problem, todo="Compare scores of one task, each example once.")
    odd = sorted(set(ids) ^ set(others))
    if odd:
        told = f"{', '.join(map(repr, odd[:3]))} and {len(odd) - 3} more" if len(odd) > 3 else ", ".join(map(repr, odd))
        problem = f"{len(odd)} examples are in one of the two alone: {told}"
        raise SpecError("paired comparison", problem, todo="Score both models on the same task and limit.")
    for each in first:
        if each.target != others[each.id].target:
            problem = f"example {each.id!r} has target {each.target} in one and {others[each.id].target} in the other"
            raise SpecError("paired comparison", problem, todo="Score both models on the same task.")
