"""Read TOML strictly into frozen dataclasses: an unknown key, a wrong type or value is an error with its line."""

from __future__ import annotations

import dataclasses
import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, dataclass_transform, get_type_hints

from harness.errors import SpecError, closest

T = TypeVar("T")


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(dataclasses.field,))
def specification(cls: type[T]) -> type[T]:
    """Make `cls` a frozen, slotted, keyword-only dataclass that `build` reads strictly."""
    cls.__pydantic_config__ = {"extra": "forbid", "strict": True}  # type: ignore[attr-defined]
    return dataclasses.dataclass(frozen=True, slots=True, kw_only=True)(cls)


def load(file: Path) -> dict[str, Any]:
    """The tables of a TOML file.

    Raises:
        SpecError: the file is absent, not UTF-8, or not TOML (with the line).
    """
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SpecError(str(file), "no such file", todo="Check the path.") from None
    except UnicodeDecodeError as error:
        raise SpecError(str(file), f"not UTF-8 ({error.reason})", todo="Save it as UTF-8.") from None
    except tomllib.TOMLDecodeError as error:
        raise SpecError(str(file), f"not TOML: {error}", todo="Mend the syntax there.") from None


def build(kind: type[T], table: Mapping[str, Any], *, file: Path, at: tuple[str, ...] = ()) -> T:
    """`table`, found in `file` under the keys `at`, as a `kind` made by `specification`.

    Raises:
        SpecError: names the line, the key, what was got and what was wanted.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        # JSON is the strict mode in which an array may become a tuple and nothing else is converted.
        return TypeAdapter(kind).validate_json(json.dumps(table))
    except TypeError as error:
        raise SpecError(str(file), f"{error}", todo="Write dates and times as strings.") from None
    except ValidationError as error:
        # A misspelt key is also a missing one: the unknown key says more.
        errors = sorted(error.errors(include_url=False), key=lambda detail: detail["type"] not in _UNKNOWN)
        raise _spec_error(kind, dict(errors[0]), file, at) from None


def line_of(text: str, keys: tuple[str | int, ...]) -> int | None:
    r"""The line, from 1, on which the key path is set; that of its nearest parent when it is absent.

    >>> line_of("[port]\nfactory = 1\n", ("port", "factory"))
    2
    """
    table: tuple[str | int, ...] = ()
    counts: dict[tuple[str, ...], int] = {}
    best: tuple[int, int] | None = None
    for number, line in enumerate(text.splitlines(), start=1):
        header = re.match(r"\s*\[\[?\s*([^\]]+?)\s*\]\]?", line)
        entry = re.match(r"""\s*((?:"[^"]*"|'[^']*'|[\w.-])+)\s*=""", line)
        if header:
            names = _split(header[1])
            if line.lstrip().startswith("[["):
                # A further entry of an array of tables: the arrays inside it begin anew.
                counts = {
                    array: count for array, count in counts.items() if array[: len(names)] != names or array == names
                }
                counts[names] = counts.get(names, -1) + 1
            table = here = _numbered(names, counts)
        elif entry:
            here = table + _split(entry[1])
        else:
            continue
        depth = len(here) if here == keys[: len(here)] else 0
        if depth and (best is None or depth > best[0]):
            best = (depth, number)
    return best[1] if best else None


def _numbered(names: tuple[str, ...], counts: Mapping[tuple[str, ...], int]) -> tuple[str | int, ...]:
    """The key path of a table, with the number of the current entry after every array of tables."""
    path: list[str | int] = []
    for end, name in enumerate(names, start=1):
        path.append(name)
        if names[:end] in counts:
            path.append(counts[names[:end]])
    return tuple(path)


def _split(dotted: str) -> tuple[str, ...]:
    parts = re.findall(r""""([^"]*)"|'([^']*)'|([^.\s"']+)""", dotted)
    return tuple(next(part for part in match if part) for match in parts if any(match))


def _spec_error(kind: type, detail: dict[str, Any], file: Path, at: tuple[str, ...]) -> SpecError:
    keys = at + tuple(detail["loc"])
    line = line_of(file.read_text(encoding="utf-8"), keys) if file.exists() else None
    place = f"{file}:{line}" if line else str(file)
    name = ".".join(map(str, keys)) or "the table"
    if detail["type"] in _UNKNOWN:
        known = _fields_at(kind, detail["loc"][:-1])
        return SpecError(place, f"unknown key {name!r}", todo=closest(str(keys[-1]), known))
    if detail["type"] in ("missing", "missing_argument", "missing_keyword_only_argument"):
        return SpecError(place, f"key {name!r} is missing", todo="Add it.")
    problem = detail["msg"].removeprefix("Value error, ")
    return SpecError(place, f"{name} = {detail['input']!r}: {problem}", todo="Mend the value.")


def _fields_at(kind: Any, keys: tuple[str | int, ...]) -> list[str]:
    """The names of the fields of the dataclass found by walking `keys` from `kind`."""
    for key in keys:
        kind = get_type_hints(kind).get(str(key), kind) if dataclasses.is_dataclass(kind) else _item(kind)
        while not dataclasses.is_dataclass(kind) and not isinstance(key, int) and _optional(kind):
            kind = _item(kind)
    return [field.name for field in dataclasses.fields(kind)] if dataclasses.is_dataclass(kind) else []


def _optional(kind: Any) -> bool:
    return type(None) in getattr(kind, "__args__", ())


def _item(kind: Any) -> Any:
    """The type of an item: of `tuple[X, ...]` and `X | None` X, of `Mapping[str, X]` X."""
    arguments = [arg for arg in getattr(kind, "__args__", ()) if arg not in (Ellipsis, type(None), str)]
    return arguments[-1] if arguments else kind


_UNKNOWN = ("unexpected_keyword_argument", "extra_forbidden")
