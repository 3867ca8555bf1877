"""Both sides of a case, built once, and each step of a port made of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial

from harness.adapters.choose import adapt
from harness.adapters.protocols import Holds
from harness.cases.spec import Case
from harness.errors import MappingError
from harness.parity.audit import Audit
from harness.parity.audit import Status as Weighed
from harness.parity.case import Parts, audit_built, compare_built
from harness.parity.check import CHECKS
from harness.parity.compare import Verdict
from harness.parity.comparison import Comparison
from harness.parity.stored import Stored
from harness.porting.ends import compare_ends
from harness.porting.outline import PARTS, Outline
from harness.porting.parts import outlined, part_at_fault
from harness.porting.sources import hashes, weights_digest
from harness.porting.steps import Progress, Status, Step
from harness.porting.usual import USUAL
from harness.register import read_register, rows_for
from harness.settings import Repository
from harness.tokenizers.check import check_tokenizers

LINES = {
    "loss and gradients": ("gradients", "train", "dropout"),
    "generation": ("decode", "generation"),
}
"""Step -> the claims of a comparison that are its own."""


class Built:
    """Both sides of a case, and the comparison forwards, which several steps share: made when it is asked for.

    code: the files that the reference and the inputs are made of, by their hashes. recorded: a trace of the reference,
    with which the port is compared instead of with the reference itself.
    """

    def __init__(self, case: Case, repository: Repository, progress: Progress = None) -> None:
        self.case, self.repository = case, repository
        self.parts = Parts(case, repository, progress)
        self.reference = self.parts.reference()
        self.inputs = None if isinstance(self.reference, Stored) else self.parts.inputs()
        self.code = hashes(repository.root)
        self.port, self.refused = None, ""
        try:
            self.port = self.parts.port(self.reference)
        except MappingError as error:  # the audit tells all that is wrong with the rules
            self.refused = f"no port was made: {error.problem}"
        self.recorded: Stored | None = None
        self.forward: tuple[Comparison, Outline] | None = None

    def weights_digest(self) -> str:
        """The weights of both sides, as a hash."""
        return weights_digest(*(side for side in (self.reference, self.port) if side is not None))

    def step(self, name: str) -> Step:
        """One step, timed.

        Raises:
            As `harness.check`.
        """
        makers: dict[str, Callable[[], Step]] = {
            "weights": self._weights,
            "tokenizer": self._tokenizer,
            "end to end": self._ends,
            **{part: partial(self._part, part) for part in PARTS},
            "loss and gradients": lambda: self._further(name, ("gradients", "train")),
            "generation": lambda: self._further(name, ("decode",)),
        }
        start = time.perf_counter()
        step = makers[name]()
        usual = USUAL[name] if step.status is Status.FAILED else ()
        return replace(step, step=name, usual=usual, seconds=time.perf_counter() - start)

    def compared(self, checks: Sequence[str]) -> Comparison:
        """The comparison with these of the case's checks, and the contract."""
        asked = [check for check in CHECKS if check == "forward" or (check in checks and check in self.case.checks)]
        return compare_built(self.parts, self.reference, self.port, self.inputs, checks=asked)

    def against(self, recorded: Stored) -> Comparison:
        """The port as it is compared with a trace of the reference, which is not run again."""
        return compare_built(self.parts, recorded, self.port, None)

    def _weights(self) -> Step:
        sides = [side for side in (self.reference, self.port) if side is not None and not isinstance(side, Stored)]
        if not all(isinstance(adapt(side), Holds) for side in sides):
            return _step(Status.NONE, "a side is a function, whose weights nobody sees")
        if isinstance(self.reference, Stored) and not self.reference.index.weights:
            return _step(Status.NONE, "the reference is a recording without weights")
        found = audit_built(self.parts, self.reference, self.port, said=self.refused)
        wrong = [row for row in found.rows if row.status is Weighed.WRONG]
        if not wrong and not self.refused:
            rule = "where the rules say" if self.case.conversion else "found by their values"
            return _step(Status.OK, f"{len(found.rows)} weights, {rule}")
        where = self.refused
        if wrong:
            more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
            where = f"{wrong[0].source or wrong[0].target}: {wrong[0].note}{more}"
        return _step(Status.FAILED, where, text=_audited(found))

    def _part(self, name: str) -> Step:
        if self.forward is None:
            found = self.compared(("float64",)) if self.recorded is None else self.against(self.recorded)
            given = self.reference if self.recorded is None else self.recorded
            outline = outlined(given, self.inputs, device=self.case.device, place=f"case {self.case.name!r}")
            self.forward = found, outline
        found, outline = self.forward
        taps = outline.parts[name]
        part, where = part_at_fault(found, outline)
        if part and PARTS.index(part) <= PARTS.index(name):
            return self._judged(found, where)
        left = [tap for tap in taps if f"reference: {tap}" in found.unmatched]
        if left:
            text = f"{_count(left, 'tap')} unmatched, first {left[0]}: map it, or name it with a reason"
            return _step(Status.INCONCLUSIVE, text, text=str(found))
        said = _agreed(taps, {tap.name for tap in found.taps}, why_not=outline.why_not.get(name, ""))
        if name != PARTS[-1]:
            return said
        # The outputs are the head's, whether or not a module of it can be seen.
        if found.verdict is not Verdict.AGREE:
            return self._judged(found, found.reason)
        outputs = ", ".join(dict.fromkeys(pair.name for pair in found.outputs))
        return _step(Status.OK, f"outputs agree: {outputs}{f'; {said.detail}' if said.status is Status.OK else ''}")

    def _judged(self, found: Comparison, where: str) -> Step:
        """A comparison that does not agree, as a step; what the register knows of passes."""
        rows = rows_for(self.case.name, read_register(self.repository.register))
        if registered := found.registered(rows):
            return _step(Status.REGISTERED, f"{', '.join(registered)}: {where}")
        proved = next((f"{cause.name}: {cause.detail}" for cause in found.causes), "")
        status = Status.INCONCLUSIVE if found.verdict is Verdict.INCONCLUSIVE else Status.FAILED
        return _step(status, where, proved=proved, text=str(found))

    def _further(self, name: str, checks: Sequence[str]) -> Step:
        asked = [check for check in checks if check in self.case.checks]
        if not asked:
            return _step(Status.NONE, f"the case does not ask for {' and '.join(checks)}")
        found = self.compared(asked)
        lines = [line for line in found.lines if line.check in LINES[name]]
        off = [line for line in lines if line.verdict is not Verdict.AGREE]
        if off:
            faulty = [each for each in found.faulty if each.check != "forward"]
            path = f"{faulty[0].path or 'the model itself'}: {faulty[0].how}; " if faulty else ""
            return self._judged(found, f"{path}{off[0].check}, {off[0].probe}: {off[0].reason}")
        if not lines:
            why = [f"{each}: {found.not_checked[each]}" for each in (*asked, "generation") if each in found.not_checked]
            return _step(Status.NONE, "; ".join(why) or "neither side can do it")
        return _step(Status.OK, f"{len(lines)} claims agree: {', '.join(dict.fromkeys(line.check for line in lines))}")

    def _tokenizer(self) -> Step:
        pair = self.case.tokenizer
        if pair is None:
            return _step(Status.NONE, "the case names no [tokenizer]")
        sides = self.parts.made("tokenizer.reference", pair.reference), self.parts.made("tokenizer.port", pair.port)
        found = check_tokenizers(*sides, seed=self.case.seed)
        return _of_verdict(found.verdict, str(found))

    def _ends(self) -> Step:
        if self.case.end_to_end is None:
            return _step(Status.NONE, "the case names no [end_to_end]")
        made = self.parts.made("end_to_end", self.case.end_to_end, reference=self.reference, port=self.port)
        place = f"case {self.case.name!r}, end_to_end"
        return _of_verdict(*compare_ends(made, tolerance=self.case.tolerance, place=place))


