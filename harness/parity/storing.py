"""Write a trace to a file as it comes, never more than a shard of it in memory, and no array twice."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from glob import escape
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from harness.errors import RunError, SpecError
from harness.files import replacing, write_atomic
from harness.parity.compare import Array, plain
from harness.parity.stored import KINDS, METADATA, TYPES, Entry, Index, index_file

LIMIT_BYTES = 1 << 30
"""Of a shard, which is held in memory until it is written."""

TOKEN, NUMBER = "[0-9a-f]" * 8, "[0-9]" * 5
"""What shards of one trace have in their names, and what tells them apart, as patterns."""


@dataclass(slots=True)
class Writer:
    """Takes arrays and says under which key each is stored; `finish` makes the file.

    Until then nothing stands under the file's name; shards have names that no other trace uses.
    """

    path: Path
    limit_bytes: int = LIMIT_BYTES
    entries: dict[str, Entry] = field(default_factory=dict)
    _known: dict[bytes, str] = field(default_factory=dict)
    _pending: dict[str, Array] = field(default_factory=dict)
    _pending_bytes: int = 0
    _shards: list[str] = field(default_factory=list)
    _token: str = field(default_factory=lambda: secrets.token_hex(4))

    def put(self, key: str, array: Array) -> str:
        """The key under which the array is stored: another one if an equal array is there already.

        Raises:
            RunError: it is of a type that cannot be stored.
        """
        array = np.asarray(array)
        if array.dtype.name not in TYPES:
            raise RunError(key, f"an array of {array.dtype} cannot be stored", todo="Put out numbers.")
        # C order and the machine's own byte order: the library writes a transposed array wrongly, without a word.
        array = np.asarray(array, dtype=array.dtype.newbyteorder("="), order="C")
        digest = _digest(array)
        if digest in self._known:
            return self._known[digest]
        if key in self.entries:
            raise RunError(key, "two arrays have this name", todo="Give them different names.")
        if self._pending and self._pending_bytes + array.nbytes > self.limit_bytes:
            self._flush()
        shape = array.shape
        kept = array.reshape(*shape, 1).view(array.real.dtype) if array.dtype.kind == "c" else array
        self._known[digest] = key
        self._pending[key] = kept
        self._pending_bytes += array.nbytes
        self.entries[key] = Entry(dtype=array.dtype.name, shape=shape, shard="")
        return key

    def put_all(self, place: str, arrays: Mapping[str, Array]) -> dict[str, str]:
        """Name -> key, for arrays that have `place/name` as theirs."""
        return {name: self.put(f"{place}/{name}", array) for name, array in arrays.items()}

    def finish(self, index: Index) -> Path:
        """Write the rest and the index, with the arrays that were put; the file that was written."""
        if self._shards:
            self._flush()
            written = write_atomic(index_file(self.path), self._text(index))
            self.path.unlink(missing_ok=True)
        else:
            with replacing(self.path) as temporary:
                save_file(self._pending, temporary, metadata={METADATA: self._text(index)})
            written = self.path
            index_file(self.path).unlink(missing_ok=True)
        for stale in self.path.parent.glob(f"{escape(_stem(self.path))}-{TOKEN}-{NUMBER}{KINDS[0]}"):
            if stale.name not in self._shards:
                stale.unlink(missing_ok=True)
        return written

    def _text(self, index: Index) -> str:
        return json.dumps(plain(asdict(replace(index, arrays=self.entries))), separators=(",", ":"))

    def _flush(self) -> None:
        name = f"{_stem(self.path)}-{self._token}-{len(self._shards) + 1:05}{KINDS[0]}"
        with replacing(self.path.with_name(name)) as temporary:
            save_file(self._pending, temporary, metadata={METADATA: index_file(self.path).name})
        for key in self._pending:
            self.entries[key] = Entry(dtype=self.entries[key].dtype, shape=self.entries[key].shape, shard=name)
        self._shards.append(name)
        self._pending, self._pending_bytes = {}, 0


def check_name(path: Path) -> Path:
    """The path, if it is one that a trace may have.

    Raises:
        SpecError: it does not end in `.safetensors`.
    """
    if not path.name.endswith(KINDS[0]) or path.name == KINDS[0]:
        raise SpecError(str(path), "is no name for a trace", todo=f"Give one that ends in {KINDS[0]}.")
    return path


def _stem(path: Path) -> str:
    return path.name.removesuffix(KINDS[0])


def _digest(array: Array) -> bytes:
    found = hashlib.sha256(f"{array.dtype.str} {array.shape}".encode())
    if array.size:
        found.update(array.reshape(-1).view(np.uint8).data)
    return found.digest()
