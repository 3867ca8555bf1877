"""A run as a table of Parquet: a row a result."""

from __future__ import annotations

import io
import json

from harness.errors import MissingError
from harness.report import words
from harness.report.nights import Night
from harness.report.run import Run


def parquet(run: Run, night: Night) -> bytes:
    """The results with the run they are of; of the metrics error and scale as numbers, and all of them as JSON."""
    try:
        import pyarrow
        from pyarrow import parquet as writing
    except ImportError:
        todo = "Run `pip install pyarrow`."
        raise MissingError("export parquet", "needs the package pyarrow, which is not installed", todo=todo) from None
    rows = [
        {
            "run": run.id,
            "started": night.started,
            "commit": night.commit,
            "suite": result.suite,
            "case": result.case,
            "check": result.check,
            "verdict": result.verdict.value,
            "standing": words.standing(result),
            "registered": list(result.registered),
            "reason": result.reason,
            "error": result.number("error"),
            "scale": result.number("scale"),
            "seconds": result.seconds,
            "metrics": json.dumps(dict(result.metrics)),
        }
        for result in run.results
    ]
    text, number = pyarrow.string(), pyarrow.float64()
    types = {"started": pyarrow.timestamp("us", tz="UTC"), "registered": pyarrow.list_(text)}
    types |= dict.fromkeys(("error", "scale", "seconds"), number)
    names = ("run", "started", "commit", "suite", "case", "check", "verdict", "standing", "registered", "reason")
    columns = [(name, types.get(name, text)) for name in (*names, "error", "scale", "seconds", "metrics")]
    stream = io.BytesIO()
    writing.write_table(pyarrow.Table.from_pylist(rows, schema=pyarrow.schema(columns)), stream)
    return stream.getvalue()
