"""`harness dashboard` and `harness history`: a folder of runs becomes a site; runs are put there, and fetched."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.errors import SpecError


def dashboard(options: argparse.Namespace) -> int:
    """Write the site; 0, whatever the runs found: their own exit statuses say that."""
    from harness.files import write_folder
    from harness.report.dashboard import build, story
    from harness.report.dashboard.pages import MARK, has_charts
    from harness.report.nights import read_nights
    from harness.report.words import plural

    folder, site = options.folder.resolve(), options.out.resolve()
    if site == folder or folder in site.parents or site in folder.parents:
        raise SpecError(f"--out {options.out}", f"overlaps the runs in {options.folder}", todo="Name another folder.")
    with _progress("reading runs", quiet=options.json) as step:
        told = story(read_nights(options.folder, told=step))
    with _progress("writing pages", quiet=options.json) as step:
        write_folder(options.out, build(told, progress=step), mark=MARK)
    news = told.news
    found = {
        "site": str(options.out / "index.html"),
        "nights": len(told.nights),
        "results": len(told.courses),
        "new": [list(course.key) for course in news.appeared],
        "mended": [list(course.key) for course in news.mended],
        "steps": [[*course.key, round(step.change.ratio, 4)] for course, step in news.steps],
        "environment": {name: list(pair) for name, pair in news.environment.items()},
        "unreadable": {each.place: each.reason for each in told.unreadable},
    }
    if options.json:
        print(json.dumps(found, indent=1))
        return 0
    for each in told.unreadable:
        print(f"harness: {each.place}: {each.reason}", file=sys.stderr)
    if not has_charts():
        print("harness: for charts to zoom, `pip install dygraphs==0.0.14`", file=sys.stderr)
    print(
        f"{plural(len(told.nights), 'night')}: {len(news.appeared)} new, {len(news.mended)} mended,"
        f" {plural(len(news.steps), 'speed step')}"
    )
    print(f"site: {found['site']}")
    return 0


def history(options: argparse.Namespace) -> int:
    """Push or pull; 0."""
    from harness.report.keeping import pull, push

    if options.what == "push":
        names = [name for name in [push(Path(options.source), options.target)] if name]
    else:
        names = pull(options.source, Path(options.target))
    if options.json:
        print(json.dumps({"runs": names}, indent=1))
    else:
        print(f"{len(names)} new in {options.target}" + "".join(f"\n  {name}" for name in names[:20]))
    return 0


def export_run(options: argparse.Namespace) -> int:
    """Write the run in another form, or print it; 0."""
    from harness.files import write_atomic, write_folder
    from harness.report.export import export

    found = export(options.folder, form=options.form)
    output: Path | None = options.output
    if output is None:
        if not isinstance(found, str) or options.json:
            raise SpecError(f"export {options.form}", "cannot be printed", todo="Name a file or folder with --output.")
        print(found, end="")
    elif isinstance(found, dict):
        write_folder(output, found.items(), mark="benchmarks.json")
    else:
        write_atomic(output, found)
    if options.json:
        print(json.dumps({"written": str(output)}))
    return 0


@contextmanager
def _progress(name: str, *, quiet: bool) -> Iterator[Callable[[int, int], None] | None]:
    """A bar on standard error."""
    if quiet:
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(name)
        yield lambda done, total: bar.update(task, completed=done, total=total)
