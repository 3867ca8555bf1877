"""The script that counts what is found of planted slowdowns, on one that nothing can miss."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def detection(output, *arguments):
    command = [sys.executable, "-m", "suites.benchmarks.detection", "--planted", "50", "--output", str(output)]
    return subprocess.run([*command, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def trials(tmp_path_factory):
    for package in ("torch", "transformers", "pytest_benchmark"):
        pytest.importorskip(package)
    output = tmp_path_factory.mktemp("detection") / "trials.jsonl"
    done = detection(output, "--trials", "1", "--json")
    assert done.returncode == 0, done.stderr[-2000:]
    return output, json.loads(done.stdout)


def test_a_large_slowdown_is_found_and_its_size_is_measured_by_itself(trials):
    _, found = trials
    none, half = found["tables"]
    assert (none["kind"], none["told"], none["trials"]) == ("none", 0, 1)
    assert (half["kind"], half["outcomes"]) == ("50 %", {"slower": 1})
    assert 0.3 < half["true_size"] < 0.8
    assert abs(half["estimate"] - half["true_size"]) < 0.2
    assert none["cpu_seconds"]["most"] <= 2.0
    assert none["load_average"]["most"] > 0


def test_pytest_benchmarks_gate_is_held_beside_it(trials):
    half = trials[1]["tables"][1]
    # What it tells is not ours to claim: on a busy machine even half as much again escapes it.
    assert half["gate_trials"] == 1
    assert half["gate_told"] in (0, 1)


def test_a_killed_run_goes_on_and_says_how_to_run_it_again(trials):
    output, _ = trials
    lines = output.read_text().splitlines(keepends=True)
    output.write_text("".join(lines[:-1]) + lines[-1][:40])
    done = detection(output, "--trials", "1")
    assert done.returncode == 0, done.stderr[-2000:]
    assert output.read_text().startswith("".join(lines[:-1]))
    text = done.stdout.splitlines()
    assert max(map(len, text[:-1])) <= 80
    assert text[-1].startswith("again: python -m suites.benchmarks.detection --planted 50")
    assert text[0].split() == ["planted", "true", "size", "trials", "told", "95", "%", "gate", "95", "%"]


def test_nothing_is_counted_of_nothing(tmp_path):
    for arguments in (("--trials", "0"), ("--planted", "0")):
        done = detection(tmp_path / "none.jsonl", *arguments)
        assert done.returncode == 2
        assert "wanted at least one trial, and what is planted above 0" in done.stderr
