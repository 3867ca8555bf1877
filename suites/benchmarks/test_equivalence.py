"""What holding every twin against the other costs."""

import os
import resource
import subprocess
import sys
import time

import pytest

QUICK = 240.0, ("suites/equivalence/test_forward.py",)
FULL = 1500.0, ("suites/equivalence/test_fields.py", "suites/equivalence/test_beyond.py", "-k", "field or float64")
BYTES = 6 * 2**30
"""The issue's own bounds, in seconds and bytes, for two processes on two cores; and what pytest is told to run."""


@pytest.mark.slow
@pytest.mark.parametrize(("bound", "chosen"), [QUICK, FULL], ids=["quick", "full"])
def test_the_cost_of_all_twins(bound, chosen, tmp_path, pytestconfig):
    pytest.importorskip("transformers.modeling_flax_utils")
    options = ["-q", "-p", "no:cacheprovider", "-n", "2", "--dist", "worksteal", "--run-slow"]
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *chosen, *options, "--report-dir", str(tmp_path / "run")],
        cwd=pytestconfig.rootpath,
        env={**os.environ, "HARNESS_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    print(f"{seconds:.0f} s with nothing compiled before, at most {peak / 2**30:.2f} GiB a process")  # noqa: T201
    print("\n".join(done.stdout.splitlines()[-12:]))  # noqa: T201
    assert done.returncode == 0, done.stdout[-2000:]
    assert seconds < bound
    assert 2 * peak < BYTES
