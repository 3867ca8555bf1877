"""Name a cause only if what follows from it is what was measured, on every input at hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.parity.causes.activations import activated
from harness.parity.causes.attention import attended, rotated
from harness.parity.causes.convolutions import convolved
from harness.parity.causes.evidence import Claim, Evidence, Hypothesis
from harness.parity.causes.inputs import masked, numbered
from harness.parity.causes.norms import normalised
from harness.parity.causes.outputs import combined, constant, limited, pooled, reordered, scaled, shortened, skipped
from harness.parity.causes.weights import looked_up, multiplied

CATALOGUE: Sequence[Hypothesis] = (
    normalised,
    activated,
    multiplied,
    convolved,
    looked_up,
    masked,
    numbered,
    attended,
    rotated,
    pooled,
    skipped,
    combined,
    scaled,
    constant,
    reordered,
    shortened,
    limited,
)
"""In this order a cause that is more particular comes before one that is more general."""


@dataclass(frozen=True, slots=True)
class Cause:
    """A cause that is proved. path, port_path: the module; name: the cause's; detail: what the port does.

    before, after: how far the port is off there, and how far the prediction is from what was measured, both relative
    to the largest value. inputs: on how many inputs. others: further causes that explain the same as well.
    """

    path: str
    port_path: str
    name: str
    detail: str
    before: float
    after: float
    inputs: int
    others: tuple[str, ...] = ()


def prove(evidences: Sequence[Mapping[str, Evidence]], port_path: str) -> Cause | None:
    """The cause of one module's fault, or None if the catalogue does not explain all that is wrong there.

    evidences: for each of the inputs, what is wrong in the module, by a key that is the same for all inputs. What a
    hypothesis fits, it fits on the first inputs; what it then predicts must be what was measured on all.
    """
    # A hypothesis about another kind of module may divide by zero or overflow: what it predicts then is no number.
    with np.errstate(all="ignore"):
        return _cause(evidences, port_path)


def _cause(evidences: Sequence[Mapping[str, Evidence]], port_path: str) -> Cause | None:
    found: list[tuple[list[Claim], list[Evidence]]] = []
    for key in dict.fromkeys(key for each in evidences for key in each):
        here = [each[key] for each in evidences if key in each]
        claims = _proved(here)
        if not claims:
            return None
        found.append((claims, here))
    if not found:
        return None
    # One claim of each array that is wrong; where all have the same, that is the cause.
    names = dict.fromkeys(claims[0].name for claims, _ in found)
    details = dict.fromkeys(claims[0].detail for claims, _ in found)
    every = [(claims[0], evidence) for claims, here in found for evidence in here]
    return Cause(
        every[0][1].path,
        port_path,
        ", ".join(names),
        "; ".join(list(details)[:3]),
        max(evidence.apart(evidence.got, evidence.right) for _, evidence in every),
        max(claim.error(evidence) for claim, evidence in every),
        len(evidences),
        tuple(dict.fromkeys(f"{claim.name}: {claim.detail}" for claims, _ in found for claim in claims[1:])),
    )


def _proved(evidences: Sequence[Evidence]) -> list[Claim]:
    """The claims, of each kind one, that hold on all evidence."""
    proved: list[Claim] = []
    for hypothesis in CATALOGUE:
        try:
            for claim in hypothesis(evidences[0]):
                if all(claim.name != other.name for other in proved) and all(claim.holds(each) for each in evidences):
                    proved.append(claim)
                    break
        except (ValueError, TypeError, IndexError, KeyError, ArithmeticError):
            continue  # the module is of another kind than the hypothesis is about
    return proved
