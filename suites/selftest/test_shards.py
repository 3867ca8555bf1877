"""A run split over machines: a stable split, and its folders merged into one run that says what is missing."""

import json
import re

import pytest

from harness.cli import main
from harness.errors import SpecError
from harness.report.shards import Shard, read_shard

MANY = """
import pytest

@pytest.mark.parametrize("name", {names})
def test_it(name, schedule):
    from harness.schedulers.outcome import Outcome
    schedule(Outcome("euler", name, "Euler", "a", "b", 1e-14, 1e-12, compared=1, series={{8: 0.1}}))
"""

SPLIT = [2, 3, 1, 2, 2, 3, 3, 1, 3, 1, 1, 3]
NAMES = [f"check-{number}" for number in range(24)]


def write(toys, names=NAMES):
    toys.write("test_many.py", MANY.format(names=names))
    toys.write("pyproject.toml", '[tool.harness.profiles.many]\nsuites = ["test_many.py"]\n')


def record(toys, folder):
    return json.loads((toys.root / folder / "run.json").read_text())


def checks(toys, folder):
    return {result["check"] for result in record(toys, folder)["results"]}


def shards(toys, count=3, *options, numbers=None, apart=False):
    """Run the shards of those numbers, all by default, each into a folder of its number."""
    for number in numbers or range(1, count + 1):
        done = toys.pytest("test_many.py", f"--shard={number}/{count}", f"--report-dir={number}", *options, apart=apart)
        assert done.ret == 0
    return done


@pytest.fixture
def merge(toys, monkeypatch, capsys):
    """Merge folders into `out`; status, standard output, standard error."""
    monkeypatch.chdir(toys.root)

    def call(*folders, output="out", options=()):
        capsys.readouterr()
        status = main(["merge", *folders, "-o", output, *options])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


class TestSplit:
    def test_every_test_is_in_one_part_and_the_parts_are_of_like_size(self):
        tests = [f"suites/x/test_it.py::test_it[{number}]" for number in range(3000)]
        for count in (1, 2, 7):
            parts = [[test for test in tests if Shard(number, count).holds(test)] for number in range(1, count + 1)]
            assert sorted(test for part in parts for test in part) == sorted(tests)
            assert min(map(len, parts)) > 0.8 * len(tests) / count

    def test_the_split_is_what_it_was(self):
        # A split that another version makes otherwise would leave tests of a running campaign out.
        tests = [f"test_a.py::test_it[{number}]" for number in range(12)]
        assert [next(k for k in (1, 2, 3) if Shard(k, 3).holds(test)) for test in tests] == SPLIT

    @pytest.mark.parametrize("text", ["0/3", "4/3", "1/0", "3", "a/b", "1/3/5", "-1/3", "1/3 ", "\u0661/\u0663"])
    def test_what_is_no_part_is_refused(self, text):
        with pytest.raises(SpecError, match="is not part K of N, counted from 1"):
            read_shard(text)

    def test_a_new_test_moves_no_other(self, toys):
        write(toys)
        shards(toys, numbers=[2])
        before = checks(toys, "2")
        write(toys, ["new-a", *NAMES, "new-b"])
        shards(toys, numbers=[2])
        assert checks(toys, "2") - {"new-a", "new-b"} == before
        assert 0 < len(before) < len(NAMES)


