"""Why a text differs: the corrections with which it does not, or else the shape of its shortest form."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Literal

from harness.tokenizers.compare import aspects, seen
from harness.tokenizers.side import Side


@dataclass(frozen=True, slots=True)
class Correction:
    """A hypothesis about a cause, which is tested: a side made as it would be without it.

    name: of the cause. apply: a side -> another that is corrected; the first stays as it is. of: which side is
    corrected.
    """

    name: str
    apply: Callable[[Side], Side]
    of: Literal["port", "reference"] = "port"


@dataclass(slots=True)
class Corrected:
    """Both sides with any of the corrections, each pair made once; corrections are made in their order."""

    reference: Side
    port: Side
    corrections: Sequence[Correction]
    _made: dict[tuple[str, ...], tuple[Side, Side]] = field(default_factory=dict)

    def sides(self, names: Sequence[str]) -> tuple[Side, Side]:
        """Reference and port with those corrections."""
        chosen = tuple(each.name for each in self.corrections if each.name in names)
        if chosen not in self._made:
            made = [
                reduce(
                    lambda corrected, each: each.apply(corrected),
                    [each for each in self.corrections if each.name in chosen and each.of == of],
                    side,
                )
                for of, side in (("reference", self.reference), ("port", self.port))
            ]
            self._made[chosen] = (made[0], made[1])
        return self._made[chosen]

    def differs(self, text: str, names: Sequence[str] = ()) -> tuple[str, ...]:
        """In which respects the text differs with those corrections."""
        reference, port = self.sides(names)
        theirs = seen(reference, text)
        return aspects(text, theirs, seen(port, text, theirs))

    def causes(self, text: str) -> tuple[str, ...] | None:
        """A set of corrections with which the text does not differ, and none of which can be left out, by their order.

        None if neither all of them together nor any of them alone makes it agree.
        """
        names = [each.name for each in self.corrections]
        if not names:
            return None
        if self.differs(text, names):
            return next(((name,) for name in names if not self.differs(text, (name,))), None)
        for name in reversed(names):
            fewer = [each for each in names if each != name]
            if not self.differs(text, fewer):
                names = fewer
        return tuple(names)


def shape(text: str) -> str:
    """What a text is made of: the general category of every character, those of a row told once.

    >>> shape("İ a12")
    'Lu Zs Ll Nd'
    """
    found: list[str] = []
    for character in text:
        category = unicodedata.category(character)
        if not found or found[-1] != category:
            found.append(category)
    return " ".join(found) or "empty"
