"""The run as GitHub-flavoured Markdown: for a step summary or a comment."""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.errors import RecordError
from harness.report.detail import Detail, read_detail
from harness.report.diagnosis import Diagnosis
from harness.report.further import Further
from harness.report.run import Result, Run, succeeded
from harness.report.words import (
    SIGNS,
    STANDINGS,
    clip,
    duration,
    headline,
    not_run_reasons,
    number,
    plural,
    printable,
    reason,
    shorten,
    standing,
    told,
    touched,
    verdict_words,
)

LENGTH = 60_000
"""Characters of the whole summary at which the failures' texts stop: GitHub takes comments of 65,536."""

TEXT_LENGTH = 8_000
"""Characters kept of one failure's text, so that one failure does not hide the others."""

CLAIMS = 50
"""Results whose further claims are counted; the page has all."""

CELL_LENGTH = 240
"""Characters of a cell that lists names or reasons."""


def summary(run: Run, *, folder: Path | None = None) -> str:
    """The run in Markdown; `folder` is where the failures' texts lie, without it they are reasons alone."""
    head = [f"## {escape(headline(run))}", "", *_facts(run), *_touched(run), *_table(run)]
    tail = [*_claims(run, folder), *_not_run(run), *_environment(run)]
    left = LENGTH - sum(len(line) + 1 for line in (*head, *tail))
    return "\n".join([*head, *_failures(run, folder, left), *tail]).rstrip("\n") + "\n"


def escape(text: str) -> str:
    """Text from outside, so that it stays text, on one line, in a cell of a table.

    >>> escape("a|b <i> `c` [d](e)")
    'a&#124;b &lt;i&gt; &#96;c&#96; &#91;d&#93;(e)'
    """
    line = html.escape(" ".join(printable(text).split()), quote=False)
    return re.sub(r"[|`\[\]\\*~]|(?<!\w)_|_(?!\w)", lambda match: f"&#{ord(match[0])};", line)


def fence(text: str) -> str:
    """The text as a code block whose fence is longer than any that the text holds."""
    text = printable(text)
    longest = max(map(len, re.findall("`+", text)), default=0)
    marks = "`" * max(3, longest + 1)
    return f"{marks}text\n{text.rstrip()}\n{marks}"


def _facts(run: Run) -> list[str]:
    facts = [f"{plural(run.tests_total, 'test')} collected", f"{plural(len(run.results), 'result')}"]
    if run.profile:
        facts.insert(0, f"profile {escape(run.profile)}")
    if run.shard:
        facts.insert(0, f"shard {escape(run.shard)}")
    if run.elsewhere:
        facts.append(f"{plural(run.elsewhere, 'test')} left to other shards")
    if run.seconds is not None:
        facts.append(duration(run.seconds))
    if run.started:
        facts.append(f"started {escape(run.started)}")
    return [" · ".join(facts), ""]


def _touched(run: Run) -> Iterator[str]:
    """What was selected by what changed, and why."""
    if run.changed is None:
        return
    yield f"{escape(touched(run))}\n"
    cases = list(run.changed["cases"].items())
    for name, why in cases[:CLAIMS]:
        yield f"- {escape(name)}: {escape(shorten(', '.join(why), limit=CELL_LENGTH))}"
    if len(cases) > CLAIMS:
        yield f"- … and {len(cases) - CLAIMS} more"
    if cases:
        yield ""


