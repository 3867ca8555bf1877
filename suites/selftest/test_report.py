"""The record of a run, and its forms for services and terminals."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import pytest
from rich.console import Console

from harness.errors import RecordError
from harness.files import append_line
from harness.parity.compare import Verdict
from harness.report import finish
from harness.report.junit import junit
from harness.report.markdown import LENGTH, escape, fence, summary
from harness.report.run import exit_status, read_run, record, schema, succeeded, write_record
from harness.report.terminal import not_run_lines, table
from harness.report.words import headline
from suites.selftest.report_runs import HOSTILE, LONG, result, sample, write_detail, write_run


def not_run(test: str, reason: str) -> dict[str, str]:
    return {"event": "not_run", "test": test, "reason": reason}


def finished(test: str, outcome: str) -> dict[str, object]:
    return {"event": "finished", "test": test, "outcome": outcome, "seconds": 0.1}


class TestRead:
    def test_a_complete_run(self, tmp_path: Path) -> None:
        run = read_run(sample(tmp_path))
        assert (run.status, run.seconds, run.tests_total) == ("complete", 75.0, 9)
        assert [found.verdict for found in run.results][:2] == [Verdict.AGREE, Verdict.DIVERGE]
        assert run.results[3].number("error") != run.results[3].number("error")
        assert run.results[0].number("coverage") is None
        assert run.environment["python"] == "3.11.9"

    def test_a_killed_run_keeps_what_it_wrote(self, tmp_path: Path) -> None:
        started = {"event": "started", "test": "t::slow", "time": "2025-03-14T09:00:30+00:00"}
        step = {"event": "step", "test": "t::slow", "step": "bert: reference"}
        write_run(tmp_path, result("a"), result("b"), ended=False, more=(started, step), total=5)
        for name in ("results.jsonl", "events.jsonl"):
            with (tmp_path / name).open("a", encoding="utf-8") as stream:
                stream.write('{"suite": "parity", "ca')
        run = finish(tmp_path)
        assert (run.status, run.finished, run.seconds) == ("interrupted", None, 30.0)
        assert [found.case for found in run.results] == ["a", "b"]
        assert [item.reason for item in run.not_run] == ["the run ended while it ran, at the step 'bert: reference'"]
        assert run.unreached == 2
        assert exit_status(run) == 3
        assert json.loads((tmp_path / "run.json").read_text())["run"]["status"] == "interrupted"
        assert "Interrupted: 2 results so far, 2 agree." in (tmp_path / "summary.md").read_text()
        assert "Interrupted: 2 results so far" in (tmp_path / "index.html").read_text()

    def test_pytest_says_that_it_was_interrupted(self, tmp_path: Path) -> None:
        write_run(tmp_path, result("a"), ended=False)
        append_line(tmp_path / "events.jsonl", {"event": "ended", "exit_status": 2, "finished": "2025-03-14T09:02:00Z"})
        assert read_run(tmp_path).status == "interrupted"

    def test_a_test_not_run_twice_counts_once_and_not_at_all_once_it_passed(self, tmp_path: Path) -> None:
        more = (not_run("a", "slow"), not_run("a", "slow"), not_run("b", "slow"), finished("b", "passed"))
        run = read_run(write_run(tmp_path, result("x"), more=more))
        assert [(item.test, item.reason) for item in run.not_run] == [("a", "slow")]

    def test_a_skip_keeps_its_reason(self, tmp_path: Path) -> None:
        more = (not_run("a", "needs a GPU"), finished("a", "skipped"), finished("b", "skipped"))
        run = read_run(write_run(tmp_path, result("x"), more=more))
        assert {item.test: item.reason for item in run.not_run} == {"a": "needs a GPU", "b": "no reason given"}

    def test_a_resumed_run_counts_by_its_latest_result(self, tmp_path: Path) -> None:
        write_run(tmp_path, result("a", "diverge"), result("b"), ended=False)
        write_run(tmp_path, result("a"))
        run = read_run(tmp_path)
        assert {found.case: found.verdict for found in run.results} == {"a": Verdict.AGREE, "b": Verdict.AGREE}
        assert run.status == "complete"

    def test_one_test_may_leave_two_results_of_a_check(self, tmp_path: Path) -> None:
        run = read_run(write_run(tmp_path, result("a", "diverge"), result("a", test="another")))
        assert len(run.results) == 2
        assert exit_status(run) == 1

    def test_a_run_that_was_ended_and_resumed_and_killed_is_interrupted(self, tmp_path: Path) -> None:
        write_run(tmp_path, result("a"))
        write_run(tmp_path, result("b"), ended=False)
        assert read_run(tmp_path).status == "interrupted"

    def test_an_empty_folder_is_no_run(self, tmp_path: Path) -> None:
        with pytest.raises(RecordError, match=r"neither events.jsonl nor results.jsonl\. Name the folder"):
            read_run(tmp_path)

    def test_an_unknown_verdict_is_named_with_its_line(self, tmp_path: Path) -> None:
        write_run(tmp_path, result("a"))
        append_line(tmp_path / "results.jsonl", result("b") | {"verdict": "agreed"})
        with pytest.raises(RecordError, match=r"results\.jsonl:2: unknown verdict 'agreed'\. Did you mean 'agree'\?"):
            read_run(tmp_path)

    def test_a_line_without_a_case_is_named(self, tmp_path: Path) -> None:
        write_run(tmp_path, result("a") | {"case": None})
        with pytest.raises(RecordError, match=r"results\.jsonl:1: the result's 'case' is None"):
            read_run(tmp_path)


@pytest.mark.parametrize(
    ("verdict", "registered", "good"),
    [
        ("agree", [], True),
        ("agree", ["row"], False),
        ("within_tolerance", [], False),
        ("within_tolerance", ["row"], True),
        ("diverge", [], False),
        ("diverge", ["row"], True),
        ("inconclusive", [], False),
        ("inconclusive", ["row"], False),
    ],
)
def test_success(tmp_path: Path, verdict: str, registered: list[str], good: bool) -> None:
    run = read_run(write_run(tmp_path, result("a", verdict, registered=registered)))
    assert succeeded(run.results[0]) is good


class TestExitStatus:
    @pytest.mark.parametrize(
        ("planted", "status", "words"),
        [
            ([result("a"), result("b")], 0, "All 2 results agree."),
            ([result("a")], 0, "The one result agrees."),
            (
                [result("a"), result("b", "diverge", registered=["x"])],
                0,
                "1 of 2 results agree, 1 diverges as registered.",
            ),
            ([result("a", "diverge")], 1, "The one result fails."),
            ([result("a"), result("b", "diverge")], 1, "1 of 2 results fails."),
            ([result("a"), result("b", "within_tolerance")], 1, "1 of 2 results fails."),
            ([result("a"), result("b", registered=["x"])], 1, "1 of 2 results fails."),
            ([result("a"), result("b", "inconclusive")], 3, "1 of 2 results could not be judged."),
            ([result("a", "diverge"), result("b", "inconclusive")], 1, "1 of 2 results fails."),
            ([], 3, "Inconclusive: nothing was compared."),
        ],
    )
    def test_by_results(self, tmp_path: Path, planted: list[dict[str, object]], status: int, words: str) -> None:
        run = read_run(write_run(tmp_path, *planted))
        assert exit_status(run) == status
        assert words in headline(run)
        finish(tmp_path)
        assert json.loads((tmp_path / "run.json").read_text())["run"]["exit_status"] == status

    def test_a_test_that_failed_without_a_result(self, tmp_path: Path) -> None:
        run = read_run(write_run(tmp_path, result("a"), more=(finished("t::broken", "failed"),)))
        assert run.failed == ("t::broken",)
        assert exit_status(run) == 3
        assert headline(run) == "Inconclusive: 1 test failed without a result."

    def test_a_test_that_failed_although_its_results_agree(self, tmp_path: Path) -> None:
        line = result("a")
        run = read_run(write_run(tmp_path, line, more=(finished(line["test"], "failed"),)))
        assert run.failed == (line["test"],)
        assert exit_status(run) == 3

    def test_a_failing_result_explains_its_test(self, tmp_path: Path) -> None:
        assert read_run(write_run(tmp_path, result("a", "diverge"))).failed == ()


class TestRecord:
    def test_it_is_what_the_schema_says(self, tmp_path: Path) -> None:
        jsonschema.Draft202012Validator.check_schema(schema())
        written = json.loads(write_record(sample(tmp_path)).read_text())
        jsonschema.validate(written, schema(), jsonschema.Draft202012Validator)
        assert written["results"][3]["metrics"]["error"] == "nan"

    def test_a_killed_run_is_too(self, tmp_path: Path) -> None:
        run = read_run(write_run(tmp_path, result("a"), ended=False))
        jsonschema.validate(json.loads(json.dumps(record(run))), schema(), jsonschema.Draft202012Validator)

    @pytest.mark.parametrize(
        "fault",
        [
            lambda written: written["results"][0].update(verdict="fine"),
            lambda written: written["results"][0].pop("registered"),
            lambda written: written["run"].update(status="done"),
            lambda written: written["run"].update(exit_status=2),
            lambda written: written.update(schema=2),
            lambda written: written.update(extra=1),
        ],
    )
    def test_the_schema_refuses(self, tmp_path: Path, fault: object) -> None:
        written = json.loads(json.dumps(record(read_run(write_run(tmp_path, result("a"))))))
        fault(written)  # type: ignore[operator]
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(written, schema(), jsonschema.Draft202012Validator)

    def test_nothing_but_the_files_is_left(self, tmp_path: Path) -> None:
        finish(sample(tmp_path))
        names = {path.name for path in tmp_path.iterdir()}
        written = {"run.json", "summary.md", "junit.xml", "index.html"}
        assert names == written | {"cases", "events.jsonl", "results.jsonl"}

    def test_the_package_loads_nothing_heavy(self) -> None:
        code = "import sys, harness.report; print(sorted({'jinja2', 'rich', 'numpy', 'pydantic'} & set(sys.modules)))"
        assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


class TestMarkdown:
    def test_it_says_what_happened(self, tmp_path: Path) -> None:
        text = summary(read_run(sample(tmp_path)), folder=tmp_path)
        assert text.startswith("## 2 of 6 results fail.\n")
        assert "| ✓ agree | minilm-bert-flax · forward | 3.1e-5 | 12.5 |  | 4.7 |" in text
        assert "| § diverge | smollm2-llama-flax · forward | 33 | 41.2 | flax-llama-rope-theta, flax" in text
        assert "worst element [1, 7, 303]: 0.5 in the reference, nan in the port" in text
        assert "- 2 tests: needs a GPU\n- 1 test: HARNESS_DATA is not set" in text
        assert "| packages: torch | 2.13.0 |" in text

    def test_outside_text_stays_text(self, tmp_path: Path) -> None:
        text = summary(read_run(sample(tmp_path)), folder=tmp_path)
        open_text = re.sub(r"^(`{3,})text\n.*?^\1$", "", text, flags=re.DOTALL | re.MULTILINE)
        assert "<script" not in open_text
        assert "`" not in open_text
        assert {line.count("|") for line in open_text.splitlines() if "alert" in line and "|" in line} == {6, 7}
        assert "\x1b" not in text
        assert "\u202e" not in text

    def test_a_fence_is_longer_than_what_it_holds(self) -> None:
        assert fence("a\n````\nb") == "`````text\na\n````\nb\n`````"

    def test_a_name_stays_on_its_line(self) -> None:
        assert escape("a\n## b") == "a ## b"
        assert escape("snake_case _x_") == "snake_case &#95;x&#95;"

    def test_a_mended_result_says_what_to_do(self, tmp_path: Path) -> None:
        text = summary(read_run(write_run(tmp_path, result("a", registered=["row-1"]))))
        assert "#### ! a · forward: agree\n\nRegistered: row-1\n\nIt agrees, yet the register says" in text
        assert "it was mended, remove the row." in text

    def test_it_fits_a_comment(self, tmp_path: Path) -> None:
        lines = [
            write_detail(tmp_path, result(f"case-{i}", "diverge"), text="x" * 5_000 + "\n" + "y" * 9_000)
            for i in range(40)
        ]
        text = summary(read_run(write_run(tmp_path, *lines)), folder=tmp_path)
        assert LENGTH / 2 < len(text) < LENGTH + 100
        assert "… 6,001 more characters" in text
        assert re.search(r"… and \d+ more: see `index.html`", text)

    def test_a_broken_detail_is_named(self, tmp_path: Path) -> None:
        line = write_detail(tmp_path, result("a", "diverge"), taps=[{"error": 1}])
        assert "cases/0.forward.json: cannot be read ('name')" in summary(
            read_run(write_run(tmp_path, line)), folder=tmp_path
        )

    def test_no_file_outside_the_folder_is_opened(self, tmp_path: Path) -> None:
        (tmp_path / "secret.json").write_text('{"text": "a secret"}')
        (tmp_path / "run" / "cases").mkdir(parents=True)
        line = result("a", "diverge", files=["cases/../../secret.json"])
        text = summary(read_run(write_run(tmp_path / "run", line)), folder=tmp_path / "run")
        assert "a secret" not in text
        assert "lies outside the run's folder" in text


class TestJunit:
    def test_each_result_has_its_outcome(self, tmp_path: Path) -> None:
        root = ElementTree.fromstring(junit(read_run(sample(tmp_path)), folder=tmp_path))
        assert {key: root.get(key) for key in ("tests", "failures", "errors", "skipped")} == {
            "tests": "9", "failures": "2", "errors": "1", "skipped": "4",
        }  # fmt: skip
        assert [suite.get("name") for suite in root] == ["parity", "not run"]
        kinds = {case.get("name"): next((child.tag for child in case), "passed") for case in root.iter("testcase")}
        assert kinds["minilm-bert-flax[forward]"] == "passed"
        assert kinds["whisper-flax[forward]"] == "failure"
        assert kinds["t5-flax[forward]"] == "error"
        skipped = root.find(".//testcase[@name='smollm2-llama-flax[forward]']/skipped")
        assert skipped is not None
        assert "flax-llama-grouped-heads: The port reads no rope_theta" in str(skipped.get("message"))
        assert root.find(".//testcase[@name='test_bias']/skipped").get("message") == "HARNESS_DATA is not set"

    def test_a_failure_says_what_and_how_to_repeat_it(self, tmp_path: Path) -> None:
        root = ElementTree.fromstring(junit(read_run(sample(tmp_path)), folder=tmp_path))
        failure = root.find(".//testcase[@name='whisper-flax[forward]']/failure")
        assert failure is not None
        assert "worst element [1, 7, 303]" in str(failure.text)
        assert str(failure.text).endswith("repeat: harness check whisper-flax")

    def test_a_mended_result_is_a_failure(self, tmp_path: Path) -> None:
        root = ElementTree.fromstring(junit(read_run(write_run(tmp_path, result("a", registered=["row-1"])))))
        assert "remove the row" in str(root.find(".//failure").get("message"))

    def test_a_test_that_failed_without_a_result_is_an_error(self, tmp_path: Path) -> None:
        more = (finished("suites/parity/test_a.py::test_b", "failed"),)
        root = ElementTree.fromstring(junit(read_run(write_run(tmp_path, result("a"), more=more))))
        assert root.find(".//testcase[@classname='suites.parity.test_a'][@name='test_b']/error") is not None

    def test_characters_that_xml_forbids_are_gone(self, tmp_path: Path) -> None:
        text = 'a\x00b\x0b\ufffe\ud800\x1b[1mc<&"'
        line = result(text, "diverge", reason=text)
        run = finish(write_run(tmp_path, line, more=(not_run(text, text),)))
        assert len(run.results) == 1
        root = ElementTree.fromstring((tmp_path / "junit.xml").read_bytes())
        assert root.find("testsuite/testcase").get("name") == 'abc<&"[forward]'
        assert root.find(".//skipped").get("message") == 'abc<&"'


class TestTerminal:
    def render(self, folder: Path, width: int) -> list[str]:
        stream = io.StringIO()
        Console(width=width, file=stream).print(table(read_run(folder), width=width))
        return stream.getvalue().splitlines()

    @pytest.mark.parametrize("width", [56, 80, 120])
    def test_no_line_is_wider_than_the_terminal(self, tmp_path: Path, width: int) -> None:
        write_run(
            tmp_path,
            result(LONG, "within_tolerance", metrics={"error": -1.23e-123, "scale": 1.23e-10}, seconds=98765.4),
            result("b", "diverge", registered=["x" * 90, "a-row"]),
            result(HOSTILE),
        )
        lines = self.render(tmp_path, width)
        assert max(map(len, lines)) <= width
        assert "very_long_module_name" in "".join(lines).replace(" ", "")
        assert "…" not in "".join(lines)
        assert "\x1b" not in "".join(lines)

    def test_at_80_columns_the_numbers_are_whole_and_the_ids_stand_below(self, tmp_path: Path) -> None:
        lines = self.render(sample(tmp_path), 80)
        assert lines[0].split() == ["verdict", "case", "error", "scale", "seconds"]
        assert lines[2].split() == ["§", "diverge", "smollm2-llama-flax", "forward", "33", "41.2", "31.2"]
        assert lines[3].split() == ["registered:"]
        assert any(line.startswith("≈ within tolerance") for line in lines)

    def test_a_wide_terminal_has_a_column_for_the_ids(self, tmp_path: Path) -> None:
        assert "registered" in self.render(sample(tmp_path), 120)[0]

    def test_a_verdict_is_a_word_in_every_colour_and_none(self, tmp_path: Path) -> None:
        stream = io.StringIO()
        grid = table(read_run(sample(tmp_path)), width=80, ascii_only=True)
        Console(width=80, file=stream).print(grid)
        assert "x diverge" in stream.getvalue()
        assert "✗" not in stream.getvalue()

    def test_what_was_not_run_fits_on_a_line(self, tmp_path: Path) -> None:
        assert not_run_lines(read_run(sample(tmp_path))) == ["3 not run: needs a GPU (2), HARNESS_DATA is not set (1)"]

    def test_long_reasons_have_a_line_each(self, tmp_path: Path) -> None:
        more = (not_run("a", "needs a GPU"), not_run("b", "the folder of test data is absent: set the variable for it"))
        run = read_run(write_run(tmp_path, result("x"), more=more, total=7))
        lines = not_run_lines(run)
        assert lines[0] == "6 not run:"
        assert lines[-1] == "    4  the run ended before"
        assert not_run_lines(read_run(write_run(tmp_path / "all", result("x")))) == []
