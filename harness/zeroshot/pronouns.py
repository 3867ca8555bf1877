"""Two sentences that differ in a pronoun become a question: which of the two continues what stands before it?"""

from __future__ import annotations

import re
from dataclasses import dataclass

MALE = frozenset({"he", "him", "his", "himself"})
FEMALE = frozenset({"she", "her", "hers", "herself"})


@dataclass(frozen=True, slots=True)
class Question:
    """prompt: up to the pronoun. options: the rest of either sentence, that with the male pronoun first.

    target: of the right sentence. pronouns: of the options. referent: what stands in brackets, without its article.
    """

    prompt: str
    options: tuple[str, str]
    target: int
    pronouns: tuple[str, str]
    referent: str


def question_of(right: str, wrong: str) -> Question | str:
    """The question, or why there is none: the sentences differ in more than the pronoun, or not at all.

    >>> made = question_of("[The nurse] slept because [he] was tired.", "[The nurse] slept because [she] was tired.")
    >>> made.prompt, made.options, made.target
    ('The nurse slept because', (' he was tired.', ' she was tired.'), 0)
    >>> question_of("He is tired.", "She is weary.")
    "they differ in more than the pronoun: 'tired.' and 'weary.'"
    """
    words, others = _plain(right).split(), _plain(wrong).split()
    if words == others:
        return "the two sentences are the same"
    if len(words) != len(others):
        return f"they differ in more than the pronoun: {len(words)} and {len(others)} words"
    places = [place for place, pair in enumerate(zip(words, others)) if pair[0] != pair[1]]
    sides = set()
    for place in places:
        pair = (_bare(words[place]), _bare(others[place]))
        side = 0 if pair[0] in MALE and pair[1] in FEMALE else 1
        if not (pair[1 - side] in FEMALE and pair[side] in MALE) or _rest(words[place]) != _rest(others[place]):
            return f"they differ in more than the pronoun: {words[place]!r} and {others[place]!r}"
        sides.add(side)
    if len(sides) > 1:
        return "they differ in pronouns of both kinds: neither is the sentence of one of them"
    first, (target,) = places[0], sides
    ordered = (words, others) if target == 0 else (others, words)
    return Question(
        prompt=" ".join(words[:first]),
        options=tuple(" " * (first > 0) + " ".join(each[first:]) for each in ordered),  # type: ignore[arg-type]
        target=target,
        pronouns=tuple(_bare(each[first]) for each in ordered),  # type: ignore[arg-type]
        referent=_referent(right),
    )


def _plain(sentence: str) -> str:
    """The sentence without its number and its brackets."""
    return re.sub(r"[\[\]]", "", re.sub(r"^\s*\d+\s+", "", sentence))


def _referent(sentence: str) -> str:
    """The first bracket that holds no pronoun."""
    for text in re.findall(r"\[([^\]]+)\]", sentence):
        if _bare(text) not in MALE | FEMALE:
            return re.sub(r"^(the|an?) ", "", text.strip().lower())
    return ""


def _bare(word: str) -> str:
    found = re.search(r"[A-Za-z]+", word)
    return found[0].lower() if found else ""


def _rest(word: str) -> str:
    """The word with its letters in front taken away: what follows the pronoun in it, such as a comma."""
    return re.sub(r"[A-Za-z]+", "", word, count=1)
