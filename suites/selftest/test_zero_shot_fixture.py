"""The fixture `zero_shot` in a repository of its own: scores reach the record, and a claim that fails ends the test."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

TEST = """
import sys
from pathlib import Path
sys.path.insert(0, {root!r})
from suites.selftest.zero_shot_toy import TASK, Toy, Words

def test_it(zero_shot):
    {body}
"""

TASK = """
title = "pronouns"
[data]
file = "rows.jsonl"
[example]
delimiter = " "
"""

ROWS = [
    {"text": "the nurse thanked the clerk because", "classes": ["he", "she"], "target": 0},
    {"text": "the clerk was late because", "classes": ["he", "she"], "target": 1},
]


@pytest.fixture
def run(toys, tmp_path, monkeypatch):
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "kept"))

    def run(body, *options):
        toys.write("test_it.py", TEST.format(root=str(ROOT), body=body))
        return toys.pytest("test_it.py", "--report-dir=out", *options)

    return run


def result(toys):
    (line,) = map(json.loads, (toys.root / "out/results.jsonl").read_text().splitlines())
    return line


def test_scores_and_accuracy_are_in_the_record(toys, run):
    body = "found = zero_shot(Toy(), TASK, tokenizer=Words(), name='pronouns')\n    assert found.examples == len(TASK)"
    run(body).assert_outcomes(passed=1)
    line = result(toys)
    assert (line["case"], line["check"], line["verdict"]) == ("pronouns.a toy", "accuracy", "agree")
    assert line["metrics"]["way"] == "tree"
    assert 0 <= line["metrics"]["interval"][0] <= line["metrics"]["accuracy"] <= line["metrics"]["interval"][1] <= 1
    (scores,) = [name for name in line["files"] if name.endswith(".jsonl")]
    kept = [json.loads(text) for text in (toys.root / "out" / scores).read_text().splitlines()]
    assert [each["id"] for each in kept] == ["1", "2", "3", "4", "5", "6"]
    assert len(kept[2]["log_likelihoods"]) == 3


def test_an_accuracy_that_was_not_claimed_fails_the_test_and_tells_it(toys, run):
    done = run("zero_shot(Toy(), TASK, tokenizer=Words(), name='pronouns', expected=2.0, within=0.1)")
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["*why         accuracy 0.*, where 2.0 was claimed*", "*repeat      pytest*test_it*"])
    assert result(toys)["verdict"] == "diverge"


def test_a_task_of_a_file_tells_what_it_left_out_and_how_it_is_normalised(toys, run):
    toys.write("asked.toml", TASK + '\n[about]\noccupation = "text"\n')
    toys.write("rows.jsonl", "".join(json.dumps(row) + "\n" for row in ROWS))
    body = "from harness.zeroshot.task import read_task\n    "
    body += (
        "found = zero_shot(Toy(), read_task(Path('asked.toml')), tokenizer=Words())\n    assert found.task == 'asked'"
    )
    run(body).assert_outcomes(passed=1)
    line = result(toys)
    (name,) = [name for name in line["files"] if name.endswith(".json")]
    shown = json.loads((toys.root / "out" / name).read_text())["zero_shot"]["summary"]
    assert (shown["task"], shown["examples"], shown["normalisation"]) == ("asked", 2, "sum")


def test_a_second_run_scores_nothing_again(toys, run):
    body = "found = zero_shot(Toy(), TASK, tokenizer=Words(), name='pronouns')\n    assert found.kept == {}"
    run(body.format(0)).assert_outcomes(passed=1)
    run(body.format(6)).assert_outcomes(passed=1)


def test_what_no_adapter_takes_is_told(toys, run):
    done = run("zero_shot(3, TASK, tokenizer=Words())")
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["*no adapter takes an object of type builtins.int as a language model*"])
