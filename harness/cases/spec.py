"""A case: one claim to check, as its TOML file states it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

from harness.cases.original import Original
from harness.errors import SpecError, closest
from harness.reader import build, load, specification
from harness.settings import Repository
from harness.tolerance import Tolerance

Device = Literal["cpu", "gpu", "tpu"]
Precision = Literal["highest", "default", "bfloat16", "float16"]
Check = Literal["forward", "float64", "gradients", "decode", "train"]


@specification
class Factory:
    """A function that builds something, and what it is called with.

    factory: `module:function`. It gets those of the case's artifacts (keyword -> folder) that it has a parameter
        for, and a port's factory also `reference`, the built reference, if it asks for it.
    arguments: further keyword arguments, as they stand.
    """

    factory: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        module, colon, function = self.factory.partition(":")
        if not (module and colon and function):
            raise ValueError("want 'module:function'")


@specification
class Unmatched:
    """Names that one side alone has, as patterns of the mapping, each with the reason why that is right.

    reference, port: pattern of the side's names -> the reason.
    """

    reference: Mapping[str, str] = field(default_factory=dict)
    port: Mapping[str, str] = field(default_factory=dict)


@specification
class Tokenizers:
    """Two tokenizers that are compared beside the models, by `harness check --steps`.

    reference, port: what makes either.
    """

    reference: Factory
    port: Factory


@specification
class Case:
    """One claim: the port computes what the reference computes, on these inputs, within this tolerance.

    name: the file's stem. file: where it stands. title: the claim, for people.
    original: the package that the reference comes from, where the port was ported from that.
    reference: what the port is held against; what it makes may also be a trace (`harness.parity.stored.open_trace`),
        which has inputs of its own.
    port: what is checked. It returns a `torch.nn.Module`, a transformers Flax model, a pair (linen module, params), an
        `nnx.Module`, or a callable that returns named arrays, as the reference does.
    inputs: what both are called with: argument name -> array, or a list of such calls.
    artifacts: keyword of the factories -> name in artifacts.toml.
    outputs: the declared outputs; empty means every output that either side has.
    valid: the input that marks valid positions; "" picks `attention_mask` or `decoder_attention_mask` if present.
    tolerance: how far a declared output may be off. device: where both run.
    mapping: pattern of reference names -> the port's name; see `harness.cases.mapping`.
    unmatched: names that one side alone has.
    pads_by_token: the reference knows padding by its token alone, so that no probe puts that where it counts.
    axes: pattern of the reference's taps -> the order of their axes in the port; see `harness.parity.axes`.
    checks: "forward" is the contract; "float64" tells rounding from a fault within it, also on probes with healthy
        weights; "gradients", "decode" and "train" do what they say, where both sides support it.
    conversion: the name of a file of rules, see `harness.cases.conversion`, by which the port's weights are made of the
        reference's. The port's factory gets them as `converted`: name -> array.
    convert: a function that makes the port from the reference, so that other weights can be converted in float64. It
        is called as the port's factory is, with a `reference` that holds them. With a conversion, that factory does it.
    seed: of the probes, the healthy weights, and everything else that is random.
    precision: "highest" runs matrix products in full float32; "default" leaves each framework its own; "bfloat16" and
        "float16" claim half precision besides.
    sensitivity: the share of the catalogue's faults, planted in the port, that the case's own inputs must catch; see
        `harness sensitivity`.
    tokenizer: the tokenizers of both sides. end_to_end: a function that is called with those of `reference`, `port` and
        the artifacts that it has a parameter for, and returns the result of the reference and that of the port: text,
        numbers, arrays, or tables of them. Both are steps of `harness check --steps`, and of nothing else.
    """

    name: str
    file: Path
    title: str
    reference: Factory
    port: Factory
    inputs: Factory | None = None
    original: Original | None = None
    artifacts: Mapping[str, str] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()
    valid: str = ""
    tolerance: Tolerance = Tolerance()
    device: Device = "cpu"
    precision: Precision = "highest"
    checks: tuple[Check, ...] = ("forward", "float64", "gradients", "decode", "train")
    conversion: str = ""
    convert: Factory | None = None
    seed: int = 0
    mapping: Mapping[str, str] = field(default_factory=dict)
    unmatched: Unmatched = Unmatched()
    pads_by_token: bool = False
    axes: Mapping[str, tuple[int | tuple[int, ...], ...]] = field(default_factory=dict)
    sensitivity: float | None = None
    tokenizer: Tokenizers | None = None
    end_to_end: Factory | None = None

    def __post_init__(self) -> None:
        if self.sensitivity is not None and not 0 < self.sensitivity <= 1:
            raise ValueError("want a share, above 0 and up to 1")


def read_case(file: Path) -> Case:
    """The case that `file` states.

    Raises:
        SpecError: an unknown key (with the closest known one), a wrong type or value, each with its line.
    """
    table = load(file)
    for key in ("name", "file"):
        if key in table:
            raise SpecError(str(file), f"unknown key {key!r}", todo="A case is called as its file is.")
    return build(Case, {**table, "name": file.stem, "file": str(file)}, file=file)


def case_names(repository: Repository) -> list[str]:
    """The names of all cases, sorted; without reading them."""
    return sorted(file.stem for file in repository.cases.glob("*.toml"))


def find_case(repository: Repository, pattern: str) -> Case:
    """The one case whose name matches the pattern.

    Raises:
        SpecError: none does, or several do.
    """
    found = find_cases(repository, pattern)
    if len(found) > 1:
        raise SpecError(f"case {pattern!r}", f"names {len(found)} cases", todo="Name one.")
    return found[0]


def find_cases(repository: Repository, *patterns: str) -> list[Case]:
    """The cases whose names match the patterns (`*` and `?` as in file names), in the order of the patterns.

    Raises:
        SpecError: a pattern matches no case; close names are offered.
    """
    names = case_names(repository)
    chosen: dict[str, None] = {}
    for pattern in patterns:
        matches = [name for name in names if fnmatchcase(name, pattern)]
        if not matches:
            raise SpecError(f"case {pattern!r}", f"not found in {repository.cases}", todo=closest(pattern, names))
        chosen.update(dict.fromkeys(matches))
    return [read_case(repository.cases / f"{name}.toml") for name in chosen]
