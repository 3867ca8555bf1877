"""Everything beyond the given inputs: preflight, probes with healthy weights, gradients, decoding, training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from harness.adapters.protocols import Holds, Runs, UnsupportedError
from harness.cases.probes import LEFT, Probe, Probes, derive
from harness.parity.compare import Verdict
from harness.parity.diagnose import Diagnosis, diagnose
from harness.parity.excerpt import Excerpt
from harness.parity.generation import generation_line
from harness.parity.gradients import doubtful, gradient_line, linked_by_gradients, open_neutral, without_idle
from harness.parity.judge import Line, Mask
from harness.parity.linking import pair_weights
from harness.parity.preflight import half_precision_lines, missing_line, notes_on, summary
from harness.parity.probing import decode_lines, probe_lines
from harness.parity.study import Names, Study, same_framework, study
from harness.parity.training import training_lines
from harness.parity.weights import Pairing


@dataclass(frozen=True, slots=True)
class Further:
    """What the examination gave."""

    lines: tuple[Line, ...] = ()
    notes: tuple[str, ...] = ()
    weights: Mapping[str, Any] = field(default_factory=dict)
    pairing: Pairing = field(default_factory=lambda: Pairing(()))
    probes_not_taken: Mapping[str, str] = field(default_factory=dict)
    not_checked: Mapping[str, str] = field(default_factory=dict)
    diagnosis: Diagnosis = field(default_factory=Diagnosis)


def examine(
    sides: Sequence[Runs],
    call: Mapping[str, Any],
    *,
    names: Names,
    mapping: Mapping[str, str],
    valid: str,
    pads_by_token: bool,
    checks: Sequence[str],
    convert: Callable[[Any], Any] | None,
    seed: int,
    given_fails: bool,
    given_excerpt: Excerpt | None = None,
    step: Callable[[str], AbstractContextManager[None]],
) -> Further:
    """Make the further `checks`. A check that the objects do not support is listed with the reason.

    names: the outputs to compare, as pairs. given_fails: whether they differ as the sides are; with a line that does
    not agree, that is a reason to look where the fault is. given_excerpt: what of the call shows that they differ.
    step: opened around each part, to announce and time it.
    """
    reference, port = sides
    lines: list[Line] = []
    not_taken: dict[str, str] = {}
    not_checked: dict[str, str] = {}
    masks_of = masks_by(valid)

    def collect(check: str, found: Any) -> None:
        for each in found:
            if isinstance(each, Line):
                lines.append(each)
            else:
                what, why = each
                (not_taken if check == "probes" else not_checked)[what] = why

    given = Probe("as given", call)
    notes: tuple[str, ...] = ()
    pairing = Pairing(())
    if isinstance(reference, Holds) and isinstance(port, Holds):
        with step("link weights"):
            pairing, notes = link(
                (reference, port), call, names=names, mapping=mapping, masks=masks_of(call), checks=checks, seed=seed
            )
            notes = (*notes, *notes_on(reference, port, pairing))
            lines += half_precision_lines(sides)
    probes = probes_for(sides, call, valid=valid, seed=seed, pads_by_token=pads_by_token)
    not_taken.update(probes.not_taken)
    with study(reference, port, pairing, names=names, seed=seed, convert=convert) as found:
        taken = [given]
        if "float64" in checks:
            with step("probes"):
                every = replace(probes, taken=(given, *probes.taken))
                collect("probes", probe_lines(found, every, masks_of))
                done = {line.probe for line in lines}
                taken = [given, *(probe for probe in probes.taken if probe.name in done)]
                collect("weights", missing_line(found, taken, masks_of, seed=seed))
        richest = taken[min(1, len(taken) - 1)]
        for check, run in further_checks(found, richest, taken, masks_of, seed):
            if check not in checks:
                continue
            with step(check):
                try:
                    collect(check, run())
                except UnsupportedError as error:
                    not_checked[check] = str(error)
                except Exception as error:  # a model may fail in ways of its own when it is run backwards
                    not_checked[check] = (
                        f"raised {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
                    )
        diagnosis = Diagnosis()
        if given_fails or any(line.verdict is not Verdict.AGREE for line in lines):
            with step("diagnosis"):
                diagnosis = diagnose(
                    found,
                    lines,
                    taken,
                    richest=richest,
                    given_fails=given_fails,
                    given_excerpt=given_excerpt,
                    masks_of=masks_of,
                    mapping=mapping,
                    seed=seed,
                )
    return Further(tuple(lines), notes, summary(pairing), pairing, not_taken, not_checked, diagnosis)


def link(
    sides: tuple[Any, Any],
    call: Mapping[str, Any],
    *,
    names: Names,
    mapping: Mapping[str, str],
    masks: Mask,
    checks: Sequence[str],
    seed: int,
) -> tuple[Pairing, tuple[str, ...]]:
    """Which weight of the port, if both sides hold weights, holds which of the reference; and what could not be run."""
    reference, port = sides
    if not (isinstance(reference, Holds) and isinstance(port, Holds)):
        return Pairing(()), ()
    notes: tuple[str, ...] = ()
    given = Probe("as given", call)
    pairing = pair_weights(reference.weights(), port.weights(), mapping)
    refined: list[tuple[bool, Callable[[Study], Pairing]]] = [
        (
            open_neutral(pairing, reference, port) and bool(set(checks) & {"float64", "gradients", "train"}),
            lambda found: linked_by_gradients(found, given, masks, seed=seed),
        ),
        (bool(doubtful(pairing, reference)), lambda found: without_idle(found, given)),
    ]
    for wanted, refine in refined:
        try:
            if wanted:
                with study(*sides, pairing, names=names, seed=seed) as found:
                    pairing = refine(found)
        except Exception as error:  # what a model cannot do is said again by the check that needs it
            notes = (*notes, f"weights are linked without a run: it raised {type(error).__name__}: {error}")
    return pairing, notes


def probes_for(
    sides: Sequence[Runs], call: Mapping[str, Any], *, valid: str, seed: int, pads_by_token: bool = False
) -> Probes:
    """The probes that both sides may take. What an original does not say of itself, the port's configuration does."""
    reference, port = sides
    said = [side.settings() if isinstance(side, Holds) else {} for side in (port, reference)]
    return derive(
        call,
        accepts=_accepted(sides) or frozenset(call),
        settings={**said[0], **said[1]},
        seed=seed,
        mask=valid,
        padding_row=_framework(reference) == _framework(port) and not pads_by_token,
    )