class TestPlugin:
    def test_the_parts_are_the_whole_and_say_what_is_left_to_the_others(self, toys):
        write(toys)
        done = shards(toys)
        found = [checks(toys, str(number)) for number in (1, 2, 3)]
        assert sorted(check for part in found for check in part) == sorted(NAMES)
        done.stdout.fnmatch_lines(["shard: 3/3", f"*{24 - len(found[2])}  left to other shards, this is 3/3"])
        run = record(toys, "3")["run"]
        assert (run["shard"], run["elsewhere"], run["tests_total"]) == ("3/3", 24 - len(found[2]), len(found[2]))
        assert run["not_run"] == []
        assert "left to other shards" in (toys.root / "3/summary.md").read_text()
        assert re.search(r"<dt>Shard</dt><dd>3/3, \d+ tests elsewhere", (toys.root / "3/index.html").read_text())

    def test_without_the_option_the_record_says_nothing_of_parts(self, toys):
        write(toys)
        toys.pytest("test_many.py", "--report-dir=out")
        assert "shard" not in record(toys, "out")["run"]

    def test_under_xdist_the_parts_are_the_same(self, toys):
        pytest.importorskip("xdist")
        write(toys)
        shards(toys, numbers=[2])
        alone = checks(toys, "2"), record(toys, "2")["run"]["elsewhere"]
        done = shards(toys, 3, "-p", "xdist", "-n2", numbers=[2], apart=True)
        assert (checks(toys, "2"), record(toys, "2")["run"]["elsewhere"]) == alone
        done.stdout.fnmatch_lines([f"*{alone[1]}  left to other shards, this is 2/3"])

    @pytest.mark.parametrize("text", ["0/3", "4/3", "three"])
    def test_misuse_is_a_usage_error(self, toys, text):
        write(toys)
        done = toys.pytest("test_many.py", f"--shard={text}", apart=True)
        assert done.ret == pytest.ExitCode.USAGE_ERROR
        done.stderr.fnmatch_lines([f"ERROR: --shard {text}: is not part K of N, counted from 1. Write --shard 2/3*"])

    def test_a_killed_part_goes_on_and_another_part_is_not_taken_for_it(self, toys):
        toys.case("good")
        for number in range(6):
            toys.case(f"case-{number}")
        toys.pytest("--shard=1/2", "--report-dir=out").assert_outcomes(passed=len(record_cases(toys)))
        before = record_cases(toys)
        toys.pytest("--shard=1/2", "--report-dir=out", "--resume").assert_outcomes(passed=0)
        assert record_cases(toys) == before
        assert record(toys, "out")["run"]["elsewhere"] == 7 - len(before)
        done = toys.pytest("--shard=2/2", "--report-dir=out", "--resume", apart=True)
        assert done.ret == pytest.ExitCode.USAGE_ERROR
        done.stderr.fnmatch_lines(["*out: holds a run of shard 1/2, not of shard 2/2. Name another folder*"])
        done = toys.pytest("--report-dir=out", "--resume", apart=True)
        done.stderr.fnmatch_lines(["*out: holds a run of shard 1/2, not of all tests.*"])

    def test_isolated_cases_are_split_alike(self, toys):
        for number in range(4):
            toys.case(f"case-{number}")
        toys.pytest("--shard=1/2", "--report-dir=out", "--isolate-cases", apart=True)
        apart = record_cases(toys)
        toys.pytest("--shard=1/2", "--report-dir=out")
        assert record_cases(toys) == apart != []

    def test_harness_run_hands_the_part_on(self, toys, monkeypatch, capsys):
        write(toys)
        done = toys.harness("run", "--profile=many", "--shard=1/3", "--report-dir=out")
        assert done.ret == 0
        assert record(toys, "out")["run"]["shard"] == "1/3"
        assert "left to other shards" in done.stdout.str()
        monkeypatch.chdir(toys.root)
        assert main(["run", "--profile=many", "--shard=3/2", "--report-dir=other"]) == 2
        assert "--shard 3/2: is not part K of N" in capsys.readouterr().err
        assert not (toys.root / "other").exists()


def record_cases(toys):
    file = toys.root / "out/run.json"
    return sorted(each["case"] for each in json.loads(file.read_text())["results"]) if file.exists() else []


