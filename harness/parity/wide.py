"""Run both sides once more in float64, and say of each output whether rounding explains its error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness.adapters.protocols import Runs, State, UnsupportedError, Wide
from harness.parity.compare import Array, Difference, Verdict
from harness.parity.floor import DRAWS, EXACT, FACTOR, STORED, Rounding, allow_stored, measure
from harness.parity.judge import Mask, mask_for

SHORT = ("float16", "float32", "complex64")


@dataclass(frozen=True, slots=True)
class Explained:
    """The outputs with their rounding; the islands of both sides; and why float64 could not be had, if so."""

    outputs: tuple[Difference, ...]
    islands: tuple[str, ...] = ()
    refusal: str = ""


def explain(
    outputs: Sequence[Difference],
    reference: Runs,
    port: Runs,
    inputs: Mapping[str, Any],
    *,
    reference_outputs: Mapping[str, Array],
    masks: Mask,
) -> Explained:
    """Each output that agrees keeps its verdict if rounding explains its error; else it is within tolerance.

    outputs: compared in float32, on `inputs`. reference_outputs: what the reference put out there.
    Without float64 on the port's side the floor alone judges; without it on the reference's (a recording has none) the
    floor of the port, whose own rounding is then the measure of what rounding does.
    """
    ref, refusal = run_wide(reference, inputs)
    if ref is None:
        by_port = _by_the_port(outputs, port, inputs, masks)
        decides = "; the port's rounding decides" if any(pair.rounding for pair in by_port) else ""
        return Explained(by_port, refusal=f"the reference {refusal}{decides}")
    got, refusal = run_wide(port, inputs)
    islands = tuple(f"reference: {place}" for place in ref.islands)
    islands += tuple(f"port: {place}" for place in (got.islands if got else ()))
    nudged: list[tuple[Wide, Wide]] = []
    judged = []
    for pair in outputs:
        ref64 = ref.outputs.get(pair.name)
        got64 = got.outputs.get(pair.port_name) if got else None
        if ref64 is None or not pair.compared or (got64 is not None and got64.shape != ref64.shape):
            judged.append(pair)
            continue
        mask = mask_for(pair.name, ref64, masks)
        found = measure(pair.error, reference_outputs[pair.name], ref64, got64, islands=bool(islands), mask=mask)
        disputed = not found.explained and found.by == "float64" and pair.verdict is Verdict.AGREE
        if disputed and got64 is not None:
            nudged = nudged or [
                (reference.run_wide(inputs, state=State(nudge=seed)), port.run_wide(inputs, state=State(nudge=seed)))
                for seed in range(DRAWS)
            ]
            moved = (
                [each.outputs[pair.name] for each, _ in nudged],
                [each.outputs[pair.port_name] for _, each in nudged],
            )
            found = allow_stored(found, [(ref64, moved[0]), (got64, moved[1])], mask=mask)
        judged.append(by_rounding(pair, found))
    return Explained(tuple(judged), islands, f"the port {refusal}" if refusal else "")


def _by_the_port(
    outputs: Sequence[Difference], port: Runs, inputs: Mapping[str, Any], masks: Mask
) -> tuple[Difference, ...]:
    """The outputs judged by what rounding does to the port, if it can be run here and in float64."""
    got, _ = run_wide(port, inputs)
    short = port.run(inputs) if got is not None else {}
    judged = []
    for pair in outputs:
        array, exact = short.get(pair.port_name), got.outputs.get(pair.port_name) if got else None
        if array is None or exact is None or not pair.compared:
            judged.append(pair)
            continue
        mask = mask_for(pair.name, exact, masks)
        found = measure(pair.error, array, exact, None, islands=False, mask=mask)
        judged.append(by_rounding(pair, replace(found, of="port")))
    return tuple(judged)


def run_wide(side: Runs, inputs: Mapping[str, Any]) -> tuple[Wide | None, str]:
    """The run in float64, or why there is none: a model may hold what has no float64, and its float32 stays judged."""
    try:
        found = side.run_wide(inputs)
    except UnsupportedError as error:
        return None, str(error)
    except Exception as error:
        return None, f"raised {type(error).__name__} in float64: {error}"
    refusal = stays_short(found)
    return (None, refusal) if refusal else (found, "")


def stays_short(found: Wide) -> str:
    """Why a run is none in float64, if it is none: what it put out, and in which type."""
    short = [name for name, array in found.outputs.items() if array.dtype in SHORT]
    if not short:
        return ""
    return f"computes {', '.join(map(repr, short))} in {found.outputs[short[0]].dtype} whatever it is given"


def by_rounding(pair: Difference, found: Rounding) -> Difference:
    """The pair with what rounding explains of it; one that agrees does so only if that is all of its error."""
    pair = replace(pair, rounding=found)
    if found.explained or pair.verdict is not Verdict.AGREE:
        return pair
    return replace(
        pair, verdict=Verdict.WITHIN_TOLERANCE, reason=f"within the contract, but {_unexplained(pair, found)}"
    )


def _unexplained(pair: Difference, found: Rounding) -> str:
    if found.by == "floor":
        return f"off by {pair.error:.3g} where rounding explains {FACTOR * found.floor:.3g}"
    allowed = STORED * found.stored if found.stored else EXACT * found.scale64
    return f"off by {found.error64:.3g} in float64, where rounding explains {allowed:.3g}"
