"""Find the first version that differs, trying as few as possible."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

State = Literal["agrees", "differs", "skipped"]


@dataclass(frozen=True, slots=True)
class Step:
    """What was found of one version: whether it agrees with the first that could be run, or why it was skipped."""

    version: str
    state: State
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """Where the change is: after `agreeing`, in `differing` at the latest; both empty if there was nothing to compare.

    differing: empty if even the last version agrees. skipped: those between the two that could not be judged.
    steps: every version that was tried, in the order of trying.
    """

    agreeing: str
    differing: str
    skipped: tuple[str, ...]
    steps: tuple[Step, ...]


def search(versions: Sequence[str], attempt: Callable[[str], Step]) -> Found:
    """The first of the versions, oldest first, that differs from the first one that can be run.

    It is found by halving, which takes for granted that after it all differ. attempt: tries a version; the first that
    is not skipped is what others are compared with.

    >>> order = [f"1.{minor}" for minor in range(100)]
    >>> tried = search(order, lambda version: Step(version, "differs" if order.index(version) >= 71 else "agrees"))
    >>> tried.agreeing, tried.differing, len(tried.steps)
    ('1.70', '1.71', 9)
    """
    steps: dict[str, Step] = {}

    def state(place: int) -> State:
        version = versions[place]
        if version not in steps:
            steps[version] = attempt(version)
        return steps[version].state

    def result(low: int | None = None, high: int | None = None) -> Found:
        skipped = versions[low + 1 : high] if low is not None and high is not None else ()
        ends = ["" if place is None else versions[place] for place in (low, high)]
        return Found(ends[0], ends[1], tuple(skipped), tuple(steps.values()))

    low = next((place for place in range(len(versions)) if state(place) != "skipped"), None)
    if low is None:
        return result()
    high = next((place for place in range(len(versions) - 1, low, -1) if state(place) != "skipped"), None)
    if high is None:
        return result()
    if state(high) == "agrees":
        return result(high)
    while between := [place for place in range(low + 1, high) if not _skipped(versions[place], steps)]:
        middle = between[len(between) // 2]
        found = state(middle)
        if found == "agrees":
            low = middle
        elif found == "differs":
            high = middle
    return result(low, high)


def _skipped(version: str, steps: dict[str, Step]) -> bool:
    return version in steps and steps[version].state == "skipped"
