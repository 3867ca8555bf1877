"""How alike sentences are, from the states of their tokens: mean pooling and cosines, as sentence encoders are trained.

Reimers and Gurevych, arXiv 1908.10084, section 3.
"""

from __future__ import annotations

import numpy as np

from harness.parity.compare import Array


def pooled(states: Array, mask: Array, *, normalised: bool = True) -> Array:
    """The mean state of each sentence's tokens: (sentences, width).

    states: (sentences, tokens, width). mask: (sentences, tokens), non-zero for a token, zero for padding.
    normalised: of length 1.

    Raises:
        ValueError: a sentence has no token.
    """
    counts = np.asarray(mask).astype(bool).sum(axis=1, keepdims=True)
    if not counts.all():
        raise ValueError("a sentence has no token")
    means = (states * np.asarray(mask).astype(bool)[..., None]).sum(axis=1) / counts
    return np.asarray(means / np.linalg.norm(means, axis=1, keepdims=True) if normalised else means)


def ranking(cosines: Array) -> list[tuple[int, ...]]:
    """For each sentence the others, the most alike first."""
    without = np.where(np.eye(len(cosines), dtype=bool), -np.inf, cosines)
    return [tuple(map(int, row[:-1])) for row in np.argsort(-without, axis=1, kind="stable")]
