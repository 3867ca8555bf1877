"""Half precision, judged three-way: is the port as close to the truth as the reference is, in the same precision?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from harness.adapters.protocols import Array, Runs, Shortens
from harness.parity.compare import Verdict
from harness.parity.floor import largest
from harness.parity.judge import Line, Mask, valid_part
from harness.parity.study import Names

PRECISIONS = ("bfloat16", "float16")

FACTOR = 2.0
FACTORS = {("bfloat16", "cpu"): FACTOR, ("float16", "cpu"): FACTOR}
"""(precision, device) -> how many times the reference's own error, root mean square, the port's may be. The correct
ports of `suites/power/test_short.py`, which measures it again, are off by at most 1.5 times; other devices were not
measured."""
SURE = 3.72
"""Standard deviations that a normal number exceeds once in ten thousand."""


def precision_lines(
    sides: Sequence[Runs], inputs: Mapping[str, Any], *, names: Names, masks: Mask, precision: str, device: str
) -> list[Line]:
    """A line for each output: |port - reference64| against |reference - reference64|, the first two in `precision`.

    The truth is the reference in float64. Two correct programs round differently, but neither much worse.
    """
    lines = []
    truth = sides[0].run_wide(inputs).outputs
    both = [side.run_short(inputs, precision=precision) for side in sides if isinstance(side, Shortens)]
    if len(both) < 2:
        return [Line("precision", precision, Verdict.INCONCLUSIVE, "a side cannot be run in half precision")]
    for name, target in names:
        exact = valid_part(name, truth[name], masks)
        ours, theirs = valid_part(name, both[0][name], masks), valid_part(name, both[1][target], masks)
        lines.append(precision_line(name, exact, ours, theirs, precision, device))
    return lines


def precision_line(name: str, exact: Array, ours: Array, theirs: Array, precision: str, device: str) -> Line:
    """The line of one output: its valid part in float64, and what either side makes of it in `precision`."""
    label = f"{precision}, {name}"
    if exact.shape != theirs.shape or not exact.size:
        return Line(
            "precision", label, Verdict.INCONCLUSIVE, f"{exact.shape} in the reference, {theirs.shape} in the port"
        )
    if not (np.isfinite(ours).all() and np.isfinite(exact).all()):
        return Line("precision", label, Verdict.INCONCLUSIVE, "the reference itself is no number in this precision")
    own, error = _rms(ours - exact), _rms(theirs - exact)
    if not np.isfinite(error):
        return Line("precision", label, Verdict.DIVERGE, "the port puts out NaN or infinity", where=name, compared=1)
    # The logarithm of a root mean square of n values scatters by 1 / sqrt(2n), that of a ratio of two by 1 / sqrt(n).
    chance = float(np.exp(SURE / np.sqrt(exact.size)))
    factor = FACTORS.get((precision, device), FACTOR) * chance
    allowed = factor * max(own, float(np.finfo(np.float32).eps) * largest(exact))
    agrees = error <= allowed
    reason = "" if agrees else f"{name}: the port is off by {error:.3g} (rms), the reference itself by {own:.3g}"
    verdict = Verdict.AGREE if agrees else Verdict.DIVERGE
    return Line("precision", label, verdict, reason, error, largest(exact), allowed, name, 1)


def _rms(array: Array) -> float:
    return float(np.sqrt(np.mean(np.square(array)))) if array.size else 0.0
