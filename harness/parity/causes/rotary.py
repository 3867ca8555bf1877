"""Rotary embeddings: the angles that a module makes or is given, and what is turned by them (Su et al. 2021)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from harness.parity.causes.evidence import Claim, Evidence, both
from harness.parity.compare import Array
from harness.parity.floor import EXACT

BASES = (10000.0, 100000.0, 500000.0, 1000000.0)
"""Of rotary embeddings: Su et al. 2021 and Llama, Code Llama and SmolLM2, Llama 3, Code Llama's long context."""


@dataclass(frozen=True, slots=True)
class Turns:
    """Cosines and sines (batch, tokens, width), and the positions (batch, tokens) that they are of."""

    cos: Array
    sin: Array
    positions: Array

    def at(self, positions: Array, *, base: float | None = None, width: int = 0) -> Turns:
        """Those at other positions, of another base, or of another width."""
        width = width or self.cos.shape[-1]
        base = self._base() if base is None else base
        angles = positions[..., None] * base ** -(np.arange(0, width, 2) / width)
        angles = np.concatenate([angles, angles], axis=-1)
        return Turns(np.cos(angles), np.sin(angles), positions)

    def _base(self) -> float:
        """From the second frequency, at position 1."""
        place = np.argwhere(np.broadcast_to(self.positions, self.cos.shape[:-1]) == 1)
        if not len(place) or self.cos.shape[-1] < 4:
            return BASES[0]
        second = np.arctan2(self.sin[..., 1], self.cos[..., 1])[tuple(place[0])]
        return float(float(second) ** (-self.cos.shape[-1] / 2))


def rotary(evidence: Evidence) -> Turns | None:
    """The cosines and sines that the module is given, those of earlier steps before them."""
    given = [*(inputs for inputs, _ in evidence.earlier), evidence.inputs]
    steps = [[inputs.get(f"position_embeddings[{place}]") for place in (0, 1)] for inputs in given]
    if not all(isinstance(each, np.ndarray) and each.ndim >= 2 for step in steps for each in step):
        return None
    cos, sin = (np.concatenate([step[place] for step in steps], axis=-2) for place in (0, 1))
    known = [ids for inputs in given if isinstance(ids := inputs.get("position_ids"), np.ndarray)]
    if sum(ids.shape[-1] for ids in known) == cos.shape[-2]:
        return Turns(cos, sin, np.concatenate(known, axis=-1))
    # The first frequency is 1: its angle is the position itself, found from the steps between neighbouring tokens.
    first = np.unwrap(np.arctan2(sin[..., 0], cos[..., 0]), axis=-1)
    return Turns(cos, sin, np.round(first - first[..., :1] + np.mod(first[..., :1], 2 * np.pi)))


def turned(array: Array, cos: Array, sin: Array, *, pairs: str) -> Array:
    """(batch, heads, tokens, width) with as much of its width as there are angles for turned by them.

    pairs: "halves"; "neighbours"; or "mixed", neighbours by the angles of halves.
    """
    width = cos.shape[-1]
    turning, rest = array[..., :width], array[..., width:]
    half = width // 2
    if pairs == "neighbours":
        cos, sin = (np.repeat(each[..., :half], 2, axis=-1) for each in (cos, sin))
    if pairs == "halves":
        other = np.concatenate([-turning[..., half:], turning[..., :half]], axis=-1)
    else:
        other = np.stack([-turning[..., 1::2], turning[..., ::2]], axis=-1).reshape(turning.shape)
    return np.concatenate([turning * cos + other * sin, rest], axis=-1)


