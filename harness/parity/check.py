"""Check a port against its reference, both already in memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from harness.adapters.choose import adapt
from harness.adapters.protocols import Runs
from harness.cases.mapping import translate, translate_all
from harness.errors import RunError, SpecError, closest
from harness.parity.align import Alignment, align
from harness.parity.compare import Array, Difference, Verdict, compare
from harness.parity.comparison import Comparison
from harness.parity.examine import Further, examine, repeated
from harness.parity.judge import Line, Mask, mask_for
from harness.parity.naming import Shapes, propose_names
from harness.parity.precision import PRECISIONS, precision_lines
from harness.parity.trace import Trace, record
from harness.parity.wide import explain
from harness.tolerance import Tolerance

CHECKS = ("forward", "float64", "gradients", "decode", "train")
"""What can be checked, in this order."""

VALID = ("attention_mask", "decoder_attention_mask")
"""The inputs that mark valid positions, by the names that transformers gives them."""


def check(
    reference: Any,
    port: Any,
    inputs: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    *,
    mapping: Mapping[str, str] | None = None,
    unmatched: tuple[Mapping[str, str], Mapping[str, str]] | None = None,
    tolerance: Tolerance | None = None,
    outputs: Sequence[str] = (),
    valid: str = "",
    device: str = "cpu",
    precision: str = "highest",
    checks: Sequence[str] = CHECKS,
    convert: Callable[[Any], Any] | None = None,
    seed: int = 0,
    name: str = "check",
    progress: Callable[[str], None] | None = None,
) -> Comparison:
    """Run both on the same inputs and compare every declared output and every paired tap.

    reference, port: a torch.nn.Module, a transformers Flax model, a pair (linen module, params), an nnx.Module, or a
        callable that returns an array or named arrays. They are afterwards bit for bit what they were.
    inputs: argument name -> NumPy, torch or JAX array; or a sequence of such calls. A single input is passed by
        position to a side that calls it otherwise.
    mapping: reference name -> port name, as patterns. With a mapping (an empty one too), a tap that one side alone
        has makes the result inconclusive, unless `unmatched` (one table a side: pattern -> reason) excuses it.
        Without one, taps are paired by equal name and shape, and the rest only lowers the coverage.
    outputs: the declared outputs; by default every output that either side has.
    valid: the input that marks valid positions (batch, tokens); by default `attention_mask` or
        `decoder_attention_mask` if present.
    checks: "forward", the contract on the given inputs; "float64", both once more to tell rounding from a fault that
        is within the contract, then with healthy weights on inputs made to show faults; "gradients"; "decode", step
        by step with a cache; "train", dropout, three steps of two optimizers, and buffers.
    precision: "highest"; "default", each framework's own; or "bfloat16", "float16": a further claim, that the port in
        half precision is no farther from the reference in float64 than the reference in half precision is.
    convert: makes the port from the reference, so that other weights can be converted in float64. Without it the
        port's weights are linked with the reference's by their values.
    seed: of everything random: weights, probes, cotangents, draws.

    Raises:
        BuildError: no adapter takes one of the objects, or `convert` raised.
        RunError: a side raised, or put out nothing. DeviceError: the device is not here.
        MappingError: the mapping matches nothing, or makes two names one.
        SpecError: there are no inputs, `valid` names none of them, or a check is not known.
    """
    calls = [inputs] if isinstance(inputs, Mapping) else list(inputs)
    if not calls:
        raise SpecError(name, "no inputs were given", todo="Give one call, or a sequence of calls.")
    for check_name in checks:
        if check_name not in CHECKS:
            raise SpecError(name, f"unknown check {check_name!r}", todo=closest(check_name, CHECKS))
    tolerance = tolerance or Tolerance()
    own = "highest" if precision in PRECISIONS else precision
    sides = [adapt(side, device=device, precision=own, place=name) for side in (reference, port)]
    seconds: dict[str, float] = {}
    names = _Names(declared=tuple(outputs), mapping=mapping or {}, unmatched=unmatched or ({}, {}), place=name)
    found = []
    shapes: tuple[Shapes, Shapes] = ({}, {})
    lines: list[Line] = []
    for number, call in enumerate(calls, start=1):
        masks = valid_masks(call, valid, name)
        with timed(seconds, "run reference", progress):
            traces = [record(sides[0], call)]
        meeting = _Meeting(traces[0], names, tolerance, masks)
        with timed(seconds, "run port, compare", progress):
            traces.append(record(sides[1], call, meet=meeting.meet))
            compared = meeting.conclude(traces[1])
        if number == 1:
            with timed(seconds, "preflight", progress):
                lines += repeated(sides, call, traces)
        if "float64" in checks:
            with timed(seconds, "float64", progress):
                compared = _explained(compared, sides, call, traces[0], masks)
        found.append(_numbered(compared, number))
        if number == 1:
            shapes = (dict(traces[0].shapes), dict(traces[1].shapes))
        del traces
    further = Further()
    given_fails = any(pair.verdict is not Verdict.AGREE for pair in found[0].outputs)
    if set(checks) - {"forward"} or given_fails:
        pairs = tuple((pair.name, pair.port_name) for pair in found[0].outputs if pair.compared)
        further = examine(
            sides,
            calls[0],
            names=pairs,
            mapping=mapping or {},
            valid=valid,
            checks=checks,
            convert=convert,
            seed=seed,
            given_fails=given_fails,
            step=lambda label: timed(seconds, label, progress),
        )
    lines += further.lines
    proposals = () if mapping is not None else propose_names(found[0].alignment, *shapes, further.pairing)
    if precision in PRECISIONS:
        names_compared = tuple((pair.name, pair.port_name) for pair in found[0].outputs if pair.compared)
        with timed(seconds, precision, progress):
            lines += precision_lines(
                sides,
                calls[0],
                names=names_compared,
                masks=valid_masks(calls[0], valid, name),
                precision=precision,
                device=device,
            )
    # Calls of one model differ in little else than their arrays: the one that left most over speaks for all.
    alignment = max((call.alignment for call in found), key=lambda each: len(each.unmatched))
    complaints = [complaint for call in found for complaint in call.complaints]
    if mapping is not None and alignment.unmatched:
        complaints.append(f"{len(alignment.unmatched)} taps are unmatched: map them, or name them with a reason")
    every_output = tuple(pair for call in found for pair in call.outputs)
    verdict, reason = _conclude(every_output, complaints, lines)
    refused = [call.refusal for call in found if call.refusal]
    refusals = {"float64": refused[0]} if refused else {}
    not_asked = {check_name: "not asked for" for check_name in CHECKS if check_name not in checks}
    return Comparison(
        name=name,
        reference=sides[0].describe(),
        port=sides[1].describe(),
        verdict=verdict,
        reason=reason,
        outputs=every_output,
        taps=tuple(pair for call in found for pair in call.taps),
        alignment=alignment,
        islands=tuple(dict.fromkeys(place for call in found for place in call.islands)),
        lines=tuple(lines),
        notes=further.notes,
        proposals=proposals,
        weights=further.weights,
        diagnosis=further.diagnosis,
        not_checked={**not_asked, **refusals, **further.not_checked},
        probes_not_taken=further.probes_not_taken,
        tolerance=tolerance,
        device=device,
        precision=precision,
        seconds=seconds,
    )


@contextmanager
def timed(seconds: dict[str, float], step: str, progress: Callable[[str], None] | None) -> Iterator[None]:
    """Announce `step`, and add the seconds it takes to `seconds`."""
    if progress is not None:
        progress(step)
    start = time.perf_counter()
    yield
    seconds[step] = seconds.get(step, 0.0) + time.perf_counter() - start


@dataclass(frozen=True, slots=True)
class _Names:
    """Which names are compared with which."""

    declared: tuple[str, ...]
    mapping: Mapping[str, str]
    unmatched: tuple[Mapping[str, str], Mapping[str, str]]
    place: str


@dataclass(frozen=True, slots=True)
class _Call:
    """What the comparison of one call gave; a complaint is an output that could not be compared."""

    outputs: tuple[Difference, ...]
    taps: tuple[Difference, ...]
    complaints: tuple[str, ...]
    alignment: Alignment
    islands: tuple[str, ...] = ()
    refusal: str = ""


def _explained(
    compared: _Call, sides: Sequence[Runs], inputs: Mapping[str, Any], reference: Trace, masks: Mask
) -> _Call:
    found = explain(compared.outputs, sides[0], sides[1], inputs, reference_outputs=reference.outputs, masks=masks)
    return replace(compared, outputs=found.outputs, islands=found.islands, refusal=found.refusal)


def _numbered(compared: _Call, number: int) -> _Call:
    """The call with its names marked `@number`, from the second on."""
    if number == 1:
        return compared

    def marked(pairs: tuple[Difference, ...]) -> tuple[Difference, ...]:
        return tuple(
            replace(pair, name=f"{pair.name}@{number}", port_name=f"{pair.port_name}@{number}") for pair in pairs
        )

    return replace(compared, outputs=marked(compared.outputs), taps=marked(compared.taps))


class _Meeting:
    """Compares each tap of the port when it comes, so that only the reference's trace is ever whole."""

    def __init__(self, reference: Trace, names: _Names, tolerance: Tolerance, masks: Mask) -> None:
        self.reference, self.names, self.tolerance, self.masks = reference, names, tolerance, masks
        translated = translate_all(reference.shapes, names.mapping, also=tuple(reference.outputs), place=names.place)
        self.sources = {target: name for name, target in translated.items()}
        self.taps: dict[str, Difference] = {}

    def meet(self, port_name: str, array: Array) -> None:
        """Compare a tap of the port, if the reference has one of its name and shape."""
        name = self.sources.get(port_name)
        if name is not None and self.reference.shapes[name] == array.shape:
            tap = self.reference.taps[name]
            self.taps[name] = self._difference(tap, array, (name, port_name), _scaled(self.tolerance, tap))

    def conclude(self, port: Trace) -> _Call:
        """What the call gave, the outputs included."""
        names, reference = self.names, self.reference
        alignment = align(
            reference.shapes,
            port.shapes,
            mapping=names.mapping,
            also=tuple(reference.outputs),
            excuse_reference=names.unmatched[0],
            excuse_port=names.unmatched[1],
            place=names.place,
        )
        pairs, complaints = pair_outputs(tuple(reference.outputs), tuple(port.outputs), names.declared, names.mapping)
        return _Call(
            outputs=tuple(
                self._difference(reference.outputs[a], port.outputs[b], (a, b), self.tolerance) for a, b in pairs
            ),
            taps=tuple(self.taps[name] for name, _ in alignment.pairs),
            complaints=tuple(complaints),
            alignment=alignment,
        )

    def _difference(self, left: Array, right: Array, names: tuple[str, str], tolerance: Tolerance) -> Difference:
        mask = mask_for(names[0], left, self.masks)
        return compare(left, right, tolerance=tolerance, name=names[0], port_name=names[1], valid=mask)


