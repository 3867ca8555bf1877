"""What comparing a pair found, as the report and the register take it: an outcome a cause, and one for the rest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.parity.compare import Verdict
from harness.register import Row
from harness.tokenizers.comparison import Group, TokenizerComparison
from harness.tokenizers.pairs import Pair

REST = "texts"
"""The check that no text differs but for the known causes."""

ON_ORDINARY = "ordinary"
"""Ends the subject of a cause that shows on ordinary text, which a row of the register has to name by itself."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One claim about a pair. differing, of: texts that differ so, and all. text: what is told of a failure."""

    case: str
    title: str
    check: str
    verdict: Verdict
    reason: str
    differing: int
    of: int
    text: str
    document: Mapping[str, Any] = field(default_factory=dict)

    @property
    def subject(self) -> str:
        """How the register names the claim."""
        return f"{self.case}.{self.check}"

    def registered(self, rows: Sequence[Row]) -> tuple[str, ...]:
        """The ids of the rows of this cause, however many texts differ: each was tested to do so for it alone."""
        if self.check == REST or self.verdict is Verdict.INCONCLUSIVE:
            return ()
        return tuple(row.id for row in rows)

    def metrics(self) -> dict[str, Any]:
        """The figures of its line in the record."""
        return {"error": float(self.differing), "scale": float(self.of)}

    def to_dict(self) -> dict[str, Any]:
        """The result's own file."""
        return {"text": self.text, "taps": [], "outputs": [], **self.document}

    def __str__(self) -> str:
        return self.text


def outcomes(pair: Pair, found: TokenizerComparison) -> tuple[Outcome, ...]:
    """The claims about a pair: the rest first, then every known cause, and those that show on ordinary text."""
    return tuple(_claims(pair, found))


def _claims(pair: Pair, found: TokenizerComparison) -> Iterator[Outcome]:
    unexplained = [group for group in found.groups if not group.causes]
    texts = sum(group.texts for group in unexplained)
    verdict = found.verdict if found.verdict is Verdict.INCONCLUSIVE or texts else Verdict.AGREE
    rest = f"{texts:,} of {found.texts:,} texts differ for no known cause" if texts else found.reason
    # The pair's document stands with the rest, which every run has.
    document = {
        "tokenizers": found.to_dict(),
        "original": _original(pair),
        "reference": found.reference,
        "port": found.port,
    }
    yield _outcome(pair, found, REST, verdict, "" if verdict is Verdict.AGREE else rest, texts, unexplained, document)
    for cause in pair.causes:
        groups = [group for group in found.groups if cause.name in group.causes]
        differing = sum(group.texts for group in groups)
        verdict = Verdict.DIVERGE if differing else Verdict.AGREE
        reason = f"{cause.says}: {differing:,} of {found.texts:,} texts" if differing else ""
        yield _outcome(pair, found, cause.name, verdict, reason, differing, groups, {})
        common = sum(group.ordinary for group in groups)
        if common:
            reason = f"{cause.says}: {common:,} of {found.ordinary:,} ordinary texts"
            name = f"{cause.name}.{ON_ORDINARY}"
            yield _outcome(pair, found, name, Verdict.DIVERGE, reason, common, groups, {})


def _outcome(
    pair: Pair,
    found: TokenizerComparison,
    check: str,
    verdict: Verdict,
    reason: str,
    differing: int,
    groups: Sequence[Group],
    document: Mapping[str, Any],
) -> Outcome:
    lines = [
        f"{pair.name}.{check}: {verdict.value.upper()}",
        f"  reference   {found.reference} of {pair.original.package} {pair.original.version}",
        f"  port        {found.port}",
        *([f"  why         {reason}"] if reason else []),
        *(line for group in groups[:3] for line in group.lines()),
    ]
    of = found.ordinary if check.endswith(f".{ON_ORDINARY}") else found.texts
    return Outcome(pair.name, pair.table.title, check, verdict, reason, differing, of, "\n".join(lines), document)


def _original(pair: Pair) -> dict[str, str]:
    original = pair.original
    return {name: str(getattr(original, name)) for name in ("package", "version", "licence", "source")}
