"""A trace in a file, read one array at a time: `NAME.safetensors`, or shards and `NAME.index.json`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors

from harness.cases.spec import Unmatched
from harness.errors import SpecError
from harness.parity.compare import Array
from harness.reader import specification
from harness.recorder import SCHEMA
from harness.tolerance import Tolerance

METADATA = "harness"
"""The key of a safetensors file's metadata under which the index stands; in a shard, the name of the index file."""

TYPES = frozenset(
    [f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)]
    + ["bool", "float16", "float32", "float64", "complex64", "complex128"]
)
"""What can be stored. Types that NumPy does not have (bfloat16) come as float32, which holds them exactly."""

Keys = Mapping[str, str]
"""Name -> key of the array in the file. Two names of equal arrays have one key."""


@specification
class Claim:
    """What a case says of how its sides are compared. side: which of them this is, `reference` or `port`."""

    case: str
    side: str
    outputs: tuple[str, ...] = ()
    valid: str = ""
    tolerance: Tolerance = Tolerance()
    mapping: Mapping[str, str] = field(default_factory=dict)
    unmatched: Unmatched = Unmatched()
    axes: Mapping[str, tuple[int | tuple[int, ...], ...]] = field(default_factory=dict)
    implied: Mapping[str, str] = field(default_factory=dict)
    seed: int = 0


@specification
class Module:
    """A call of a module, as `harness.adapters.protocols.Call`. fixed: the inputs that are no arrays."""

    name: str
    caller: str
    kind: str
    inputs: Keys
    fixed: Mapping[str, Any]
    outputs: Keys


@specification
class Wide:
    """A call in float64. nudged: the outputs with the stored weights moved by rounding, one table a draw.

    why_no_modules: why there are none, if so.
    """

    outputs: Keys
    islands: tuple[str, ...] = ()
    constants: int = 0
    nudged: tuple[Keys, ...] = ()
    modules: tuple[Module, ...] = ()
    why_no_modules: str = ""


@specification
class Run:
    """One call of the model. fixed: its inputs that are no arrays. taps: in the order of execution.

    why_not_wide: why there is no float64, if so.
    """

    inputs: Keys
    fixed: Mapping[str, Any]
    outputs: Keys
    taps: Keys
    wide: Wide | None = None
    why_not_wide: str = ""


@specification
class Entry:
    """An array's type and shape, and the shard that holds it. A complex one is stored as pairs of its parts."""

    dtype: str
    shape: tuple[int, ...]
    shard: str = ""

    def __post_init__(self) -> None:
        if self.dtype not in TYPES:
            raise ValueError(f"unknown type {self.dtype!r}")


@specification
class Index:
    """What a trace holds, and what it stands on. schema: of this table. weights: the model's, if they were recorded."""

    schema: int
    model: str
    claim: Claim
    device: str
    precision: str
    environment: Mapping[str, Any]
    runs: tuple[Run, ...]
    arrays: Mapping[str, Entry]
    weights: Keys = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stored:
    """A trace in a file. Nothing is held in memory but its index; files are mapped, and stay open."""

    path: Path
    index: Index
    _files: dict[Path, Any] = field(default_factory=dict)

    def read(self, key: str) -> Array:
        """The array of that key.

        Raises:
            SpecError: the file no longer holds what its index says.
        """
        entry = self.index.arrays[key]
        file = self.path.with_name(entry.shard) if entry.shard else self.path
        if file not in self._files:
            self._files[file] = _opened(file)
        try:
            array: Array = self._files[file].get_tensor(key)
        except safetensors.SafetensorError as error:
            raise SpecError(str(file), f"does not give {key!r}, which its index names ({error})", todo=AGAIN) from None
        kind = np.dtype(entry.dtype)
        if kind.kind == "c":
            array = np.ascontiguousarray(array).view(kind).reshape(array.shape[:-1])
        if array.shape != entry.shape or array.dtype != kind:
            got, wanted = f"{array.dtype} {array.shape}", f"{entry.dtype} {entry.shape}"
            raise SpecError(str(file), f"{key!r} is {got}, in the index {wanted}", todo=AGAIN)
        return array

    def arrays(self, keys: Keys) -> Arrays:
        """Arrays by name, each read when it is asked for."""
        return Arrays(self, keys)

    def shapes(self, keys: Keys) -> dict[str, tuple[int, ...]]:
        """The shapes of arrays by name, without reading them."""
        return {name: self.index.arrays[key].shape for name, key in keys.items()}


