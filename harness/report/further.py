"""What a record holds beside the outputs and taps: the further claims, the probes and the preflight."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Part:
    """One array of a line, such as the gradient of a parameter."""

    name: str
    error: float
    scale: float


@dataclass(frozen=True, slots=True)
class Line:
    """One claim with a verdict of its own, as `harness.parity.judge.Line` writes it.

    A number that the record lacks is NaN. parts: every array that was compared, worst first.
    """

    check: str
    probe: str
    verdict: str
    reason: str
    error: float
    scale: float
    allowed: float
    where: str
    parts: tuple[Part, ...]

    @property
    def is_measured(self) -> bool:
        """Whether the error is a measurement; a claim that failed before (other shapes) has neither error nor scale."""
        return self.verdict == "agree" or self.error != 0 or self.scale != 0


@dataclass(frozen=True, slots=True)
class Weights:
    """How the weights of both sides were linked: how many, and the names of those that were not."""

    linked: int
    proposed: tuple[str, ...] = ()
    only_reference: tuple[str, ...] = ()
    only_port: tuple[str, ...] = ()
    different: tuple[str, ...] = ()
    ambiguous: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Further:
    """All of it; what a record does not hold is empty. weights: None where the record says nothing of them.

    not_taken, not_checked: reason -> the probes, or the checks, that it kept from being made.
    """

    lines: tuple[Line, ...] = ()
    notes: tuple[str, ...] = ()
    weights: Weights | None = None
    not_taken: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    not_checked: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    islands: tuple[str, ...] = ()

    @property
    def probes(self) -> tuple[str, ...]:
        """The probes that both sides took, in order."""
        return tuple(dict.fromkeys(line.probe for line in self.lines if line.check == "forward"))

    @property
    def has_preflight(self) -> bool:
        """Whether anything is known from before the numbers, or of what was not checked."""
        return bool(self.notes or self.weights or self.not_checked or self.islands)


def read_further(document: Mapping[str, Any]) -> Further:
    """The further parts of a case's file.

    Raises:
        ValueError, TypeError, AttributeError, KeyError: a part is not what `Comparison.to_dict` writes.
    """
    return Further(
        lines=tuple(map(_line, as_list(document.get("lines")))),
        notes=as_names(document.get("notes")),
        weights=_weights(document.get("weights")),
        not_taken=_by_reason(document.get("probes_not_taken")),
        not_checked=_by_reason(document.get("not_checked")),
        islands=as_names(document.get("islands")),
    )


def relative(error: float, scale: float) -> float:
    """Error / scale, or the error itself where the scale is zero; NaN where either is unknown.

    >>> relative(1e-6, 2.0), relative(0.5, 0.0), relative(0.5, float("inf"))
    (5e-07, 0.5, nan)
    """
    return error / (abs(scale) or 1.0) if math.isfinite(scale) else math.nan


def _line(values: Mapping[str, Any]) -> Line:
    parts = [Part(str(name), as_number(error), as_number(scale)) for name, error, scale in as_list(values.get("pairs"))]
    return Line(
        check=str(values["check"]),
        probe=str(values.get("probe") or ""),
        verdict=str(values.get("verdict") or ""),
        reason=str(values.get("reason") or ""),
        error=as_number(values.get("error")),
        scale=as_number(values.get("scale")),
        allowed=as_number(values.get("allowed")),
        where=str(values.get("where") or ""),
        parts=tuple(sorted(parts, key=_badness, reverse=True)),
    )


def _badness(part: Part) -> tuple[bool, float]:
    size = relative(part.error, part.scale)
    return (True, 0.0) if math.isnan(size) else (False, size)


def _weights(values: Mapping[str, Any] | None) -> Weights | None:
    if not values:
        return None
    kinds = ("proposed", "only_reference", "only_port", "different", "ambiguous")
    return Weights(int(values.get("linked") or 0), **{kind: as_names(values.get(kind)) for kind in kinds})


def _by_reason(reasons: Mapping[str, Any] | None) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for name, why in (reasons or {}).items():
        found.setdefault(str(why) or "no reason given", []).append(str(name))
    return {why: tuple(names) for why, names in found.items()}


def as_number(value: Any) -> float:
    """A number of a record, "nan" and "inf" included; NaN where it has none."""
    return math.nan if value is None else float(value)


def as_names(values: Any) -> tuple[str, ...]:
    """A list of texts of a record."""
    return tuple(map(str, as_list(values)))


def as_list(values: Any) -> Sequence[Any]:
    """A list of a record, empty where it has none."""
    # A text or a mapping would otherwise be walked letter by letter, or key by key.
    if values is not None and not isinstance(values, (list, tuple)):
        raise TypeError(f"a list was wanted, not {type(values).__name__}")
    return values or ()
