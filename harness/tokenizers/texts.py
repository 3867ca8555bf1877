"""The texts: drawn by hypothesis from all of Unicode and from what tokenizers stumble over; and ordinary ones."""

from __future__ import annotations

import functools
import json
import random
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files
from itertools import chain
from typing import TYPE_CHECKING

from harness.errors import MissingError, SpecError

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

ORDINARY = "ordinary"
"""The kind of a text that anybody may write: a port that differs on one fails, unless the register says so of it."""

LONG = 4_000
"""Characters of the very long texts: above what any of the models compared reads at once (the most is 2,048 tokens)."""

DRAWN = 1_000
"""Texts that hypothesis draws, at 2 ms each; further ones are two of them, one after the other."""

LONG_EVERY = 250
"""One of that many is very long: the slow tokenizers need up to a second for one, and a pair has 20 for 5,000 texts."""

RECIPE = 1
"""Raised when the strategies change, so that texts drawn by earlier ones are not taken from the cache."""

EDGES = ("", " ", "\0", "a\0b", "\ufeff", "\ufeffa", "\ufffd", "\ufffe", "\U0010ffff", "\n", "\r\n", "a\n", "\u2028")
"""Texts that stand at an edge, always among the drawn ones: empty, NUL, byte order mark, not a character."""

NOT_UNICODE = ("\ud800", "a\udfffb", "\ud83d \ude00", "x\udc80")
"""Half surrogate pairs, as Python makes them of bytes that are not UTF-8: no text to most that encode it."""


@dataclass(frozen=True, slots=True)
class Text:
    """A text and its kind, which the report tells."""

    kind: str
    text: str


def ordinary() -> tuple[Text, ...]:
    """The fixed sample, written for the project: prose in many languages, code and numbers, a line a text."""
    lines = files("harness.tokenizers").joinpath("ordinary.txt").read_text(encoding="utf-8").splitlines()
    return tuple(Text(ORDINARY, line.replace("⏎", "\n")) for line in lines if line and not line.startswith("# "))


def drawn(count: int, *, seed: int = 0, literals: Iterable[str] = ()) -> tuple[Text, ...]:
    """That many texts, no two alike, the same for the same arguments and version of hypothesis; the edges come first.

    literals: of special tokens, which are put among the rest, so that what is drawn serves every pair.

    Raises:
        SpecError: fewer than one is asked for. MissingError: hypothesis is not installed.
    """
    if count < 1:
        raise SpecError("texts to draw", f"{count} were asked for", todo="Ask for at least one.")
    names = tuple(dict.fromkeys(literals)) or ("<s>", "[CLS]", "<|endoftext|>")
    found = {text: Text("edge", text) for text in EDGES} | {text: Text("surrogate", text) for text in NOT_UNICODE}
    drawn_ones = templates(DRAWN, seed)
    picked = random.Random(seed)
    joined = ((f"{one[0]}", one[1] + other[1]) for one, other in iter(lambda: picked.choices(drawn_ones, k=2), None))
    for place, (kind, parts) in enumerate(chain(drawn_ones, joined), start=1):
        if len(found) >= count:
            break
        text = "".join(part if isinstance(part, str) else names[part % len(names)] for part in parts)
        if place % LONG_EVERY == 0:
            kind, text = "long", text * (LONG // len(text))
        found.setdefault(text, Text(kind, text))
    return tuple(found.values())[:count]


Template = tuple[str, tuple[str | int, ...]]
"""A kind and the parts of a text; a number stands for the special token of that place."""


@functools.lru_cache(maxsize=4)
def templates(count: int, seed: int) -> tuple[Template, ...]:
    """At least that many templates: from the cache, or drawn and put there, since drawing takes milliseconds each."""
    from harness.files import cache_folder, write_atomic

    try:
        name = f"{RECIPE}-{version('hypothesis')}-{seed}-{count}.json"
    except ImportError:
        raise MissingError(
            "texts to draw",
            "needs hypothesis, which is not installed",
            todo="pip install 'parity-harness[tokenizers]', or hand your own texts.",
        ) from None
    file = cache_folder() / "texts" / name
    if not file.is_file():
        write_atomic(file, json.dumps(_draw(count, seed)).encode())
    return tuple((kind, tuple(parts)) for kind, parts in json.loads(file.read_text()))


def _draw(count: int, seed: int) -> list[Template]:
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import seed as seeded
    from hypothesis.strategies import tuples

    found: dict[Template, None] = {}
    # A draw holds a text of every kind, which costs a tenth of a draw for each; of some kinds it draws few anew.
    for again in range(100):
        if len(found) >= count:
            break

        @seeded(seed * 100 + again)
        @settings(
            max_examples=max(10, count // 10),
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(tuples(*_kinds()))
        def keep(drawn: tuple[Template, ...]) -> None:
            found.update(dict.fromkeys(drawn))

        keep()
    return list(found)


def _kinds() -> list[SearchStrategy[Template]]:
    from hypothesis import strategies as st

    held = {kind: st.sampled_from(pieces) for kind, pieces in _alphabets().items()}
    alphabets: dict[str, SearchStrategy[str | int]] = {
        **held,
        "control": st.one_of(held["control"], st.characters(categories=["Cc", "Cf", "Zs", "Zl", "Zp"])),
        "unassigned": st.characters(categories=["Cn", "Co"]),
        "number": st.one_of(held["number"], st.characters(categories=["Nd", "Nl", "No"])),
        "punctuation": st.one_of(held["punctuation"], st.characters(categories=["P", "S"])),
    }
    special: SearchStrategy[str | int] = st.integers(0, 99)
    words = st.one_of(held["word"], st.just(" "))

    def texts(kind: str, *pieces: SearchStrategy[str | int], most: int = 12) -> SearchStrategy[Template]:
        parts = st.lists(st.one_of(*pieces), min_size=1, max_size=most)
        return parts.map(lambda found: (kind, tuple(found)))

    return [
        texts("any", st.characters(), most=20),
        *(texts(kind, pieces, words) for kind, pieces in alphabets.items()),
        texts("special", special, special, words, held["space"], held["punctuation"]),
        texts("mixed", special, *alphabets.values(), most=16),
    ]


def _alphabets() -> dict[str, list[str]]:
    """Kind -> what tokenizers stumble over: signs, or longer pieces."""
    text = files("harness.tokenizers").joinpath("alphabets.toml").read_text(encoding="utf-8")
    return {kind: list(pieces) for kind, pieces in tomllib.loads(text).items()}
