"""One side of a comparison, in a process of its own: builds a call once, then runs it whenever it is told to.

Asked by lines of JSON on standard input; answers by lines of JSON on what was its standard output: what the call prints
goes to standard error. Run by its path under the side's own Python, where no harness has to be installed: it needs a
few modules of this one, and nothing but Python's own library, and forgets them, so that a side finds its own `harness`.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from types import ModuleType


def main() -> None:
    """Answer until standard input ends."""
    _lie_as_the_other_does()
    clock, context = _own("clock", "context")
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)
        serve(sys.stdin, answers, clock=clock, context=context)


def serve(asked: Iterable[str], answers: TextIO, *, clock: ModuleType, context: ModuleType) -> None:
    """Build what the first line names and say where it runs; for each further line, run it and say what that took."""
    lines = iter(asked)
    try:
        call = _build(json.loads(next(lines)))
        told = getattr(call, "context", {})
        _say(answers, {"context": context.capture(**told).to_dict()})
    except Exception as error:
        _say(answers, {"failed": _told(error)})
        return
    with clock.collection_off():
        for line in lines:
            gc.collect()
            _say(answers, _run(call, json.loads(line)["calls"], clock))


def _run(call: Callable[[], Any], calls: int, clock: ModuleType) -> dict[str, Any]:
    try:
        reading, output = clock.read(call, calls=calls)
        if has_nan(output):
            return {"failed": "an output holds NaN"}
    except Exception as error:
        return {"failed": _told(error)}
    return {"reading": [reading.wall_seconds, reading.cpu_seconds, reading.device_seconds]}


def _lie_as_the_other_does() -> None:
    """Begin again without a random place in memory, where Linux allows it.

    Two processes of one call differed by up to 5 % with it, for as long as they lived, and by 2 % without.
    """
    if sys.platform == "linux":
        import ctypes

        system, no_random_place = ctypes.CDLL(None), 0x0040000  # ADDR_NO_RANDOMIZE of personality(2)
        now = system.personality(0xFFFFFFFF)
        if now != -1 and not now & no_random_place and system.personality(now | no_random_place) != -1:
            os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def _own(*names: str) -> list[ModuleType]:
    """Modules of this harness, after which nothing of it is left to be found by the call's own imports."""
    from importlib import import_module

    root = str(Path(__file__).parents[2])
    sys.path.insert(0, root)
    found = [import_module(f"harness.bench.{name}") for name in names]
    sys.path.remove(root)
    for name in [name for name in sys.modules if name.partition(".")[0] == "harness"]:
        del sys.modules[name]
    return found


def _build(asked: Mapping[str, Any]) -> Callable[[], Any]:
    """The callable that the factory returns. path: where modules are looked for first. memory_bytes: no more is given.

    The path is no variable of the environment, whose length would move all that lies in memory.
    """
    from importlib import import_module

    sys.path[:0] = asked["path"]
    if asked["memory_bytes"]:
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (asked["memory_bytes"], asked["memory_bytes"]))
    module, _, name = asked["factory"].partition(":")
    call = getattr(import_module(module), name)(**asked["arguments"])
    if not callable(call):
        raise TypeError(f"{asked['factory']!r} returned a {type(call).__name__}, wanted a callable without arguments")
    return call  # type: ignore[no-any-return]


def _say(answers: TextIO, value: Mapping[str, Any]) -> None:
    answers.write(json.dumps(value) + "\n")
    answers.flush()


def _told(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return f"out of memory{f': {error}' if str(error) else ''}"
    return f"{type(error).__name__}: {error}"


def has_nan(output: Any) -> bool:
    """Whether an array or number in it is not equal to itself; other things are passed over."""
    for leaf in _leaves(output):
        try:
            unequal = leaf != leaf
            if bool(unequal.any() if hasattr(unequal, "any") else unequal):
                return True
        except Exception:  # no array and no number: what it means by "equal" is its own
            continue
    return False


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        for each in value.values():
            yield from _leaves(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _leaves(each)
    else:
        yield value


if __name__ == "__main__":
    main()
