"""The shortest text on which something still holds, found by leaving out and by plainer characters."""

from __future__ import annotations

from collections.abc import Callable

PLAIN = ("a", " ", "1", ".")
"""What a character is replaced by, if it can be: the reader then sees which ones matter."""


def shrink(text: str, holds: Callable[[str], bool]) -> str:
    """The text with every part left out and every character made plain without which it still holds.

    Delta debugging (Zeller and Hildebrandt, 2002, doi:10.1109/32.988498), by halves down to characters, until nothing
    can go. The same text and condition give the same result.

    Raises:
        ValueError: it does not hold on the text itself.
    """
    if not holds(text):
        raise ValueError(f"what is to be kept does not hold on {text!r}")
    known: dict[str, bool] = {text: True}

    def kept(candidate: str) -> bool:
        if candidate not in known:
            known[candidate] = holds(candidate)
        return known[candidate]

    before = None
    while before != text:
        before = text
        text = _without(text, kept)
        text = _plainer(text, kept)
    return text


def _without(text: str, kept: Callable[[str], bool]) -> str:
    size = max(1, len(text) // 2)
    while True:
        place = 0
        while place < len(text):
            candidate = text[:place] + text[place + size :]
            if candidate != text and kept(candidate):
                text = candidate
            else:
                place += size
        if size == 1:
            return text
        size //= 2


def _plainer(text: str, kept: Callable[[str], bool]) -> str:
    for place, character in enumerate(text):
        for plain in PLAIN[: PLAIN.index(character)] if character in PLAIN else PLAIN:
            candidate = text[:place] + plain + text[place + 1 :]
            if kept(candidate):
                text = candidate
                break
    return text
