"""A process that answers: what it does instead of answering is said, and it is gone afterwards."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from harness.bench.pipe import DiedError, Piped

SERVER = """
import json, os, signal, sys, time
for line in sys.stdin:
    asked = json.loads(line)
    if asked["do"] == "kill":
        os.kill(os.getpid(), getattr(signal, asked["signal"]))
    if asked["do"] == "hang":
        time.sleep(600)
    if asked["do"] == "hold":
        kept = b"x" * (1 << 28)
        time.sleep(600)
    if asked["do"] == "exit":
        sys.exit("a last word")
    print(json.dumps({"pid": os.getpid(), "variable": os.environ.get("TOLD")}), flush=True)
"""


def piped(folder: Path, **options: int) -> Piped:
    return Piped([sys.executable, "-c", SERVER], folder=folder, variables={**os.environ, "TOLD": "so"}, **options)


def test_questions_are_answered_in_turn(tmp_path: Path) -> None:
    with piped(tmp_path) as process:
        first = process.ask({"do": "answer"}, place="a path", timeout_seconds=60)
        assert process.ask({"do": "answer"}, place="a path", timeout_seconds=60) == first
    assert first["variable"] == "so"
    with pytest.raises(ProcessLookupError):
        os.kill(first["pid"], 0)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"do": "kill", "signal": "SIGSEGV"}, "a path: crashed with SIGSEGV"),
        ({"do": "kill", "signal": "SIGKILL"}, "a path: killed from outside (SIGKILL), as the system does when memory"),
        ({"do": "exit"}, "a path: ended with status 1: a last word"),
    ],
)
def test_how_it_ended_is_said(asked: dict[str, str], said: str, tmp_path: Path) -> None:
    with piped(tmp_path) as process, pytest.raises(DiedError) as caught:
        process.ask(asked, place="a path", timeout_seconds=60)
    assert str(caught.value).startswith(said)


def test_a_process_that_is_gone_is_not_asked(tmp_path: Path) -> None:
    with piped(tmp_path) as process:
        with pytest.raises(DiedError, match="a last word"):
            process.ask({"do": "exit"}, place="a path", timeout_seconds=60)
        with pytest.raises(DiedError, match="ended with status 1"):
            process.ask({"do": "answer"}, place="a path", timeout_seconds=60)


def test_one_that_hangs_is_ended(tmp_path: Path) -> None:
    start = time.monotonic()
    with piped(tmp_path) as process, pytest.raises(DiedError, match="hangs: no answer within 1 seconds"):
        process.ask({"do": "hang"}, place="a path", timeout_seconds=1)
    assert time.monotonic() - start < 60


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc: the system does not tell what is held")
def test_one_that_takes_too_much_memory_is_ended(tmp_path: Path) -> None:
    with piped(tmp_path, memory_bytes=1 << 27) as process, pytest.raises(DiedError) as caught:
        process.ask({"do": "hold"}, place="a path", timeout_seconds=60)
    assert "out of memory: it held 0." in str(caught.value)
    assert str(caught.value).endswith("The other paths go on; run this one by itself to see what it says.")