def _scaled(tolerance: Tolerance, tap: Array) -> Tolerance:
    """The tolerance for a tap, which has no contract: times its scale where that is above 1.

    Inside a correct model activations reach thousands, and float32 rounds them by more than the contract allows.
    """
    scale = float(np.max(np.abs(tap), initial=0.0, where=np.isfinite(tap)))
    if scale <= 1:
        return tolerance
    return Tolerance(atol=tolerance.atol * scale, rtol=tolerance.rtol, reason="times the scale of the tap")


def pair_outputs(
    reference: tuple[str, ...], port: tuple[str, ...], declared: tuple[str, ...], mapping: Mapping[str, str]
) -> tuple[list[tuple[str, str]], list[str]]:
    """Declared outputs, or else all of either side, as pairs; and a complaint for each that a side lacks.

    Where nothing is declared and each side has one output, the two are a pair, however they are called.
    """
    if not declared and len(reference) == len(port) == 1:
        return [(reference[0], port[0])], []
    wanted = {name: translate(name, mapping) for name in declared or reference}
    if not declared:
        wanted |= {name: name for name in port if name not in wanted.values()}
    pairs, complaints = [], []
    for name, target in wanted.items():
        if name not in reference:
            complaints.append(f"output {name!r} is missing in the reference, which has {_listed(reference)}")
        if target not in port:
            complaints.append(f"output {target!r} is missing in the port, which has {_listed(port)}")
        if name in reference and target in port:
            pairs.append((name, target))
    return pairs, complaints


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names)) or "none"