def _table(run: Run) -> list[str]:
    if not run.results:
        return []
    lines = ["| verdict | case | error | scale | registered | seconds |", "|---|---|--:|--:|---|--:|"]
    shown, more = told(run)
    for result in shown:
        cells = (
            f"{SIGNS[standing(result)]} {verdict_words(result)}",
            f"{escape(result.case)} · {escape(result.check)}",
            number(result.number("error")),
            number(result.number("scale")),
            ", ".join(map(escape, result.registered)),
            f"{result.seconds:.1f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, "", *([f"… {more}.", ""] if more else [])]


def _failures(run: Run, folder: Path | None, left: int) -> Iterator[str]:
    failing = [result for result in run.results if not succeeded(result)]
    if failing:
        yield "### What fails\n"
    for place, result in enumerate(failing):
        block = _failure(result, _detail(result, folder))
        left -= len(block) + 1
        if left < 0:
            yield f"… and {len(failing) - place} more: see `index.html`.\n"
            break
        yield block
    for test in run.failed[:20]:
        yield f"- failed without a result: {escape(test)}"
    if len(run.failed) > 20:
        yield f"- … and {len(run.failed) - 20} more"
    if run.failed:
        yield ""


def _failure(result: Result, detail: Detail | str) -> str:
    text, found = (detail, "") if isinstance(detail, str) else (detail.text, _at_fault(detail.diagnosis))
    name = f"{escape(result.case)} · {escape(result.check)}"
    lines = [f"#### {SIGNS[standing(result)]} {name}: {verdict_words(result)}", ""]
    if result.registered:
        lines += [f"Registered: {', '.join(map(escape, result.registered))}", ""]
    if reason(result):
        lines += [escape(reason(result)), ""]
    if found:
        lines += [found, ""]
    if text:
        lines += [fence(clip(text, limit=TEXT_LENGTH)), ""]
    if result.repeat:
        lines += ["Repeat it:", "", fence(result.repeat), ""]
    return "\n".join(lines)


def _at_fault(diagnosis: Diagnosis) -> str:
    """The first module at fault with its cause, in one line; "" where there is none."""
    if not diagnosis.faults:
        return ""
    first, more = diagnosis.faults[0], len(diagnosis.faults) - 1
    cause = f"{first.proof.name}: {first.proof.detail}" if first.proof else ""
    why = f"Proved: {escape(shorten(cause, limit=CELL_LENGTH))}" if cause else "No cause is proved"
    if not cause and first.description:
        why += f": {escape(shorten(first.description, limit=CELL_LENGTH))}"
    line = f"At fault: **{escape(shorten(first.path or 'the model itself', limit=CELL_LENGTH))}**"
    line += f", {escape(shorten(first.how, limit=CELL_LENGTH))}. {why}."
    return line + (f" {more:,} more at fault." if more else "")


def _detail(result: Result, folder: Path | None) -> Detail | str:
    """What lies behind the result; or why it cannot be read, "" where there is nothing."""
    try:
        return (read_detail(folder, result) if folder else None) or ""
    except RecordError as error:
        return str(error)


def _claims(run: Run, folder: Path | None) -> Iterator[str]:
    """A row for each result that makes further claims: how many agree, which do not, what was not checked."""
    details = [(result, _detail(result, folder)) for result in run.results[:CLAIMS]]
    rows = [(result, detail.further) for result, detail in details if isinstance(detail, Detail)]
    rows = [(result, further) for result, further in rows if further.lines or further.not_checked]
    if not rows:
        return
    yield "### Claims\n"
    yield "| case | agree | else | probes not taken | not checked |\n|---|--:|---|---|---|"
    for result, further in rows:
        agreeing = sum(line.verdict == "agree" for line in further.lines)
        cells = (
            f"{escape(result.case)} · {escape(result.check)}",
            f"{agreeing} of {len(further.lines)}",
            _else(further),
            _reasons(further.not_taken),
            _reasons(further.not_checked),
        )
        yield f"| {' | '.join(cells)} |"
    if len(run.results) > CLAIMS:
        yield f"\n… and of {plural(len(run.results) - CLAIMS, 'more result')}: see `index.html`."
    yield ""


def _else(further: Further) -> str:
    """The claims that do not agree, counted by verdict and check, the worst verdict first."""
    counts = Counter((line.verdict, line.check) for line in further.lines if line.verdict != "agree")
    signs = {str(name): SIGNS[name] for name in STANDINGS}
    order = list(signs)
    by_verdict = sorted(counts.items(), key=lambda item: order.index(item[0][0]) if item[0][0] in order else -1)
    texts = [
        f"{signs.get(verdict, verdict)} {check}{f' ({count})' if count > 1 else ''}"
        for (verdict, check), count in by_verdict
    ]
    return escape(shorten(", ".join(texts), limit=CELL_LENGTH))


def _reasons(reasons: Mapping[str, tuple[str, ...]]) -> str:
    text = "; ".join(f"{', '.join(names)}: {why}" for why, names in reasons.items())
    return escape(shorten(text, limit=CELL_LENGTH))


def _not_run(run: Run) -> Iterator[str]:
    if not run.not_run and not run.unreached:
        return
    yield "### Not run\n"
    for why, count in not_run_reasons(run):
        yield f"- {plural(count, 'test')}: {escape(why)}"
    if run.unreached:
        yield f"- {plural(run.unreached, 'test')}: the run ended before"
    yield ""


def _environment(run: Run) -> Iterator[str]:
    if not run.environment:
        return
    yield "<details><summary>Environment</summary>\n"
    yield "| | |\n|---|---|"
    for name, value in _flat(run.environment):
        yield f"| {escape(name)} | {escape(value)} |"
    yield "\n</details>"


def _flat(values: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}: ")
        else:
            yield f"{prefix}{name}", str(value)
