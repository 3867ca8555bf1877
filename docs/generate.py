"""Write `docs/reference`: a page a command, and a page a kind of TOML file with every key of it, from the code.

`python docs/generate.py` writes it; a test holds that it is what the code says.
"""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import re
import shutil
import sys
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).parent
REFERENCE = DOCS / "reference"
WIDTH = 100
"""Columns of the usage lines: what a page shows without scrolling."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of TOML file: the page's name, where such files lie, and the specification that reads them.

    table: the keys above all, as `[tool.harness]`. absent: fields that are no keys. guide: the page that explains it.
    """

    name: str
    title: str
    where: str
    specification: str
    guide: str
    table: str = ""
    absent: tuple[str, ...] = ()


KINDS = (
    Kind("case", "A case", "fixtures/cases/NAME.toml", "harness.cases.spec:Case", "cases.md", absent=("name", "file")),
    Kind(
        "artifacts",
        "An artifact",
        "fixtures/artifacts.toml",
        "harness.cases.artifacts:Artifact",
        "cases.md",
        table="NAME",
        absent=("name",),
    ),
    Kind(
        "conversion",
        "A conversion",
        "fixtures/conversions/NAME.toml",
        "harness.cases.conversion:Conversion",
        "originals.md",
    ),
    Kind("register", "A row of the register", "fixtures/register/NAME.toml", "harness.register:Row", "cases.md", "row"),
    Kind("settings", "The settings", "pyproject.toml", "harness.settings:Settings", "cases.md", "tool.harness"),
    Kind("names", "Names for two traces", "compare --mapping FILE.toml", "harness.cli.across:Names", "traces.md"),
    Kind(
        "task",
        "A zero-shot task",
        "fixtures/zero_shot/tasks/NAME.toml",
        "harness.zeroshot.task:Task",
        "zero-shot.md",
        absent=("name", "file"),
    ),
    Kind(
        "family",
        "A family of twins",
        "fixtures/equivalence/families/NAME.toml",
        "harness.equivalence.family:Family",
        "equivalence.md",
    ),
    Kind(
        "correction",
        "A correction of a library",
        "fixtures/equivalence/corrections/NAME.toml, fixtures/originals/corrections/NAME.toml",
        "harness.equivalence.corrections:Correction",
        "equivalence.md",
        "correction",
    ),
    Kind(
        "tokenizers",
        "Pairs of tokenizers",
        "fixtures/tokenizers/pairs/NAME.toml",
        "harness.tokenizers.pairs:PairFile",
        "tokenizers.md",
    ),
    Kind(
        "schedulers",
        "The table of samplers",
        "fixtures/schedulers/table.toml",
        "harness.schedulers.rows:Table",
        "schedulers.md",
    ),
    Kind(
        "schedulers-flax",
        "The table of schedulers in Flax",
        "fixtures/schedulers/twins.toml",
        "harness.schedulers.twins:Table",
        "schedulers.md",
    ),
    Kind(
        "schedulers-corrections",
        "A correction of a scheduler",
        "fixtures/schedulers/corrections.toml, faults.toml",
        "harness.schedulers.corrections:Corrections",
        "schedulers.md",
    ),
    Kind(
        "schedulers-grids",
        "Grids of schedulers",
        "fixtures/schedulers/grids.toml",
        "harness.schedulers.grid_cases:GridCases",
        "schedulers.md",
    ),
    Kind(
        "schedulers-options",
        "Options of schedulers",
        "fixtures/schedulers/properties.toml",
        "harness.schedulers.options:Options",
        "schedulers.md",
    ),
)


def pages() -> dict[str, str]:
    """Path below `docs/reference` -> the page, in Markdown."""
    from harness.cli import command_parsers

    commands = command_parsers()
    found = {"index.md": _contents({name: parser.description or "" for name, parser in commands.items()})}
    found |= {f"commands/{_page(name)}.md": _command(name, parser) for name, parser in commands.items()}
    return found | {f"files/{kind.name}.md": _kind(kind) for kind in KINDS}


def write() -> None:
    """Make `docs/reference` what the code says."""
    found = pages()
    if REFERENCE.exists():
        shutil.rmtree(REFERENCE)
    for name, text in found.items():
        (REFERENCE / name).parent.mkdir(parents=True, exist_ok=True)
        (REFERENCE / name).write_text(text, encoding="utf-8")


def meanings(specification: type) -> dict[str, str]:
    """Field -> what the docstring says of it.

    There a field, or several with commas between them, stands before a colon, at the start of a sentence.

    Raises:
        LookupError: it says nothing of a field.
    """
    names = [field.name for field in dataclasses.fields(specification)]
    text = " ".join(inspect.cleandoc(specification.__doc__ or "").split())
    one = "|".join(sorted(names, key=len, reverse=True))
    starts = list(re.finditer(rf"(?:^|(?<=[.:;] ))((?:{one})(?:, (?:{one}))*): ", text))
    found: dict[str, str] = {}
    for start, following in zip(starts, [*starts[1:], None]):
        said = text[start.end() : following.start() if following else len(text)].strip()
        found |= dict.fromkeys(start[1].split(", "), said[0].upper() + said[1:])
    if missing := [name for name in names if name not in found]:
        raise LookupError(f"{specification.__module__}.{specification.__qualname__} says nothing of {missing}")
    return found


