"""How far off the port may be in float64 before `check` would not say that it agrees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.adapters.protocols import Runs, State, Wide
from harness.cases.probes import Probe
from harness.parity.compare import Array, Verdict, compare
from harness.parity.floor import DRAWS, EPS32, EXACT, FACTOR, STORED, largest
from harness.parity.judge import Mask, explained_by_rounding, mask_for, valid_part
from harness.parity.planting.fault import Watched
from harness.parity.probing import moved_by
from harness.parity.study import Names, Study, output_pairs, rounding_of
from harness.parity.wide import stays_short
from harness.tolerance import Tolerance


@dataclass(frozen=True, slots=True)
class Judged:
    """What the outputs of a run of the port show. contract: whether they break the tolerance; caught: that, or more
    than rounding explains. error, allowed: of the output that is farthest off, `where`.
    """

    caught: bool
    contract: bool
    error: float
    allowed: float
    where: str


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What the reference puts out, and how far off each output may be. names: reference name, port name."""

    reference: Mapping[str, Array]
    names: Names
    allowed: Mapping[str, float]
    masks: Mask
    tolerance: Tolerance

    def judge(self, outputs: Mapping[str, Array]) -> Judged:
        """The worst of these outputs of the port."""
        worst = Judged(caught=False, contract=False, error=0.0, allowed=0.0, where="")
        for name, target in self.names:
            if name not in self.allowed:
                continue
            right = self.reference[name]
            found = compare(
                right, outputs[target], tolerance=self.tolerance, name=name, valid=mask_for(name, right, self.masks)
            )
            contract = found.verdict is Verdict.DIVERGE
            error = float("inf") if found.not_finite or found.shape != found.port_shape else found.error
            allowed = self.allowed[name]
            caught = contract or error > allowed
            if not worst.where or (caught, error / (allowed or 1.0)) > (
                worst.caught,
                worst.error / (worst.allowed or 1.0),
            ):
                worst = Judged(caught, contract or worst.contract, error, allowed, name)
            elif contract:
                worst = Judged(worst.caught, True, worst.error, worst.allowed, worst.where)
        return worst


def of_inputs(
    sides: tuple[Runs, Runs],
    call: Mapping[str, Any],
    right: Wide,
    port: Watched,
    names: Names,
    masks: Mask,
    tolerance: Tolerance,
    *,
    float64: bool,
) -> Thresholds:
    """On the given inputs, with the weights as they are stored: as `parity.wide` judges them.

    float64: whether the case has that check; without it the tolerance alone decides.
    """
    scales = {name: largest(valid_part(name, right.outputs[name], masks)) for name, _ in names}
    if not float64:
        allowed = dict.fromkeys(scales, float("inf"))
        return Thresholds(right.outputs, names, allowed, masks, tolerance)
    allowed = {name: EXACT * scale for name, scale in scales.items()}
    island = right.islands or port.islands or stays_short(right)
    if island:
        short = sides[0].run(call)
        for name, scale in scales.items():
            rounding = largest(valid_part(name, short[name].astype(np.float64) - right.outputs[name], masks))
            allowed[name] = max(allowed[name], FACTOR * max(rounding, EPS32 * scale))
        return Thresholds(right.outputs, names, allowed, masks, tolerance)
    for seed in range(DRAWS):
        moved = [side.run_wide(call, state=State(nudge=seed)).outputs for side in sides]
        for name, target in names:
            for base, other in ((right.outputs[name], moved[0][name]), (port.outputs[target], moved[1][target])):
                effect = largest(valid_part(name, base, masks) - valid_part(name, other, masks))
                allowed[name] = max(allowed[name], STORED * effect)
    return Thresholds(right.outputs, names, allowed, masks, tolerance)


def of_probe(found: Study, probe: Probe, runs: Sequence[Wide], masks: Mask) -> Thresholds:
    """On a probe, with healthy weights: as `judge` judges them."""
    pairs = output_pairs(found.names, runs, masks)
    scales = {pair.name: largest(pair.reference) for pair in pairs}
    allowed = {name: EXACT * scale for name, scale in scales.items()}
    rounding = rounding_of(found, runs, moved_by(found, probe, masks, runs))
    if rounding["moved"] is not None:
        factor = FACTOR if rounding["short"] else STORED
        disputed = {name: (float("inf"), scale) for name, scale in scales.items()}
        more = explained_by_rounding(pairs, disputed, rounding["moved"], factor, islands=rounding["islands"])
        allowed = {name: max(each, more.get(name, 0.0)) for name, each in allowed.items()}
    return Thresholds(runs[0].outputs, found.names, allowed, masks, Tolerance())
