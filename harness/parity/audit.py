"""Hold the weights of a port against what a conversion makes of its reference's, name by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from harness.adapters.protocols import Array, Holds, Weight
from harness.cases.conversion import Conversion, Plan, Rule, Use, applied, plan, turned
from harness.cases.mapping import matches
from harness.errors import MappingError, closest
from harness.parity.layout import is_neutral
from harness.parity.linking import pair_weights
from harness.parity.weights import Link, Pairing, split_name

PROJECTIONS = ("q_proj", "k_proj", "query", "key", "wq", "wk", "q", "k")
"""What the projections are called that rotary embeddings turn."""


class Status(StrEnum):
    """Whether a weight is where it should be."""

    OK = "ok"
    LOOK = "look"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Row:
    """One weight of the reference and what became of it in the port; either name may be empty.

    rule: its number in the conversion; "values" or "name", by which the two were found to be one. note: what is wrong,
    or to be looked at.
    """

    source: str
    rule: str
    target: str
    source_shape: tuple[int, ...] | None
    target_shape: tuple[int, ...] | None
    transform: str
    status: Status
    note: str = ""


@dataclass(frozen=True, slots=True)
class Audit:
    """Every weight of both sides, in the reference's order.

    name: of the case. said: why there is no port to hold against the rules, if so.
    """

    name: str
    rows: tuple[Row, ...]
    said: str = ""

    @property
    def status(self) -> Status:
        """The worst of the rows'."""
        found = {row.status for row in self.rows}
        return next((each for each in (Status.WRONG, Status.LOOK) if each in found), Status.OK)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        keys = ("source", "rule", "target", "source_shape", "target_shape", "transform", "note")
        rows = [{key: getattr(row, key) for key in keys} | {"status": str(row.status)} for row in self.rows]
        return {"case": self.name, "status": str(self.status), "said": self.said, "weights": rows}


def audit(
    reference: Holds,
    port: Holds | None,
    *,
    conversion: Conversion | None = None,
    mapping: Mapping[str, str] | None = None,
    settings: Mapping[str, Any] | None = None,
    name: str = "audit",
) -> Audit:
    """Which weight of the port holds which of the reference, and which do not hold what they should.

    port: None where none could be made, because the rules do not go up: what they take is told then, and what not.
    conversion: the rules; without them, values tell which weights are one, as for gradients.
    mapping: patterns that names may follow, for the latter. settings: of the reference, beside its own.

    Raises:
        MappingError: neither side has a weight.
    """
    sides = reference.weights(), port.weights() if port is not None else {}
    if not sides[0] or (port is not None and not sides[1]):
        side = "port" if sides[0] else "reference"
        raise MappingError(name, f"the {side} has no weights", todo="Audit a case whose sides have some.")
    said = {**reference.settings(), **(settings or {})}
    work = _Audit(name, *sides, said, port.settings() if port is not None else {}, made=port is not None)
    rows = work.by_rules(conversion) if conversion else work.by_values(pair_weights(*sides, mapping))
    return Audit(name, tuple(rows))


