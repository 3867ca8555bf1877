"""`harness zero-shot` without a model: scores are read again, compared, held against lm-eval's samples."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.cli import main
from harness.cli.zero_shot import BAR, drawn
from harness.errors import RecordError, SpecError
from harness.zeroshot.answer import Answer, keep_answer, read_answer
from harness.zeroshot.example import Example
from harness.zeroshot.examples import LeftOut
from harness.zeroshot.scored import Scored
from harness.zeroshot.size import Size
from harness.zeroshot.task import Data, Task
from suites.selftest.test_zero_shot import sample, samples_file
from suites.selftest.zero_shot_runs import scores


def answer(*right: bool, model: str = "small", parameters: int = 10) -> Answer:
    scored = scores(*right)
    examples = tuple(
        Example(each.id, f"Number {each.id}:", (" odd", " even"), each.target, {"occupation": "clerk"})
        for each in scored
    )
    task = Task(name="numbers", file=Path("numbers.toml"), title="Odd or even", data=Data(file="numbers.jsonl"))
    left = (LeftOut("90", "the two sentences are the same"),)
    return Answer(task, model, Size(parameters, 2.0 * parameters), examples, left, scored, "tree")


def kept(folder: Path, *right: bool, model: str = "small", parameters: int = 10) -> str:
    return str(keep_answer(folder / model, answer(*right, model=model, parameters=parameters)))


def test_what_was_kept_is_read_again(tmp_path: Path) -> None:
    made = answer(True, False, True)
    assert read_answer(keep_answer(tmp_path, made)) == made


def test_accuracy_is_told_without_the_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["zero-shot", "--from", kept(tmp_path, True, False, True, True)]) == 0
    shown = capsys.readouterr().out
    assert "accuracy    75.00% ± 25.00% (3 of 4)" in shown
    assert "90: the two sentences are the same" in shown
    assert all(len(line) <= 80 for line in shown.splitlines())


def test_another_normalisation_decides_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = answer(True)
    close = (Scored("0", 0, (-4.0, -4.2), (1, 1), (3, 4), (3, 4)),)
    file = str(keep_answer(tmp_path, Answer(made.task, "m", None, made.examples, (), close)))
    shown = {}
    for normalisation in ("sum", "character"):
        main(["zero-shot", "--from", file, "--normalisation", normalisation, "--json"])
        shown[normalisation] = json.loads(capsys.readouterr().out)["results"][0]
    assert [shown[each]["accuracy"] for each in shown] == [1.0, 0.0]
    assert shown["character"]["normalisation"] == "character"


def test_two_models_are_compared_in_pairs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = kept(tmp_path, *[True] * 10, *[False] * 5)
    second = kept(tmp_path, *[False] * 10, *[True] * 5, model="large", parameters=20)
    main(["zero-shot", "--from", first, "--against", second, "--json"])
    (paired,) = json.loads(capsys.readouterr().out)["paired"]
    assert (paired["first_alone"], paired["second_alone"], paired["second"]) == (10, 5, "large")
    main(["zero-shot", "--from", first, "--against", second])
    assert "difference  -33.33% of the second, p = 0.3 (exact McNemar, paired)" in capsys.readouterr().out


def test_several_models_are_a_family(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    large = kept(tmp_path, *[False] * 8, *[True] * 2, model="large", parameters=20_000_000)
    small = kept(tmp_path, *[True] * 10)
    main(["zero-shot", "--from", large, "--from", small])
    shown = capsys.readouterr().out
    table = [line for line in shown.splitlines() if line.startswith(("small ", "large ")) and "%" in line]
    assert [line.split()[:4] for line in table] == [["small", "10", "20", "100.0%"], ["large", "20M", "40M", "20.0%"]]
    assert table[0].endswith("-----o")
    assert "inverse scaling, accuracy falls with size" in shown
    assert all(len(line) <= 80 for line in shown.splitlines())


def test_the_bar_shows_interval_and_share() -> None:
    assert len(drawn(0.5, 0.4, 0.6)) == BAR
    assert drawn(0.0, 0.0, 0.1).startswith("o-")
    assert drawn(1.0, 0.9, 1.0).endswith("-o")


def test_lm_evals_samples_decide_the_exit_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = answer(True, True)
    file = kept(tmp_path, True, True)
    lines = [sample(example, each.log_likelihoods) for example, each in zip(made.examples, made.scored)]
    assert main(["zero-shot", "--from", file, "--lm-eval", str(samples_file(tmp_path, *lines))]) == 0
    assert "2 of 2 the same" in capsys.readouterr().out
    lines[1] = sample(made.examples[1], made.scored[1].log_likelihoods[::-1])
    assert main(["zero-shot", "--from", file, "--lm-eval", str(samples_file(tmp_path, *lines))]) == 1
    assert "1 of 2 the same" in capsys.readouterr().out


def test_the_tasks_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "tasks", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tasks"]["occupations"].startswith("60 sentences")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing is asked"),
        (["occupations"], "a task without a model"),
        (["--model", "smollm2"], "a model without a task"),
        (["--from", "x.jsonl", "--pull-request"], "--pull-request without --publish"),
        (["ocupations", "--model", "x"], "Did you mean 'occupations'"),
    ],
)
def test_misuse_is_told(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["zero-shot", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_scores_of_another_task_are_not_compared(tmp_path: Path) -> None:
    first = answer(True)
    with pytest.raises(SpecError, match="2 scores of 1 examples"):
        Answer(first.task, "m", None, first.examples, (), scores(True, True)).summary()
    other = (Scored("0", 1, (-1.0, -2.0), (1, 1), (1, 1), (1, 1)),)
    with pytest.raises(SpecError, match="'0' was scored with target 1, and has 0"):
        Answer(first.task, "m", None, first.examples, (), other).summary()


def test_planted_a_left_out_sentence_that_is_kept_is_refused(tmp_path: Path) -> None:
    """Were a row scored that the task leaves out, its score would have no example."""
    made = answer(True, True)
    more = (*made.scored, Scored("90", 0, (-1.0, -2.0), (1, 1), (1, 1), (1, 1)))
    with pytest.raises(SpecError, match="3 scores of 2 examples .*90"):
        Answer(made.task, "m", None, made.examples, made.left_out, more).summary()


@pytest.mark.parametrize("text", ["{", "{}", '{"task": {"data": {}}}', "[]"])
def test_a_folder_that_is_damaged_is_told(text: str, tmp_path: Path) -> None:
    file = Path(kept(tmp_path, True))
    (file.parent / "answer.json").write_text(text, encoding="utf-8")
    with pytest.raises(RecordError, match=r"answer\.json: is not what was kept"):
        read_answer(file)
    with pytest.raises(RecordError, match="cannot be read"):
        read_answer(tmp_path / "absent" / "scores.jsonl")
