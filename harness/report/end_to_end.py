"""The section of the samples that go end to end: what was asked, what either side answered, and what is known."""

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

ASKED = 240
"""Characters of what was asked that are shown."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One step of a sample. ours, theirs: what reference and port answer, "" for arrays. limit: of the error."""

    check: str
    ours: str
    theirs: str
    error: str
    limit: str
    worst: str
    standing: words.Standing
    anchor: str
    registered: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """What was asked, and the steps of the answer in their order."""

    title: str
    asked: str
    answers: tuple[Answer, ...]


def section(results: list[Result], folder: Path) -> Markup:
    """The section of these results, whose files lie in `folder`; nothing, if none has an answer."""
    from markupsafe import Markup

    ran = {id(result): number for number, result in enumerate(results)}
    found = sorted(placed(results), key=lambda each: ran[id(each[0])])
    documents = [(result, anchor, document_of(folder, result)) for result, anchor in found]
    theirs = [each for each in documents if isinstance(each[2].get("answers"), list)]
    if not theirs:
        return Markup("")
    known = defects(each for each in theirs if each[0].registered)
    return Markup(environment().get_template("end_to_end.html").render(samples=samples(theirs), defects=known))


def samples(found: Sequence[tuple[Result, str, Mapping[str, Any]]]) -> tuple[Sample, ...]:
    """Samples in the order in which they ran, one for each case and pair of sides."""
    grouped: dict[tuple[str, str], list[tuple[Result, str, Mapping[str, Any]]]] = {}
    for each in found:
        grouped.setdefault((each[0].case, each[0].title), []).append(each)
    return tuple(
        Sample(title or case, _asked(parts), tuple(_answer(*part) for part in parts))
        for (case, title), parts in grouped.items()
    )


def _asked(parts: Sequence[tuple[Result, str, Mapping[str, Any]]]) -> str:
    texts = list(dict.fromkeys(str(document.get("asked") or "") for _, _, document in parts))
    text = " ".join(texts[0].split()) if len(texts) == 1 else ""
    return text if len(text) <= ASKED else f"{text[:ASKED]}…"


def _answer(result: Result, anchor: str, document: Mapping[str, Any]) -> Answer:
    ours, theirs = ([*map(str, document["answers"]), "", ""])[:2]
    return Answer(
        check=result.check,
        ours=ours,
        theirs=theirs,
        error=words.number(result.number("error")),
        limit=words.number(result.number("limit")),
        worst=str(document.get("worst") or ""),
        standing=words.standing(result),
        anchor=anchor,
        registered=tuple(result.registered),
    )
