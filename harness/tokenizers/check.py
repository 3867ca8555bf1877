"""Check a port's tokenizer against its reference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from harness.errors import SpecError
from harness.tokenizers.compare import ASPECTS, Refused, Seen, aspects, seen
from harness.tokenizers.comparison import Group, TokenDifference, TokenizerComparison
from harness.tokenizers.group import Corrected, Correction, shape
from harness.tokenizers.shrink import shrink
from harness.tokenizers.side import Side, side
from harness.tokenizers.texts import ORDINARY, Text, drawn, ordinary

SHRUNK = 200
"""Unexplained texts that are shrunk, the shortest first, which takes about 10 ms each; one of the others is counted
with the first group whose shortest text it holds, and shrunk where it holds none."""

STEP = 500
"""Texts after which progress is told."""


def check_tokenizers(
    reference: Any,
    port: Any,
    *,
    texts: Iterable[str | Text] | None = None,
    corrections: Sequence[Correction] = (),
    count: int = 5000,
    seed: int = 0,
    name: str = "tokenizers",
    progress: Callable[[str], None] | None = None,
) -> TokenizerComparison:
    """Compare two tokenizers on texts: ids, decoded texts, round trips, and offsets where both have them.

    reference, port: see `harness.tokenizers.side.side`. texts: what to compare on; by default the ordinary sample and
    `count` texts drawn with `seed`. corrections: hypotheses about causes, by which the differences are grouped.

    Raises:
        SpecError: a side is no tokenizer, there is no text, or two corrections share a name.
        MissingError: texts are to be drawn and hypothesis is not installed.
    """
    both = Corrected(side(reference), side(port), corrections)
    names = [each.name for each in corrections]
    if len(set(names)) < len(names):
        raise SpecError(name, f"two corrections share a name: {names}", todo="Give each its own.")
    chosen = _texts(both.reference, both.port, texts, count, seed, name)
    found, compared, refused, returned = _differences(both, chosen, progress or _silent)
    explained = [_explained(both, each) for each in found]
    return TokenizerComparison(
        reference=both.reference.name,
        port=both.port.name,
        texts=len(chosen),
        ordinary=sum(each.kind == ORDINARY for each in chosen),
        compared=compared,
        refused=refused,
        returned=returned,
        differences=tuple(explained),
        groups=_groups(both, explained),
        name=name,
    )


def _texts(
    reference: Side, port: Side, texts: Iterable[str | Text] | None, count: int, seed: int, name: str
) -> list[Text]:
    if texts is None:
        literals = dict.fromkeys((*reference.literals, *port.literals))
        chosen: list[Text] = [*ordinary(), *drawn(count, seed=seed, literals=literals)]
    else:
        chosen = [each if isinstance(each, Text) else Text("given", each) for each in texts]
    if not chosen:
        raise SpecError(name, "there is no text to compare on", todo="Hand texts, or leave `texts` out.")
    return list({each.text: each for each in reversed(chosen)}.values())[::-1]


def _differences(
    both: Corrected, texts: Sequence[Text], progress: Callable[[str], None]
) -> tuple[list[TokenDifference], dict[str, int], int, tuple[int, int]]:
    found, refused, returned = [], 0, [0, 0]
    compared: Counter[str] = Counter(dict.fromkeys(ASPECTS, 0))
    for number, each in enumerate(texts, start=1):
        theirs = seen(both.reference, each.text)
        ours = seen(both.port, each.text, theirs)
        refused += isinstance(theirs.ids, Refused) and isinstance(ours.ids, Refused)
        compared.update(_asked(theirs, ours))
        for place, answers in enumerate((theirs, ours)):
            returned[place] += answers.again == each.text
        differing = aspects(each.text, theirs, ours)
        if differing:
            found.append(TokenDifference(each.text, each.kind, differing, theirs, ours))
        if number % STEP == 0:
            progress(f"{number:,} of {len(texts):,} texts, {len(found):,} differ")
    found.sort(key=lambda each: (len(each.text), each.text))
    return found, dict(compared), refused, (returned[0], returned[1])


def _asked(theirs: Seen, ours: Seen) -> list[str]:
    """In which respects a text says something of both."""
    if isinstance(theirs.ids, Refused) or isinstance(ours.ids, Refused):
        return []
    known = {
        "ids": True,
        "decode": theirs.decoded is not None and ours.decoded is not None,
        "round trip": theirs.again is not None and ours.again is not None,
        "offsets": theirs.ids == ours.ids and theirs.spans is not None and ours.spans is not None,
    }
    return [aspect for aspect in ASPECTS if known[aspect]]


def _explained(both: Corrected, found: TokenDifference) -> TokenDifference:
    causes = both.causes(found.text) or ()
    return TokenDifference(found.text, found.kind, found.aspects, found.reference, found.port, causes)


def _groups(both: Corrected, differences: Sequence[TokenDifference]) -> tuple[Group, ...]:
    """The differences by their causes; those without, by the shape of their shortest form."""
    members: dict[str, list[TokenDifference]] = {}
    shortest: dict[str, TokenDifference] = {}
    shrunk = 0
    for each in differences:
        name = ", ".join(each.causes)
        if not name and shrunk >= SHRUNK:
            held = [known for known, least in shortest.items() if not least.causes and least.text in each.text]
            name = held[0] if held else ""
        if not name or name not in shortest:
            least = _shortest(both, each)
            shrunk += not name
            name = name or f"{least.aspects[0]} of {shape(least.text)}"
            shortest.setdefault(name, least)
        members.setdefault(name, []).append(each)
    groups = [
        Group(
            name=name,
            causes=shortest[name].causes,
            texts=len(found),
            ordinary=sum(each.kind == ORDINARY for each in found),
            shortest=shortest[name],
        )
        for name, found in members.items()
    ]
    return tuple(sorted(groups, key=lambda group: (bool(group.causes), -group.texts, group.name)))


def _shortest(both: Corrected, found: TokenDifference) -> TokenDifference:
    text = shrink(found.text, lambda text: both.due_to(text, found.causes))
    theirs = seen(both.reference, text)
    ours = seen(both.port, text, theirs)
    return TokenDifference(text, found.kind, aspects(text, theirs, ours), theirs, ours, found.causes)


def _silent(said: str) -> None:
    """Nobody listens."""