def further_checks(
    found: Study, richest: Probe, taken: Sequence[Probe], masks_of: Callable[[Mapping[str, Any]], Mask], seed: int
) -> list[tuple[str, Callable[[], Any]]]:
    """The checks on healthy weights beside the probes: name -> what makes its lines.

    richest: the probe on which gradients and training are compared. taken: those that both sides could be run on.
    """
    masks = masks_of(richest.inputs)
    plain = next((probe for probe in taken if probe.name.startswith("no mask")), taken[0])
    # An encoder's mask is read at every step; a decoder alone is padded on the left.
    word = "unequal lengths" if "decoder_input_ids" in plain.inputs else "padded left"
    padded = [probe for probe in taken if probe.name.startswith(word)]

    def decode() -> Any:
        for probe in (plain, *padded, *_without_positions(found, padded, masks_of)):
            yield from decode_lines(found, probe, masks_of)

    return [
        ("gradients", lambda: [gradient_line(found, richest, masks, seed=seed)]),
        ("decode", decode),
        ("decode", lambda: _generation(found, plain)),
        ("train", lambda: training_lines(found, richest, masks, seed=seed)),
    ]


def _generation(found: Study, probe: Probe) -> Any:
    """A line, or why there is none: that decoding was checked stays true without it."""
    reference = found.sides[0]
    ends = reference.settings().get("eos_token_id") if isinstance(reference, Holds) else None
    try:
        return [generation_line(found.sides, probe.inputs, ends=ends if isinstance(ends, list) else [ends or -1])]
    except UnsupportedError as error:
        return [("generation", str(error))]
    except Exception as error:
        return [("generation", f"raised {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")]


def _without_positions(
    found: Study, padded: Sequence[Probe], masks_of: Callable[[Mapping[str, Any]], Mask]
) -> list[Probe]:
    """Padded probes without their position ids, where both sides make the same positions for the whole at once."""
    probes = [
        Probe(f"{LEFT}, positions left to the model", {k: v for k, v in probe.inputs.items() if k != "position_ids"})
        for probe in padded
        # In Flax positions with a cache are the caller's to give.
        if "position_ids" in probe.inputs and same_framework(found)
    ]
    lines = probe_lines(found, Probes(tuple(probes)), masks_of)
    agreed = {line.probe for line in lines if isinstance(line, Line) and line.verdict is Verdict.AGREE}
    return [probe for probe in probes if probe.name in agreed]


def _accepted(sides: Sequence[Runs]) -> frozenset[str]:
    """The arguments that both sides take; one that hands on whatever it gets does not say what it takes."""
    said = [names for side in sides if isinstance(side, Holds) and (names := side.accepts())]
    return frozenset.intersection(*said) if said else frozenset()


def _framework(side: Runs) -> str:
    return side.describe().split()[0]


def masks_by(valid: str) -> Callable[[Mapping[str, Any]], Mask]:
    """From inputs to those of them that mark valid positions."""

    def masks(inputs: Mapping[str, Any]) -> Mask:
        names = (valid,) if valid else ("attention_mask", "decoder_attention_mask")
        found = {name: np.asarray(inputs[name]) for name in names if name in inputs}
        return {name: mask for name, mask in found.items() if mask.ndim == 2 and mask.any()}

    return masks