def _conclude(outputs: Sequence[Difference], complaints: Sequence[str], lines: Sequence[Line]) -> tuple[Verdict, str]:
    """The worst verdict of an output or a line. A fault that was seen stays seen, whatever could not be compared."""
    every = [(each.name, each.verdict, each.reason) for each in outputs]
    every += [(f"{line.check}, {line.probe}", line.verdict, line.reason) for line in lines]
    for verdict in (Verdict.DIVERGE, Verdict.WITHIN_TOLERANCE):
        if any(each[1] is verdict for each in every):
            faulty = [f"{name}: {reason}" for name, its, reason in every if its in (Verdict.DIVERGE, verdict)]
            return verdict, "; ".join([*faulty[:SHOWN], *_more(faulty), *complaints])
    unclear = [f"{name}: {reason}" for name, verdict, reason in every if verdict is Verdict.INCONCLUSIVE]
    if complaints or unclear or not outputs:
        return Verdict.INCONCLUSIVE, "; ".join([*complaints, *unclear]) or "nothing was compared"
    return Verdict.AGREE, ""


SHOWN = 2
"""Faults that the reason spells out; the lines of the result have all."""


def _more(faulty: Sequence[str]) -> list[str]:
    return [f"and {len(faulty) - SHOWN} more"] if len(faulty) > SHOWN else []


def valid_masks(call: Mapping[str, Any], valid: str, place: str) -> Mask:
    """The inputs of a call that mark valid positions.

    Raises:
        SpecError: `valid` is not among them. RunError: one marks nothing.
    """
    if valid and valid not in call:
        raise SpecError(place, f"valid = {valid!r} is not among the inputs {list(call)}", todo="Name one of them.")
    masks = {name: np.asarray(call[name]) for name in ([valid] if valid else VALID) if name in call}
    masks = {name: mask for name, mask in masks.items() if mask.ndim == 2}
    for name, mask in masks.items():
        if not mask.any():
            raise RunError(place, f"the input {name!r} marks no position as valid", todo="Give inputs with content.")
    return masks
