"""How a run is said: the words, signs and numbers that every form of the report shares."""

from __future__ import annotations

import math
import re
from collections import Counter
from datetime import UTC, datetime
from typing import Literal

from harness.parity.compare import Verdict
from harness.report.run import Result, Run, exit_status

Standing = Literal["diverge", "within_tolerance", "mended", "inconclusive", "registered", "agree"]
"""What a reader must know first of a result; worst first. A registered divergence is not news, a mended one is."""

STANDINGS: tuple[Standing, ...] = ("diverge", "within_tolerance", "mended", "inconclusive", "registered", "agree")

WORDS: dict[Standing, str] = {
    "diverge": "diverge",
    "within_tolerance": "within tolerance",
    "mended": "mended",
    "inconclusive": "inconclusive",
    "registered": "registered",
    "agree": "agree",
}

SIGNS: dict[Standing, str] = {
    "diverge": "✗",
    "within_tolerance": "≈",
    "mended": "!",
    "inconclusive": "?",
    "registered": "§",
    "agree": "✓",
}

ASCII_SIGNS: dict[Standing, str] = {
    "diverge": "x",
    "within_tolerance": "~",
    "mended": "!",
    "inconclusive": "?",
    "registered": "#",
    "agree": "+",
}

ROWS = 400
"""Results that a table in a terminal or a summary shows; of more, those that agree are counted, then the registered."""

MENDED = "It agrees, yet the register says that it does not: it was mended, remove the row."


def standing(result: Result) -> Standing:
    """The verdict, unless the register changes what it means."""
    return standing_of(result.verdict, registered=bool(result.registered))


def standing_of(verdict: Verdict, *, registered: bool) -> Standing:
    """The same of a verdict on what the register knows, or does not."""
    if not registered or verdict is Verdict.INCONCLUSIVE:
        return verdict.value
    return "mended" if verdict is Verdict.AGREE else "registered"


def verdict_words(result: Result) -> str:
    """The verdict as a person writes it."""
    return result.verdict.value.replace("_", " ")


def reason(result: Result) -> str:
    """Why the result stands as it does; "" where there is nothing to say."""
    if standing(result) == "mended":
        return f"{MENDED} {result.reason}".strip()
    return result.reason


def counts(run: Run) -> dict[Standing, int]:
    """How many results stand how, every standing named."""
    found = Counter(map(standing, run.results))
    return {name: found[name] for name in STANDINGS}


def headline(run: Run) -> str:
    """One sentence for the state of the whole run.

    "All 3 results agree.", "2 of 3 results agree, 1 diverges as registered.",
    "2 of 5 results fail.", "Inconclusive: nothing was compared."
    """
    total = len(run.results)
    prefix = "Interrupted: " if run.status == "interrupted" else ""
    if exit_status(run) == 1:
        failing = sum(standing(result) in ("diverge", "within_tolerance", "mended") for result in run.results)
        if total == 1:
            return f"{prefix}The one result fails."
        return f"{prefix}{failing} of {plural(total, 'result')} {'fails' if failing == 1 else 'fail'}."
    prefix = prefix or ("Inconclusive: " if exit_status(run) else "")
    unknown = counts(run)["inconclusive"]
    if unknown:
        return f"{prefix}{unknown} of {plural(total, 'result')} could not be judged."
    if run.failed:
        return f"{prefix}{plural(len(run.failed), 'test')} failed without a result."
    if not total:
        # Without a prefix it succeeded: what changed touches no case.
        return f"{prefix}nothing was compared." if prefix else "No case is touched."
    registered = counts(run)["registered"]
    known = f", {registered} as registered" if registered else ""
    if prefix:
        return f"{prefix}{plural(total, 'result')} so far, {total - registered} agree{known}."
    if registered:
        diverge = "diverges" if registered == 1 else "diverge"
        return f"{total - registered} of {plural(total, 'result')} agree, {registered} {diverge} as registered."
    return f"All {total} results agree." if total > 1 else "The one result agrees."


