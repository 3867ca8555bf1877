"""Why a text differs: the corrections with which it does not, or else the shape of its shortest form."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from harness.tokenizers.compare import Seen, differs, seen
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
    _known: Counter[tuple[str, ...]] = field(default_factory=Counter)
    _text: str | None = None
    _theirs: dict[int, Seen] = field(default_factory=dict)

    def sides(self, names: Sequence[str]) -> tuple[Side, Side]:
        """Reference and port with those corrections."""
        chosen = [each for each in self.corrections if each.name in names]
        key = tuple(each.name for each in chosen)
        if not chosen:
            return self.reference, self.port
        if key not in self._made:
            # Of what is made already: to copy a tokenizer takes longer than to ask it a hundred texts.
            reference, port = self.sides(key[:-1])
            apply, of = chosen[-1].apply, chosen[-1].of
            self._made[key] = (apply(reference), port) if of == "reference" else (reference, apply(port))
        return self._made[key]

    def differs(self, text: str, names: Sequence[str] = ()) -> bool:
        """Whether the text differs with those corrections."""
        reference, port = self.sides(names)
        return differs(text, self._seen(reference, text), port)

    def causes(self, text: str) -> tuple[str, ...] | None:
        """A set of corrections with which the text does not differ, and none of which can be left out, by their order.

        Sets that explained other texts are tried first, the most frequent before others; then each alone; then all.
        What is not needed of the first that does is left out. None if none of these makes the text agree.
        """
        every = tuple(each.name for each in self.corrections)
        known = (names for names, _ in self._known.most_common())
        tried = dict.fromkeys([*known, *((name,) for name in every), every])
        names = next((names for names in tried if names and not self.differs(text, names)), None)
        if names is None:
            return None
        for name in reversed(names):
            fewer = tuple(each for each in names if each != name)
            if fewer and not self.differs(text, fewer):
                names = fewer
        self._known[names] += 1
        return names

    def due_to(self, text: str, names: tuple[str, ...]) -> bool:
        """Whether the text differs, does not with those corrections, and does with fewer; of none: for no cause."""
        if not self.differs(text):
            return False
        if not names:
            return self.causes(text) is None
        fewer = (tuple(each for each in names if each != name) for name in names)
        return not self.differs(text, names) and all(self.differs(text, each) for each in fewer)

    def _seen(self, reference: Side, text: str) -> Seen:
        """What the reference makes of the text, asked once for each of its corrected forms."""
        if self._text != text:
            self._text, self._theirs = text, {}
        if id(reference) not in self._theirs:
            self._theirs[id(reference)] = seen(reference, text)
        return self._theirs[id(reference)]


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
