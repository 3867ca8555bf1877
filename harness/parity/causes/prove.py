"""Name a cause only if what follows from it is what was measured, on every input at hand."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.parity.causes.catalogue import BACKWARDS, FORWARDS
from harness.parity.causes.evidence import Claim, Evidence

ALTERNATIVES, ALIKE = 8, 3
"""Claims that are listed beside the first; and how many of one name there are at most."""


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
    # A hypothesis about another kind of module may divide by zero, overflow, or take the mean of nothing: what it
    # predicts then is no number.
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return _cause(evidences, port_path)


def _cause(evidences: Sequence[Mapping[str, Evidence]], port_path: str) -> Cause | None:
    found: list[tuple[list[Claim], list[Evidence]]] = []
    keys = dict.fromkeys(key for each in evidences for key in each)
    for key in keys:
        here = [each[key] for each in evidences if key in each]
        claims = _proved(here)
        if not claims and here[0].backwards and not here[0].handed and len(keys) > 1:
            continue  # the gradients of what it is given follow from those that it hands back
        if not claims:
            return None
        found.append((claims, here))
    if not found:
        return None
    shared = set.intersection(*({claim.detail for claim in claims} for claims, _ in found))
    chosen = [next((claim for claim in claims if claim.detail in shared), claims[0]) for claims, _ in found]
    if shared:  # one claim that explains all
        chosen = [next(claim for claim in claims if claim.detail == chosen[0].detail) for claims, _ in found]
    every = [(claim, evidence) for claim, (_, here) in zip(chosen, found, strict=True) for evidence in here]
    others = [claim for claims, _ in found for claim in claims if claim not in chosen]
    if shared:
        others = [claim for claim in others if claim.detail in shared]
    return Cause(
        every[0][1].path,
        port_path,
        ", ".join(dict.fromkeys(claim.name for claim in chosen)),
        "; ".join(list(dict.fromkeys(claim.detail for claim in chosen))[:3]),
        max(evidence.apart(evidence.got, evidence.right) for _, evidence in every),
        max(claim.error(evidence) for claim, evidence in every),
        len(evidences),
        tuple(dict.fromkeys(f"{claim.name}: {claim.detail}" for claim in others)),
    )


def _proved(evidences: Sequence[Evidence]) -> list[Claim]:
    """The claims that hold on all evidence, the most particular first."""
    proved: list[Claim] = []
    told: set[str] = set()
    for hypothesis in BACKWARDS if evidences[0].backwards else FORWARDS:
        try:
            for claim in hypothesis(evidences[0]):
                alike = sum(claim.name == each.name for each in proved)
                if claim.detail not in told and alike < ALIKE and all(claim.holds(each) for each in evidences):
                    proved.append(claim)
                    told.add(claim.detail)
                if len(proved) > ALTERNATIVES:
                    return proved
        except (ValueError, TypeError, IndexError, KeyError, ArithmeticError):
            continue  # the module is of another kind than the hypothesis is about
    return proved
