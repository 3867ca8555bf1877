"""What is new in a history, as Markdown: an issue's worth of text."""

from __future__ import annotations

from collections.abc import Iterator

from harness.report import words
from harness.report.dashboard.story import Course, Story

LIMIT = 50
"""Lines of a list; an issue has room for 65,536 characters."""


def news(told: Story) -> str:
    """The latest night beside the one before: new divergences first, under the heading `## New`."""
    return "\n".join(_lines(told)) + "\n"


def _lines(told: Story) -> Iterator[str]:
    found, today = told.news, told.today
    yield f"# {words.moment(today.started.isoformat())}"
    if today.commit:
        yield f"\nCommit `{_text(today.commit)}`."
    yield from _section("New", [_line(course) for course in found.appeared])
    yield from _section("Mended", [_line(course) for course in found.mended])
    steps = [
        f"- {step.change.ratio - 1:+.1%} {_named(course)}, commits"
        f" `{_text(told.nights[step.before].commit[:10])}..{_text(told.nights[step.after].commit[:10])}`"
        for course, step in found.steps
    ]
    yield from _section("Speed", steps)
    changes = [
        f"- {_text(name)}: {_text(one) or '-'} to {_text(now) or '-'}" for name, (one, now) in found.environment.items()
    ]
    yield from _section("Environment", changes)
    if not (found.appeared or found.mended or steps or changes):
        yield "\nNothing changed."


def _section(title: str, lines: list[str]) -> Iterator[str]:
    if lines:
        yield f"\n## {title}\n"
        yield from lines[:LIMIT]
    if len(lines) > LIMIT:
        yield f"\nand {len(lines) - LIMIT} more"


def _line(course: Course) -> str:
    seen = course.latest
    repeat = f" Repeat: `{_text(seen.repeat)}`" if seen.repeat else ""
    return f"- {words.WORDS[seen.standing]}: {_named(course)}. {_text(seen.reason)}{repeat}"


def _named(course: Course) -> str:
    return f"`{_text(' '.join(course.key))}`"


def _text(text: str) -> str:
    """On one line, and nothing in it that ends a code or begins HTML."""
    plain = words.shorten(" ".join(words.printable(text).split()), limit=300)
    return plain.replace("`", "'").replace("<", "&lt;").replace("|", "&#124;")
