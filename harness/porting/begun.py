"""What was begun of a port: the files, how certain their lines are, how the case stands, and what comes next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness.parity.compare import Verdict
from harness.parity.comparison import Comparison
from harness.porting.patterns import Line


@dataclass(frozen=True, slots=True)
class Begun:
    """What was written, and what the case says when it is run.

    files: from the root of the repository. lines: of the mapping and the rules. open: weights and taps of which no line
    speaks. comparison: of the run; without one, refused says why.
    """

    name: str
    files: tuple[str, ...]
    lines: tuple[Line, ...]
    open: tuple[str, ...]
    comparison: Comparison | None = None
    refused: str = ""
    todo: tuple[str, ...] = ()

    @property
    def guessed(self) -> tuple[Line, ...]:
        """The lines that a person has to look at."""
        return tuple(line for line in self.lines if not line.certain)

    @property
    def exit_status(self) -> int:
        """That of the case, as for `harness check`."""
        if self.comparison is None:
            return 3
        return {Verdict.AGREE: 0, Verdict.INCONCLUSIVE: 3}.get(self.comparison.verdict, 1)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "schema": 1,
            "case": self.name,
            "files": list(self.files),
            "certain": len(self.lines) - len(self.guessed),
            "guessed": [{"from": list(e.sources), "to": list(e.targets), "why": e.why} for e in self.guessed],
            "open": list(self.open),
            "verdict": self.comparison.verdict.value if self.comparison else "inconclusive",
            "reason": self.comparison.reason if self.comparison else self.refused,
            "next": list(self.next),
        }

    @property
    def next(self) -> tuple[str, ...]:
        """What is to be done, in order."""
        if self.todo:
            return self.todo
        case, found = self.files[0], self.comparison
        agrees = found is not None and found.verdict is Verdict.AGREE
        todo = []
        if self.open:
            more = f" and {len(self.open) - 1} more" if len(self.open) > 1 else ""
            todo.append(f"map or explain what the files mark with #: {self.open[0]}{more}")
        if self.guessed:
            though = f", though the case agrees: {case}" if agrees else ""
            todo.append(f"look at the {len(self.guessed)} lines that are guessed{though}")
        last = "pytest" if agrees else f"harness watch {self.name}, while you mend the port"
        return (*todo, f"harness check {self.name} --steps", last)
