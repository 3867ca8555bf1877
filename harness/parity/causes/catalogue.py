"""The catalogue of causes: what is tried, and in which order."""

from __future__ import annotations

from collections.abc import Sequence

from harness.parity.causes import gradients, outputs
from harness.parity.causes.activations import activated
from harness.parity.causes.attended import attended
from harness.parity.causes.buckets import added, bucketed
from harness.parity.causes.convolutions import convolved
from harness.parity.causes.dropped import dropped
from harness.parity.causes.evidence import Hypothesis
from harness.parity.causes.inputs import masked, numbered
from harness.parity.causes.norms import normalised
from harness.parity.causes.placed import placed
from harness.parity.causes.pooling import pooled, pooled_in_windows
from harness.parity.causes.rotary import rotated
from harness.parity.causes.statistics import kept
from harness.parity.causes.weights import looked_up, multiplied

FORWARDS: Sequence[Hypothesis] = (
    kept,
    dropped,
    normalised,
    activated,
    multiplied,
    convolved,
    looked_up,
    masked,
    numbered,
    bucketed,
    added,
    attended,
    rotated,
    placed,
    pooled,
    pooled_in_windows,
    outputs.cut,
    outputs.skipped,
    outputs.combined,
    outputs.scaled,
    outputs.constant,
    outputs.reordered,
    outputs.transposed,
    outputs.standardised,
    outputs.shortened,
    outputs.limited,
)
"""In this order a cause that is more particular comes before one that is more general."""

BACKWARDS: Sequence[Hypothesis] = (
    gradients.stopped,
    gradients.straight,
    gradients.rows_of_padding,
    gradients.normalised,
    gradients.branches,
    gradients.multiplied,
    gradients.clipped,
)
"""The causes that show in gradients alone."""
