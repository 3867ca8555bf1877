"""Buffers that hold something else after a run in training mode, and what is known of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from harness.adapters.protocols import Call, Differentiates
from harness.parity.causes.evidence import Evidence
from harness.parity.floor import EXACT
from harness.parity.judge import Line
from harness.parity.localise import Faulty
from harness.parity.study import Study
from harness.parity.training import TRAINED
from harness.parity.weights import Link, split_name
from harness.parity.witness import weights_of

BUFFERS = ("running_mean", "running_var", "mean", "var")


def wrong_buffers(found: Study, failing: Sequence[Line]) -> Iterator[tuple[Faulty, Link]]:
    """The modules whose buffers are wrong, and which buffer."""
    links = {link.reference: link for link in found.pairing.certain}
    for line in failing:
        for name, error, scale in line.pairs if line.probe in TRAINED else ():
            path, leaf = split_name(name)
            if name in links and leaf in BUFFERS and error > EXACT * scale:
                how = f"its {leaf} is wrong after a run in training mode"
                yield Faulty(path, split_name(links[name].port)[0], "", "train", how, error, scale), links[name]


def evidence_of(
    found: Study, wrong: Sequence[Link], inputs: Mapping[str, Any], calls: Mapping[str, Call]
) -> dict[str, dict[str, Evidence]]:
    """By path and buffer. inputs: those of the run; calls: the reference's, in training mode."""
    sides, states = found.sides, found.states()
    if not wrong or not all(isinstance(side, Differentiates) for side in sides):
        return {}
    runs = [side.run_training(inputs, state=state) for side, state in zip(sides, states, strict=True)]  # type: ignore[attr-defined]
    held = weights_of(sides[0], states[0])
    shown: dict[str, dict[str, Evidence]] = {}
    for link in wrong:
        path, leaf = split_name(link.reference)
        if path not in calls or link.reference not in runs[0].buffers or link.port not in runs[1].buffers:
            continue
        right = np.asarray(runs[0].buffers[link.reference], np.float64)
        got = link.to_reference(link.of_port(np.asarray(runs[1].buffers[link.port], np.float64)), right.shape)
        before = {leaf: np.asarray(held[link.reference], np.float64)}
        call = calls[path]
        shown.setdefault(path, {})[leaf] = Evidence(
            path, call.kind, right, got, call.inputs, {}, before, {}, leaf=leaf, check="train"
        )
    return shown
