"""Scores are kept: a run that is killed goes on where it was, and two at once do the work of one."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.errors import RecordError, SpecError
from harness.zeroshot.run import score_task
from suites.selftest.zero_shot_slowly import examples
from suites.selftest.zero_shot_toy import TASK, Toy, Words, by_hand, one_later

ROOT = Path(__file__).parents[2]
COUNT = 40
SCRIPT = [sys.executable, "-m", "suites.selftest.zero_shot_slowly"]


def start(cache, seconds):
    return subprocess.Popen([*SCRIPT, cache, str(COUNT), str(seconds)], cwd=ROOT, stdout=subprocess.PIPE, text=True)


def lines(cache):
    return [json.loads(line) for file in cache.glob("*/scores.jsonl") for line in file.read_text().splitlines()]


def test_a_run_that_is_killed_goes_on_where_it_was(tmp_path):
    chance = random.Random(9)
    for kill in range(3):
        process = start(tmp_path, 0.05)
        wanted = len(whole(tmp_path)) + chance.randint(2, 8)
        while len(whole(tmp_path)) < wanted:
            assert process.poll() is None, "the run was over before it was killed"
            time.sleep(0.005)
        time.sleep(chance.uniform(0, 0.1))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        before = whole(tmp_path)
        assert wanted <= len(before) < COUNT
        if kill == 1:
            # A kill may also tear off the line that is being written.
            (file,) = tmp_path.glob("*/scores.jsonl")
            file.write_bytes(file.read_bytes() + b'{"id":"39","target":1,"log_lik')
    printed, _ = start(tmp_path, 0.0).communicate()
    assert f"kept {len(before)} of {COUNT}" in printed
    found = lines(tmp_path)
    assert sorted(int(each["id"]) for each in found) == list(range(COUNT))
    assert found[: len(before)] == before
    wanted = {each.id: by_hand(each) for each in examples(COUNT)}
    for each in found:
        assert each["log_likelihoods"] == pytest.approx(wanted[each["id"]], abs=1e-12)


def whole(cache):
    """The lines that were written to their end."""
    files = list(cache.glob("*/scores.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text().split("\n")[:-1] if line.endswith("}")]


def test_two_runs_at_once_score_every_example_once(tmp_path):
    both = [start(tmp_path, 0.02) for _ in range(2)]
    printed = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sorted(int(each["id"]) for each in lines(tmp_path)) == list(range(COUNT))
    assert sorted(text.count("scored") > 0 for text in printed) == [False, True], printed
    waited = next(text for text in printed if "scored" not in text.replace("another process scores it", ""))
    assert "slow: another process scores it" in waited
    assert f"kept {COUNT} of {COUNT}" in waited


def test_what_was_kept_is_not_scored_again(tmp_path):
    first = score_task(Toy(), Words(), "task", TASK, cache=tmp_path)
    model = Toy()
    again = score_task(model, Words(), "task", TASK, cache=tmp_path)
    assert (first.kept, again.kept, model.calls) == (0, len(TASK), [])
    assert again.scored == first.scored
    assert again.way == first.way == "tree"


@pytest.mark.parametrize(
    "changed",
    [
        {"model": Toy(one_later)},
        {"tokenizer": Words(prefix=())},
        {"examples": TASK[1:]},
        {"bos": "none"},
        {"way": "plain"},
    ],
)
def test_what_a_score_depends_on_is_scored_anew(tmp_path, changed):
    given = {"model": Toy(), "tokenizer": Words(), "examples": TASK}
    score_task(**given, name="task", cache=tmp_path)
    assert score_task(**{**given, **changed}, name="task", cache=tmp_path).kept == 0


def test_the_batch_changes_no_score_and_so_keeps_them(tmp_path):
    score_task(Toy(), Words(), "task", TASK, cache=tmp_path, batch=8)
    assert score_task(Toy(), Words(), "task", TASK, cache=tmp_path, batch=80).kept == len(TASK)


def test_a_damaged_line_is_told_and_nothing_is_lost(tmp_path):
    found = score_task(Toy(), Words(), "task", TASK, cache=tmp_path)
    text = found.file.read_text().splitlines(keepends=True)
    found.file.write_text("".join(["{no json\n", *text[1:]]))
    with pytest.raises(RecordError, match=r"scores\.jsonl:1: not a JSON object"):
        score_task(Toy(), Words(), "task", TASK, cache=tmp_path)
    assert found.file.read_text().splitlines(keepends=True)[1:] == text[1:]


def test_ids_must_differ_and_examples_be_there(tmp_path):
    with pytest.raises(SpecError, match="task 'task': two examples have the id '1'"):
        score_task(Toy(), Words(), "task", [TASK[0], TASK[0]], cache=tmp_path)
    with pytest.raises(SpecError, match="there is no example"):
        score_task(Toy(), Words(), "task", [], cache=tmp_path)


def test_progress_counts_what_was_kept(tmp_path):
    told = []
    score_task(Toy(), Words(), "task", TASK, cache=tmp_path, batch=1, progress=lambda *pair: told.append(pair))
    assert told[-1] == (len(TASK), len(TASK))
    assert len(told) > 1


def test_the_result_says_how_it_was_found(tmp_path):
    def refuse(rows):
        if rows.seen is not None:
            raise ValueError("want a mask of two axes")
        return rows

    text = str(score_task(Toy(refuse), Words(), "task", TASK, cache=tmp_path))
    assert "task: a toy" in text
    assert "asked       by plain" in text
    assert "not by      tree: ValueError: want a mask of two axes" in text
