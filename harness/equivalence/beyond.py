"""Twins beyond one forward pass: probes in float64, gradients, training, decoding, and other ways to run them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from harness.adapters.choose import adapt
from harness.adapters.protocols import Array, UnsupportedError, Wide
from harness.cases.probes import Probe
from harness.equivalence.devices import divided_line
from harness.equivalence.family import Family, Head
from harness.equivalence.fields import merged
from harness.equivalence.forward import accepted, blank_outcome, said, shape_of, weights_told
from harness.equivalence.generating import WRITING, generated
from harness.equivalence.inputs import UNMASKED, make, with_padding_seen
from harness.equivalence.outcome import Outcome
from harness.parity.compare import Verdict
from harness.parity.examine import further_checks, link, masks_by, probes_for
from harness.parity.floor import EPS32, FACTOR, largest
from harness.parity.gradients import gradient_line
from harness.parity.judge import Line, Pair, judge, valid_part
from harness.parity.precision import precision_lines
from harness.parity.probing import probe_lines
from harness.parity.study import Names, Study, rounding_of, study

MASKS = masks_by("")


@dataclass(frozen=True, slots=True)
class Subject:
    """Converted twins and what they are called with. sides: adapted. names: the outputs that both put out.

    settings: the configuration as plain values.
    """

    family: Family
    head: Head
    settings: Mapping[str, Any]
    sides: tuple[Any, Any]
    call: Mapping[str, Array]
    names: Names
    seed: int


Lines = Iterable[Line | tuple[str, str]]
Check = Callable[[Subject], Lines]


def beyond(family: Family, head: Head, check: str, *, seed: int = 0) -> Outcome:
    """One of `CHECKS` on twins whose weights came from PyTorch; its worst line decides."""
    from harness.adapters.transformers import twins as library

    blank = blank_outcome(family, head, check)
    given = merged(family.base, merged(head.settings, family.train if check == "train" else {}))
    config = library.configuration(family.configuration, given)
    settings = library.settings_of(config)
    call = make(head.inputs or family.inputs, settings, seed=seed)
    try:
        pair = library.to_flax(head.reference, head.port_name, config, seed=seed, **shape_of(call))
        sides = (adapt(pair.reference), adapt(pair.port))
        call = accepted(call, *sides)
        runs = [side.run(call) for side in sides]
    except Exception as error:
        return replace(blank, reason=f"a run before it raised {said(error)}")
    paired = [(name, head.outputs.get(name, name)) for name in runs[0] if name not in head.not_compared]
    names = [(name, other) for name, other in paired if other in runs[1]]
    subject = Subject(family, head, settings, sides, call, names, seed)
    notes = list(weights_told(pair))
    lines: list[Line] = []
    try:
        for each in CHECKS[check](subject):
            if isinstance(each, Line):
                lines.append(each)
            else:
                notes.append(f"{each[0]}: not taken, {each[1]}")
    except UnsupportedError as error:
        return replace(blank, verdict=Verdict.INCONCLUSIVE, reason=str(error), notes=tuple(notes))
    except Exception as error:
        return replace(blank, reason=f"{check} raised {said(error)}", notes=tuple(notes))
    return concluded(replace(blank, notes=tuple(notes)), lines)


def concluded(blank: Outcome, lines: list[Line]) -> Outcome:
    """The outcome for these lines: the worst decides, the others that fail are notes."""
    if not lines:
        return replace(blank, verdict=Verdict.INCONCLUSIVE, reason="nothing was compared")
    order = (Verdict.AGREE, Verdict.INCONCLUSIVE, Verdict.WITHIN_TOLERANCE, Verdict.DIVERGE)
    worst = max(lines, key=lambda line: (order.index(line.verdict), line.error / (line.scale or 1.0)))
    failing = [f"{line.probe}: {line.verdict.value}, {line.reason}" for line in lines if line is not worst]
    failing = [text for text, line in zip(failing, [e for e in lines if e is not worst]) if line.reason]
    unmeasured = worst.verdict is Verdict.DIVERGE and not worst.error
    return replace(
        blank,
        verdict=worst.verdict,
        reason=f"{worst.probe}: {worst.reason}" if worst.reason else "",
        error=float("inf") if unmeasured else worst.error,
        scale=worst.scale or 1.0,
        compared=sum(line.compared for line in lines),
        notes=(*blank.notes, *failing),
    )


def wide(subject: Subject) -> Lines:
    """The given call and every probe, in float64 with healthy weights."""
    return _studied(subject, "float64")


def gradients(subject: Subject) -> Lines:
    """Of every parameter and input, rows of a padding index included."""
    return _studied(subject, "gradients")


def padding_row(subject: Subject) -> Lines:
    """The gradients where padding is seen: its row of the token table is trained on both sides or on neither."""
    call = with_padding_seen(subject.call, subject.settings)
    with _study(subject, call) as found:
        yield gradient_line(found, Probe("padding is seen", call), MASKS(call), seed=subject.seed)


def train(subject: Subject) -> Lines:
    """Training mode: places and rates of dropout, running statistics, three steps of two optimizers."""
    return _studied(subject, "train")


def decode(subject: Subject) -> Lines:
    """Step by step with a cache, against the other side's and the whole at once."""
    return _studied(subject, "decode")


