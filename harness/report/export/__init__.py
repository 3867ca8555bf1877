"""A run in the forms of other tools."""

from __future__ import annotations

from pathlib import Path

from harness.report.nights import read_nights
from harness.report.run import read_run

FORMS = ("annotations", "asv", "badge", "github-action-benchmark", "openmetrics", "parquet", "sarif")


def export(folder: Path, *, form: str) -> str | bytes | dict[str, str]:
    """The run in `folder` in that form: the content of a file, or (asv) of the files of a folder.

    Raises:
        RecordError: there is no run, or nothing in it that the form could hold.
        MissingError: the form needs a package that is not installed.
    """
    from harness.report.export import badge, openmetrics, problems, speed, table

    run, (night,) = read_run(folder), read_nights(folder).runs
    match form:
        case "annotations":
            return problems.annotated(run)
        case "asv":
            return speed.asv(night)
        case "badge":
            return badge.badge(run)
        case "github-action-benchmark":
            return speed.github_action_benchmark(night)
        case "openmetrics":
            return openmetrics.openmetrics(run)
        case "parquet":
            return table.parquet(run, night)
        case "sarif":
            return problems.sarif(run)
    raise ValueError(f"wanted one of {FORMS}, got {form!r}")
