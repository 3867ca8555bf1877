"""Watch a pytest run through the events that it writes: a progress bar, or a line a test where there is no terminal."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import Progress

POLL_SECONDS = 0.1
"""How often the file of events is looked at; a person does not see the difference to less."""


def watch(process: subprocess.Popen[bytes], events: Path, began: str) -> None:
    """Show a progress bar until the process ends; where there is no terminal, a line a finished test."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
    from rich.table import Column

    console = Console(stderr=True, highlight=False, markup=False)
    step = TextColumn("{task.description}", table_column=Column(no_wrap=True, overflow="ellipsis"))
    columns = (BarColumn(bar_width=20), MofNCompleteColumn(), TimeElapsedColumn(), step)
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task("starting", total=None)
        for event in _follow(process, events, began):
            _advance(progress, task, event)
            if event.get("event") == "finished" and not console.is_terminal:
                console.print(f"{event['outcome']:<8} {event['seconds']:6.1f} s  {event['test']}", soft_wrap=True)


def _follow(process: subprocess.Popen[bytes], path: Path, began: str) -> Iterator[dict[str, Any]]:
    """The events of the run that `began` then, as pytest appends them to `path`, until it ends."""
    inode, position, ours, running = 0, 0, False, True
    while running:
        running = process.poll() is None
        text = b""
        if path.exists():
            with path.open("rb") as stream:
                # Another or a shorter file stands for a new run; of the old one, events are read and passed over.
                file = os.fstat(stream.fileno())
                if file.st_ino != inode or file.st_size < position:
                    inode, position, ours = file.st_ino, 0, False
                stream.seek(position)
                text = stream.read()
        whole = text[: text.rfind(b"\n") + 1]
        position += len(whole)
        for line in whole.splitlines():
            try:
                event = json.loads(line)
            except ValueError:
                continue  # what a kill tore off; pytest says so if it matters
            ours = ours or (event["event"] == "run" and event["run"]["started"] >= began)
            if ours:
                yield event
        if running:
            time.sleep(POLL_SECONDS)


def _advance(progress: Progress, task: Any, event: dict[str, Any]) -> None:
    kind = event.get("event")
    if kind == "collected":
        progress.update(task, total=event["total"], completed=event["kept"])
    elif kind == "started":
        progress.update(task, description=event["test"].split("::")[-1])
    elif kind == "step":
        progress.update(task, description=event["step"])
    elif kind == "finished":
        progress.advance(task)
