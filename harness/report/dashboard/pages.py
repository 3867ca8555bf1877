"""The story of a history as files of a site."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.bench.history.changes import Change
from harness.report import words
from harness.report.dashboard import lines
from harness.report.dashboard.markdown import news
from harness.report.dashboard.story import RECENT, Course, Story, is_off
from harness.report.nights import Key, Night, log
from harness.report.page import environment, flat, slug

if TYPE_CHECKING:
    from jinja2 import Environment

LIMIT = 100
"""Results that a list of news names; all of them are on the page of results."""

DIARY = 2000
"""Spells of the diary's page, the latest; the page of a result has all of its own."""

LOG_LENGTH = 200_000
"""Characters of a log that a page shows, its end: there an installation or a run says why it failed."""

MARK = "dashboard.json"
"""The file by which a folder is known as a site that may be written again."""


def build(told: Story, *, progress: Callable[[int, int], None] | None = None) -> Iterator[tuple[str, str]]:
    """Each file of the site: its path in it, and its text."""
    made, charts = _environment(), _charts()
    total = len(told.courses) + len(told.nights)
    yield MARK, json.dumps({"schema": 1, "nights": len(told.nights), "results": len(told.courses)}) + "\n"
    yield "news.md", news(told)
    yield "assets/site.css", f"{_text('templates/page.css')}\n{_text('dashboard/site.css')}"
    yield "assets/site.js", _text("dashboard/site.js")
    if charts:
        days = [night.started.date().isoformat() for night in told.nights]
        yield "assets/charts.js", f"{charts}\nwindow.nights = {json.dumps(days)};\n"
    yield from _overviews(made, told)
    page = made.get_template("dashboard/case.html")
    by_case: dict[str, list[Course]] = {}
    for course in told.courses:
        by_case.setdefault(course.key[1], []).append(course)
    for done, course in enumerate(told.courses):
        error = lines.errors(course, len(told.nights))
        drawings = [*([error] if error else []), *lines.costs(course, len(told.nights))]
        others = [each for each in by_case[course.key[1]] if each is not course]
        given = {"story": told, "course": course, "others": others, "limit": LIMIT}
        text = page.render(up="../", here="", drawings=drawings, charts=bool(charts), **given)
        yield case_page(course.key), text
        if progress is not None:
            progress(done, total)
    keys = {course.key: place for place, course in enumerate(told.courses)}
    yield "data/keys.js", _call("takeKeys", list(keys), list(map(case_page, keys)), list(words.WORDS.values()))
    for done, (before, night) in enumerate(zip([None, *told.nights], told.nights), start=len(told.courses)):
        yield run_page(night), _run(made, before, night)
        yield f"data/{run_name(night)}.js", _data(night, keys)
        if progress is not None:
            progress(done, total)


def has_charts() -> bool:
    """Whether the library is installed by which a reader zooms into the drawings."""
    return bool(_charts())


@lru_cache(maxsize=1 << 16)
def case_page(key: Key) -> str:
    """The page of a result: the same whenever the site is built."""
    return f"case/{_named(' '.join(key[:2]), repr(key))}.html"


def run_name(night: Night) -> str:
    """The name of a run's files."""
    return _named(night.name, night.name)


def run_page(night: Night) -> str:
    """The page of a run."""
    return f"run/{run_name(night)}.html"


def _overviews(made: Environment, told: Story) -> Iterator[tuple[str, str]]:
    today, latest = told.today, len(told.nights) - 1
    off = [course for course in told.courses if course.nights[-1] == latest and is_off(course.latest)]
    counts = [sum(map(is_off, night.seen.values())) for night in told.nights]
    present = [seen.standing for seen in today.seen.values()]
    spells = sorted((spell for course in told.courses for spell in course.spells), key=lambda spell: -spell.first)
    pages: dict[str, dict[str, Any]] = {
        "index.html": {
            "off": off,
            "off_counts": counts,
            "off_line": lines.sparkline([float(count) for count in counts], is_log=False),
            "counts": {name: present.count(name) for name in words.STANDINGS},
            "counts_sentence": _sentence(today, len(off)),
            "recent": RECENT,
        },
        "cases.html": {
            "off": {course.key for course in off},
            "suites": sorted({course.key[0] for course in told.courses}),
            "news_of": _news_of(told),
        },
        "runs.html": {"rows": list(zip(told.nights, counts))[::-1]},
        "diary.html": {"spells": spells, "most": DIARY},
        "compare.html": {"nights": told.nights},
    }
    for name, values in pages.items():
        yield name, made.get_template(f"dashboard/{name}").render(up="", here=name, story=told, limit=LIMIT, **values)