class TestMerge:
    def test_all_parts_make_the_run_that_one_machine_would_have_made(self, toys, merge):
        write(toys)
        shards(toys)
        toys.pytest("test_many.py", "--report-dir=whole")
        status, text, said = merge("3", "1", "2")
        assert (status, said) == (0, "harness: merged shards 1, 2, 3 of 3\n")
        assert "check-0" in text
        merged, whole = record(toys, "out"), record(toys, "whole")
        assert sorted(each["check"] for each in merged["results"]) == sorted(NAMES)
        for key in ("tests_total", "exit_status", "status", "profile", "not_run", "failed"):
            assert merged["run"][key] == whole["run"][key]
        assert (merged["run"]["shard"], merged["run"]["elsewhere"]) == ("1, 2, 3 of 3", 0)
        assert {path.name for path in (toys.root / "out").iterdir()} == {
            "cases", "events.jsonl", "index.html", "junit.xml", "results.jsonl", "run.json", "summary.md",
        }  # fmt: skip

    def test_the_record_is_printed_alone_and_can_be_reported_again(self, toys, merge, monkeypatch, capsys):
        write(toys)
        shards(toys)
        printed = json.loads(merge("1", "2", "3", options=["--json"])[1])
        assert printed == record(toys, "out")
        assert main(["report", "out", "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == printed

    def test_files_of_one_name_stay_apart(self, toys, merge):
        write(toys)
        shards(toys)
        for number in "123":
            folder = toys.root / number
            lines = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
            old = folder / lines[0]["files"][0]
            old.rename(folder / "cases/same.json")
            document = json.loads((folder / "cases/same.json").read_text()) | {"text": f"of part {number}"}
            (folder / "cases/same.json").write_text(json.dumps(document))
            lines[0]["files"] = ["cases/same.json"]
            (folder / "results.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        assert merge("1", "2", "3")[0] == 0
        files = [file for each in record(toys, "out")["results"] for file in each["files"]]
        assert len(files) == len(set(files)) == len(NAMES)
        texts = [json.loads((toys.root / "out" / file).read_text())["text"] for file in files if "same" in file]
        assert texts == ["of part 1", "of part 2", "of part 3"]

    def test_a_file_outside_its_folder_is_not_taken_along(self, toys, merge):
        write(toys)
        shards(toys)
        (toys.root / "secret.json").write_text("{}")
        lines = [json.loads(line) for line in (toys.root / "1/results.jsonl").read_text().splitlines()]
        lines[0]["files"] = ["cases/../../secret.json"]
        lines[1]["files"] = ["cases/gone.json"]
        (toys.root / "1/results.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        assert merge("1", "2", "3")[0] == 0
        assert sorted(each["files"] for each in record(toys, "out")["results"])[:2] == [[], []]

    def test_a_missing_part_is_named_and_nothing_is_called_complete(self, toys, merge):
        write(toys)
        shards(toys, numbers=[1, 3])
        status, text, said = merge("1", "3")
        assert (status, said) == (3, "harness: merged shards 1, 3 of 3, 2 missing\n")
        run = record(toys, "out")["run"]
        assert (run["status"], run["shard"]) == ("interrupted", "1, 3 of 3, 2 missing")
        assert run["elsewhere"] == len(NAMES) - run["tests_total"] > 0
        assert f"left to other shards ({run['elsewhere']})" in text

    def test_a_killed_part_leaves_the_whole_interrupted(self, toys, merge):
        write(toys)
        shards(toys)
        events = (toys.root / "2/events.jsonl").read_text().splitlines()
        (toys.root / "2/events.jsonl").write_text("\n".join(events[:-3]) + "\n")
        assert merge("1", "2", "3")[0] == 3
        assert record(toys, "out")["run"]["status"] == "interrupted"

    def test_one_part_alone_fails_the_whole(self, toys, merge):
        write(toys)
        text = (toys.root / "test_many.py").read_text()
        (toys.root / "test_many.py").write_text(text.replace("1e-14,", "0.5 if name == 'check-3' else 1e-14,"))
        for number in (1, 2, 3):
            toys.pytest("test_many.py", f"--shard={number}/3", f"--report-dir={number}")
        assert merge("1", "2", "3")[0] == 1
        assert [each["check"] for each in record(toys, "out")["results"] if each["verdict"] == "diverge"] == ["check-3"]

    def test_what_is_everyones_is_told_once(self, toys, merge):
        write(toys)
        toys.write("test_broken.py", "import nowhere_to_be_found\n")
        for number in (1, 2, 3):
            toys.pytest(
                "test_many.py", "test_broken.py", f"--shard={number}/3", f"--report-dir={number}",
                "--continue-on-collection-errors", "-k", "not check-7", apart=True,
            )  # fmt: skip
        assert merge("1", "2", "3")[0] == 3
        found = record(toys, "out")
        assert [each["check"] for each in found["results"]].count("collect") == 1
        assert [each["test"] for each in found["run"]["not_run"]] == ["test_many.py::test_it[check-7]"]

    def test_runs_of_other_tests_need_no_parts(self, toys, merge):
        write(toys)
        toys.write("test_more.py", MANY.format(names=["more"]))
        toys.pytest("test_many.py", "--report-dir=1")
        toys.pytest("test_more.py", "--report-dir=2")
        assert merge("1", "2")[::2] == (0, "")
        assert len(record(toys, "out")["results"]) == 25
        assert "shard" not in record(toys, "out")["run"]

    @pytest.mark.parametrize(
        ("folders", "said"),
        [
            (["1", "2", "2"], "2: holds shard 2/3, as does 2. Name one of them alone."),
            (["1", "same"], "same: holds the test 'test_many.py::test_it[check-"),
            (["1", "four"], "four: the number of shards is 4, where 1 has 3."),
            (["1", "whole"], "whole: the number of shards is none, where 1 has 3."),
            (["1", "profile"], "profile: the profile is other, where 1 has none."),
            (["1", "python"], "python: Python is 2.7, where 1 has 3."),
            (["1", "numpy"], "numpy: numpy is 0.1, where 1 has"),
            (["1", "lacking"], "lacking: numpy is none, where 1 has"),
            (["1", "empty"], "empty: holds neither events.jsonl nor results.jsonl"),
            (["1", "merged"], "merged: holds shards 1, 2 of 3, 3 missing, merged before."),
        ],
    )
    def test_what_does_not_go_together_is_refused_and_nothing_is_written(self, toys, merge, folders, said):
        write(toys)
        shards(toys)
        toys.pytest("test_many.py", "--shard=2/4", "--report-dir=four")
        toys.pytest("test_many.py", "--report-dir=whole")
        (toys.root / "empty").mkdir()
        merge("1", "2", output="merged")
        forge(toys, "same", 1, lambda run: run["run"].update(shard="2/3"))
        forge(toys, "profile", 2, lambda run: run["run"].update(profile="other"))
        forge(toys, "python", 2, lambda run: run["environment"].update(python="2.7"))
        forge(toys, "numpy", 2, lambda run: run["environment"]["packages"].update(numpy="0.1"))
        forge(toys, "lacking", 2, lambda run: run["environment"]["packages"].pop("numpy"))
        status, text, error = merge(*folders)
        assert status in (2, 3)
        assert text == ""
        assert f"harness: {said}" in error
        assert not (toys.root / "out").exists()

    def test_it_writes_over_no_folder_of_its_own_nor_of_other_things(self, toys, merge):
        write(toys)
        shards(toys)
        assert "is one of the folders to merge" in merge("1", "2", "3", output="2")[2]
        assert len(checks(toys, "2")) > 0
        toys.write("mine/letter.txt", "dear")
        assert "is neither empty nor the folder of an earlier run" in merge("1", "2", "3", output="mine")[2]
        assert (toys.root / "mine/letter.txt").exists()


def forge(toys, name, number, change):
    """A copy of a part's folder whose first event is changed."""
    import shutil

    shutil.copytree(toys.root / str(number), toys.root / name)
    first, *others = (toys.root / name / "events.jsonl").read_text().splitlines()
    event = json.loads(first)
    change(event)
    (toys.root / name / "events.jsonl").write_text("\n".join([json.dumps(event), *others]) + "\n")