def _contents(commands: Mapping[str, str]) -> str:
    lines = ["# Reference", "", "Written from the code by `docs/generate.py`.", "", "## Commands", ""]
    lines += ["| command | what it does |", "|---|---|"]
    lines += [f"| [`harness {name}`](commands/{_page(name)}.md) | {text} |" for name, text in commands.items()]
    lines += ["", "## Files", "", "| file | what it is |", "|---|---|"]
    lines += [f"| `{kind.where}` | [{kind.title}](files/{kind.name}.md) |" for kind in KINDS]
    for folder, names in (("commands", sorted(map(_page, commands))), ("files", sorted(kind.name for kind in KINDS))):
        lines += ["", "```{toctree}", ":hidden:", f":caption: {folder.capitalize()}", ""]
        lines += [*(f"{folder}/{name}" for name in names), "```"]
    return "\n".join(lines) + "\n"


def _command(name: str, parser: argparse.ArgumentParser) -> str:
    lines = [f"# harness {name}", "", parser.description or "", "", "```text", _usage(parser), "```", ""]
    lines += ["| argument | meaning |", "|---|---|"]
    for action in parser._actions:
        if not isinstance(action, argparse._HelpAction):
            lines.append(f"| {_argument(action)} | {_sentence(action.help or '', action)} |")
    lines += ["", "[What the exit status means](../../running.md#exit-status)."]
    guides = [path for path in sorted(DOCS.glob("*.md")) if f"harness {name}" in path.read_text(encoding="utf-8")]
    if guides:
        lines += ["", "See " + ", ".join(f"[{_title(path)}](../../{path.name})" for path in guides) + "."]
    return "\n".join(lines) + "\n"


def _page(command: str) -> str:
    return command.replace(" ", "-")


def _usage(parser: argparse.ArgumentParser) -> str:
    formatter = argparse.HelpFormatter(prog=parser.prog, width=WIDTH)
    formatter.add_usage(parser.usage, parser._actions, parser._mutually_exclusive_groups, prefix="")
    return formatter.format_help().strip()


def _argument(action: argparse.Action) -> str:
    value = "" if action.nargs == 0 else _value(action)
    if not action.option_strings:
        return f"`{value}`"
    options = ", ".join(f"`{each}`" for each in action.option_strings)
    return f"{options} `{value}`" if value else options


def _value(action: argparse.Action) -> str:
    if isinstance(action.metavar, tuple):
        return " ".join(action.metavar)
    choices = action.choices
    return action.metavar or ("{" + ",".join(map(str, choices)) + "}" if choices else action.dest.upper())


def _sentence(text: str, action: argparse.Action) -> str:
    said = (text % vars(action) if "%(" in text else text).replace("|", r"\|")
    return said[:1].upper() + said[1:] + ("" if said.endswith((".", "?")) or not said else ".")


def _title(path: Path) -> str:
    return path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")


def _kind(kind: Kind) -> str:
    specification = specification_of(kind)
    lines = [f"# {kind.title}", "", f"`{kind.where}`; explained in [{_title(DOCS / kind.guide)}](../../{kind.guide})."]
    top = kind.table if kind.table not in ("row", "correction") else f"[{kind.table}]"
    if top:
        lines += ["", f"Its keys stand under `[{top}]`."]
    for path, field, said, hint in _keys(specification, kind.absent):
        lines += ["", f"## `{path}`", "", f"*{_type(hint)}; {_default(field)}*", "", said]
    return "\n".join(lines) + "\n"


def specification_of(kind: Kind) -> type:
    """The class that reads such a file."""
    module, _, attribute = kind.specification.partition(":")
    __import__(module)
    found: type = getattr(sys.modules[module], attribute)
    return found


def _keys(
    specification: type, absent: tuple[str, ...], before: str = ""
) -> Iterator[tuple[str, dataclasses.Field[typing.Any], str, typing.Any]]:
    """Every key with its path, its field, what it means, and its type; those of a table after the table itself."""
    hints, texts = typing.get_type_hints(specification), meanings(specification)
    for field in dataclasses.fields(specification):
        if field.name in absent:
            continue
        path, hint = before + field.name, hints[field.name]
        yield path, field, texts[field.name], hint
        within, star = inner(hint)
        if within is not None:
            yield from _keys(within, (), f"{path}{star}.")


def inner(hint: typing.Any) -> tuple[type | None, str]:
    """The specification inside a type, and how one of several is written."""
    if dataclasses.is_dataclass(hint):
        return typing.cast(type, hint), ""
    star = ".NAME" if typing.get_origin(hint) is Mapping else ("[]" if typing.get_origin(hint) is tuple else "")
    for each in typing.get_args(hint):
        if dataclasses.is_dataclass(each):
            return typing.cast(type, each), star
    return None, ""


def _type(hint: typing.Any) -> str:
    """The type, as TOML calls it."""
    plain = {str: "a string", int: "a whole number", float: "a number", bool: "true or false", typing.Any: "any value"}
    origin, arguments = typing.get_origin(hint), [each for each in typing.get_args(hint) if each is not type(None)]
    if hint in plain:
        return plain[hint]
    if dataclasses.is_dataclass(hint):
        return "a table"
    if origin is typing.Literal:
        return "one of " + ", ".join(f'`"{each}"`' for each in arguments)
    if origin is tuple:
        return "a list (each " + _type(arguments[0]) + ")"
    if origin is Mapping:
        return f"a table (name → {_type(arguments[1])})"
    if origin in (types.UnionType, typing.Union):
        return " or ".join(map(_type, arguments))
    raise LookupError(f"no words for the type {hint}")


def _default(field: dataclasses.Field[typing.Any]) -> str:
    if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
        return "must be given"
    value = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
    if value in ("", (), {}, None) or dataclasses.is_dataclass(value):
        return "may be left out"
    if isinstance(value, bool):
        return f"by default `{str(value).lower()}`"
    if isinstance(value, tuple):
        return "by default `[" + ", ".join(f'"{each}"' for each in value) + "]`"
    return f"by default `{value}`"


if __name__ == "__main__":
    write()
