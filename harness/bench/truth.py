"""What a path should put out, and whether it does: the reference's plainest path in float64 is the truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from harness.adapters.protocols import Array, UnsupportedError
from harness.adapters.timed import WAYS, Job, Timed, Work
from harness.bench.path import BenchPath
from harness.bench.paths import PORTS, Sides
from harness.errors import RunError
from harness.parity.check import valid_masks
from harness.parity.compare import Difference, Verdict, compare
from harness.parity.floor import largest, measure
from harness.parity.judge import Mask, mask_for, valid_part
from harness.parity.meeting import conclude, pair_outputs, scaled
from harness.parity.precision import precision_line
from harness.parity.study import cotangents
from harness.parity.wide import by_rounding

Outputs = Mapping[str, Array]

CHANGE = 0.01
"""How far a step of training moves the outputs, by their size: rounding, at a millionth, then hides no gradient that is
wrong by a thousandth; and the step is still so small that it does not make chaos of rounding."""


@dataclass(frozen=True, slots=True)
class Standing:
    """The verdict on a path: how far it is from the reference in float64, of which that is `scale`.

    allowed: what rounding explains, by the reference's own.
    """

    verdict: Verdict
    reason: str
    error: float
    scale: float
    allowed: float


@dataclass(slots=True)
class Truths:
    """The reference's outputs of every kind of work, each made when it is asked for."""

    sides: Sides
    _kept: dict[tuple[Work, str], Outputs] = field(default_factory=dict)
    _step: tuple[dict[str, Array], float] | None = None

    def outputs(self, work: Work, precision: str) -> Outputs:
        """What the reference puts out in that precision, on the CPU; float64 is the truth.

        Raises:
            UnsupportedError: it has no such path.
        """
        key = (work, precision)
        if key not in self._kept:
            given, rate = self.step() if work == "train" else ({}, 0.0)
            self._kept[key] = self._run(work, precision, given, rate)
        return self._kept[key]

    def step(self) -> tuple[dict[str, Array], float]:
        """What the loss of a training step is made with, and how far it goes: see `CHANGE`."""
        if self._step is None:
            before = {name: array for name, array in self.outputs("forward", "float64").items() if self._counts(name)}
            given = cotangents(before, self.masks("forward"), self.sides.case.seed)
            tiny = 1e-6
            after = self._run("train", "float64", given, tiny)
            moved = max((largest(after[name] - before[name]) / (largest(before[name]) or 1.0)) for name in given)
            if not moved:
                problem = "a step of training changes no output"
                raise RunError(self._place, problem, todo="Give a model with weights that are trained.")
            self._step = (given, tiny * CHANGE / moved)
        return self._step

    def masks(self, work: Work) -> Mask:
        """The valid positions among those that the work puts out."""
        found = valid_masks(self.sides.inputs, self.sides.case.valid, self._place)
        chunk = self.sides.chunk(work)
        return {name: mask[:, chunk.start : chunk.stop] for name, mask in found.items()} if chunk else found

    def judge(self, path: BenchPath, outputs: Outputs) -> Standing:
        """The verdict on what the path put out.

        In float32 as every comparison is judged: the case's tolerance, and rounding as far as the floor explains it; in
        bfloat16 three-way, as a case in half precision is.

        Raises:
            UnsupportedError: the reference itself has no such work.
        """
        own, exact = self.outputs(path.work, path.precision), self.outputs(path.work, "float64")
        case = self.sides.case
        mapping = case.mapping if self.sides.named(path) == PORTS[1] else {}
        names, complaints = pair_outputs(tuple(own), tuple(outputs), case.outputs, mapping)
        found = [self._difference(path, pair, own, exact, outputs) for pair in names]
        verdict, reason = conclude([pair for pair, _ in found], complaints, [])
        worst, allowed = max(found, key=lambda each: each[0].error / (each[1] or 1.0), default=(None, 0.0))
        return Standing(verdict, reason, worst.error if worst else 0.0, worst.scale if worst else 0.0, allowed)

    def _difference(
        self, path: BenchPath, pair: tuple[str, str], own: Outputs, exact: Outputs, outputs: Outputs
    ) -> tuple[Difference, float]:
        """The pair, and how much of its error rounding explains."""
        name, target = pair
        masks = self.masks(path.work)
        mask = mask_for(name, own[name], masks)
        # What a model puts out after a step of training is no output that the contract speaks of.
        tolerance = self.sides.case.tolerance
        tolerance = scaled(tolerance, own[name]) if path.work == "train" else tolerance
        found = compare(own[name], outputs[target], tolerance=tolerance, name=name, port_name=target, valid=mask)
        if path.precision != "float32":
            truth, ours, theirs = (valid_part(name, each, masks) for each in (exact[name], own[name], outputs[target]))
            line = precision_line(name, truth, ours, theirs, path.precision, path.device)
            told = replace(found, error=line.error, scale=line.scale, verdict=line.verdict, reason=line.reason)
            return told, line.allowed
        if not found.compared:
            return found, 0.0
        rounding = measure(found.error, own[name], exact[name], None, islands=False, mask=mask)
        return by_rounding(found, rounding), rounding.allowed

    def _run(self, work: Work, precision: str, given: dict[str, Array], rate: float) -> Outputs:
        side: Any = self.sides.side("reference")
        if not isinstance(side, Timed):
            raise UnsupportedError(f"{side.describe()} is run as it is, and has no paths")
        job = Job(WAYS[side.framework][0], work, precision, self.sides.chunk(work), given, rate)
        if why := side.lacks(job):
            raise UnsupportedError(f"the reference: {why}")
        with side.ready(self.sides.inputs, job) as call:
            return call.outputs()

    def _counts(self, name: str) -> bool:
        return not self.sides.case.outputs or name in self.sides.case.outputs

    @property
    def _place(self) -> str:
        return f"case {self.sides.case.name!r}"
