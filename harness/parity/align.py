"""Pair the names of two traces by the mapping; what is left over on either side is listed, never guessed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from harness.cases.mapping import matches, matches_none, translate_all
from harness.errors import MappingError


@dataclass(frozen=True, slots=True)
class Alignment:
    """Names of both sides: paired, left over, and left over for a stated reason (name -> reason)."""

    pairs: tuple[tuple[str, str], ...]
    only_reference: tuple[str, ...] = ()
    only_port: tuple[str, ...] = ()
    excused_reference: Mapping[str, str] | None = None
    excused_port: Mapping[str, str] | None = None

    @property
    def unmatched(self) -> tuple[str, ...]:
        """The names left over without a reason, with their side."""
        sides = (("reference", self.only_reference), ("port", self.only_port))
        return tuple(f"{side}: {name}" for side, names in sides for name in names)

    @property
    def excused(self) -> dict[str, str]:
        """The names left over for a reason, with their side -> the reason."""
        sides = (("reference", self.excused_reference), ("port", self.excused_port))
        return {f"{side}: {name}": reason for side, names in sides for name, reason in (names or {}).items()}

    @property
    def coverage(self) -> float:
        """The share of all names on both sides that are paired, 0 to 1; 1 when there are no names."""
        excused = len(self.excused_reference or ()) + len(self.excused_port or ())
        names = 2 * len(self.pairs) + len(self.only_reference) + len(self.only_port) + excused
        return 2 * len(self.pairs) / names if names else 1.0


Shapes = Mapping[str, tuple[int, ...]]


def align(
    reference: Shapes,
    port: Shapes,
    *,
    mapping: Mapping[str, str] | None = None,
    also: tuple[str, ...] = (),
    excuse_reference: Mapping[str, str] | None = None,
    excuse_port: Mapping[str, str] | None = None,
    place: str = "alignment",
) -> Alignment:
    """Pair reference names with port names, in the reference's order; a pair has one shape, or is left over.

    reference, port: name -> shape.
    mapping: patterns of `harness.cases.mapping`; names that no pattern matches pair with their equals.
    also: further reference names that the mapping may speak of.
    excuse_reference, excuse_port: pattern -> reason, for names that one side alone has.

    Raises:
        MappingError: a pattern or an excuse matches nothing, or two reference names become one.
    """
    translated = translate_all(reference, mapping or {}, also=also, place=place)
    pairs = tuple(
        (name, target) for name, target in translated.items() if target in port and port[target] == reference[name]
    )
    paired, taken = {name for name, _ in pairs}, {target for _, target in pairs}
    left_reference = [name for name in reference if name not in paired]
    left_port = [name for name in port if name not in taken]
    _refuse_idle(excuse_reference, left_reference, "reference", place)
    _refuse_idle(excuse_port, left_port, "port", place)
    excused_reference = _excused(left_reference, excuse_reference)
    excused_port = _excused(left_port, excuse_port)
    return Alignment(
        pairs=pairs,
        only_reference=tuple(name for name in left_reference if name not in excused_reference),
        only_port=tuple(name for name in left_port if name not in excused_port),
        excused_reference=excused_reference,
        excused_port=excused_port,
    )


def _excused(names: Iterable[str], excuses: Mapping[str, str] | None) -> dict[str, str]:
    found = {name: matches(name, excuses or {}) for name in names}
    return {name: (excuses or {})[pattern] for name, pattern in found.items() if pattern is not None}


def _refuse_idle(excuses: Mapping[str, str] | None, names: Iterable[str], side: str, place: str) -> None:
    for pattern in excuses or {}:
        if matches_none(pattern, names):
            raise MappingError(
                place,
                f"unmatched.{side} names {pattern!r}, but no such name is left over there",
                todo="Remove the line, or mend its pattern.",
            )
