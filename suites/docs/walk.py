"""A document that is walked through: its files are written, changes made, commands run and their output compared."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

STEP = re.compile(r"<!-- (?P<verb>write|change|run)(?P<rest>[^>]*) -->\n```\w+\n(?P<text>.*?)```", re.DOTALL)
SHOWN = re.compile(r"\s*```text\n(?P<text>.*?)```", re.DOTALL)
NUMBER = re.compile(r"[-+]?\d+\.?\d*(?:e[-+]?\d+)?%?")
ROUNDING = 1e-5
"""Below it a number is what rounding leaves, which is another on every machine."""


@dataclass(frozen=True, slots=True)
class Step:
    """verb: write, change or run. target: the file, or the exit status. text: of the block. shown: what it prints."""

    verb: str
    target: str
    text: str
    shown: str | None


def steps(document: str) -> Iterator[Step]:
    """The blocks under `<!-- write FILE -->`, `<!-- change FILE -->` and `<!-- run -->` or `<!-- run, exit N -->`."""
    for match in STEP.finditer(document):
        following = SHOWN.match(document, match.end())
        target = match["rest"].removeprefix(", exit").strip()
        yield Step(match["verb"], target, match["text"], following["text"] if following else None)


def walk(step: Step, folder: Path) -> None:
    """Take one step in the folder.

    Raises:
        AssertionError: a change does not fit, a command ends otherwise, or prints something else.
    """
    if step.verb == "write":
        file = folder / step.target
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(step.text)
        return
    if step.verb == "change":
        file = folder / step.target
        file.write_text(changed(file.read_text(), step.text))
        return
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", step.text],
        cwd=folder,
        env=os.environ | {"PATH": path, "COLUMNS": "80", "PYTHONPATH": os.environ.get("PYTHONPATH", "")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == int(step.target or 0), f"{step.text}\n{done.stdout}\n{done.stderr}"
    if step.shown is not None:
        assert alike(done.stdout, step.shown), f"{step.text} prints\n{done.stdout}\nand is shown as\n{step.shown}"


def changed(text: str, change: str) -> str:
    """The text with the lines under `-` replaced by those under `+`; they occur once, with the lines around them."""
    old = "".join(f"{line[1:]}\n" for line in change.splitlines() if line[:1] != "+")
    new = "".join(f"{line[1:]}\n" for line in change.splitlines() if line[:1] != "-")
    assert text.count(old) == 1, f"does not occur once:\n{old}"
    return text.replace(old, new)


def alike(got: str, shown: str) -> bool:
    """Whether the output is the one shown: word for word, numbers as `near`; `...` stands for any lines."""
    pattern, numbers = [], []
    for line in shown.rstrip().splitlines():
        if line.strip() == "...":
            pattern.append(r"(?:.*\n)*?")
            continue
        words = NUMBER.split(line.rstrip())
        numbers += NUMBER.findall(line)
        pattern.append(f"({NUMBER.pattern})".join(re.escape(word) for word in words) + r" *\n")
    found = re.fullmatch("".join(pattern), got.rstrip() + "\n")
    return found is not None and all(near(one, other) for one, other in zip(found.groups(), numbers))


def near(one: str, other: str) -> bool:
    """Whether two numbers are the same to a tenth, or both no more than rounding; counts are the same."""
    if one.isdigit() and other.isdigit():
        return one == other
    a, b = (float(each.rstrip("%")) for each in (one, other))
    return abs(a - b) <= 0.1 * abs(b) or max(abs(a), abs(b)) < ROUNDING
