"""The result of comparing a port with its reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.cases.original import Original
from harness.parity.align import Alignment
from harness.parity.causes import Cause
from harness.parity.compare import Difference, Verdict
from harness.parity.diagnose import Diagnosis
from harness.parity.judge import Line
from harness.parity.localise import Faulty
from harness.parity.naming import Proposal
from harness.parity.outcome import registered
from harness.register import Row
from harness.tolerance import Tolerance

if TYPE_CHECKING:
    from harness.parity.repro import Repro


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was compared, how far apart it was, and the verdict.

    name: the case, or what the caller named. reference, port: framework and class of either side.
    original: the package that the reference comes from, if it is one.
    outputs, taps: a difference per pair, in the order of execution; several calls are told apart as `name@2`.
    alignment: which taps were paired, left over, or excused.
    lines: the further claims, each with a verdict of its own: probes, gradients, decoding, training, preflight.
    proposals: which taps that are left over may be one; nothing is paired by them.
    notes: what the preflight saw that is no fault by itself. weights: how the weights of both sides were linked.
    diagnosis: where the fault is, if there is one.
    probes_not_taken: inputs that the case cannot take -> why.
    islands: places that computed in a shorter type although float64 was asked, as `reference: ...` or `port: ...`.
    not_checked: check -> why it was not made. seconds: step -> seconds it took.
    """

    name: str
    reference: str
    port: str
    verdict: Verdict
    reason: str
    outputs: tuple[Difference, ...]
    taps: tuple[Difference, ...]
    alignment: Alignment
    tolerance: Tolerance
    original: Original | None = None
    lines: tuple[Line, ...] = ()
    notes: tuple[str, ...] = ()
    proposals: tuple[Proposal, ...] = ()
    weights: Mapping[str, Any] = field(default_factory=dict)
    diagnosis: Diagnosis = field(default_factory=Diagnosis)
    probes_not_taken: Mapping[str, str] = field(default_factory=dict)
    islands: tuple[str, ...] = ()
    not_checked: Mapping[str, str] = field(default_factory=dict)
    device: str = "cpu"
    precision: str = "highest"
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def pairs(self) -> tuple[Difference, ...]:
        """Every compared pair: the taps, then the outputs."""
        return self.taps + self.outputs

    @property
    def first(self) -> Difference | None:
        """The first tap, in the order of execution, that is off; None if none is.

        Off is: outside the tolerance, times the tap's own scale where that is above 1.
        """
        return next((tap for tap in self.taps if tap.verdict is not Verdict.AGREE), None)

    @property
    def worst(self) -> Difference | None:
        """The output that is farthest off; one that diverges comes before any that does not."""
        order = {Verdict.DIVERGE: 3, Verdict.WITHIN_TOLERANCE: 2, Verdict.INCONCLUSIVE: 1}
        return max(self.outputs, key=lambda pair: (order.get(pair.verdict, 0), pair.error), default=None)

    @property
    def faulty(self) -> tuple[Faulty, ...]:
        """The modules at fault, in the order of execution: each with `.path` and `.port_path`, empty for the model."""
        return self.diagnosis.faulty

    @property
    def causes(self) -> tuple[Cause, ...]:
        """The causes that are proved, each with `.path`, `.name` and `.detail`."""
        return self.diagnosis.causes

    @property
    def unmatched(self) -> tuple[str, ...]:
        """Taps that one side alone has and no reason excuses, as `reference: path` or `port: path`."""
        return self.alignment.unmatched

    @property
    def coverage(self) -> float:
        """The share of taps on both sides that were compared, 0 to 1."""
        return self.alignment.coverage

    def registered(self, rows: Sequence[Row]) -> tuple[str, ...]:
        """The ids of those rows of the register that explain this result; nothing explains an inconclusive one."""
        return registered(self.verdict, self.worst.error if self.worst else 0.0, rows)

    def save_repro(self, folder: str | Path, *, module: str | None = None) -> Repro:
        """Write the smallest repro of a module at fault, by default of the first: a script and what it reads.

        The script needs nothing of ours; it is run once, and the result says whether it shows the fault.

        Raises:
            SpecError: no module is known to be at fault, or not this one. RecordError: the folder cannot be written.
        """
        from harness.parity.repro import save

        return save(self.diagnosis.specimens, Path(folder), module=module)

    def metrics(self) -> dict[str, Any]:
        """The figures of a run record."""
        worst = self.worst
        return {
            "error": worst.error if worst else None,
            "scale": worst.scale if worst else None,
            "relative": worst.relative if worst and worst.scale else None,
            "tolerance": self.tolerance.atol,
            "outside": sum(pair.outside for pair in self.outputs),
            "compared": sum(pair.compared for pair in self.outputs),
            "outputs": len(self.outputs),
            "taps": len(self.taps),
            "unmatched": len(self.unmatched),
            "coverage": self.coverage,
        } | self._rounding()

    def _rounding(self) -> dict[str, Any]:
        """The figures of the worst output in float64: its error there, and what rounding does to the reference."""
        found = self.worst.rounding if self.worst else None
        if found is None:
            return {}
        return {"error64": found.error64, "scale64": found.scale64, "floor": found.floor, "explained_by": found.by}

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, every pair included."""
        return {
            "schema": 1,
            "case": self.name,
            "verdict": self.verdict.value,
            "reason": self.reason,
            "reference": self.reference,
            "port": self.port,
            "original": asdict(self.original) if self.original else None,
            "device": self.device,
            "precision": self.precision,
            "tolerance": {name: getattr(self.tolerance, name) for name in ("atol", "rtol", "reason")},
            "coverage": self.coverage,
            "unmatched": list(self.unmatched),
            "excused": self.alignment.excused,
            "islands": list(self.islands),
            "lines": [line.to_dict() for line in self.lines],
            "notes": list(self.notes),
            "proposals": [asdict(proposal) for proposal in self.proposals],
            "weights": dict(self.weights),
            "diagnosis": self.diagnosis.to_dict(),
            "probes_not_taken": dict(self.probes_not_taken),
            "not_checked": dict(self.not_checked),
            "first": self.first.name if self.first else None,
            "metrics": self.metrics(),
            "seconds": dict(self.seconds),
            "outputs": [pair.to_dict() for pair in self.outputs],
            "taps": [pair.to_dict() for pair in self.taps],
            "text": str(self),
        }

    def __str__(self) -> str:
        from harness.parity.text import failure_text

        return failure_text(self)