def rotated(evidence: Evidence) -> Iterator[Claim]:
    """The module makes the cosines or sines of rotary angles: which base, which scaling, and which positions."""
    positions = _positions(evidence)
    if positions is None or evidence.right.shape[:-1] != positions.shape or evidence.handed:
        return
    width = evidence.right.shape[-1]
    stored = [evidence.weights.get("inv_freq"), evidence.theirs.get("inv_freq")]
    usual = [base ** -(np.arange(0, width, 2) / width) for base in BASES]
    known = [each for each in (*stored, *usual) if each is not None]
    reference = _table(evidence, evidence.right, known)
    if reference is None:
        return
    changes = [
        ("positions end", f"positions end at {end}", replace(reference, end=end))
        for end in range(1, int(positions.max()))
    ]
    changes += [
        ("position offset", f"positions are moved by {shift:+d}", replace(reference, shift=shift))
        for shift in (-2, -1, 1, 2)
    ]
    changes.append(("positions ignored", "every position is 0", replace(reference, end=0)))
    port = _table(evidence, evidence.got, [*known, *_measured(evidence, reference.function)])
    if port is not None and port != reference:
        changes.append((*_named(reference, port), port))
    for name, what, table in changes:
        yield Claim(name, what, partial(_tables, reference=reference, port=table))


@dataclass(frozen=True, slots=True)
class Table:
    """cos or sin of position x frequency, twice along the last axis."""

    function: str
    frequencies: tuple[float, ...]
    shift: int = 0
    end: int | None = None

    def __call__(self, evidence: Evidence) -> Array | None:
        """The table for the positions that the module is given."""
        positions = _positions(evidence)
        if positions is None:
            return None
        positions = positions + self.shift if self.end is None else np.minimum(positions, self.end)
        turns = positions[..., None] * np.asarray(self.frequencies)
        turns = np.concatenate([turns, turns], axis=-1)
        result: Array = np.cos(turns) if self.function == "cos" else np.sin(turns)
        return result


def _measured(evidence: Evidence, function: str) -> Iterator[Array]:
    """The port's frequencies, read off at position 1."""
    positions = _positions(evidence)
    if positions is None or evidence.got.shape != evidence.right.shape:
        return
    place = np.argwhere(positions == 1)
    if len(place):
        row = evidence.got[tuple(place[0])][: evidence.got.shape[-1] // 2]
        yield np.arccos(np.clip(row, -1, 1)) if function == "cos" else np.arcsin(np.clip(row, -1, 1))


def _named(reference: Table, port: Table) -> tuple[str, str]:
    """The cause that lies between two tables."""
    ours, theirs = np.asarray(reference.frequencies), np.asarray(port.frequencies)
    bases = [_base(table) for table in (reference, port)]
    if not all(bases):
        return "rotary scaling", "its frequencies are others, and those of no base"
    if bases[0] and bases[1] and not np.isclose(bases[0], bases[1], rtol=1e-6) and np.isclose(ours[0], theirs[0]):
        return "rotary base", f"{bases[1]:g} in the port, {bases[0]:g} in the reference"
    return "rotary scaling", f"frequencies are {float(theirs[0] / ours[0]):.6g} times those of the reference"


def _base(table: Table) -> float:
    """The base of frequencies c, c x base^(-2 / width), ...; 0 if they are no such row."""
    frequencies = np.asarray(table.frequencies)
    width = 2 * len(frequencies)
    if width <= 2:
        return 0.0
    base = float((frequencies[1] / frequencies[0]) ** (-width / 2))
    row = frequencies[0] * base ** -(np.arange(0, width, 2) / width)
    return float(f"{base:.4g}") if np.allclose(row, frequencies, rtol=1e-4) else 0.0


def _positions(evidence: Evidence) -> Array | None:
    whole = (each for each in evidence.inputs.values() if isinstance(each, np.ndarray) and each.dtype.kind in "iu")
    return next(whole, None)


def _table(evidence: Evidence, target: Array, known: Sequence[Array]) -> Table | None:
    for function in ("cos", "sin"):
        for frequencies in known:
            table = Table(function, tuple(frequencies))
            made = table(evidence)
            if made is not None and evidence.apart(made, target) <= EXACT:
                return table
    return None


def _tables(evidence: Evidence, reference: Table, port: Table) -> tuple[Array | None, Array | None]:
    return both(reference(evidence), port(evidence))
