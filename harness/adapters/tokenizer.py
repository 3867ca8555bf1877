"""What makes tokens of texts: a tokenizer of transformers, of the package tokenizers, or a folder that holds one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from harness.errors import BuildError

PROBE = "a b"
"""A text to see what is put in front of it."""


@runtime_checkable
class Tokenizer(Protocol):
    """Makes tokens of texts."""

    @property
    def begin(self) -> int | None:
        """The token that begins a text, or else the one that ends it; None if there is neither."""
        ...

    @property
    def prefix(self) -> tuple[int, ...]:
        """What it puts in front of every text by itself."""
        ...

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of each text, nothing put in front or behind."""
        ...

    def fingerprint(self) -> str:
        """The sha256 of everything on which its tokens depend."""
        ...


@dataclass(frozen=True, slots=True)
class Adapted:
    """A tokenizer of either package. text: all that it depends on."""

    begin: int | None
    prefix: tuple[int, ...]
    encode_all: Callable[[Sequence[str]], list[list[int]]]
    text: Callable[[], str]

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        return self.encode_all(texts)

    def fingerprint(self) -> str:
        told = json.dumps([self.begin, self.prefix, self.text()])
        return hashlib.sha256(told.encode()).hexdigest()


def tokenizer_of(subject: Any) -> Tokenizer:
    """A folder with `tokenizer.json` (which is read without transformers), a tokenizer of either package, or one of
    your own that has `begin`, `prefix`, `encode` and `fingerprint`.

    Raises:
        BuildError: it is none of these, or it puts tokens behind a text.
    """
    if isinstance(subject, (str, Path)):
        return _of_folder(Path(subject))
    if hasattr(subject, "bos_token_id") and callable(subject):
        return _of_transformers(subject)
    if hasattr(subject, "encode_batch"):
        return _of_tokenizers(subject, begin=None)
    if isinstance(subject, Tokenizer):
        return subject
    todo = "Give a tokenizer of transformers or tokenizers, or a folder with tokenizer.json."
    raise BuildError("tokenizer", f"{type(subject).__name__} makes no tokens that the harness knows", todo=todo)


def _of_folder(folder: Path) -> Tokenizer:
    from tokenizers import Tokenizer as Rust

    file = folder / "tokenizer.json"
    if not file.is_file():
        raise BuildError(str(file), "is not there", todo="Name a folder that `save_pretrained` of a tokenizer wrote.")
    made = Rust.from_file(str(file))
    settings = folder / "tokenizer_config.json"
    told = json.loads(settings.read_text(encoding="utf-8")) if settings.is_file() else {}
    return _of_tokenizers(made, begin=_begin(told, made.token_to_id))


def _begin(told: Mapping[str, Any], number: Callable[[str], int | None]) -> int | None:
    for key in ("bos_token", "eos_token"):
        token = told.get(key)
        text = token.get("content") if isinstance(token, Mapping) else token
        found = number(text) if text else None
        if found is not None:
            return found
    return None


def _of_tokenizers(made: Any, *, begin: int | None) -> Tokenizer:
    def encode(texts: Sequence[str]) -> list[list[int]]:
        return [each.ids for each in made.encode_batch(list(texts), add_special_tokens=False)]

    prefix = _prefix(made.encode(PROBE, add_special_tokens=True).ids, encode([PROBE])[0])
    return Adapted(begin if begin is not None or not prefix else prefix[0], prefix, encode, made.to_str)


def _of_transformers(made: Any) -> Tokenizer:
    def encode(texts: Sequence[str]) -> list[list[int]]:
        return [list(ids) for ids in made(list(texts), add_special_tokens=False)["input_ids"]] if texts else []

    def text() -> str:
        backend = getattr(made, "backend_tokenizer", None)
        if backend is not None:
            return str(backend.to_str())
        return json.dumps([type(made).__name__, made.get_vocab(), made.init_kwargs], sort_keys=True, default=str)

    begin = made.bos_token_id if made.bos_token_id is not None else made.eos_token_id
    prefix = _prefix(list(made(PROBE)["input_ids"]), encode([PROBE])[0])
    return Adapted(begin, prefix, encode, text)


def _prefix(whole: list[int], plain: list[int]) -> tuple[int, ...]:
    front = whole[: len(whole) - len(plain)]
    if front + plain != whole:
        problem = f"makes {whole} of {PROBE!r}, where {plain} should end it: it puts tokens behind a text"
        raise BuildError("tokenizer", problem, todo="Take one that is made for a causal language model.")
    return tuple(front)
