"""What comparing two tokenizers found, and how it is told."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.parity.compare import Verdict
from harness.tokenizers.compare import Refused, Seen
from harness.tokenizers.side import Ids, Spans

SHOWN = 60
"""Characters of a text or of an answer that are shown."""

TOLD = 20
"""Groups that are told one by one, and differences that a result's own file holds."""


@dataclass(frozen=True, slots=True)
class TokenDifference:
    """A text on which the two differ. kind: of the text. aspects: in which respects. causes: see `Group`."""

    text: str
    kind: str
    aspects: tuple[str, ...]
    reference: Seen
    port: Seen
    causes: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """Text, and what either side makes of it in the first respect."""
        found = [f"text        {escaped(self.text)}  {named(self.text)}".rstrip()]
        for aspect in self.aspects[:2]:
            reference, port = self.answers(aspect)
            found += [f"{aspect:<12}{reference} in the reference", f"{'':<12}{port} in the port"]
        return found

    def answers(self, aspect: str) -> tuple[str, str]:
        """What the reference and the port make of it, in words."""
        name = {"ids": "ids", "decode": "decoded", "round trip": "again", "offsets": "spans"}[aspect]
        return answer(getattr(self.reference, name)), answer(getattr(self.port, name))

    def to_dict(self) -> dict[str, Any]:
        """Plain values: texts are escaped, since half a surrogate pair is none in JSON."""
        told = {aspect: self.answers(aspect) for aspect in self.aspects}
        return {
            "text": escaped(self.text),
            "named": named(self.text),
            "kind": self.kind,
            "causes": list(self.causes),
            "answers": {aspect: {"reference": pair[0], "port": pair[1]} for aspect, pair in told.items()},
        }


@dataclass(frozen=True, slots=True)
class Group:
    """The texts that differ for the same reason.

    causes: corrections with which each agrees, none of which can be left out; empty, if none makes them agree.
    name: the causes, or the respect and shape of the shortest text. texts, ordinary: how many, and how many of them
    are ordinary. shortest: the shortest text of the group, made shorter while it stays in the group.
    """

    name: str
    causes: tuple[str, ...]
    texts: int
    ordinary: int
    shortest: TokenDifference

    def lines(self) -> list[str]:
        """The causes, how many texts, and the shortest of them."""
        label = "proved" if self.causes else "unexplained"
        told = f"{self.texts:,} texts" + (f", {self.ordinary:,} of them ordinary" if self.ordinary else "")
        return [f"  {label:<12}{self.name}: {told}", *(f"  {line}" for line in self.shortest.lines())]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "name": self.name,
            "causes": list(self.causes),
            "texts": self.texts,
            "ordinary": self.ordinary,
            "shortest": self.shortest.to_dict(),
        }


@dataclass(frozen=True, slots=True)
class TokenizerComparison:
    """What is known of a port's tokenizer.

    compared: aspect -> on how many texts both sides could be asked. refused: texts that both sides refuse, which
    count as agreed. returned: how many texts the reference and the port make again of their own ids. groups: the
    largest first.
    """

    reference: str
    port: str
    texts: int
    ordinary: int
    compared: Mapping[str, int]
    refused: int
    returned: tuple[int, int]
    differences: tuple[TokenDifference, ...]
    groups: tuple[Group, ...]
    name: str = "tokenizers"

    @property
    def verdict(self) -> Verdict:
        """Agree if no text differs in any respect; inconclusive if no text was tokenized by both, or there is none."""
        if self.differences:
            return Verdict.DIVERGE
        return Verdict.AGREE if self.compared["ids"] else Verdict.INCONCLUSIVE

    @property
    def reason(self) -> str:
        """In a sentence what is wrong, or ""."""
        if self.verdict is Verdict.INCONCLUSIVE:
            return f"nothing was compared: of {self.texts:,} texts none was tokenized by both sides"
        if not self.differences:
            return ""
        ordinary = sum(each.kind == "ordinary" for each in self.differences)
        told = f", {ordinary:,} of them ordinary" if ordinary else ""
        return f"{len(self.differences):,} of {self.texts:,} texts differ{told}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: all groups, and the shortest of the differences."""
        return {
            "verdict": self.verdict.value,
            "text": str(self),
            "reference": self.reference,
            "port": self.port,
            "texts": self.texts,
            "ordinary": self.ordinary,
            "compared": dict(self.compared),
            "refused": self.refused,
            "returned": list(self.returned),
            "differing": len(self.differences),
            "groups": [group.to_dict() for group in self.groups],
            "differences": [each.to_dict() for each in self.differences[:TOLD]],
        }

    def __str__(self) -> str:
        lines = [
            f"{self.name}: {self.verdict.value.upper()}",
            f"  reference   {self.reference}",
            f"  port        {self.port}",
        ]
        if self.reason:
            lines.append(f"  why         {self.reason}")
        lines.append("  compared    " + ", ".join(f"{aspect} of {n:,}" for aspect, n in self.compared.items()))
        for group in self.groups[:TOLD]:
            lines += group.lines()
        if len(self.groups) > TOLD:
            lines.append(f"  and         {len(self.groups) - TOLD:,} more groups")
        return "\n".join(lines)


def escaped(text: str) -> str:
    r"""The text between quotes, everything written out that does not show, combines, or is not ASCII but no letter.

    >>> escaped("a\u200b\u0301é")
    "'a\\u200b\\u0301é'"
    """
    shown = "".join(each if _shows(each) else ascii(each)[1:-1] for each in text[:SHOWN])
    return f"'{shown}'" + (f" and {len(text) - SHOWN:,} more characters" if len(text) > SHOWN else "")


def named(text: str) -> str:
    """Code points and names of a short text that holds more than ASCII.

    >>> named("aİ")
    'U+0061 LATIN SMALL LETTER A, U+0130 LATIN CAPITAL LETTER I WITH DOT ABOVE'
    """
    if len(text) > 4 or (text.isascii() and text.isprintable()):
        return ""
    return ", ".join(f"U+{ord(each):04X} {unicodedata.name(each, _unnamed(each))}" for each in text)


def answer(value: Ids | Spans | str | Refused | None) -> str:
    """What a side answered, in words and not too long."""
    if value is None:
        return "nothing"
    if isinstance(value, Refused):
        return f"refused ({value.error})"
    told = escaped(value) if isinstance(value, str) else str(value)
    return told if len(told) <= SHOWN + 40 else f"{told[:SHOWN]}... ({len(value):,} in all)"


def _shows(character: str) -> bool:
    if character == "\\" or not character.isprintable():
        return character == "\\"
    return character.isascii() or unicodedata.category(character)[0] in "LNPS"


def _unnamed(character: str) -> str:
    categories = {"Cc": "control", "Cn": "unassigned", "Co": "private use", "Cs": "half a surrogate pair"}
    return categories.get(unicodedata.category(character), "no name")
