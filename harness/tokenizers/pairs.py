"""The pairs of tokenizers, as data: which packages, how both sides are made, what is known to differ, and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from harness.cases.artifacts import fetch, find_artifact
from harness.cases.build import build as build_factory
from harness.cases.build import resolve
from harness.cases.original import Original, refuse_torchvision, require
from harness.cases.spec import Factory
from harness.errors import SpecError, closest
from harness.reader import build, load, specification
from harness.settings import Repository
from harness.tokenizers.check import check_tokenizers
from harness.tokenizers.comparison import TokenizerComparison
from harness.tokenizers.group import Correction
from harness.tokenizers.side import Side, side
from harness.tokenizers.texts import Text, drawn, ordinary


@specification
class Cause:
    """What is known to differ between sides of the file's pairs.

    name: short, unique in the file. correction: `module:function`, a `Side` -> the corrected `Side`.
    of: which side it corrects.
    examples: texts that show it, always among those compared. says: in a sentence what differs.
    """

    name: str
    correction: str
    says: str
    of: Literal["port", "reference"] = "port"
    examples: tuple[str, ...] = ()


@specification
class PairTable:
    """Two tokenizers that should be the same.

    name: short, unique. title: for people. reference, port: what makes either.
    causes: names of those that are known to part them.
    alphabet: the signs of drawn texts are replaced by these, where the reference knows no others.
    decode_every: one text in so many is decoded, where that takes long. why: the reason.
    """

    name: str
    title: str
    reference: Factory
    port: Factory
    causes: tuple[str, ...] = ()
    alphabet: str = ""
    decode_every: int = 1
    why: str = ""

    def __post_init__(self) -> None:
        if self.decode_every < 1 or (self.decode_every > 1 and not self.why):
            raise ValueError("decode_every is 1, or more with a reason in `why`")


@specification
class PairFile:
    """Pairs of one original.

    original: the package that the reference comes from. artifacts: keyword of the factories -> name in artifacts.toml.
    cause: what is known to part some of the pairs. pair: each two tokenizers.
    """

    original: Original
    artifacts: Mapping[str, str] = field(default_factory=dict)
    cause: tuple[Cause, ...] = ()
    pair: tuple[PairTable, ...]


@dataclass(frozen=True, slots=True)
class Pair:
    """A pair with what its file says of all of them."""

    table: PairTable
    original: Original
    artifacts: Mapping[str, str]
    causes: tuple[Cause, ...]

    @property
    def name(self) -> str:
        return self.table.name


def read_pairs(folder: Path) -> tuple[Pair, ...]:
    """The pairs of the TOML files in `folder`, in the order of the files.

    Raises:
        SpecError: a wrong key or value, with its line; a cause that is not in the file; two pairs with one name.
    """
    found: dict[str, Pair] = {}
    for file in sorted(folder.glob("*.toml")):
        held = build(PairFile, load(file), file=file)
        known = {cause.name: cause for cause in held.cause}
        for table in held.pair:
            missing = [name for name in table.causes if name not in known]
            if missing:
                todo = closest(missing[0], known)
                raise SpecError(str(file), f"pair {table.name!r}: there is no cause {missing[0]!r}", todo=todo)
            if table.name in found:
                raise SpecError(str(file), f"the pair {table.name!r} is there already", todo="Give it another name.")
            # In the file's order: that of a pair's own list says nothing.
            causes = tuple(cause for cause in held.cause if cause.name in table.causes)
            found[table.name] = Pair(table, held.original, held.artifacts, causes)
    return tuple(found.values())


def check_pair(
    pair: Pair,
    repository: Repository,
    *,
    count: int,
    seed: int = 0,
    made: tuple[Side, Side] | None = None,
    progress: Callable[[str], None] | None = None,
) -> TokenizerComparison:
    """The pair on the ordinary sample, the examples of its causes, and `count` drawn texts. made: its sides, if they
    are.

    Raises:
        MissingError: its original, or hypothesis, is not installed. ArtifactError: an artifact cannot be had.
        BuildError: a factory raised. SpecError: a factory or correction is not there.
    """
    reference, port = made or sides(pair, repository, progress=progress)
    return check_tokenizers(
        reference,
        port,
        texts=texts_for(pair, reference, port, count=count, seed=seed),
        corrections=corrections(pair, repository),
        name=pair.name,
        progress=progress,
    )


def sides(pair: Pair, repository: Repository, *, progress: Callable[[str], None] | None = None) -> tuple[Side, Side]:
    """Reference and port of the pair."""
    place = f"pair {pair.name!r}"
    require(pair.original, place=place)
    refuse_torchvision(place=place)
    folders = {
        keyword: fetch(find_artifact(repository, name), root=repository.root, progress=progress)
        for keyword, name in pair.artifacts.items()
    }
    made = [
        seldom(side(build_factory(factory, folders, root=repository.root, place=place)), pair.table.decode_every)
        for factory in (pair.table.reference, pair.table.port)
    ]
    return made[0], made[1]


def seldom(side: Side, every: int) -> Side:
    """The side, decoding only what its ids pick, once in so many: both sides are asked for the same."""
    decode = side.decode
    if decode is None or every == 1:
        return side
    return replace(side, decode=lambda ids: decode(ids) if sum(ids) % every == 0 else None)


def texts_for(pair: Pair, reference: Side, port: Side, *, count: int, seed: int = 0) -> list[Text]:
    """The ordinary sample, the examples, and that many drawn texts."""
    literals = dict.fromkeys((*reference.literals, *port.literals))
    examples = [Text("example", text) for cause in pair.causes for text in cause.examples]
    fresh = drawn(count, seed=seed, literals=literals)
    return [*ordinary(), *examples, *(in_alphabet(each, pair.table.alphabet) for each in fresh)]


def in_alphabet(text: Text, alphabet: str) -> Text:
    """The text with signs of the alphabet only, but for white space and names of special tokens; as it is, if that is
    "".

    >>> in_alphabet(Text("any", "a-b c"), "XYZ").text
    'YXZ X'
    """
    if not alphabet or text.kind in ("special", "edge", "surrogate"):
        return text
    written = (each if each.isspace() else alphabet[ord(each) % len(alphabet)] for each in text.text)
    return Text(text.kind, "".join(written))


def corrections(pair: Pair, repository: Repository) -> list[Correction]:
    """What is known to part the pair, as corrections."""
    return [
        Correction(cause.name, resolve(cause.correction, root=repository.root, place=f"cause {cause.name!r}"), cause.of)
        for cause in pair.causes
    ]
