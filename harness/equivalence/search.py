"""Several fields of a configuration at once: what may be set, what is wrong then, and how it is written down."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.equivalence.family import Family, Head, Varied
from harness.equivalence.fields import Seen, check_name, merged, nested, values_of
from harness.parity.compare import Verdict
from harness.register import Row, applies


@dataclass(frozen=True, slots=True)
class Choice:
    """A value of a field, and what has to go with it. heads: the references on which it is tried; none for all."""

    name: str
    value: Any
    settings: Mapping[str, Any]
    heads: tuple[str, ...] = ()


def choices(family: Family, run: str, known: Collection[str]) -> dict[str, tuple[Choice, ...]]:
    """What may be drawn for these twins: field -> its values in the family's table.

    run: forward, or train: the fields that show there, beside those that show in every run.
    known: names of checks that are left out, as are the values that want inputs of their own.
    """
    found: dict[str, tuple[Choice, ...]] = {}
    for varied, value in values_of(family):
        if varied.run in ("forward", run) and not varied.inputs and check_name(varied, value) not in known:
            choice = Choice(varied.name, value, varied.settings, varied.heads)
            found[varied.name] = (*found.get(varied.name, ()), choice)
    return found


def known_checks(family: Family, rows: Iterable[Row]) -> frozenset[str]:
    """The checks of this family, fields' among them, that the register explains here, on whichever class."""
    return frozenset(
        subject.split(".", 2)[2]
        for row in rows
        if row.area == "equivalence" and applies(row)
        for subject in row.subjects
        if subject.startswith(f"{family.id}.") and subject.count(".") > 1
    )


AS_IT_STANDS: Mapping[str, tuple[str, ...]] = {
    "forward": ("to_flax", "from_flax", "float64"),
    "train": ("train", "to_flax", "from_flax", "float64"),
}
"""Run -> the claims that a class makes of it with no field set."""


def known_together(family: Family, known: Collection[str]) -> tuple[frozenset[str], ...]:
    """The settings of every known check that sets more than one thing: what has all of them shows that again."""
    found = []
    for varied, value in values_of(family):
        if check_name(varied, value) in known and varied.settings:
            found.append(told_apart(settings_of([Choice(varied.name, value, varied.settings)])))
    return tuple(found)


def told_apart(settings: Mapping[str, Any], before: str = "") -> frozenset[str]:
    """Every setting with its value, those of tables inside too.

    >>> sorted(told_apart({"a": 1, "part": {"width": 8}}))
    ['a=1', 'part.width=8']
    """
    found: set[str] = set()
    for name, value in settings.items():
        inner = told_apart(value, f"{before}{name}.") if isinstance(value, Mapping) else {f"{before}{name}={value!r}"}
        found |= inner
    return frozenset(found)


def heads_of(family: Family, run: str) -> tuple[Head, ...]:
    """The widest class first, then the others that a field is tried on in this run."""
    named = [name for varied in family.varied() if varied.run == run for name in varied.heads]
    return tuple(family.head_of(name) for name in dict.fromkeys([family.head_of().reference, *named]))


def known_in(family: Family, head: Head, run: str, rows: Iterable[Row]) -> bool:
    """Whether the register explains here a divergence of the class in this run: as it stands, or by a field of it."""
    shown = [(varied, value) for varied, value in values_of(family) if varied.run == run != "forward"]
    claims = {*AS_IT_STANDS[run], *(check_name(varied, value) for varied, value in shown)}
    return any(known_as(f"{family.id}.{head.reference}.{claim}", rows) for claim in claims)


def known_as(subject: str, rows: Iterable[Row]) -> bool:
    """Whether the register explains this claim here."""
    return any(row.area == "equivalence" and applies(row) and subject in row.subjects for row in rows)


def runs_of(family: Family) -> tuple[str, ...]:
    """The runs in which fields of the family show and are searched.

    Not what is written: token by token, two texts part for good at the first tie, and the libraries fill up what has
    ended, and begin what a decoder is given, each in its own way. Those fields are tried one at a time.
    """
    runs = ("forward", *(varied.run for varied in family.varied()))
    return tuple(run for run in dict.fromkeys(runs) if run != "generate")


def settings_of(drawn: Sequence[Choice]) -> dict[str, Any]:
    """The settings of these values and of what goes with them; a value that is drawn itself counts before those."""
    found: dict[str, Any] = {}
    for choice in drawn:
        found = merged(found, choice.settings)
    for choice in drawn:
        found = nested(found, choice.name, choice.value)
    return found


def disagreement(found: Seen) -> str:
    """What is wrong, in words; "" where both sides agree, both refuse, or nothing could be compared."""
    raised = [side.raised for side in (found.reference, found.port)]
    if all(raised):
        return ""
    if any(raised):
        return f"the {'reference' if raised[0] else 'port'} alone raised {raised[0] or raised[1]}"
    if found.line is None or found.line.verdict in (Verdict.AGREE, Verdict.INCONCLUSIVE):
        return ""
    return f"off by {found.line.error:.3g} of {found.line.scale:.3g}: {found.line.reason}"


def field_of(family: Family, head: Head, run: str, drawn: Sequence[Choice]) -> Varied:
    """The drawn values as one field of the family's table: the last is varied, the others go with it."""
    last = drawn[-1]
    return Varied(
        name=last.name,
        values=(last.value,),
        run=run,  # type: ignore[arg-type]
        settings=_without(settings_of(drawn), last.name),
        heads=() if head.reference == family.head_of().reference else (head.reference,),
    )


def pasted(varied: Varied) -> str:
    """The field as TOML, for the family's file."""
    lines = ["[[field]]", f"name = {written(varied.name)}", f"values = {written(list(varied.values))}"]
    if varied.run != "forward":
        lines.append(f"run = {written(varied.run)}")
    if varied.settings:
        lines.append(f"settings = {written(varied.settings)}")
    if varied.heads:
        lines.append(f"heads = {written(list(varied.heads))}")
    return "\n".join(lines)


def written(value: Any) -> str:
    """A value as TOML has it, in one line.

    >>> written({"a": [1, 0.5, True], "b c": {"d": "x"}})
    '{ a = [1, 0.5, true], "b c" = { d = "x" } }'
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, Mapping):
        inner = ", ".join(f"{_key(name)} = {written(each)}" for name, each in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, Sequence):
        return f"[{', '.join(map(written, value))}]"
    return repr(value)


def _key(name: str) -> str:
    return name if re.fullmatch(r"[\w-]+", name, re.ASCII) else json.dumps(name, ensure_ascii=False)


def _without(settings: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The settings without a dotted name, and without tables that it leaves empty."""
    first, _, rest = name.partition(".")
    found = {key: value for key, value in settings.items() if key != first}
    inner = _without(settings[first], rest) if rest else {}
    return {**found, first: inner} if inner else found