@dataclass(frozen=True, slots=True)
class Arrays(Mapping[str, Array]):
    """Name -> array, read anew whenever it is asked for, so that none stays in memory. fixed: what is no array."""

    stored: Stored
    keys_of: Keys
    fixed: Mapping[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        return self.fixed[name] if name in self.fixed else self.stored.read(self.keys_of[name])

    def __contains__(self, name: object) -> bool:
        return name in self.keys_of or name in self.fixed

    def __iter__(self) -> Iterator[str]:
        yield from self.keys_of
        yield from self.fixed

    def __len__(self) -> int:
        return len(self.keys_of) + len(self.fixed)


AGAIN = "Write it again with `harness trace`."
KINDS = (".safetensors", ".index.json")


def is_file(name: str) -> bool:
    """Whether a word names a trace's file, and no case."""
    return name.endswith(KINDS)


def open_trace(path: Path) -> Stored:
    """The trace in a file; of one in shards, either its index file or the name that it was given.

    Raises:
        SpecError: there is no such file, it is cut off, it is no trace, or one of a newer schema.
    """
    whole = path
    if path.name.endswith(KINDS[0]) and not path.exists():
        path = index_file(path)
    if not path.exists():
        raise SpecError(str(whole), "no such file", todo="Check the path, or make it with `harness trace`.")
    stored = Stored(path, _index(path))
    shards = {entry.shard for entry in stored.index.arrays.values()} - {""}
    for shard in sorted(shards):
        file = path.parent / shard
        if Path(shard).name != shard or not file.exists():
            raise SpecError(str(path), f"its shard {shard!r} is missing", todo="Keep all shards beside the index.")
        if (_opened(file).metadata() or {}).get(METADATA) != path.name:
            raise SpecError(str(file), f"is no shard of {path.name}", todo=AGAIN)
    return stored


def index_file(path: Path) -> Path:
    """Where the index of `NAME.safetensors` stands if it is in shards: `NAME.index.json`."""
    return path.with_name(path.name.removesuffix(KINDS[0]) + KINDS[1])


def _index(path: Path) -> Index:
    if path.name.endswith(KINDS[1]):
        text = path.read_text(encoding="utf-8", errors="replace")
    else:
        text = (_opened(path).metadata() or {}).get(METADATA, "")
    if not text:
        raise SpecError(str(path), f"is no trace: its metadata has no {METADATA!r}", todo=AGAIN)
    try:
        table = json.loads(text)
        schema = table["schema"]
    except (ValueError, TypeError, KeyError):
        raise SpecError(str(path), "is no trace: its index is not what `harness trace` writes", todo=AGAIN) from None
    if schema != SCHEMA:
        todo = "Upgrade the harness here, or write it again with this one."
        raise SpecError(str(path), f"has schema {schema!r}, and this harness reads {SCHEMA}", todo=todo)
    return _validated(path, text)


def _validated(path: Path, text: str) -> Index:
    from pydantic import TypeAdapter, ValidationError

    try:
        index = TypeAdapter(Index).validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise SpecError(str(path), f"its index is damaged: {where}: {first['msg']}", todo=AGAIN) from None
    for key in _keys(index):
        if key not in index.arrays:
            raise SpecError(str(path), f"its index is damaged: it lists no array {key!r}", todo=AGAIN)
    return index


def _keys(index: Index) -> Iterator[str]:
    yield from index.weights.values()
    for run in index.runs:
        for keys in (run.inputs, run.outputs, run.taps):
            yield from keys.values()
        if run.wide is not None:
            for keys in (run.wide.outputs, *run.wide.nudged):
                yield from keys.values()
            for module in run.wide.modules:
                yield from (*module.inputs.values(), *module.outputs.values())


def _opened(file: Path) -> Any:
    try:
        return safetensors.safe_open(file, framework="np")
    except (safetensors.SafetensorError, OSError) as error:
        raise SpecError(str(file), f"is no whole safetensors file ({error})", todo=AGAIN) from None