def _step(status: Status, detail: str, *, proved: str = "", text: str = "") -> Step:
    return Step("", status, detail, proved=proved, text=text)


def _of_verdict(verdict: Verdict, text: str) -> Step:
    status = {Verdict.AGREE: Status.OK, Verdict.INCONCLUSIVE: Status.INCONCLUSIVE}.get(verdict, Status.FAILED)
    return _step(status, text.splitlines()[0], text="" if status is Status.OK else text)


def _agreed(taps: Sequence[str], compared: Collection[str], *, why_not: str) -> Step:
    """What is to be said of the taps of a part that nothing is wrong with."""
    if not taps:
        return _step(Status.NONE, why_not)
    agree = [tap for tap in taps if tap in compared]
    if not agree:
        return _step(Status.NONE, f"the case names its {_count(taps, 'tap')} with a reason and compares none")
    left = f"; {len(taps) - len(agree)} left out for a reason" if len(agree) < len(taps) else ""
    return _step(Status.OK, f"agreed: {_count(agree, 'tap')}, {_span(agree)}{left}")


def _count(names: Sequence[str], word: str) -> str:
    return f"{len(names)} {word}{'' if len(names) == 1 else 's'}"


def _span(taps: Sequence[str]) -> str:
    return taps[0] if len(taps) == 1 else f"{taps[0]} to {taps[-1]}"


def _audited(found: Audit) -> str:
    lines = [f"{row.source or '-'} -> {row.target or '-'}: {row.note}" for row in found.rows if row.note]
    return "\n".join([*([found.said] if found.said else []), *lines])
