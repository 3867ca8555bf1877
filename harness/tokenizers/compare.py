"""What two tokenizers make of one text, and in which respects that differs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from harness.tokenizers.side import Ids, Side, Spans

T = TypeVar("T")

ASPECTS = ("ids", "decode", "round trip", "offsets")
"""In which respects two tokenizers are compared.

ids: of the text. decode: the text that either makes of the reference's ids. round trip: where the reference makes the
text again of its own ids, so does the port of its own. offsets: of every token, where the ids are the same, without
the white space at its ends, which some count to a token and others do not (`trim_offsets` of tokenizers).
"""


@dataclass(frozen=True, slots=True)
class Refused:
    """What a side raised instead of an answer. Two refusals are the same answer, whatever they say."""

    error: str

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Refused)

    def __hash__(self) -> int:
        return hash(Refused)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a side makes of a text; None where it cannot be asked.

    ids: of the text. decoded: the text made of the reference's ids. again: the text made of its own. spans: of its
    tokens.
    """

    ids: Ids | Refused
    decoded: str | Refused | None
    again: str | Refused | None
    spans: Spans | Refused | None


def seen(side: Side, text: str, reference: Seen | None = None) -> Seen:
    """What the side makes of the text. reference: what the reference makes of it, if the side is the port."""
    return _seen(side, text, _asked(side.encode, text), reference)


def differs(text: str, reference: Seen, port: Side) -> bool:
    """Whether `aspects` would name any; the port is asked no more than that takes."""
    ids = _asked(port.encode, text)
    return ids != reference.ids or bool(aspects(text, reference, _seen(port, text, ids, reference)))


def _seen(side: Side, text: str, ids: Ids | Refused, reference: Seen | None) -> Seen:
    again = None if side.decode is None or isinstance(ids, Refused) else _asked(side.decode, ids)
    theirs = ids if reference is None else reference.ids
    if side.decode is None or isinstance(theirs, Refused) or (reference is not None and reference.decoded is None):
        decoded = None
    else:
        decoded = again if theirs == ids else _asked(side.decode, theirs)
    spans = None if side.offsets is None or isinstance(ids, Refused) else _asked(side.offsets, text)
    return Seen(ids, decoded, again, spans)


def aspects(text: str, reference: Seen, port: Seen) -> tuple[str, ...]:
    """In which respects the two differ on the text, of `ASPECTS`."""
    same = reference.ids == port.ids
    located = same and reference.spans is not None and port.spans is not None
    differs = {
        "ids": not same,
        "decode": reference.decoded is not None and port.decoded is not None and reference.decoded != port.decoded,
        "round trip": not same and port.again is not None and reference.again == text and port.again != text,
        "offsets": located and not _alike(trimmed(text, reference.spans), trimmed(text, port.spans)),
    }
    return tuple(aspect for aspect in ASPECTS if differs[aspect])


def trimmed(text: str, spans: Spans | Refused | None) -> Spans | Refused | None:
    """The spans without white space at their ends; of one that holds nothing else (0, 0).

    >>> trimmed("a b", [(0, 1), (1, 3), (1, 2)])
    [(0, 1), (2, 3), (0, 0)]
    """
    if spans is None or isinstance(spans, Refused):
        return spans
    found: Spans = []
    for span in spans:
        if span is None:
            found.append(None)
            continue
        start, end = span
        held = text[start:end]
        first = start + len(held) - len(held.lstrip())
        last = first + len(held.strip())
        found.append((first, last) if held.strip() else (0, 0))
    return found


def _alike(reference: Spans | Refused | None, port: Spans | Refused | None) -> bool:
    if not isinstance(reference, list) or not isinstance(port, list):
        return reference == port
    return len(reference) == len(port) and all(
        None in (theirs, ours) or theirs == ours for theirs, ours in zip(reference, port)
    )


def _asked(function: Callable[[Any], T], question: Any) -> T | Refused:
    try:
        return function(question)
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:  # what Rust raises when it panics is no Exception
        return Refused(f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:120])
