"""One side of a comparison: a tokenizer of any library, or functions, as one thing that encodes and decodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from harness.errors import SpecError

Ids = list[int]
Spans = list[tuple[int, int] | None]
"""Of every token the characters that it came from, first and after the last; None where not compared."""


class Tokenizer(Protocol):
    """What any tokenizer has to do; `decode(ids)` and `offsets(text)` are compared where both have them."""

    def encode(self, text: str) -> Ids: ...


@runtime_checkable
class Decodes(Protocol):
    """A tokenizer that makes text of ids."""

    def decode(self, ids: Ids) -> str: ...


@runtime_checkable
class Locates(Protocol):
    """A tokenizer that knows where its tokens were."""

    def offsets(self, text: str) -> Spans: ...


@dataclass(frozen=True, slots=True)
class Side:
    """A tokenizer. name: for people. literals: texts that it reads as special tokens. object: what it was made of.

    decode, offsets: None where they are not to be compared.
    No special tokens are added at either end; what stands in the text is read as the tokenizer is set to read it.
    """

    name: str
    encode: Callable[[str], Ids]
    decode: Callable[[Ids], str | None] | None = None
    offsets: Callable[[str], Spans | None] | None = None
    literals: tuple[str, ...] = ()
    object: Any = None


def side(thing: Any) -> Side:
    """The tokenizer as a side: of transformers, tokenizers, tiktoken or sentencepiece; one with `encode`; or functions.

    thing: functions are given as one (encode) or a tuple of up to three (encode, decode, offsets).

    Raises:
        SpecError: it is none of these.
    """
    if isinstance(thing, Side):
        return thing
    for recognised, made in _KINDS:
        if recognised(thing):
            return made(thing)
    raise SpecError(
        f"tokenizer {type(thing).__name__}",
        f"{thing!r:.80} has no method `encode`, and is no function",
        todo="Hand a tokenizer, or a tuple of functions (encode, decode, offsets).",
    )


def _of_transformers(thing: Any) -> Side:
    def encode(text: str) -> Ids:
        return list(thing.encode(text, add_special_tokens=False, verbose=False))

    def offsets(text: str) -> Spans:
        found = thing(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        return [tuple(span) for span in found["offset_mapping"]]

    return Side(
        name=type(thing).__name__,
        encode=encode,
        decode=lambda ids: str(thing.decode(ids)),
        offsets=offsets if thing.is_fast else None,
        literals=tuple(dict.fromkeys([*thing.all_special_tokens, *thing.added_tokens_encoder])),
        object=thing,
    )


def _of_tokenizers(thing: Any) -> Side:
    return Side(
        name="tokenizers.Tokenizer",
        encode=lambda text: list(thing.encode(text, add_special_tokens=False).ids),
        decode=lambda ids: str(thing.decode(ids, skip_special_tokens=False)),
        offsets=lambda text: list(thing.encode(text, add_special_tokens=False).offsets),
        literals=tuple(token.content for token in thing.get_added_tokens_decoder().values()),
        object=thing,
    )


def _of_tiktoken(thing: Any) -> Side:
    def encode(text: str) -> Ids:
        return list(thing.encode(text, allowed_special="all"))

    def offsets(text: str) -> Spans:
        return byte_spans(text, [thing.decode_single_token_bytes(token) for token in encode(text)])

    literals = tuple(sorted(thing.special_tokens_set, key=thing.encode_single_token))
    return Side(f"tiktoken {thing.name}", encode, thing.decode, offsets, literals, thing)


def _of_sentencepiece(thing: Any) -> Side:
    """Its offsets are told as tokenizers tells them: of tokens that share a character sentencepiece gives it to the
    last, where here each has it. Where the space lies that is put before a text is not compared.

    A text that the model writes otherwise, but for its spaces, has no offsets here: where a letter that became two
    lies, or one that was dropped, is a convention.
    """

    def offsets(text: str) -> Spans | None:
        if _words(thing.normalize(text).replace("\u2581", " ")) != _words(text):
            return None
        found = thing.encode_as_offset_mapping(text)
        spans: Spans = [tuple(span) for span in found["offsets"]]
        for place in range(len(spans) - 2, -1, -1):
            start, end = found["offsets"][place]
            if start == end:
                spans[place] = None if found["pieces"][place] == "\u2581" else spans[place + 1]
        return spans

    return Side("sentencepiece", thing.encode, thing.decode, offsets, (), thing)


def _words(text: str) -> list[str]:
    return [word for word in text.split(" ") if word]


def _of_words(thing: Any) -> Side:
    """The tokenizers of 2019, which tokenize and then look the tokens up."""
    return Side(
        type(thing).__name__, lambda text: list(thing.convert_tokens_to_ids(thing.tokenize(text))), object=thing
    )


def _of_methods(thing: Any) -> Side:
    return Side(
        name=type(thing).__name__,
        encode=thing.encode,
        decode=thing.decode if isinstance(thing, Decodes) else None,
        offsets=thing.offsets if isinstance(thing, Locates) else None,
        literals=tuple(getattr(thing, "literals", ())),
        object=thing,
    )


def _of_functions(thing: Any) -> Side:
    functions = thing if isinstance(thing, tuple) else (thing,)
    return Side(getattr(functions[0], "__name__", "a function"), *functions)


def byte_spans(text: str, pieces: Sequence[bytes]) -> Spans:
    """Where tokens that are bytes of the text lie: each from the character of its first byte to that of its last.

    >>> byte_spans("aé", [b"a", "é".encode()[:1], "é".encode()[1:]])
    [(0, 1), (1, 2), (1, 2)]
    """
    places = [place for place, character in enumerate(text) for _ in character.encode()]
    found: Spans = []
    start = 0
    for piece in pieces:
        end = start + len(piece)
        found.append((places[start], places[end - 1] + 1))
        start = end
    return found


def _has(*names: str) -> Callable[[Any], bool]:
    return lambda thing: all(hasattr(thing, name) for name in names)


def _is_functions(thing: Any) -> bool:
    functions = thing if isinstance(thing, tuple) else (thing,)
    return 0 < len(functions) <= 3 and all(map(callable, functions))


_KINDS: tuple[tuple[Callable[[Any], bool], Callable[[Any], Side]], ...] = (
    (_has("all_special_tokens", "added_tokens_encoder", "is_fast"), _of_transformers),
    (_has("get_added_tokens_decoder", "pre_tokenizer"), _of_tokenizers),
    (_has("encode_single_token", "special_tokens_set"), _of_tiktoken),
    (_has("serialized_model_proto", "id_to_piece"), _of_sentencepiece),
    (_has("encode"), _of_methods),
    (_has("tokenize", "convert_tokens_to_ids"), _of_words),
    (_is_functions, _of_functions),
)
"""How a thing is recognised, without importing any library, and what makes a side of it."""
