"""How long `harness watch` takes from a saved file to the step that fails, for a tiny case in NNX, once it is warm."""

import json
import shutil
import statistics
import subprocess
import sys
import time

import pytest

from harness import find_repository

pytestmark = pytest.mark.slow

LIMIT_SECONDS = 2.0
LOOKS = 5


def test_from_a_saved_file_to_the_step(benchmark, pytestconfig, monkeypatch, tmp_path):
    pytest.importorskip("torch")
    pytest.importorskip("flax.nnx")
    from harness.porting.new_port import new_port

    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    root = tmp_path / "mixer"
    shutil.copytree(pytestconfig.rootpath / "fixtures/begun/mixer", root)
    (root / "pyproject.toml").write_text('[tool.harness]\ncases = "parity/cases"\nconversions = "parity/rules"\n')
    monkeypatch.syspath_prepend(root)
    new_port("mixer", find_repository(root), reference="original:mixer", port="port:mixer")
    case = root / "parity/cases/mixer.toml"
    case.write_text(case.read_text().replace('# "blocks', '"blocks').replace('= ""', '= "a function"'))
    port = (root / "port.py").read_text()
    command = [sys.executable, "-m", "harness", "watch", "mixer", "--json"]
    process = subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    seconds = []

    def look(text):
        """The next look, after the port is written."""
        start = time.perf_counter()
        (root / "port.py").write_text(text)
        found = json.loads(process.stdout.readline())
        seconds.append(time.perf_counter() - start)
        return found

    try:
        assert json.loads(process.stdout.readline())["walk"]["first"] is None
        wrong = port.replace("approximate=False", "approximate=True")
        for number in range(2):  # the walk that finds the step, and the first look at it, which traces the reference
            assert look(wrong + "\n" * number)["walk"]["first"] == "first layer"
        seconds.clear()
        numbers = iter(range(1, LOOKS + 1))

        def edit():
            found = look(wrong.replace("epsilon=epsilon", f"epsilon={next(numbers)}e-4"))
            assert (found["walk"]["first"], found["start"], found["cold"]) == ("first layer", "first layer", False)

        benchmark.pedantic(edit, rounds=LOOKS)
    finally:
        process.kill()
        process.wait()
    middle = statistics.median(seconds)
    each = ", ".join(f"{value:.2f}" for value in seconds)
    print(f"watch, a tiny Mixer in NNX: {middle:.2f} s from the saved file to the step ({each})")  # noqa: T201
    assert middle <= LIMIT_SECONDS
