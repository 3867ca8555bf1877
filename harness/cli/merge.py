"""`harness merge`: the folders of the shards of a run become one folder, with one record and report."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from harness.errors import SpecError
from harness.settings import find_repository


def merge_runs(options: argparse.Namespace) -> int:
    """Merge, show; the exit status of the merged record, at best 3 while a shard is missing."""
    from harness.cli.run import show
    from harness.plugin.resume import open_folder
    from harness.report import finish
    from harness.report.merge import read_again, read_parts, told_of, write_parts
    from harness.report.run import exit_status

    output: Path = options.output
    for folder in (*options.folder, *options.again):
        if output.resolve() == folder.resolve():
            raise SpecError(str(output), "is one of the folders to merge", todo="Name another folder for the result.")
    found = read_parts(options.folder)
    again = read_again(options.again, found) if options.again else None
    open_folder(output, resume=False)
    more = ["--again", *map(str, options.again)] if again else []
    write_parts(found, output, ["harness", "merge", *map(str, options.folder), *more, "-o", str(output)], again=again)
    repository = find_repository(Path.cwd())
    run = finish(output, sections=repository.settings.sections, root=repository.root)
    show(output, run, as_json=options.json)
    if told := told_of(found, again):
        print(f"harness: merged shards {told}", file=sys.stderr)
    return exit_status(run)
