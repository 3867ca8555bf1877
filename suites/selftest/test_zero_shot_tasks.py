"""Tasks as data: what becomes a question, what is left out, and what a wrong file is told, with its line."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from pathlib import Path

import pytest

from harness.errors import SpecError
from harness.settings import find_repository
from harness.zeroshot.examples import examples_of
from harness.zeroshot.pronouns import question_of
from harness.zeroshot.task import find_tasks, read_task

ROOT = Path(__file__).parents[2]
REPOSITORY = find_repository(ROOT)
HUB_ROWS = ({"text": "The sky is", "classes": [" green", " blue"], "target": 1},)
LETTERS = (
    {"question": "Which is a vowel?", "choices": ["b", "c", "e"], "answer": "e"},
    {"question": "Which comes first?", "choices": ["zed", "alpha"], "answer": "alpha"},
)
ASKED = """
[example]
prompt = "Q: {{ question }}\\nA:"
options = "choices"
target = "answer"
delimiter = " "
"""


def written(folder: Path, *rows: object, text: str = "", data: str = 'file = "rows.jsonl"') -> Path:
    """A task of these rows; `text`: what stands in its file below [data]."""
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    file = folder / "task.toml"
    file.write_text(f'title = "a task"\n\n[data]\n{data}\n{text}', encoding="utf-8")
    return file


def made(folder: Path, *rows: object, **values: str):
    return examples_of(read_task(written(folder, *rows, **values)), find_repository(folder))


def refused(folder: Path, *rows: object, **values: str) -> str:
    with pytest.raises(SpecError) as caught:
        made(folder, *rows, **values)
    return str(caught.value)


class TestRows:
    def test_the_layout_of_the_hub_needs_no_word(self, tmp_path: Path) -> None:
        ((example,), left) = made(tmp_path, *HUB_ROWS)
        assert (example.prompt, example.options, example.target) == ("The sky is", (" green", " blue"), 1)
        assert (example.id, left) == ("1", ())

    def test_options_may_be_many_and_as_long_as_they_like(self, tmp_path: Path) -> None:
        examples, _ = made(tmp_path, *LETTERS, text=ASKED)
        assert [each.options for each in examples] == [(" b", " c", " e"), (" zed", " alpha")]
        assert [each.target for each in examples] == [2, 1]
        assert examples[0].prompt == "Q: Which is a vowel?\nA:"

    def test_an_option_may_be_a_template_and_a_target_too(self, tmp_path: Path) -> None:
        text = '[example]\nprompt = "text"\noptions = [" {{ a }}", " not {{ a }}"]\ntarget = "{{ 1 - right }}"\n'
        ((example,), _) = made(tmp_path, {"text": "It is", "a": "so", "right": 0}, text=text)
        assert (example.options, example.target) == ((" so", " not so"), 1)

    def test_csv_and_parquet_say_the_same(self, tmp_path: Path) -> None:
        text = '[example]\noptions = [" {{ a }}", " {{ b }}"]\ntarget = "target"\n[about]\nkind = "{{ a }}"\n'
        (tmp_path / "rows.csv").write_text('text,a,b,target\n"One, two",x,y,1\n', encoding="utf-8")
        from_csv = made(tmp_path, data='file = "rows.csv"', text=text)
        assert from_csv[0][0].prompt == "One, two"
        assert from_csv[0][0].about == {"kind": "x"}
        arrow = pytest.importorskip("pyarrow", reason="needs pyarrow 15, which is not installed")
        parquet = pytest.importorskip("pyarrow.parquet")
        row = {"text": ["One, two"], "a": ["x"], "b": ["y"], "target": [1]}
        parquet.write_table(arrow.table(row), tmp_path / "rows.parquet")
        assert made(tmp_path, data='file = "rows.parquet"', text=text) == from_csv

    def test_the_limit_counts_those_that_are_asked(self, tmp_path: Path) -> None:
        rows = [{"a": f"{n} he is", "b": f"{n} he is"} for n in range(2)]
        rows += [{"a": f"Then {n} he is", "b": f"Then {n} she is"} for n in range(5)]
        text = '[sentences]\nright = "a"\nwrong = "b"\n'
        file = written(tmp_path, *rows, text=text)
        file.write_text("limit = 3\n" + file.read_text(encoding="utf-8"), encoding="utf-8")
        examples, left = examples_of(read_task(file), find_repository(tmp_path))
        assert [each.id for each in examples] == ["3", "4", "5"]
        assert [each.id for each in left] == ["1", "2"]

    def test_a_template_reaches_nothing_but_its_row(self, tmp_path: Path) -> None:
        text = '[example]\nprompt = "{{ text.__class__.__mro__[1].__subclasses__() }}"\n'
        assert "unsafe" in refused(tmp_path, *HUB_ROWS, text=text)


class TestFewShot:
    ROWS = tuple({"text": f"{n} is", "classes": [" odd", " even"], "target": (n + 1) % 2} for n in range(9))
    TEXT = '[few_shot]\nexamples = 2\nseed = {seed}\nseparator = "; "\n'

    def test_the_same_answered_questions_stand_before_all_and_are_not_asked(self, tmp_path: Path) -> None:
        examples, left = made(tmp_path, *self.ROWS, text=self.TEXT.format(seed=1))
        prefixes = {each.prompt.rpartition("; ")[0] for each in examples}
        (prefix,) = prefixes
        answered = re.fullmatch(r"(\d) is (odd|even); (\d) is (odd|even)", prefix)
        assert answered
        assert (answered[2], answered[4]) == tuple(("even", "odd")[int(answered[n]) % 2] for n in (1, 3))
        assert {each.id for each in left} == {str(int(answered[n]) + 1) for n in (1, 3)}
        assert len(examples) == 7

    def test_the_seed_draws_them(self, tmp_path: Path) -> None:
        drawn = [made(tmp_path, *self.ROWS, text=self.TEXT.format(seed=seed))[0][-1].prompt for seed in (1, 1, 2)]
        assert drawn[0] == drawn[1] != drawn[2]

    def test_from_other_data_all_are_asked(self, tmp_path: Path) -> None:
        (tmp_path / "shots.jsonl").write_text("".join(json.dumps(row) + "\n" for row in self.ROWS), encoding="utf-8")
        text = self.TEXT.format(seed=1) + '[few_shot.data]\nfile = "shots.jsonl"\n'
        examples, left = made(tmp_path, *self.ROWS, text=text)
        assert (len(examples), left) == (9, ())

    def test_more_than_there_are_is_refused(self, tmp_path: Path) -> None:
        told = refused(tmp_path, *HUB_ROWS, text=self.TEXT.format(seed=1))
        assert re.search(r"task\.toml:6: 2 examples are to be drawn of 1", told)


WRONG = {
    "an unknown key": ('[example]\npromt = "text"\n', r"task\.toml:6: unknown key 'example\.promt'.*'prompt'"),
    "an unknown column": ('[example]\nprompt = "txt"\n', r"toml:6: .*rows\.jsonl:1: .*column 'txt'. Did you.*'text'"),
    "an unknown column in a template": ('[example]\n\nprompt = "{{ txt }}!"\n', r"task\.toml:7: .*no column 'txt'"),
    "a template that does not parse": ('[example]\nprompt = "{{ text"\n', r"toml:6: .*no Jinja2 template: line 1"),
    "a template that fails": ('[example]\nprompt = "{{ 1 / 0 }}"\n', r"task\.toml:6: .*fails: division by zero"),
    "options that are no list": ('[example]\noptions = "text"\n', r"task\.toml:6: .*want a list of texts"),
    "options that are all equal": ('[example]\noptions = ["a", "a"]\n', r"task\.toml:6: .*all are equal"),
    "one option": ('[example]\noptions = ["a"]\n', r"task\.toml:6: .*want two or more"),
    "an empty option": ('[example]\noptions = ["a", ""]\n', r"task\.toml:6: .*one is empty"),
    "a target out of range": ('[example]\ntarget = "{{ target + 1 }}"\n', r"task\.toml:6: .*want an index from 0 to 1"),
    "both forms": ('[example]\n[sentences]\nright = "a"\nwrong = "b"\n', r"want \[example\] or \[sentences\]"),
    "no few-shot examples": ("[few_shot]\nexamples = 0\nseed = 1\n", r"want at least one, or no \[few_shot\]"),
    "ids that are no names": ('[example]\nid = "{{ 7 }}"\n', r"task\.toml:6: two examples are called '7'"),
    "another normalisation": ('[example]\n[about]\n[few_shot]\nexamples = 1\n', r"key 'few_shot\.seed' is missing"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_task_is_told_its_line_and_why(name: str, tmp_path: Path) -> None:
    text, message = WRONG[name]
    assert re.search(message, refused(tmp_path, *HUB_ROWS * 2, text=text))


DATA = {
    "no file": ('file = "absent.jsonl"', r"task\.toml:4: no file .*absent\.jsonl"),
    "an ending that says nothing": ('file = "task.toml"', r"task\.toml:4: .*ends in none of .*Say its `format`"),
    "two places": ('file = "rows.jsonl"\nhub = "owner/name"', r"want exactly one of .*, got file and hub"),
    "a key of another place": ('file = "rows.jsonl"\nsplit = "test"', r"'split' does not go with 'file'"),
    "an unknown artifact": ('artifact = "winobia"', r"artifact 'winobia': not known"),
    "not JSON": ('file = "task.toml"\nformat = "jsonl"', r"task\.toml:1: not JSON"),
}  # fmt: skip


@pytest.mark.parametrize("name", DATA)
def test_data_that_cannot_be_read_is_told_where(name: str, tmp_path: Path) -> None:
    data, message = DATA[name]
    (tmp_path / "fixtures").mkdir()
    (tmp_path / "fixtures/artifacts.toml").write_text("")
    assert re.search(message, refused(tmp_path, *HUB_ROWS, data=data))


def test_no_rows_is_no_task(tmp_path: Path) -> None:
    assert "task.toml:3: the data set has no row" in refused(tmp_path)


def test_nothing_left_to_ask_is_told_with_the_first_reason(tmp_path: Path) -> None:
    told = refused(tmp_path, {"a": "he", "b": "he"}, text='[sentences]\nright = "a"\nwrong = "b"\n')
    assert "no example is left of 1 rows: the two sentences are the same" in told


def test_a_target_that_is_an_index_and_another_options_text_is_refused(tmp_path: Path) -> None:
    told = refused(tmp_path, {"text": "1 + 0 =", "classes": ["1", "0"], "target": "1"})
    assert "both an index and the text of another option" in told


def test_an_unknown_task_is_offered_the_nearest() -> None:
    with pytest.raises(SpecError, match="Did you mean 'occupations'"):
        find_tasks(REPOSITORY, "ocupations")


class TestPronouns:
    def test_he_stands_first_whichever_is_right(self) -> None:
        one = question_of("[The cook] left; [she] ran.", "[The cook] left; [he] ran.")
        other = question_of("[The cook] left; [he] ran.", "[The cook] left; [she] ran.")
        assert not isinstance(one, str)
        assert not isinstance(other, str)
        assert one.options == other.options == (" he ran.", " she ran.")
        assert (one.target, other.target, one.referent) == (1, 0, "cook")

    def test_several_pronouns_are_one_difference(self) -> None:
        made = question_of("He said that [his] dog bit him.", "She said that [her] dog bit her.")
        assert not isinstance(made, str)
        assert (made.prompt, made.options) == ("", ("He said that his dog bit him.", "She said that her dog bit her."))

    @pytest.mark.parametrize(
        ("right", "wrong"),
        [
            ("he ran.", "she ran off."),
            ("he ran.", "she walked."),
            ("he saw a cat.", "he saw the cat."),
            ("he ran.", "he ran."),
            ("he saw her.", "she saw him."),
            ("he, ran.", "she ran."),
            ("It hurt himself", "It hurt them"),
        ],
    )
    def test_any_other_difference_is_none(self, right: str, wrong: str) -> None:
        assert isinstance(question_of(right, wrong), str)


class TestShipped:
    def test_the_own_sentences_are_even_and_nothing_is_left_out(self) -> None:
        (task,) = find_tasks(REPOSITORY, "occupations")
        examples, left = examples_of(task, REPOSITORY)
        assert (len(examples), left) == (60, ())
        assert Counter(each.target for each in examples) == {0: 30, 1: 30}
        assert set(Counter(each.about["occupation"] for each in examples).values()) == {2}
        plumber = next(each for each in examples if each.about["occupation"] == "plumber")
        assert plumber.about["pronoun"] == "she"

    @pytest.mark.parametrize(
        ("name", "kept", "left_out"),
        [("type1-test", 391, 5), ("type2-test", 391, 5), ("type1-dev", 394, 2), ("type2-dev", 389, 7)],
    )
    def test_winobias_keeps_what_differs_in_the_pronoun_alone(self, name: str, kept: int, left_out: int) -> None:
        folder = os.environ.get("HARNESS_DATA", "")
        if not Path(folder, "winobias").is_dir():
            pytest.skip(f"HARNESS_DATA: no folder winobias in {folder or 'it, for it is not set'}")
        anti, pro = find_tasks(REPOSITORY, f"winobias-{name}-*")
        examples, left = examples_of(anti, REPOSITORY)
        others, _ = examples_of(pro, REPOSITORY)
        assert (len(examples), len(left)) == (kept, left_out)
        assert all(each.reason.startswith("they differ in more than the pronoun") for each in left)
        # Pro for anti, or options swapped, shows here: one asks the same and wants the other.
        assert [each.options for each in examples] == [each.options for each in others]
        assert [1 - each.target for each in examples] == [each.target for each in others]
        assert all(each.options[each.target].split()[0].strip(".,") == each.about["pronoun"] for each in examples)

    def test_winobias_wants_the_pronoun_of_its_file(self) -> None:
        folder = os.environ.get("HARNESS_DATA", "")
        if not Path(folder, "winobias").is_dir():
            pytest.skip(f"HARNESS_DATA: no folder winobias in {folder or 'it, for it is not set'}")
        for task in find_tasks(REPOSITORY, "winobias-type?-*"):
            lines = Path(folder, str(task.data.member)).read_text(encoding="utf-8").splitlines()
            told = task.data.member.startswith("winobias/" + task.name.rpartition("-")[2])
            assert told, task.name
            for example in examples_of(task, REPOSITORY)[0]:
                sentence = re.sub(r"^\d+ |[\[\]]", "", lines[int(example.id) - 1])
                assert " ".join(sentence.split()) == example.prompt + example.options[example.target]