@dataclass(frozen=True, slots=True)
class _Audit:
    name: str
    reference: Mapping[str, Weight]
    port: Mapping[str, Weight]
    settings: Mapping[str, Any]
    port_settings: Mapping[str, Any]
    made: bool

    def by_rules(self, conversion: Conversion) -> list[Row]:
        found = plan(self.reference, conversion)
        rows = {use.sources[0]: list(self.of_use(use, found)) for use in found.uses}
        usual = _usual_order(found, self.reference)
        for name in found.untaken:
            rows[name] = [self.row(name, "", "", "", "no rule takes it")]
        order = {name: place for place, name in enumerate(self.reference)}
        ordered = [row for name in sorted(rows, key=lambda each: order[each]) for row in rows[name]]
        ordered = [self.looked_at(row, conversion, usual) for row in ordered]
        for use in found.partial:
            there = ", ".join(filter(None, use.sources))
            ordered.append(self.row(there, str(use.number), "", "", "what it is to be joined with is not there"))
        for number in found.idle:
            pattern = ", ".join(conversion.rule[number - 1].sources)
            ordered.append(self.row("", str(number), "", "", f"the rule takes nothing: no weight is called {pattern}"))
        if self.made:
            ordered += self.unwritten({target for use in found.uses for target in use.targets}, conversion)
        return ordered

    def of_use(self, use: Use, found: Plan) -> Iterator[Row]:
        """A row for each target of a rule's use, or for what it drops."""
        sources, number = ", ".join(use.sources), str(use.number)
        twice = [name for name in use.sources if name in found.several]
        if twice:
            rules = ", ".join(map(str, found.several[twice[0]]))
            yield self.row(sources, number, ", ".join(use.targets), "", f"taken by the rules {rules}")
            return
        if not use.targets:
            yield self.dropped(use)
            return
        try:
            made = applied(
                use,
                {name: self.reference[name].array for name in use.sources},
                settings=self.settings,
                place=self.name,
            )
        except MappingError as error:
            yield self.row(sources, number, ", ".join(use.targets), use.rule.transform, error.problem)
            return
        for target, array in zip(use.targets, made, strict=True):
            note = "made twice" if target in found.collisions else ""
            if self.made and not note:
                note = self.amiss(target, array, use.rule)
            yield self.row(sources, number, target, use.rule.transform, note)

    def dropped(self, use: Use) -> Row:
        """A weight that is dropped for a reason: to be looked at if a loose pattern took it, and it matters."""
        name = use.sources[0]
        weight = self.reference[name]
        loose = name not in use.rule.sources and weight.trained and not is_neutral(weight.array)
        note = f"dropped: {use.rule.reason}"
        if loose:
            pattern = next(pattern for pattern in use.rule.sources if matches(name, [pattern]))
            note = f"a trained weight, dropped by the loose pattern {pattern}: {use.rule.reason}"
        return self.row(name, str(use.number), "", "", note, Status.LOOK if loose else Status.OK)

    def amiss(self, target: str, wanted: Array, rule: Rule) -> str:
        """What is wrong with a weight of the port, if anything is."""
        if target not in self.port:
            return f"the port has no such weight. {closest(target, self.port)}"
        held = self.port[target].array
        if held.shape != wanted.shape:
            return f"the rule makes the shape {wanted.shape}"
        if np.array_equal(held, wanted.astype(held.dtype), equal_nan=True):
            return ""
        if held.ndim == 2 and held.shape[0] == held.shape[1] and np.array_equal(held, wanted.T.astype(held.dtype)):
            return "the port holds it transposed"
        other = self.other_layout(held, wanted, rule)
        if other:
            return f"the port holds it with rotary pairs {other}"
        tie = self.tie_of(target)
        if tie:
            return f"not tied: the configuration says that it is {tie}, and it holds other values"
        if is_neutral(held):
            return f"left at its default: {held.flat[0]:g} everywhere"
        share = float(np.mean(held != wanted.astype(held.dtype)))
        return f"other values: {share:.0%} of them"

    def other_layout(self, held: Array, wanted: Array, rule: Rule) -> str:
        """The layout of rotary pairs in which the port holds a projection, if it is another than the rule says."""
        heads = rule.heads if isinstance(rule.heads, int) else self.settings.get(rule.heads, 0)
        known = (
            [heads]
            if heads
            else [
                each
                for key, each in self.port_settings.items()
                if "heads" in key and isinstance(each, int) and each > 0
            ]
        )
        for number in known:
            if wanted.shape[0] % (2 * number) or wanted.shape[0] == 2 * number:
                continue
            for layout, to_halves in (("in halves", True), ("interleaved", False)):
                if np.array_equal(held, turned(wanted, number, to_halves=to_halves).astype(held.dtype)):
                    return layout
        return ""

    def tie_of(self, target: str) -> str:
        """The embedding that the port's configuration ties a weight to, if it does."""
        if not self.port_settings.get("tie_word_embeddings"):
            return ""
        shape = self.port[target].array.shape
        leaf = split_name(target)[0].lower()
        if len(shape) != 2 or "embed" in leaf:
            return ""
        tables = (n for n, w in self.port.items() if "embed" in n.lower() and w.array.shape in (shape, shape[::-1]))
        return next(tables, "")

    def unwritten(self, written: set[str], conversion: Conversion) -> list[Row]:
        """The weights of the port that no rule writes."""
        made = {pattern: rule for rule in conversion.rule if not rule.sources for pattern in rule.targets}
        numbers = {id(rule): number for number, rule in enumerate(conversion.rule, start=1)}
        rows, busy = [], set()
        for name in self.port:
            if name in written:
                continue
            pattern = matches(name, made)
            if pattern is not None:
                busy.add(pattern)
                rule = made[pattern]
                rows.append(self.row("", str(numbers[id(rule)]), name, "", f"made: {rule.reason}", Status.OK))
                continue
            rows.append(self.row("", "", name, "", self.default(name, "no rule writes it")))
        for pattern in made:
            if pattern not in busy:
                number = str(numbers[id(made[pattern])])
                rows.append(self.row("", number, "", "", f"the rule names nothing: no weight is called {pattern}"))
        return rows

    def default(self, name: str, why: str) -> str:
        """What a weight holds that nothing was written to, as far as is known: why, in words."""
        weight, tie = self.port[name], self.tie_of(name)
        if tie:
            return f"not tied: the configuration says that it is {tie}, and {why}"
        what = "" if weight.trained else "buffer, "
        state = f"{weight.array.flat[0]:g} everywhere" if is_neutral(weight.array) else "with values of its own"
        return f"{why}: {what}left at its default, {state}"

    def looked_at(self, row: Row, conversion: Conversion, usual: tuple[int, ...] | None) -> Row:
        """A row that holds together, with what its shape does not show."""
        if row.status is not Status.OK or not (row.source and row.target):
            return row
        rule = conversion.rule[int(row.rule) - 1]
        note = ""
        shape = row.target_shape or ()
        table = "embed" in row.target.lower()
        if len(shape) == 2 and shape[0] == shape[1] and not table and usual not in (None, rule.order or (0, 1)):
            others = "transposed" if usual == (1, 0) else "left as they are"
            note = f"square: its shape does not show its layout, and the kernels whose shapes do are {others}"
        elif self.turns_pairs() and _is_projection(row.target) and not rule.rotary:
            note = "rotary embeddings turn it: the rule does not say in which layout (rotary = ...)"
        return row if not note else self.row(row.source, row.rule, row.target, row.transform, note, Status.LOOK)

    def turns_pairs(self) -> bool:
        """Whether the port has rotary embeddings, as far as its configuration says."""
        kind = self.port_settings.get("position_embedding_type")
        return "rope_theta" in self.port_settings or kind == "rotary" or "rotary_dim" in self.port_settings

    def by_values(self, found: Pairing) -> list[Row]:
        """The rows without rules: what the values show."""
        rows = [self.of_link(link, found) for link in found.links]
        unlike = dict(found.different)
        back = {target: name for name, target in found.different}
        for name in found.only_reference:
            target = unlike.get(name, "")
            note = "the port's holds other values" if target else "nothing in the port holds it"
            buffer = not (target or self.reference[name].trained)
            status = Status.LOOK if buffer else Status.WRONG
            note = f"a buffer: {note}" if buffer else note
            rows.append(self.row(name, "name" if target else "", target, "", note, status))
        rows += [
            self.row("", "", name, "", self.default(name, "nothing of the reference is in it"))
            for name in found.only_port
            if name not in back
        ]
        order = {name: place for place, name in enumerate(self.reference)}
        return sorted(rows, key=lambda row: order.get(row.source, len(order)))

    def of_link(self, link: Link, found: Pairing) -> Row:
        transform = "transpose" if link.order == (1, 0) else ""
        if link.order not in ((1, 0), tuple(range(len(link.order)))):
            transform = f"axes {list(link.order)}"
        parts = [("slice of the reference's", link.reference_part), ("slice of the port's", link.port_part)]
        transform = ", ".join(filter(None, [transform, *(word for word, part in parts if part is not None)]))
        note, status = "", Status.OK
        if not link.certain:
            note, status = "proposed, not shown by its values", Status.LOOK
        elif link.reference in found.ambiguous:
            note, status = "symmetric: its values do not show its layout", Status.LOOK
        return self.row(link.reference, "values", link.port, transform, note, status)

    def row(self, source: str, rule: str, target: str, transform: str, note: str, status: Status | None = None) -> Row:
        shapes = [
            side[name].array.shape if name in side else None
            for side, name in ((self.reference, source.partition(", ")[0]), (self.port, target))
        ]
        found = (Status.WRONG if note else Status.OK) if status is None else status
        return Row(source, rule, target, shapes[0], shapes[1], transform, found, note)


def _usual_order(found: Plan, weights: Mapping[str, Weight]) -> tuple[int, ...] | None:
    """How the rules put the axes of most kernels (two axes of different lengths, no table) of which the shape tells."""
    orders = [
        use.rule.order or (0, 1)
        for use in found.uses
        if use.targets and len(use.sources) == 1 and "embed" not in use.sources[0].lower()
        if len(shape := weights[use.sources[0]].array.shape) == 2 and shape[0] != shape[1]
    ]
    return max(set(orders), key=orders.count) if orders else None


def _is_projection(name: str) -> bool:
    return split_name(split_name(name)[0])[1] in PROJECTIONS
