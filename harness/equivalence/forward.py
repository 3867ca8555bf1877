"""Both ways between twins: the outputs of both in float32, judged by the contract and by what rounding explains."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from harness.adapters.choose import adapt
from harness.equivalence.family import Family, Head
from harness.equivalence.inputs import make
from harness.equivalence.outcome import Outcome
from harness.parity.check import valid_masks
from harness.parity.compare import Array, Difference, Verdict, compare
from harness.parity.floor import measure
from harness.parity.judge import Mask, mask_for
from harness.tolerance import Tolerance


class Converted(Protocol):
    """Twins as `harness.adapters.transformers.twins` makes them."""

    @property
    def reference(self) -> Any: ...

    @property
    def port(self) -> Any: ...

    @property
    def missing(self) -> tuple[str, ...]:
        """Weights that the converted side did not get."""
        ...

    @property
    def unexpected(self) -> tuple[str, ...]:
        """Weights that it was given and does not have."""
        ...


Outputs = Mapping[str, Array]
WAYS = ("to_flax", "from_flax")
"""PyTorch weights into Flax, and Flax weights into PyTorch."""


def forward(family: Family, head: Head, way: str, *, seed: int = 0) -> Outcome:
    """The twins with weights converted one way, run in inference mode on one call.

    way: to_flax, by `from_pretrained(from_pt=True)`; from_flax, by `from_pretrained(from_flax=True)`.
    An exception of either side is a divergence, its error infinite.
    """
    from harness.adapters.transformers import twins as library

    blank = blank_outcome(family, head, way)
    config = library.configuration(family.configuration, {**family.base, **head.settings})
    call = make(head.inputs or family.inputs, library.settings_of(config), seed=seed)
    convert: Callable[..., Converted] = library.to_flax if way == "to_flax" else library.from_flax
    try:
        pair = convert(head.reference, head.port_name, config, seed=seed, **shape_of(call))
    except Exception as error:
        return replace(blank, reason=f"the conversion raised {said(error)}")
    reference, port = (adapt(side, place=blank.subject) for side in (pair.reference, pair.port))
    call = accepted(call, reference, port)
    notes = weights_told(pair)
    runs: list[Outputs] = []
    for side, who in ((reference, "reference"), (port, "port")):
        try:
            runs.append(side.run(call))
        except Exception as error:
            return replace(blank, reason=f"the {who} raised {said(error)}", notes=notes)
    exact = reference.run_wide(call).outputs
    found = compared(runs[0], runs[1], exact, head=head, masks=valid_masks(call, "", blank.subject))
    return judged(replace(blank, notes=notes), found)


def blank_outcome(family: Family, head: Head, check: str) -> Outcome:
    """An outcome to be filled in: until then, a side raised."""
    return Outcome(family.id, head.reference, head.port_name, check, Verdict.DIVERGE, error=float("inf"), scale=1.0)


def compared(ours: Outputs, theirs: Outputs, exact: Outputs, *, head: Head, masks: Mask) -> list[Difference]:
    """Every output of either side, in float32; within tolerance where rounding does not explain its error.

    exact: the reference in float64. An output that one side alone has diverges, unless the head excuses it.
    """
    found = []
    taken = {head.outputs.get(name, name) for name in ours}
    for name, array in ours.items():
        other = head.outputs.get(name, name)
        if name in head.not_compared:
            continue
        if other not in theirs:
            found.append(_alone(name, "port"))
            continue
        mask = mask_for(name, array, masks)
        pair = compare(array, theirs[other], tolerance=Tolerance(), name=name, port_name=other, valid=mask)
        if pair.verdict is Verdict.AGREE:
            rounding = measure(pair.error, array, exact[name], None, islands=False, mask=mask)
            pair = replace(pair, rounding=rounding)
            if not rounding.explained:
                told = f"off by {pair.error:.3g}, where the reference's own rounding is {rounding.floor:.2g}"
                pair = replace(pair, verdict=Verdict.WITHIN_TOLERANCE, reason=told)
        found.append(pair)
    return found + [_alone(name, "reference") for name in theirs if name not in taken | set(head.not_compared)]


def judged(blank: Outcome, found: Sequence[Difference]) -> Outcome:
    """The outcome for these outputs: the worst decides."""
    if not found:
        return replace(blank, verdict=Verdict.INCONCLUSIVE, reason="no output was compared")
    order = (Verdict.AGREE, Verdict.WITHIN_TOLERANCE, Verdict.DIVERGE, Verdict.INCONCLUSIVE)
    worst = max(found, key=lambda pair: (order.index(pair.verdict), pair.relative))
    reason = "" if worst.verdict is Verdict.AGREE else f"{worst.name}: {worst.reason}"
    alone = worst.shape != worst.port_shape or worst.not_finite
    return replace(
        blank,
        verdict=worst.verdict,
        reason=reason,
        error=float("inf") if alone else worst.error,
        scale=worst.scale,
        worst=worst.name,
        compared=len(found),
        outputs=tuple(found),
    )


def accepted(call: Mapping[str, Array], *sides: Any) -> dict[str, Array]:
    """Of a call what all sides take, and the first in any case: a single input goes by position."""
    first = next(iter(call))
    return {name: array for name, array in call.items() if name == first or all(name in s.accepts() for s in sides)}


def shape_of(call: Mapping[str, Array]) -> dict[str, Any]:
    """The shape by which the port's class makes its parameters, where its default would not do."""
    if "pixel_values" in call and "input_ids" not in call and "decoder_input_ids" not in call:
        batch, channels, height, width = np.shape(call["pixel_values"])
        return {"input_shape": (batch, height, width, channels)}
    if "input_values" in call:
        return {"input_shape": np.shape(call["input_values"])}
    return {}


def weights_told(pair: Converted) -> tuple[str, ...]:
    """What the conversion left over, in words."""
    told = []
    if pair.missing:
        told.append(f"missing weights: {', '.join(pair.missing)}")
    if pair.unexpected:
        told.append(f"unexpected weights: {', '.join(pair.unexpected)}")
    return tuple(told)


def said(error: Exception) -> str:
    """An exception in a line."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:160] if text else ''}"


def _alone(name: str, lacking: str) -> Difference:
    return Difference(name, name, (), (0,), verdict=Verdict.DIVERGE, reason=f"the {lacking} does not put it out")