def _run(made: Environment, before: Night | None, night: Night) -> str:
    off = [(key, seen) for key, seen in night.seen.items() if is_off(seen)]
    logs = [(kind, _end(words.printable(log(night, kind)))) for kind in ("installation", "run")]
    return made.get_template("dashboard/run.html").render(
        up="../", here="", night=night, before=before, off=off, logs=logs, limit=LIMIT
    )


def _data(night: Night, keys: dict[Key, int]) -> str:
    """What the page that shows two runs side by side loads of one."""
    results = [
        [
            keys[key],
            words.STANDINGS.index(seen.standing),
            words.number(seen.error),
            words.number(cost.seconds / cost.yardstick_seconds)
            if (cost := seen.cost) and cost.yardstick_seconds
            else "-",
        ]
        for key, seen in night.seen.items()
    ]
    told = {"environment": dict(flat(night.environment)), "results": results}
    return _call("takeRun", run_name(night), told)


def _call(function: str, *values: Any) -> str:
    # ASCII alone, so that no name of a result ends a line or a script.
    return f"{function}({', '.join(json.dumps(value, separators=(',', ':')) for value in values)});\n"


def _sentence(night: Night, off: int) -> str:
    prefix = "Interrupted: " if night.status == "interrupted" else ""
    if not night.seen:
        return f"{prefix}Nothing is known: no test left a result."
    total = words.plural(len(night.seen), "result")
    if not off:
        return (
            f"{prefix}{total}, all as they should be." if night.exit_status == 0 else f"{prefix}{total}; not all ran."
        )
    return f"{prefix}{off} of {total} to look at."


def _news_of(told: Story) -> dict[Key, str]:
    found: dict[Key, list[str]] = {}
    groups = (
        ("new", told.news.appeared),
        ("mended", told.news.mended),
        ("step", [course for course, _ in told.news.steps]),
    )
    for name, courses in groups:
        for course in courses:
            found.setdefault(course.key, []).append(name)
    return {key: " ".join(dict.fromkeys(names)) for key, names in found.items()}


def _environment() -> Environment:
    from markupsafe import Markup

    made = environment()
    for name in ("breakable", "cell"):
        # The same names come a thousand times.
        made.filters[name] = lru_cache(maxsize=1 << 16)(made.filters[name])
    made.filters.update(
        case_page=case_page,
        run_page=run_page,
        run_name=run_name,
        when=lambda night: words.moment(night.started.isoformat()),
        slower=_slower,
        in_script=lambda text: Markup(text.replace("<", "\\u003c")),
        error_line=lines.error_line,
        cost_line=lines.cost_line,
    )
    return made


def _slower(change: Change) -> str:
    return f"{abs(change.ratio - 1):.1%} {'slower' if change.ratio > 1 else 'faster'}"


def _end(text: str) -> str:
    if len(text) <= LOG_LENGTH:
        return text
    return f"{len(text) - LOG_LENGTH:,} characters before\n{text[-LOG_LENGTH:]}"


def _named(text: str, whole: str) -> str:
    return f"{slug(text)[:60]}-{hashlib.sha256(whole.encode(errors='surrogatepass')).hexdigest()[:8]}"


def _charts() -> str:
    """The script of dygraphs (MIT, its notice in its first line), "" where the package is not installed."""
    try:
        return resources.files("dygraphs").joinpath("assets/dygraph-combined.js").read_text(encoding="utf-8")
    except (ModuleNotFoundError, FileNotFoundError):
        return ""


def _text(name: str) -> str:
    return resources.files("harness.report").joinpath(*Path(name).parts).read_text(encoding="utf-8")
