"""Check a port against its reference, both already in memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from harness.adapters.choose import adapt
from harness.cases.mapping import joined
from harness.errors import RunError, SpecError, closest
from harness.parity.axes import Axes
from harness.parity.clearest import clearest
from harness.parity.compare import Verdict
from harness.parity.comparison import Comparison
from harness.parity.examine import Further, examine
from harness.parity.judge import Line, Mask
from harness.parity.meeting import Meeting, Names, conclude, explained, numbered
from harness.parity.naming import Shapes, propose_names
from harness.parity.observed import Observed, observed
from harness.parity.precision import PRECISIONS, precision_lines
from harness.parity.trace import record
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
    axes: Mapping[str, Axes] | None = None,
    implied: Mapping[str, str] | None = None,
    tolerance: Tolerance | None = None,
    outputs: Sequence[str] = (),
    valid: str = "",
    pads_by_token: bool = False,
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
    axes: pattern of the reference's taps -> the order of their axes in the port, those that the port has as one joined:
        `{"layers.**": (1, 0, 2)}`, `{"stages.**": (0, (1, 2), 3)}`.
    implied: further patterns, such as those that follow from a conversion, which may match nothing.
    outputs: the declared outputs; by default every output that either side has.
    valid: the input that marks valid positions (batch, tokens); by default `attention_mask` or
        `decoder_attention_mask` if present.
    pads_by_token: the reference knows padding by its token alone: no probe puts that where it counts.
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
    names = Names(tuple(outputs), mapping or {}, unmatched or ({}, {}), name, axes or {}, implied or {})
    every = joined(mapping, implied)
    found = []
    shapes: tuple[Shapes, Shapes] = ({}, {})
    names_compared: tuple[tuple[str, str], ...] = ()
    given_fails, excerpt = False, None
    untapped = Observed()
    for number, call in enumerate(calls, start=1):
        masks = valid_masks(call, valid, name)
        with timed(seconds, "run reference", progress):
            traces = [record(sides[0], call)]
        meeting = Meeting(traces[0], names, tolerance, masks)
        with timed(seconds, "run port, compare", progress):
            traces.append(record(sides[1], call, meet=meeting.meet))
            compared = meeting.conclude(traces[1])
        if "float64" in checks:
            with timed(seconds, "float64", progress):
                compared = explained(compared, sides, call, traces[0], masks)
        if number == 1:
            with timed(seconds, "preflight", progress):
                untapped = observed(sides, call, traces, compared.outputs, tolerance=tolerance, masks=masks)
        found.append(numbered(compared, number))
        if number == 1:
            names_compared = tuple((pair.name, pair.port_name) for pair in found[0].outputs if pair.compared)
            given_fails = any(pair.verdict is not Verdict.AGREE for pair in found[0].outputs)
            if given_fails:
                excerpt = clearest(call, names_compared, [trace.outputs for trace in traces], masks)
            shapes = (dict(traces[0].shapes), dict(traces[1].shapes))
        del traces
    further = Further()
    if set(checks) - {"forward"} or given_fails:
        further = examine(
            sides,
            calls[0],
            names=names_compared,
            mapping=every,
            valid=valid,
            pads_by_token=pads_by_token,
            checks=checks,
            convert=convert,
            seed=seed,
            given_fails=given_fails,
            given_excerpt=excerpt,
            step=lambda label: timed(seconds, label, progress),
        )
    lines: list[Line] = [*untapped.lines, *further.lines]
    proposals = () if mapping is not None else propose_names(found[0].alignment, *shapes, further.pairing)
    if precision in PRECISIONS:
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
    verdict, reason = conclude(every_output, complaints, lines)
    refused = [call.refusal for call in found if call.refusal]
    refusals = {"float64": refused[0]} if refused else {}
    if untapped.refusal:
        refusals["compiled as a whole"] = untapped.refusal
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
        notes=(*untapped.notes, *further.notes),
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
