"""Running statistics of a batch norm after a run in training mode: which momentum, and what is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from harness.parity.causes.evidence import Claim, Evidence, both
from harness.parity.compare import Array
from harness.parity.floor import EXACT


def kept(evidence: Evidence) -> Iterator[Claim]:
    """What is kept of a batch: with another momentum, or of another kind of variance, or nothing."""
    kinds = ["mean"] if "mean" in evidence.leaf else ["unbiased variance", "variance"]
    ours = _fitted(evidence, evidence.right, kinds)
    theirs = _fitted(evidence, evidence.got, kinds)
    if ours is None or theirs is None:
        return
    if not theirs.momentum:
        name, what = "statistics not kept", f"its {evidence.leaf} stays as it is"
    elif theirs.kind != ours.kind:
        name, what = "biased running variance", f"the {theirs.kind} is kept, the {ours.kind} in the reference"
    else:
        name, what = "momentum", f"{theirs.momentum:.6g} in the port, {ours.momentum:.6g} in the reference"
    yield Claim(name, what, partial(_both, ours=ours, theirs=theirs))


@dataclass(frozen=True, slots=True)
class Update:
    """before x (1 - momentum) + that of the batch x momentum, which is momentum in the sense of PyTorch."""

    momentum: float
    kind: str

    def __call__(self, evidence: Evidence) -> Array | None:
        """The statistics afterwards, from those before and the norm's input; None if this is no such norm."""
        before, x = evidence.weights.get(evidence.leaf), evidence.first
        if before is None or x is None or x.ndim < 2 or x.shape[1] != before.size:
            return None
        axes = tuple(axis for axis in range(x.ndim) if axis != 1)
        made: Array = before * (1 - self.momentum) + KINDS[self.kind](x, axes) * self.momentum
        return made


KINDS: Mapping[str, Callable[[Array, tuple[int, ...]], Array]] = {
    "mean": lambda x, axes: x.mean(axes),
    "variance": lambda x, axes: x.var(axes),
    "unbiased variance": lambda x, axes: x.var(axes, ddof=1),
}


def _fitted(evidence: Evidence, target: Array, kinds: list[str]) -> Update | None:
    before = evidence.weights.get(evidence.leaf)
    for kind in kinds:
        whole = Update(1.0, kind)(evidence)
        if before is None or whole is None:
            return None
        way = whole - before
        momentum = float((target - before) @ way / (way @ way)) if way.any() else 0.0
        for update in (Update(float(f"{momentum:.6g}"), kind), Update(momentum, kind)):
            made = update(evidence)
            if made is not None and evidence.apart(made, target) <= EXACT:
                return update
    return None


def _both(evidence: Evidence, ours: Update, theirs: Update) -> tuple[Array | None, Array | None]:
    return both(ours(evidence), theirs(evidence))
