"""From verdicts and the register to the end of a test: passed, failed, or expected to fail."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from harness.parity.compare import Verdict
    from harness.register import Row
    from harness.settings import Repository


class Judged(Protocol):
    """What a test has found, whatever was compared; printing it gives the failure text."""

    @property
    def verdict(self) -> Verdict: ...

    @property
    def reason(self) -> str:
        """In a sentence what is wrong, or ""."""
        ...

    def registered(self, rows: Sequence[Row]) -> tuple[str, ...]:
        """The ids of those rows that explain it."""
        ...

    def metrics(self) -> dict[str, Any]:
        """The figures of its line in the record."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """The file of its own beside the record."""
        ...


def conclude(found: Sequence[tuple[Judged, Sequence[Row]]], repeat: str) -> None:
    """End the test by what it found, each with the rows of the register that concern it.

    It fails if one thing is neither agreed nor explained by its rows, or agrees although it is registered, with the
    text of each and the command; it is expected to fail if one is explained; else it passes.
    """
    from harness.parity.compare import Verdict

    failed: list[str] = []
    expected: list[str] = []
    for judged, rows in found:
        registered = judged.registered(rows)
        if registered and judged.verdict is Verdict.AGREE:
            failed.append(f"registered as {', '.join(registered)}, but it agrees: remove the rows.\n{judged}")
        elif registered:
            expected.append(f"{', '.join(registered)}: " + "; ".join(row.cause for row in rows))
        elif judged.verdict is not Verdict.AGREE:
            failed.append(f"{judged}{_too_large(rows)}")
    if failed:
        pytest.fail("\n".join([*failed, f"  repeat      {repeat}"]), pytrace=False)
    if expected:
        pytest.xfail("; ".join(dict.fromkeys(expected)))


def repeat_command(item: pytest.Item, name: str, repository: Repository) -> str:
    """The command that repeats what a test found of `name`: of the case, if there is one, else of the test."""
    if Path(repository.cases / f"{name}.toml").is_file():
        return f"harness check {name}"
    return rerun_command(item)


def rerun_command(item: pytest.Item) -> str:
    """The command that runs the test again."""
    slow = " --run-slow" if item.get_closest_marker("slow") else ""
    return f"pytest{slow} '{item.nodeid}'"


def _too_large(rows: Sequence[Row]) -> str:
    """The line that says why rows do not explain an error, or ""."""
    if not rows:
        return ""
    most = max(row.error for row in rows)
    return f"\n  register    {', '.join(row.id for row in rows)} register an error of {most:.3g}, not this one"
