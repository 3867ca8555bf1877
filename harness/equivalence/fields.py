"""One field of the configuration at a time: does either side follow it, and do both do so alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from harness.adapters.choose import adapt
from harness.adapters.protocols import STORED, Array, State, Wide
from harness.adapters.writing import Writing
from harness.equivalence.family import Family, Head, Varied
from harness.equivalence.forward import accepted, said, shape_of, weights_told
from harness.equivalence.inputs import make
from harness.equivalence.outcome import Outcome
from harness.parity.check import valid_masks
from harness.parity.compare import Verdict
from harness.parity.floor import largest
from harness.parity.judge import Line, Mask, Pair, judge, valid_part
from harness.parity.study import is_short

STEPS = 8
"""Tokens that are written where a field shows in that."""
MOVES = 1e-6
"""Times the largest value of an output: a field counts as followed if it changes one by more. The issue's own bound."""

HONOURED = "honoured by both"
IGNORED_BY_PORT = "ignored by the port"
IGNORED_BY_REFERENCE = "ignored by the reference"
OTHERWISE = "followed otherwise"
RAISES = "raises in one"
REFUSED = "raises in both"
NOT_EXERCISED = "not exercised"
UNREAD = "read by neither"
STANDINGS = (
    HONOURED,
    IGNORED_BY_PORT,
    IGNORED_BY_REFERENCE,
    OTHERWISE,
    RAISES,
    REFUSED,
    NOT_EXERCISED,
    UNREAD,
)
"""How a field stands. Not exercised: somebody reads it, and no output changes. Followed otherwise: both change, and do
not agree then. Both last ones are what is called not numeric."""

Outputs = Mapping[str, Array]


@dataclass(frozen=True, slots=True)
class Side:
    """What one side put out, in float64 at valid positions, or what it raised."""

    outputs: Outputs
    raised: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """Both sides under one configuration. line: how they compare, None if one raised. read: what either read of it."""

    reference: Side
    port: Side
    line: Line | None
    read: frozenset[str]
    notes: tuple[str, ...] = ()


def varied_outcome(
    family: Family, varied: Varied, value: Any, *, head: Head, seed: int = 0, base: Seen | None = None
) -> Outcome:
    """What comes of `value` for one field, everything else as in the family's base.

    base: what `seen` gave for the base with what goes with the field, if it is known already.
    """
    base = base or seen(family, head, varied.settings, run=varied.run, inputs=varied.inputs, seed=seed)
    changed = seen(
        family, head, nested(varied.settings, varied.name, value), run=varied.run, inputs=varied.inputs, seed=seed
    )
    standing = standing_of(varied.name, base, changed)
    outcome = Outcome(
        family.id,
        head.reference,
        head.port_name,
        check_name(varied, value),
        Verdict.AGREE,
        standing=standing,
        field=varied.name,
        notes=changed.notes,
    )
    raised = [side.raised for side in (changed.reference, changed.port)]
    if standing == RAISES:
        who = "reference" if raised[0] else "port"
        why = f"the {who} raised {raised[0] or raised[1]}"
        return replace(outcome, verdict=Verdict.DIVERGE, reason=why, error=float("inf"), scale=1.0)
    if changed.line is None:
        return replace(outcome, notes=(*changed.notes, *(text for text in raised if text)))
    line = changed.line
    apart = line.verdict is Verdict.DIVERGE and line.error == 0.0  # of other shapes
    return replace(
        outcome,
        verdict=line.verdict,
        reason=f"{standing}: {line.reason}" if line.reason else "",
        error=float("inf") if apart else line.error,
        scale=line.scale or 1.0,
        worst=line.where,
        compared=line.compared,
    )


def check_name(varied: Varied, value: Any) -> str:
    """The field and its value as the record and the register name them, with what goes with them."""
    further = {**varied.settings, **({"inputs": varied.inputs} if varied.inputs else {})}
    more = "".join(f", {name}={told(each)}" for name, each in further.items())
    return f"{varied.name}={told(value)}{more}"


def told(value: Any) -> str:
    """A value as it stands in names: strings without quotes."""
    return value if isinstance(value, str) else repr(value).replace(" ", "")


def seen(
    family: Family,
    head: Head,
    settings: Mapping[str, Any],
    *,
    run: str = "forward",
    inputs: str = "",
    seed: int = 0,
) -> Seen:
    """Both sides under the family's base with these settings, with weights of their names, in float64."""
    from harness.adapters.transformers import reads
    from harness.adapters.transformers import twins as library

    read: set[str] = set()
    every = merged(merged(family.base, head.settings), settings)
    with reads.reads(read):
        try:
            config = library.configuration(family.configuration, every)
            call = make(inputs or head.inputs or family.inputs, library.settings_of(config), seed=seed)
        except Exception as error:  # the configuration is one class for both
            both = Side({}, said(error))
            return Seen(both, both, None, frozenset(read))
        try:
            model = library.reference_of(head.reference, config, seed=seed)
            ours = Side(ran(adapt(model), call, run))
        except Exception as error:
            ours = Side({}, said(error))
        shape = shape_of(call)
        if ours.raised:
            theirs = _side(
                lambda: ran(adapt(library.drawn_port(head.port_name, config, seed=seed, **shape)), call, run)
            )
            return Seen(ours, theirs, None, frozenset(read))
        try:
            pair = library.to_flax(model, head.port_name, config, seed=seed, **shape)
        except Exception as error:
            return Seen(ours, Side({}, said(error)), None, frozenset(read))
        sides = adapt(pair.reference), adapt(pair.port)
        theirs = _side(lambda: ran(sides[1], call, run))
    if theirs.raised:
        return Seen(ours, theirs, None, frozenset(read), weights_told(pair))
    masks = valid_masks(accepted(call, *sides), "", head.reference)
    line = compared(ours.outputs, theirs.outputs, head=head, masks=masks)
    if line.verdict is not Verdict.AGREE and run != "generate":
        tables = library.tables_of(pair.reference)
        line = settled(sides, accepted(call, *sides), head=head, masks=masks, run=run, tables=tables)
    return Seen(ours, theirs, line, frozenset(read), weights_told(pair))


