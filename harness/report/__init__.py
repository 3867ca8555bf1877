"""Reports of a run: its record, and from it a page, a Markdown summary and JUnit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markupsafe import Markup

    from harness.report.run import Result, Run

NONE: Mapping[str, str] = MappingProxyType({})


def finish(folder: Path, *, sections: Mapping[str, str] = NONE, root: Path | None = None) -> Run:
    """Write `run.json`, `summary.md`, `junit.xml` and `index.html` of the run in `folder`; the run.

    It takes a run that was killed as well as one that ended.

    sections: suite -> `module:function`, which makes the suite's own section of the page; one that cannot be imported
        is shown as an error in its place. root: the folder from which it is imported.

    Raises:
        RecordError: the folder holds no run, or cannot be written.
    """
    from harness.files import write_atomic
    from harness.report.junit import junit
    from harness.report.markdown import summary
    from harness.report.page import page
    from harness.report.run import read_run, write_record

    run = read_run(folder)
    write_record(folder)
    functions = [(suite, _late(suite, name, root or Path.cwd())) for suite, name in sections.items()]
    write_atomic(folder / "summary.md", _encoded(summary(run, folder=folder)))
    write_atomic(folder / "junit.xml", _encoded(junit(run, folder=folder)))
    write_atomic(folder / "index.html", _encoded(page(run, folder=folder, sections=functions)))
    return run


def _late(suite: str, name: str, root: Path) -> Callable[[list[Result], Path], Markup]:
    """The function `module:function`, imported when it is called, so that its errors are its own."""

    def call(results: list[Result], folder: Path) -> Markup:
        from harness.cases.build import resolve

        made: Markup = resolve(name, root=root, place=f"section {suite!r}")(results, folder)
        return made

    return call


def _encoded(text: str) -> bytes:
    # A record may hold half a surrogate pair, which no encoding takes; the report is not to fail on it.
    return text.encode(errors="replace")
