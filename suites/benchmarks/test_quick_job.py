"""What the quick job costs: wall seconds, CPU seconds and the most memory its largest process held."""

import json
import resource
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow


def test_quick_job(benchmark, pytestconfig, tmp_path):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "harness", "run", "--profile", "quick", f"--report-dir={tmp_path / 'report'}"]
    benchmark.pedantic(
        subprocess.run,
        args=(command,),
        kwargs={"check": True, "cwd": pytestconfig.rootpath, "capture_output": True},
        rounds=1,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    record = json.loads((tmp_path / "report/run.json").read_text())
    figures = {
        "cpu_seconds": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "peak_gibibytes": max(result["metrics"]["peak_bytes"] for result in record["results"]) / 2**30,
        "results": len(record["results"]),
        "page_kibibytes": (tmp_path / "report/index.html").stat().st_size / 2**10,
    }
    benchmark.extra_info.update(figures)
    for name, value in figures.items():
        print(f"{name}: {value:.4g}")  # noqa: T201
