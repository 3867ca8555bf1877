"""From an example to tokens: what stands before, and the completion whose tokens are scored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from harness.adapters.tokenizer import Tokenizer
from harness.errors import SpecError
from harness.zeroshot.example import Example

Bos = Literal["tokenizer", "add", "none"]
"""The token that begins a text.

tokenizer: what the tokenizer puts in front by itself, as lm-eval does it. add: that token in any case. none: nothing.
It never stands twice: a text that begins with it already gets no other.
"""


@dataclass(frozen=True, slots=True)
class Request:
    """One option of one example. before: at least one token. completion: those that are scored, at least one."""

    before: tuple[int, ...]
    completion: tuple[int, ...]

    @property
    def tokens(self) -> tuple[int, ...]:
        return self.before + self.completion


def requests_of(examples: Sequence[Example], tokenizer: Tokenizer, *, bos: Bos = "tokenizer") -> list[list[Request]]:
    """A request for each option of each example.

    Prompt and option are tokenised as one text, and the completion is what follows as many tokens as the prompt has by
    itself; spaces at the prompt's end are the completion's, for most tokenizers join them to the next word. Before an
    empty prompt stands the token that begins a text, whatever `bos` says: the first token follows something.
    This is how lm-eval 0.4.13 does it (`TemplateLM._encode_pair`, `loglikelihood`).

    Raises:
        SpecError: an option adds no token, or nothing can stand before a completion.
    """
    front = _front(tokenizer, bos)
    pairs = [_moved(each.prompt, option) for each in examples for option in each.options]
    texts = list(dict.fromkeys(text for before, after in pairs for text in (before, before + after)))
    encoded = dict(zip(texts, tokenizer.encode(texts), strict=True))
    flat = iter([_request(encoded[before], encoded[before + after], front, tokenizer) for before, after in pairs])
    return [[_checked(next(flat), each, option) for option in each.options] for each in examples]


def _moved(prompt: str, option: str) -> tuple[str, str]:
    kept = prompt.rstrip()
    return kept, prompt[len(kept) :] + option


def _front(tokenizer: Tokenizer, bos: Bos) -> tuple[int, ...]:
    if bos == "none":
        return ()
    if bos == "tokenizer" or tokenizer.prefix:
        return tokenizer.prefix
    if tokenizer.begin is None:
        raise SpecError("bos 'add'", "the tokenizer has no token that begins a text", todo="Choose bos 'none'.")
    return (tokenizer.begin,)


def _request(before: list[int], whole: list[int], front: tuple[int, ...], tokenizer: Tokenizer) -> Request:
    completion = tuple(whole[len(before) :])
    if before:
        has_it = before[:1] == [tokenizer.begin] or tuple(before[: len(front)]) == front
        return Request((() if has_it else front) + tuple(before), completion)
    if completion[:1] == (tokenizer.begin,):
        return Request(completion[:1], completion[1:])
    return Request(front or (() if tokenizer.begin is None else (tokenizer.begin,)), completion)


def _checked(request: Request, example: Example, option: str) -> Request:
    place = f"example {example.id!r}"
    if not request.completion:
        problem = f"option {option!r} adds no token to the prompt"
        raise SpecError(place, problem, todo="Move the last word of the prompt to the options.")
    if not request.before:
        problem = "the prompt is empty, and the tokenizer has no token that begins a text"
        raise SpecError(place, problem, todo="Give it a prompt: the first token has to follow something.")
    return request
