"""What a change costs, by the judge of `harness bench compare`: its figures in words, and all of it as Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from harness.bench.abba import Judgement, Outcome
from harness.bench.context import differing
from harness.report.markdown import escape

SIGNS: dict[Outcome, str] = {"slower": "✗", "inconclusive": "?", "faster": "✓", "unchanged": "✓"}
"""The outcomes by what a reader must know first."""


def markdown(base: str, found: Sequence[tuple[str, Judgement]]) -> str:
    """All comparisons of a run, each with the name of what was timed, in GitHub's Markdown."""
    counts = Counter(each.outcome for _, each in found)
    told = ", ".join(f"{counts[outcome]} {outcome}" for outcome in SIGNS if counts[outcome])
    return "\n".join([f"## Speed: {told}", "", f"Against {escape(base)}, in turn with it.", "", *_lines(found)]) + "\n"


def figures(found: Judgement) -> tuple[str, str, str, str]:
    """Before, now, the change and its interval; empty where nothing could be timed."""
    if found.ratio is None:
        return "", "", "", ""
    low, high = found.ratio.low - 1, found.ratio.high - 1
    before, now = map(duration, found.seconds())
    return before, now, f"{found.ratio.value - 1:+.1%}", f"{low:+.1%} to {high:+.1%}"


def evidence(found: Sequence[Judgement]) -> Iterator[str]:
    """What tells how much the figures are worth, a line each: of all comparisons, the worst."""
    timed = [each for each in found if each.contexts and each.evidence]
    for each in timed[:1]:
        assert each.contexts
        where = each.contexts[0]
        yield f"{each.clock} time on {where.accelerator or where.processor}, threads {where.threads}, {where.precision}"
        for package, versions in differing(*each.contexts).items():
            yield f"{package}: {versions[0] or 'none'} before, {versions[1] or 'none'} now"
    if timed:
        loads = [each.evidence.load_average for each in timed if each.evidence and each.evidence.load_average]
        waits = [each.evidence.oversubscription for each in timed if each.evidence and each.evidence.oversubscription]
        load = f"load average {max(loads):.1f}, " if loads else ""
        wait = f"wall time up to {max(waits):.1f} times CPU time, " if waits else ""
        yield f"{load}{wait}{sum(each.cpu_seconds for each in found):.1f} s of CPU time"


def duration(seconds: float) -> str:
    """A time in the unit in which it has one to three digits before the point.

    >>> duration(0.00512), duration(31.9e-6), duration(2.5)
    ('5.12 ms', '31.9 us', '2.5 s')
    """
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def _lines(found: Sequence[tuple[str, Judgement]]) -> Iterator[str]:
    yield "| outcome | timed | before | now | change | interval |"
    yield "|---|---|--:|--:|--:|--:|"
    for name, each in found:
        yield f"| {SIGNS[each.outcome]} {each.outcome} | {escape(name)} | {' | '.join(figures(each))} |"
    yield ""
    reasons = [f"- {escape(name)}: {escape(each.reason)}" for name, each in found if each.reason]
    yield from [*reasons, ""] if reasons else []
    if told := "; ".join(evidence([each for _, each in found])):
        yield escape(told)
