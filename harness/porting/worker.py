"""A process that looks at a case when it is asked to, and keeps the frameworks loaded in between.

Asked by lines of JSON on standard input; answers by lines of JSON on what was its standard output: what the user's code
prints goes to standard error.
"""

from __future__ import annotations

import gc
import importlib
import json
import linecache
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from harness import environment, files
from harness.errors import HarnessError
from harness.porting import sources
from harness.settings import find_repository


def main() -> None:
    """Answer until standard input ends."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)
        # A compiled file is told from its source by seconds and size alone, and a person may save twice in a second.
        sys.dont_write_bytecode = True
        environment.prepare(files.cache_folder() / "jax")
        for number, line in enumerate(sys.stdin):
            _answer(json.loads(line), warm=number > 0, say=_sayer(answers))
            if not number:
                # The frameworks stay: without this, each of the collections of a look goes through all they hold.
                gc.collect()
                gc.freeze()


def _sayer(stream: TextIO) -> Callable[[dict[str, Any]], None]:
    def say(value: dict[str, Any]) -> None:
        stream.write(json.dumps(value) + "\n")
        stream.flush()

    return say


def _answer(asked: dict[str, Any], *, warm: bool, say: Callable[[dict[str, Any]], None]) -> None:
    """One look. warm: code of the repository was imported here before, of which a library may remember something."""
    from harness.cases.spec import find_cases
    from harness.porting.look import look

    root = Path(asked["root"])
    sources.forget(root)
    importlib.invalidate_caches()
    linecache.checkcache()
    watched: list[Path] = []
    answer: dict[str, Any] = {"event": "done"}
    try:
        repository = find_repository(root)
        watched.append(repository.cases / f"{asked['case']}.toml")
        case = find_cases(repository, asked["case"])[0]
        watched += sources.files_of(case, repository)
        found = look(case, repository, asked["start"], meet=lambda step: say({"event": "step", **asdict(step)}))
        answer["walk"] = found.to_dict() | {"exit_status": found.exit_status}
    except Exception as error:
        watched += sources.files_in(error)
        answer["error"] = _told(error)
        answer["exit_status"] = error.exit_status if isinstance(error, HarnessError) else 3
        answer["stale"] = warm and _in_a_library_on_import(error, root)
    watched += sources.own_modules(root).values()
    inside = {str(file) for file in watched if file.is_file() and file.resolve().is_relative_to(root)}
    say(answer | {"files": sorted(inside)})


def _told(error: Exception) -> str:
    """What a person needs of an error in code that they are about to mend: a syntax error with its line."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, SyntaxError):
            return "".join(traceback.format_exception_only(cause)).rstrip()
        cause = cause.__cause__
    return str(error) if isinstance(error, HarnessError) else f"{type(error).__name__}: {error}"


def _in_a_library_on_import(error: BaseException, root: Path) -> bool:
    """Whether a library refused something while the repository's code was imported: it may know it from before."""
    while error.__cause__ is not None:
        error = error.__cause__
    frames = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    importing = any(name.startswith("<frozen importlib") for name in frames)
    return importing and not isinstance(error, SyntaxError) and not Path(frames[-1]).is_relative_to(root)


if __name__ == "__main__":
    main()
