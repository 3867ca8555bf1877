"""The modules at fault whose cause is not proved: what is known of their errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from harness.adapters.decoding import TOKENS
from harness.adapters.protocols import Holds
from harness.cases.probes import Probe
from harness.parity.causes.describe import Description, Shown, describe
from harness.parity.compare import Verdict
from harness.parity.judge import Line, Mask
from harness.parity.localise import Faulty, Located


def descriptions(
    faulty: Sequence[Faulty],
    located: Sequence[tuple[Mapping[str, Any], Located]],
    shown: Sequence[Shown],
    *,
    heads: int,
) -> Iterator[Description]:
    """Of every module at fault of which there is evidence; `located` are inputs, and what was found on them."""
    for each in faulty:
        here = [(inputs, step) for inputs, one in located for step in one.evidence.get(each.path, ())]
        # Step by step each array has one token, and no axis is one of tokens.
        lengths = [_lengths(inputs) if each.check != "decode" else [] for inputs, _ in here]
        forward = each.check == "forward"
        try:
            if here:
                yield describe([step for _, step in here], lengths, shown=shown if forward else (), heads=heads)
        except Exception:  # it computes what nobody thought of: the diagnosis stands without it
            continue


def shown_by(
    lines: Sequence[Line], probes: Sequence[Probe], masks_of: Callable[[Mapping[str, Any]], Mask]
) -> list[Shown]:
    """The inputs on which the outputs agree, and those on which they do not."""
    by_name = {probe.name: probe.inputs for probe in probes}
    return [
        Shown(
            agrees=line.verdict is Verdict.AGREE,
            tokens=max(_lengths(by_name[line.probe]), default=0),
            padded=any(not np.all(mask) for mask in masks_of(by_name[line.probe]).values()),
        )
        for line in lines
        if line.check == "forward" and line.probe in by_name and line.verdict is not Verdict.INCONCLUSIVE
    ]


def heads_of(side: Any) -> int:
    """How many heads the model has by its configuration; 0 if it says nothing."""
    settings = side.settings() if isinstance(side, Holds) else {}
    return next((settings[name] for name in HEADS if isinstance(settings.get(name), int)), 0)


HEADS = ("num_attention_heads", "n_head", "num_heads")
"""What configurations of transformers call the number of heads."""


def _lengths(inputs: Mapping[str, Any]) -> list[int]:
    """How many tokens the inputs have, those of the decoder too."""
    return [np.shape(inputs[name])[1] for name in TOKENS if name in inputs and np.ndim(inputs[name]) > 1]
