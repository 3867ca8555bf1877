"""The suite of tokenizers' section of the page: every pair, what differs, why, and the shortest text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.report import words
from harness.report.defects import defects, document_of
from harness.report.page import environment, placed
from harness.report.run import Result

if TYPE_CHECKING:
    from markupsafe import Markup

REST = "texts"
"""The check that no text differs but for known causes, whose file says everything of its pair."""


@dataclass(frozen=True, slots=True)
class Share:
    """Texts that differ for one reason. width: in percent of all texts. explained: whether a correction proves it."""

    name: str
    texts: int
    ordinary: int
    width: float
    explained: bool
    text: str
    named: str
    reference: str
    port: str


@dataclass(frozen=True, slots=True)
class Pair:
    """A row of the table. returned: texts that the reference and the port make again of their ids."""

    title: str
    package: str
    version: str
    licence: str
    port: str
    texts: int
    differing: int
    returned: tuple[int, int]
    shares: tuple[Share, ...]
    standing: words.Standing
    anchor: str


def section(results: list[Result], folder: Path) -> Markup:
    """The section of these results, whose files lie in `folder`; nothing, if none is of a pair."""
    from markupsafe import Markup

    found = [(result, anchor, document_of(folder, result)) for result, anchor in placed(results)]
    theirs = [each for each in found if isinstance(each[2].get("tokenizers"), Mapping)]
    if not theirs:
        return Markup("")
    # A pair may have been compared twice, on few texts and on many: the larger run tells more.
    largest: dict[str, Pair] = {}
    for result, anchor, document in theirs:
        made = pair(result, anchor, document, [each for each, _, _ in found if each.case == result.case])
        if result.case not in largest or made.texts > largest[result.case].texts:
            largest[result.case] = made
    pairs = sorted(largest.values(), key=lambda each: (each.package.lower(), each.title))
    known = defects(each for each in found if each[0].registered)
    packages = len({each.package for each in pairs})
    words_for = "pair" if len(pairs) == 1 else "pairs", "package" if packages == 1 else "packages"
    told = f"{len(pairs)} {words_for[0]} of {packages} {words_for[1]}"
    return Markup(environment().get_template("tokenizers.html").render(pairs=pairs, told=told, defects=known))


def pair(result: Result, anchor: str, document: Mapping[str, Any], results: Sequence[Result]) -> Pair:
    """What the table says of a pair. results: all of it, of which the worst stands for it."""
    compared, original = document["tokenizers"], document.get("original") or {}
    texts = int(compared.get("texts", 0))
    standings = [words.standing(each) for each in results]
    returned = [int(number) for number in compared.get("returned", (0, 0))]
    return Pair(
        title=result.title or result.case,
        **{name: str(original.get(name) or "") for name in ("package", "version", "licence")},
        port=str(document.get("port", "")),
        texts=texts,
        differing=int(compared.get("differing", 0)),
        returned=(returned[0], returned[1]),
        shares=tuple(share(group, texts) for group in compared.get("groups", [])),
        standing=min(standings, key=words.STANDINGS.index, default=words.standing(result)),
        anchor=anchor,
    )


def share(group: Mapping[str, Any], texts: int) -> Share:
    """What the table says of the texts of one group: texts are escaped where they are written down."""
    shortest = group["shortest"]
    answers: Mapping[str, Any] = next(iter(shortest["answers"].values()), {})
    return Share(
        name=str(group["name"]),
        texts=int(group["texts"]),
        ordinary=int(group["ordinary"]),
        width=100 * group["texts"] / texts if texts else 0.0,
        explained=bool(group["causes"]),
        text=str(shortest["text"]),
        named=str(shortest["named"]),
        reference=str(answers.get("reference", "")),
        port=str(answers.get("port", "")),
    )