def _side(run: Callable[[], Outputs]) -> Side:
    try:
        return Side(run())
    except Exception as error:
        return Side({}, said(error))


def ran(side: Any, call: Mapping[str, Array], run: str) -> Outputs:
    """The outputs of a side on what it takes of a call, in float64."""
    call = accepted(call, side)
    if run == "train":
        found: Outputs = side.run_training(call).outputs
        return found
    if run == "generate":
        return {"tokens": written(side.generate(call, Writing(STEPS)))}
    return dict(side.run_stepwise(call))


def written(tokens: Array) -> Array:
    """Without the columns at the end that hold padding alone: one side stops where all rows have ended, one fills up.

    >>> written(np.array([[5, 6, 0, 0], [7, 0, 0, 0]])).tolist()
    [[5, 6], [7, 0]]
    """
    columns = np.flatnonzero(tokens.any(axis=0))
    return tokens[:, : columns[-1] + 1] if len(columns) else tokens[:, :0]


def settled(
    sides: Sequence[Any], call: Mapping[str, Array], *, head: Head, masks: Mask, run: str, tables: frozenset[str]
) -> Line:
    """How both sides compare where they do not agree at once.

    What computes in float32 by itself is lifted, which takes a compiler: only where it matters. A table that one side
    keeps in float32 and the other computes is off by as much as rounding may have moved it; weights are not, since
    they were converted. tables: those of the reference, by name; those of the port are no weights.
    """

    def outputs(side: Any, state: State = STORED) -> Wide:
        ran = side.run_training if run == "train" else side.run_wide
        found: Wide = ran(call, state=state)
        return found

    both = [outputs(side) for side in sides]

    def moved(seed: int) -> Sequence[Pair]:
        states = State(nudge=seed, moved=tables), State(nudge=seed, moved=frozenset())
        again = [outputs(side, state).outputs for side, state in zip(sides, states, strict=True)]
        return pairs_of(*again, head=head, masks=masks)

    islands = any(each.islands for each in both)
    short = is_short(both, tables=bool(tables))
    pairs = pairs_of(both[0].outputs, both[1].outputs, head=head, masks=masks)
    return judge("fields", "as given", pairs, moved=moved, short=short, islands=islands)


def compared(ours: Outputs, theirs: Outputs, *, head: Head, masks: Mask) -> Line:
    """Every output of the reference that the head does not excuse, at valid positions."""
    return judge("fields", "as given", pairs_of(ours, theirs, head=head, masks=masks))


def pairs_of(ours: Outputs, theirs: Outputs, *, head: Head, masks: Mask) -> list[Pair]:
    """The outputs to compare; with one that the port does not put out, an empty one is compared."""
    found = []
    for name, array in ours.items():
        other = theirs.get(head.outputs.get(name, name), np.zeros(0))
        if name in head.not_compared:
            continue
        same = array.shape == other.shape
        found.append(
            Pair(name, valid_part(name, array, masks), valid_part(name, other, masks))
            if same
            else Pair(name, array, other)
        )
    return found


def standing_of(name: str, base: Seen, changed: Seen) -> str:
    """How a field stands, from what was seen before and after it was changed."""
    if changed.reference.raised and changed.port.raised:
        return REFUSED
    if changed.reference.raised or changed.port.raised:
        return RAISES
    moved = [
        moves(before.outputs, after.outputs)
        for before, after in ((base.reference, changed.reference), (base.port, changed.port))
    ]
    if not any(moved):
        return NOT_EXERCISED if name.rpartition(".")[2] in changed.read else UNREAD
    if moved[0] and not moved[1]:
        return IGNORED_BY_PORT
    if moved[1] and not moved[0]:
        return IGNORED_BY_REFERENCE
    agree = changed.line is not None and changed.line.verdict is Verdict.AGREE
    return HONOURED if agree else OTHERWISE


def moves(before: Outputs, after: Outputs) -> bool:
    """Whether an output is another: in shape, or by more than `MOVES` of its scale."""
    if set(before) != set(after):
        return True
    for name, array in before.items():
        other = after[name]
        if array.shape != other.shape or largest(array - other) > MOVES * (largest(array) or 1.0):
            return True
        if not np.array_equal(np.isfinite(array), np.isfinite(other)):
            return True
    return False


def nested(settings: Mapping[str, Any], name: str, value: Any) -> dict[str, Any]:
    """The settings with a dotted name set.

    >>> nested({"a": 1}, "part.width", 8)
    {'a': 1, 'part': {'width': 8}}
    """
    first, _, rest = name.partition(".")
    return merged(settings, {first: nested({}, rest, value) if rest else value})


def merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Both, the other's values over the one's, tables inside tables likewise."""
    both = dict(one)
    for name, value in other.items():
        before = both.get(name)
        both[name] = merged(before, value) if isinstance(before, Mapping) and isinstance(value, Mapping) else value
    return both


def values_of(family: Family) -> Sequence[tuple[Varied, Any]]:
    """Every field with every value that is tried."""
    return [(varied, value) for varied in family.varied() for value in varied.values]
