"""Write a trace with nothing but NumPy: copy this one file to where an original runs, and compare elsewhere.

    from recorder import record

    record("original.safetensors", {"inputs": {...}, "outputs": {...}, "taps": {...}}, model="name", weights={...})

The file is what `harness trace` writes: safetensors (https://github.com/huggingface/safetensors#format), with an index
in its metadata. `harness compare original.safetensors CASE` reads it.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

SCHEMA = 1
TYPES = {
    "bool": "BOOL",
    **{f"int{bits}": f"I{bits}" for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": f"U{bits}" for bits in (8, 16, 32, 64)},
    **{f"float{bits}": f"F{bits}" for bits in (16, 32, 64)},
}
PARTS = ("inputs", "outputs", "taps", "float64")


def record(
    file: str | Path,
    calls: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    *,
    model: str,
    weights: Mapping[str, Any] | None = None,
    versions: Mapping[str, str] | None = None,
    side: str = "reference",
    case: str = "recorded",
) -> Path:
    """Write what a model computed; the file that was written.

    calls: one call of the model, or several, each a table of named arrays under `inputs` and `outputs`, and if they are
        known `taps` (what the parts of the model put out, in the order in which they ran) and `float64` (the outputs of
        the same call in float64). An input may also be a number, a switch or a word.
    model: what a person calls it. weights: its weights, by name, for a port to be made of them.
    versions: package -> version, of what it ran on.

    Raises:
        ValueError: there are no calls, one has no outputs or an unknown part, or an array is of a type without a name
            here: convert it to float32 first. Nothing is written then.
    """
    held: dict[str, np.ndarray[Any, Any]] = {}

    def put(place: str, arrays: Mapping[str, Any]) -> dict[str, str]:
        keys = {}
        for name, value in arrays.items():
            array = np.array(value, order="C")  # a copy, so that nothing changes before it is written
            if array.dtype.name not in TYPES:
                raise ValueError(f"{place}/{name} is of type {array.dtype}; a trace holds {', '.join(TYPES)}")
            held[f"{place}/{name}"] = array
            keys[name] = f"{place}/{name}"
        return keys

    runs = []
    every = [calls] if isinstance(calls, Mapping) else list(calls)
    if not every:
        raise ValueError("no calls were given")
    for number, call in enumerate(every, start=1):
        unknown = set(call) - set(PARTS)
        if unknown or not call.get("outputs"):
            said = f"an unknown part {sorted(unknown)[0]!r}" if unknown else "no outputs"
            raise ValueError(f"call {number} has {said}; a call has {', '.join(PARTS)}")
        inputs = call.get("inputs", {})
        fixed = {name: value for name, value in inputs.items() if isinstance(value, (bool, int, float, str))}
        wide = put(f"{number}/float64/outputs", call.get("float64", {}))
        runs.append(
            {
                "inputs": put(f"{number}/inputs", {name: inputs[name] for name in inputs if name not in fixed}),
                "fixed": fixed,
                "outputs": put(f"{number}/outputs", call["outputs"]),
                "taps": put(f"{number}/taps", call.get("taps", {})),
                "wide": {"outputs": wide, "why_no_modules": "it was recorded by hand"} if wide else None,
                "why_not_wide": "" if wide else "none was recorded",
            }
        )
    index = {
        "schema": SCHEMA,
        "model": model,
        "claim": {"case": case, "side": side},
        "device": "cpu",
        "precision": "highest",
        "environment": {"packages": dict(versions or {"numpy": np.__version__})},
        "weights": put("weights", weights or {}),
        "runs": runs,
        "arrays": {key: {"dtype": array.dtype.name, "shape": list(array.shape)} for key, array in held.items()},
    }
    return _write(Path(file), held, json.dumps(index, separators=(",", ":")))


def _write(file: Path, arrays: Mapping[str, np.ndarray[Any, Any]], index: str) -> Path:
    """The safetensors file: the length of its header, the header in JSON, the arrays one after the other."""
    header: dict[str, Any] = {"__metadata__": {"harness": index}}
    start = 0
    for key, array in arrays.items():
        end = start + array.nbytes
        header[key] = {"dtype": TYPES[array.dtype.name], "shape": list(array.shape), "data_offsets": [start, end]}
        start = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as stream:
            stream.write(struct.pack("<Q", len(text)) + text)
            for array in arrays.values():
                stream.write(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)
    return file
