"""Work of the same kind as a model's, in NumPy alone: what a call is divided by, to compare it from night to night.

It is to be timed in turn with the call, a round a round. In 50 processes of a machine with a load average of 6 to 9 the
CPU time of a BERT's forward pass varied by 3.8 %; divided by one matrix product of 512 x 512, timed in turn, by 2.1 %,
with a correlation of 0.5 from one process to the next; divided by this, by 1.7 % and 0.3. A framework's own layers
would follow the machine as well, yet hide what a new version of the framework costs.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

TOKENS, WIDTH, INNER, LAYERS = 64, 256, 1024, 6
"""Sizes of a small transformer: some 7 ms of one core."""


def layers() -> Callable[[], NDArray[np.float32]]:
    """A call that runs a few transformer layers on fixed arrays, (tokens, width)."""
    random = np.random.default_rng(0)

    def drawn(*shape: int) -> NDArray[np.float32]:
        return random.standard_normal(shape, dtype=np.float32) / np.float32(shape[0] ** 0.5)

    query, key, value, out = (drawn(WIDTH, WIDTH) for _ in range(4))
    up, down, start = drawn(WIDTH, INNER), drawn(INNER, WIDTH), drawn(TOKENS, WIDTH)

    def call() -> NDArray[np.float32]:
        hidden = start
        for _ in range(LAYERS):
            scores = (hidden @ query) @ (hidden @ key).T
            weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
            mixed = weights / weights.sum(axis=-1, keepdims=True) @ (hidden @ value)
            hidden = _normalised(hidden + mixed @ out)
            inner = hidden @ up
            hidden = _normalised(hidden + (inner * (1 + np.tanh(inner))) @ down)
        return hidden

    return call


def ratio(seconds: Sequence[float], yardstick: Sequence[float]) -> float:
    """A call by the yardstick, from times of both in turn (rounds,): the median of the rounds' ratios, since each round
    is compared with the machine as it was.

    Raises:
        ValueError: there is no round, or not as many of both, or a time is not above zero.
    """
    if not seconds or len(seconds) != len(yardstick) or min(*seconds, *yardstick) <= 0:
        raise ValueError(f"wanted times of as many rounds of both, got {len(seconds)} and {len(yardstick)}")
    return statistics.median(one / other for one, other in zip(seconds, yardstick))


def _normalised(values: NDArray[np.float32]) -> NDArray[np.float32]:
    found: NDArray[np.float32] = (values - values.mean(axis=-1, keepdims=True)) / values.std(axis=-1, keepdims=True)
    return found
