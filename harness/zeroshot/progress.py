"""A bar with examples a second, on standard error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from harness.zeroshot.score import Progress


@contextmanager
def bar(name: str) -> Iterator[Progress]:
    """While open, what is to be told of progress shows as a bar; what an earlier run did does not count as speed."""
    from rich import progress
    from rich.console import Console

    columns = (
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(bar_width=20),
        progress.MofNCompleteColumn(),
        progress.TextColumn("{task.fields[speed]}"),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=Console(stderr=True)) as shown:
        task = shown.add_task(name, total=None, speed="")

        def told(done: int, total: int) -> None:
            shown.update(task, completed=done, total=total)
            speed = shown.tasks[task].speed
            shown.update(task, speed=f"{speed:.1f} examples/s" if speed else "")

        yield told
