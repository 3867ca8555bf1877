"""The table of twins, as data: a TOML file a family, with its classes, configuration and what is varied of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from harness.errors import SpecError
from harness.reader import build, load, specification


@specification
class Head:
    """A class in PyTorch and its twin in Flax.

    reference, port: the names that the library exports; the port's is by default `Flax` and the reference's.
    inputs: what both are called with, see `harness.equivalence.inputs`; by default the family's.
    settings: of the configuration, beside the family's. outputs: names of the reference's outputs that the port
    calls otherwise -> the port's name.
    not_compared: outputs that one side alone has -> why that is no fault.
    """

    reference: str
    port: str = ""
    inputs: str = ""
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    outputs: Mapping[str, str] = dataclasses.field(default_factory=dict)
    not_compared: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def port_name(self) -> str:
        return self.port or f"Flax{self.reference}"


@specification
class Varied:
    """A field of the configuration and the values that are tried on it, one at a time.

    name: dotted inside a part's own configuration. values: what is tried. settings: what has to go with them.
    heads: the references on which; by default the family's `widest`. inputs: other than the head's.
    run: forward; train, where it shows in training alone; or generate.
    """

    name: str
    values: tuple[Any, ...]
    run: Literal["forward", "train", "generate"] = "forward"
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    heads: tuple[str, ...] = ()
    inputs: str = ""


@specification
class Family:
    """One model in all its classes.

    id: the file's name. title: for people. configuration: the class. base: its arguments in every case, small.
    inputs: what its classes are called with. widest: the reference on which fields are varied; by default the first.
    head: the classes, each with its twin.
    train: more arguments where training is checked, without which it could not be held still.
    fields: what is varied; where a field is not named here, values are made from its default.
    field: what is varied with more to say than its values. left: fields that are not varied -> why.
    """

    id: str
    title: str
    configuration: str
    base: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    inputs: str = "text"
    widest: str = ""
    train: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    head: tuple[Head, ...]
    fields: Mapping[str, tuple[Any, ...]] = dataclasses.field(default_factory=dict)
    field: tuple[Varied, ...] = ()
    left: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        names = [head.reference for head in self.head]
        if not names:
            raise ValueError("a family has at least one head")
        for name in {*([self.widest] if self.widest else []), *(n for varied in self.field for n in varied.heads)}:
            if name not in names:
                raise ValueError(f"{name!r} is no head of the family; there are {', '.join(names)}")

    def varied(self) -> tuple[Varied, ...]:
        """Everything that is varied."""
        return (*(Varied(name=name, values=values) for name, values in self.fields.items()), *self.field)

    def head_of(self, reference: str = "") -> Head:
        """The head with that reference, or the widest."""
        wanted = reference or self.widest or self.head[0].reference
        return next(head for head in self.head if head.reference == wanted)


def read_families(folder: Path) -> tuple[Family, ...]:
    """The families of the TOML files in `folder`, by name.

    Raises:
        SpecError: a wrong key or value, with its line; or a file whose `id` is not its name.
    """
    found = []
    for file in sorted(folder.glob("*.toml")):
        family = build(Family, load(file), file=file)
        if family.id != file.stem:
            raise SpecError(str(file), f"its id is {family.id!r}", todo=f"Call it {file.stem!r}, as the file.")
        found.append(family)
    return tuple(found)
