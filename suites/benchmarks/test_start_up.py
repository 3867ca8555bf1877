"""What it costs to start: the package, the command, a collection; each beside an empty Python in the same run."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

STARTS = {
    "an empty Python": ["-c", "pass"],
    "import harness": ["-c", "import harness"],
    "harness --help": ["-m", "harness", "--help"],
    "pytest --collect-only": ["-m", "pytest", "--collect-only", "-q", "suites/parity"],
}


@pytest.mark.parametrize("name", STARTS)
def test_start(benchmark, name, pytestconfig):
    benchmark.group = "start-up"
    benchmark.pedantic(
        subprocess.run,
        args=([sys.executable, *STARTS[name]],),
        kwargs={"check": True, "capture_output": True, "cwd": pytestconfig.rootpath},
        rounds=15,
        warmup_rounds=2,
    )