def _studied(subject: Subject, check: str) -> Lines:
    """The lines of a check of the parity engine."""
    given = Probe("as given", subject.call)
    probes = probes_for(subject.sides, subject.call, valid="", seed=subject.seed)
    with _study(subject, subject.call, check) as found:
        if check == "float64":
            yield from probe_lines(found, replace(probes, taken=(given, *probes.taken)), MASKS)
            yield from probes.not_taken.items()
            return
        taken = [given, *probes.taken]
        richest = taken[min(1, len(taken) - 1)]
        for name, run in further_checks(found, richest, taken, MASKS, subject.seed):
            if name == check:
                yield from (each for each in run() if not (isinstance(each, tuple) and each[0] == "generation"))


@contextmanager
def _study(subject: Subject, call: Mapping[str, Array], check: str = "gradients") -> Iterator[Study]:
    """The twins with their weights linked, and healthy."""
    pairing, _ = link(
        subject.sides, call, names=subject.names, mapping={}, masks=MASKS(call), checks=(check,), seed=subject.seed
    )
    with study(*subject.sides, pairing, names=subject.names, seed=subject.seed) as found:
        yield found


def compiled(subject: Subject) -> Lines:
    """The port compiled as a whole against the port operation by operation, in float32; their rounding is measured by
    the port in float64, operation by operation too.
    """
    port = subject.sides[1]
    eager, whole, exact = port.run(subject.call), port.run_compiled(subject.call), port.run_stepwise(subject.call)
    masks = MASKS(subject.call)
    for _, name in subject.names:
        arrays = [valid_part(name, each[name], masks) for each in (eager, whole, exact)]
        floor = max(largest(arrays[0] - arrays[2]), EPS32 * largest(arrays[2]))
        scale = largest(arrays[2]) or 1.0
        yield judge("compiled", name, [Pair(name, arrays[0], arrays[1])], exact=FACTOR * floor / scale)


def bfloat16(subject: Subject) -> Lines:
    """Both in bfloat16: the port no farther from the reference in float64 than the reference is."""
    masks = MASKS(subject.call)
    return precision_lines(
        subject.sides, subject.call, names=subject.names, masks=masks, precision="bfloat16", device="cpu"
    )


def masked_rows(subject: Subject) -> Lines:
    """A row of which nothing may be seen: the other rows are the same as without it, and it is a number on both sides
    or on neither.
    """
    masks = [name for name in ("attention_mask", "decoder_attention_mask") if name in subject.call]
    if not masks:
        raise UnsupportedError("it takes no mask")
    for name in masks:
        mask = np.array(subject.call[name])
        mask[-1] = 0
        yield from _rows(subject, {**subject.call, name: mask}, name)


def _rows(subject: Subject, call: Mapping[str, Array], name: str) -> Iterator[Line]:
    """The lines of a call whose last row is masked."""
    valid = MASKS({key: value[:-1] for key, value in call.items()})

    def others(runs: Sequence[Mapping[str, Array]]) -> list[Pair]:
        pairs = [
            Pair(out, _without_last(out, runs[0][out]), _without_last(out, runs[1][o])) for out, o in subject.names
        ]
        return [
            replace(p, reference=valid_part(p.name, p.reference, valid), port=valid_part(p.name, p.port, valid))
            for p in pairs
        ]

    runs = [side.run_stepwise(call) for side in subject.sides]
    line = judge("masked rows", f"{name}: the other rows", others(runs))
    if line.verdict is not Verdict.AGREE:
        # What computes in float32 by itself is lifted, which takes a compiler: only where it matters.
        with _study(subject, call) as found:

            def lifted(nudge: int | None = None) -> list[Wide]:
                return [side.run_wide(call, state=state) for side, state in zip(found.sides, found.states(nudge))]

            def again(nudge: int) -> list[Pair]:
                return others([each.outputs for each in lifted(nudge)])

            wide = lifted()
            pairs = others([each.outputs for each in wide])
            line = judge("masked rows", f"{name}: the other rows", pairs, **rounding_of(found, wide, again))
    yield line

    # In float32, as users have it: in float64 the sum of two masks may be a number where it is none, and the reverse.
    runs = [side.run(call) for side in subject.sides]

    def number(run: Mapping[str, Array], out: str) -> Array:
        return np.array([float(np.isfinite(run[out][-1]).all())])

    pairs = [Pair(out, number(runs[0], out), number(runs[1], other)) for out, other in subject.names]
    yield judge("masked rows", f"{name}: the masked row is a number", pairs)


def _without_last(name: str, output: Array) -> Array:
    """The output of all rows but the last; of every row with every row, where two models are compared."""
    return output[:-1, :-1] if name.startswith("logits_per_") else output[:-1]


def devices(subject: Subject) -> Lines:
    """A forward pass and a training step over eight devices against one, in a process that sees so many."""
    return [divided_line(subject.family, subject.head, seed=subject.seed)]


CHECKS: Mapping[str, Check] = {
    "float64": wide,
    "gradients": gradients,
    "padding row": padding_row,
    "train": train,
    "decode": decode,
    "compiled": compiled,
    "bfloat16": bfloat16,
    "masked rows": masked_rows,
    "devices": devices,
    **{check: partial(generated, check=check) for check in WRITING},
}
"""Name -> what makes its lines."""

GENERATING = ("decode", *WRITING)
"""Checks of models that write."""

WRITERS = ("CausalLM", "LMHeadModel", "ForConditionalGeneration", "MTModel", "EncoderDecoderModel")
"""How the names of classes end that write."""


def checks_of(family: Family, head: Head) -> tuple[str, ...]:
    """The checks that make sense for a class."""
    left: tuple[str, ...] = () if head.reference.endswith(WRITERS) else GENERATING
    if (head.inputs or family.inputs) in UNMASKED:
        left += ("masked rows", "padding row")
    return tuple(check for check in CHECKS if check not in left)
