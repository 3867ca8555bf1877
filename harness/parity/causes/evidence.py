"""What is known of a module at fault, and what a hypothesis about it claims."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from harness.adapters.protocols import Call
from harness.parity.calls import filled
from harness.parity.compare import Array
from harness.parity.floor import EXACT, largest


@dataclass(frozen=True, slots=True)
class Evidence:
    """One call of a module at fault, everything in float64 and in the reference's form.

    right, got: what the reference has, and the port instead: an output of the module, or (`handed`) what it gives to
    the module inside it that `child` names. inputs: what the module is given, the same on both sides. inside: the
    reference's calls inside it by name; their outputs are the same on both sides. weights: of the reference's module,
    by name without its path; theirs: those of the port's module that stand for them, in the same form, as far as that
    is known. every: all weights of the reference, by whole name; tied: which of them the module uses, if it has none
    of its own. valid: where right and got mean something. check: in which kind of run this was seen. drawn: how many
    random numbers either side drew there. before: backwards, what the module was given forwards. earlier: inputs and
    inside of the calls in earlier steps of decoding.
    """

    path: str
    kind: str
    right: Array
    got: Array
    inputs: Mapping[str, Any]
    inside: Mapping[str, Call]
    weights: Mapping[str, Array]
    theirs: Mapping[str, Array]
    every: Mapping[str, Array] = field(default_factory=dict)
    valid: Array | None = None
    child: str = ""
    leaf: str = ""
    is_mask: bool = False
    tied: str = ""
    check: str = "forward"
    drawn: tuple[int, int] = (0, 0)
    before: Array | None = None
    earlier: tuple[tuple[Mapping[str, Any], Mapping[str, Call]], ...] = ()

    @property
    def training(self) -> bool:
        """Whether the module was run in training mode, with dropout held still."""
        return self.check == "train"

    @property
    def backwards(self) -> bool:
        """Whether the arrays are gradients: given are those of outputs, put out are those of inputs."""
        return self.check == "gradients"

    @property
    def handed(self) -> bool:
        """Whether the arrays are what the module hands on, not what it puts out."""
        return bool(self.child)

    @property
    def first(self) -> Array | None:
        """The first input that is an array."""
        return next((leaf for leaf in self.inputs.values() if isinstance(leaf, np.ndarray)), None)

    def apart(self, one: Array, other: Array) -> float:
        """How far two arrays like `right` are apart where they mean something, relative to its largest value."""
        if one.shape != other.shape:
            return float("inf")
        known = one.shape == self.right.shape
        chosen = self.valid if known and self.valid is not None else np.ones(one.shape, bool)
        one, other = filled(one.astype(np.float64)), filled(other.astype(np.float64))
        with np.errstate(invalid="ignore"):
            apart = np.where(one == other, 0.0, np.abs(one - other))
        apart = np.where(np.isnan(apart), np.inf, apart)
        error = float(np.max(apart, initial=0.0, where=np.broadcast_to(np.asarray(chosen), apart.shape)))
        right = np.where(self.valid, self.right, 0.0) if known and self.valid is not None else self.right
        scale = largest(right.astype(np.float64))
        return error / scale if scale else error


@dataclass(frozen=True, slots=True)
class Claim:
    """A cause, and what follows from it.

    name: of the cause, in the words of the field. detail: what the port has, and what the reference has.
    predict: from the evidence of any inputs what the module puts out when it is mended, and what it puts out as it is;
        None for what the claim says nothing about. Nothing in it may be fitted anew.
    """

    name: str
    detail: str
    predict: Callable[[Evidence], tuple[Array | None, Array | None]]

    def error(self, evidence: Evidence) -> float:
        """How far the prediction is from what was measured, relative to the largest value."""
        mended, modelled = self.predict(evidence)
        errors = [
            evidence.apart(measured, predicted)
            for measured, predicted in ((evidence.right, mended), (evidence.got, modelled))
            if predicted is not None
        ]
        return max(errors, default=float("inf"))

    def holds(self, evidence: Evidence) -> bool:
        """Whether rounding alone explains what is left, at least what a table stored in float32 is rounded by."""
        return gone(self.error(evidence), evidence.apart(evidence.got, evidence.right))


def gone(after: float, before: float) -> bool:
    """Whether what is left of an error is no more than rounding; both relative."""
    return after <= EXACT or after <= min(SHORT, before * COLLAPSED)


def both(ours: Array | None, theirs: Array | None) -> tuple[Array | None, Array | None]:
    """Both predictions of a claim about two forms of a module, or none where one of them does not fit."""
    return (None, None) if ours is None or theirs is None else (ours, theirs)


SHORT, COLLAPSED = 1e-6, 1e-4
"""A table of angles that a side stores in float32 is off by 6e-8 of each angle. An error that falls to that, and to a
ten-thousandth of what it was, is gone as far as can be seen through such a table."""

Hypothesis = Callable[[Evidence], Iterator[Claim]]
"""Claims that one kind of cause makes possible; what it fits, it fits on this evidence."""


def described(evidence: Evidence, leaf: str, held: Array) -> str:
    """What a weight of the port holds instead of the reference's."""
    right = evidence.weights[leaf]
    kind = kind_of(evidence, leaf, held)
    if kind == "corrupted element":
        index = tuple(int(each[0]) for each in np.nonzero(_differs(right, held)))
        return f"its {leaf} has {held[index]:.4g} at {list(index)}, the reference {right[index]:.4g}"
    if kind == "weights of another module":
        return f"its {leaf} is {_owner(evidence, leaf, held)}"
    if kind == "weights at initialisation":
        return f"its {leaf} is {held.flat[0]:g} everywhere"
    share = f"{_differs(right, held).mean():.0%} of its numbers are others"
    return {
        "kernel transposed": f"its {leaf} is transposed",
        "kernel permuted": f"its {leaf} has the right numbers in other places",
    }.get(kind, f"its {leaf} was not loaded: {share}")


def kind_of(evidence: Evidence, leaf: str, held: Array) -> str:
    """The name of the cause that a weight of the port shows by what it holds."""
    right = evidence.weights[leaf]
    if _differs(right, held).sum() == 1:
        return "corrupted element"
    if held.ndim == 2 and held.shape[0] == held.shape[1] and not _differs(right, held.T).any():
        return "kernel transposed"
    if not np.ptp(held):
        return "weights at initialisation"
    if _owner(evidence, leaf, held):
        return "weights of another module"
    if not _differs(np.sort(right.reshape(-1)), np.sort(held.reshape(-1))).any():
        return "kernel permuted"
    return "other weights"


def _owner(evidence: Evidence, leaf: str, held: Array) -> str:
    return next(
        (
            path
            for path, array in evidence.every.items()
            if array.shape == held.shape and path != f"{evidence.path}.{leaf}" and not _differs(array, held).any()
        ),
        "",
    )


def _differs(right: Array, held: Array) -> Array:
    apart: Array = np.abs(held.astype(np.float64) - right) > 1e-6 * max(largest(right), largest(held))
    return apart
