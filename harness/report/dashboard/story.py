"""What a history tells: each result from night to night, when it was off, where its speed changed, what is new."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.bench.history.series import Point, Series, Step, series_of
from harness.report.nights import Key, Night, Nights, Seen, Unreadable
from harness.report.page import flat
from harness.report.words import Standing

RECENT = 14
"""Nights for which a speed step is news: it can be told from the fourth on, and someone may be away for a week."""


@dataclass(frozen=True, slots=True)
class Spell:
    """Nights in a row, of those with the result, on which it was off. last: None if it still is on the latest."""

    key: Key
    standing: Standing
    first: int
    last: int | None
    count: int
    reason: str
    mended_on: int | None


@dataclass(frozen=True, slots=True)
class Course:
    """A result over the nights that have it: their numbers, and what was seen."""

    key: Key
    nights: tuple[int, ...]
    seen: tuple[Seen, ...]
    spells: tuple[Spell, ...]
    series: tuple[Series, ...]

    @property
    def steps(self) -> list[Step]:
        """The changes of its speed, by the night."""
        return sorted((step for each in self.series for step in each.steps), key=lambda step: step.after)

    @property
    def latest(self) -> Seen:
        """As it was seen last."""
        return self.seen[-1]


@dataclass(frozen=True, slots=True)
class News:
    """What is other on the latest night. appeared: off, and was not before, or was not there. gone: keys of the night
    before (of the same profile) that the latest night lacks. environment: name -> before and now.
    """

    appeared: tuple[Course, ...]
    mended: tuple[Course, ...]
    gone: tuple[Key, ...]
    environment: Mapping[str, tuple[str, str]]
    steps: tuple[tuple[Course, Step], ...]


@dataclass(frozen=True, slots=True)
class Story:
    """All of it. nights: from old to new, the courses by their keys."""

    nights: tuple[Night, ...]
    unreadable: tuple[Unreadable, ...]
    courses: tuple[Course, ...]
    news: News

    @property
    def today(self) -> Night:
        """The latest night."""
        return self.nights[-1]


def story(nights: Nights) -> Story:
    """What the nights tell."""
    found: dict[Key, tuple[list[int], list[Seen]]] = {}
    for number, night in enumerate(nights.runs):
        for key, seen in night.seen.items():
            numbers, seens = found.setdefault(key, ([], []))
            numbers.append(number)
            seens.append(seen)
    courses = tuple(_course(key, numbers, seens) for key, (numbers, seens) in sorted(found.items()))
    return Story(nights.runs, nights.unreadable, courses, _news(nights.runs, courses))


def is_off(seen: Seen) -> bool:
    """Whether somebody has to look: a failure, or nothing known. A registered divergence is no news."""
    return seen.standing not in ("agree", "registered")


def environment_changes(before: Night, after: Night) -> dict[str, tuple[str, str]]:
    """What of the environment differs, by name; the commit aside, which differs every night."""
    one, other = (
        dict(flat({name: value for name, value in night.environment.items() if name != "revision"}))
        for night in (before, after)
    )
    names = [*one, *(name for name in other if name not in one)]
    return {name: (one.get(name, ""), other.get(name, "")) for name in names if one.get(name) != other.get(name)}


def _course(key: Key, numbers: Sequence[int], seen: Sequence[Seen]) -> Course:
    points = (
        Point(number, cost.seconds, cost.low, cost.high, cost.yardstick_seconds, cost.context, cost.yardstick)
        for number, each in zip(numbers, seen)
        if (cost := each.cost) is not None
    )
    return Course(key, tuple(numbers), tuple(seen), tuple(_spells(key, numbers, seen)), tuple(series_of(points)))


def _spells(key: Key, numbers: Sequence[int], seen: Sequence[Seen]) -> Iterator[Spell]:
    begin = None
    for place, each in enumerate(seen):
        if is_off(each) and begin is None:
            begin = place
        if begin is not None and not is_off(each):
            yield _spell(key, numbers, seen, begin, place)
            begin = None
    if begin is not None:
        yield _spell(key, numbers, seen, begin, len(seen))


def _spell(key: Key, numbers: Sequence[int], seen: Sequence[Seen], begin: int, end: int) -> Spell:
    ended = end < len(seen)
    return Spell(
        key=key,
        standing=seen[begin].standing,
        first=numbers[begin],
        last=numbers[end - 1] if ended else None,
        count=end - begin,
        reason=seen[begin].reason,
        mended_on=numbers[end] if ended else None,
    )


def _news(nights: Sequence[Night], courses: Sequence[Course]) -> News:
    latest = len(nights) - 1
    today = nights[latest]
    before = next((night for night in reversed(nights[:latest]) if night.profile == today.profile), None)
    present = [course for course in courses if course.nights[-1] == latest]
    recent = [
        (course, step) for course in courses for step in course.steps if step.after > latest - RECENT and latest > 0
    ]
    return News(
        appeared=tuple(course for course in present if is_off(course.latest) and not _was_off(course)),
        mended=tuple(course for course in present if not is_off(course.latest) and _was_off(course)),
        gone=tuple(sorted(key for key in (before.seen if before else ()) if key not in today.seen)),
        environment=environment_changes(before, today) if before else {},
        steps=tuple(sorted(recent, key=lambda pair: -abs(pair[1].change.ratio - 1))),
    )


def _was_off(course: Course) -> bool:
    return len(course.seen) > 1 and is_off(course.seen[-2])