def touched(run: Run) -> str:
    """What a run selected by what differs from a base; "" for one that did not.

    "2 of 58 cases are touched by what changed since origin/main (0123456789); 3 changed files touch none."
    """
    if run.changed is None:
        return ""
    found = run.changed
    count, among = len(found["cases"]), plural(int(found["among"]), "case")
    cases = f"{count or 'None'} of {among} {'are' if count > 1 else 'is'} touched"
    others = plural(int(found["others"]), "changed file")
    verb = "touches" if found["others"] == 1 else "touch"
    return f"{cases} by what changed since {found['base']} ({found['revision'][:10]}); {others} {verb} none."


def told(run: Run, *, limit: int = ROWS) -> tuple[tuple[Result, ...], str]:
    """The results that a table of at most `limit` rows shows, in their order, and how many more there are, in words."""
    kept = run.results
    for least in ("agree", "registered"):
        if len(kept) > limit:
            kept = tuple(result for result in kept if standing(result) != least)
    kept = kept[:limit]
    left = counts(run)
    for result in kept:
        left[standing(result)] -= 1
    more = ", ".join(f"{count:,} {WORDS[name]}" for name, count in left.items() if count)
    return kept, f"and {plural(len(run.results) - len(kept), 'more result')}: {more}" if more else ""


def not_run_reasons(run: Run) -> list[tuple[str, int]]:
    """Each reason for which tests were not run, with how many; the commonest first."""
    return sorted(Counter(item.reason for item in run.not_run).items(), key=lambda pair: (-pair[1], pair[0]))


def plural(count: int, noun: str) -> str:
    """The count with its noun, in the plural unless it is one.

    >>> plural(1, "result"), plural(1500, "tap")
    ('1 result', '1,500 taps')
    """
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def number(value: float | None) -> str:
    """Three digits, short and the same everywhere; "-" where there is no number.

    >>> [number(value) for value in (None, 0.0, 3.1e-05, 0.0123, 33.04, 1234.5, 2e9, float("nan"), float("-inf"))]
    ['-', '0', '3.1e-5', '0.0123', '33', '1234', '2e9', 'NaN', '-inf']
    """
    if value is None:
        return "-"
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else str(value)
    if value and not 1e-2 <= abs(value) < 1e4:
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    return f"{value:.0f}" if abs(value) >= 1e3 else f"{value:.3g}"


def duration(seconds: float | None) -> str:
    """A time as a person says it; "-" where there is none.

    >>> [duration(value) for value in (None, 0.004, 1.25, 75.4, 7300)]
    ['-', '4 ms', '1.2 s', '1 min 15 s', '2 h 01 min']
    """
    if seconds is None or not math.isfinite(seconds):
        return "-"
    if seconds < 60:
        return f"{seconds * 1e3:.0f} ms" if 0 < seconds < 0.1 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def moment(text: str) -> str:
    """An ISO 8601 time in UTC, to the minute; any other text as it stands.

    >>> moment("2025-03-14T09:00:05+00:00"), moment("today")
    ('14 March 2025, 09:00 UTC', 'today')
    """
    try:
        at = datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        return text
    return f"{at.day} {_MONTHS[at.month - 1]} {at:%Y, %H:%M} UTC"


def printable(text: str) -> str:
    """The text without terminal escapes, control characters, bidirectional overrides and lone surrogates."""
    text = _ESCAPES.sub("", text.replace("\r\n", "\n"))
    return _CONTROLS.sub("", text)


def shorten(text: str, *, limit: int) -> str:
    """The text, or its two ends with an ellipsis between: names differ at the end.

    >>> shorten("encoder.layers.11.attention", limit=12)
    'encode…ntion'
    """
    if len(text) <= limit:
        return text
    tail = (limit - 1) // 2
    return f"{text[: limit - 1 - tail]}…{text[len(text) - tail :]}"


def clip(text: str, *, limit: int) -> str:
    """The text, or its beginning with a last line that says how much is missing."""
    if len(text) <= limit:
        return text
    return f"{text[:limit]}\n… {len(text) - limit:,} more characters"


_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.)?", re.DOTALL)
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
