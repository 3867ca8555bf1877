"""A run in the forms of other tools: what a reader of each finds, also where names mean harm."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from harness.cli import command_parsers, main
from harness.environment import revision
from harness.errors import RecordError
from harness.files import append_line
from harness.report.export import FORMS, export
from suites.selftest.report_runs import ENVIRONMENT, HOSTILE, result, write_run

TIMES = {
    "median_seconds": 0.02,
    "low_seconds": 0.019,
    "high_seconds": 0.022,
    "yardstick_seconds": 0.01,
    "threads": 1,
    "precision": "float32",
}
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def made(folder: Path, *lines: dict[str, Any]) -> Path:
    write_run(folder, *lines)
    file = folder / "events.jsonl"
    first, *others = file.read_text(encoding="utf-8").splitlines(keepends=True)
    event = json.loads(first) | {"environment": ENVIRONMENT | {"revision": {"commit": COMMIT, "number": 7}}}
    file.unlink()
    append_line(file, event)
    file.write_text(file.read_text(encoding="utf-8") + "".join(others), encoding="utf-8")
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return made(
        tmp_path / "run",
        result("good"),
        result("bad", "diverge", reason="off by a lot\nand more, 50%", metrics={"error": 33.0}),
        result("known", "diverge", registered=["row"]),
        result("lost", "inconclusive", reason="killed", metrics={"error": "nan"}),
        result("model", suite="benchmarks", check="pytorch-eager-forward-float32-cpu", metrics=TIMES),
        result(HOSTILE, "diverge", reason=HOSTILE, test=f"suites/{HOSTILE}.py::test"),
    )


def test_annotations_are_lines_of_their_own(run: Path) -> None:
    lines = str(export(run, form="annotations")).splitlines()
    assert len(lines) == 3
    assert lines[0].startswith(
        "::error file=suites/parity/test_real.py,title=bad forward%3A diverge::"
        "off by a lot%0Aand more, 50%25 (error 33)."
    )
    assert lines[1].startswith("::warning file=")


def test_sarif_names_the_claims_that_fail(run: Path) -> None:
    (told,) = json.loads(str(export(run, form="sarif")))["runs"]
    found = [(each["ruleId"], each["level"], each["partialFingerprints"]["claim/v1"]) for each in told["results"]]
    assert found[:2] == [
        ("diverge", "error", "parity/bad/forward"),
        ("inconclusive", "warning", "parity/lost/forward"),
    ]
    assert {each["ruleId"] for each in told["results"]} <= {rule["id"] for rule in told["tool"]["driver"]["rules"]}


def test_github_action_benchmark_takes_the_time_by_its_yardstick(run: Path) -> None:
    (told,) = json.loads(str(export(run, form="github-action-benchmark")))
    assert told["name"] == "benchmarks/model/pytorch-eager-forward-float32-cpu"
    assert (told["value"], told["unit"]) == (pytest.approx(2.0), "times its yardstick")


def test_asv_has_machine_benchmarks_and_the_commit(run: Path) -> None:
    files = export(run, form="asv")
    assert isinstance(files, dict)
    name = "benchmarks.model.time_pytorch_eager_forward_float32_cpu"
    assert json.loads(files["benchmarks.json"])[name]["unit"] == "seconds"
    (told,) = [json.loads(text) for path, text in files.items() if path.endswith(f"{COMMIT[:8]}-harness.json")]
    assert told["commit_hash"] == COMMIT
    assert dict(zip(told["result_columns"], told["results"][name]))["result"] == [0.02]


def test_openmetrics_is_escaped_and_ends(run: Path) -> None:
    lines = str(export(run, form="openmetrics")).splitlines()
    assert lines[-1] == "# EOF"
    assert 'parity_results{standing="diverge"} 2' in lines
    assert 'parity_error{suite="parity",case="lost",check="forward"} NaN' in lines
    assert (
        'parity_median_seconds{suite="benchmarks",case="model",check="pytorch-eager-forward-float32-cpu"} 0.02' in lines
    )


@pytest.mark.skipif(
    find_spec("prometheus_client") is None, reason="needs prometheus_client 0.20, which is not installed"
)
def test_openmetrics_is_read_by_another_parser(run: Path) -> None:
    from prometheus_client.openmetrics.parser import text_string_to_metric_families

    names = [family.name for family in text_string_to_metric_families(str(export(run, form="openmetrics")))]
    assert names == ["parity_results", "parity_tests_not_run", "parity_error", "parity_scale", "parity_median_seconds"]


@pytest.mark.skipif(find_spec("pyarrow") is None, reason="needs pyarrow 15.0, which is not installed")
def test_parquet_has_a_row_a_result(run: Path, tmp_path: Path) -> None:
    from pyarrow import parquet

    assert main(["export", str(run), "parquet", "-o", str(tmp_path / "run.parquet")]) == 0
    rows = parquet.read_table(tmp_path / "run.parquet").to_pylist()
    assert [row["standing"] for row in rows] == ["agree", "diverge", "registered", "inconclusive", "agree", "diverge"]
    assert (rows[1]["error"], rows[1]["commit"], rows[2]["registered"]) == (33.0, COMMIT, ["row"])


def test_a_badge_is_a_picture_that_says_how_many(run: Path) -> None:
    text = str(export(run, form="badge"))
    assert " ".join("".join(ElementTree.fromstring(text).itertext()).split()) == "parity: 3 of 6 parity 3 of 6"
    assert "#a83503" in text


def test_what_has_no_times_is_told(tmp_path: Path) -> None:
    folder = made(tmp_path / "run", result("good"))
    for form in ("asv", "github-action-benchmark"):
        with pytest.raises(RecordError, match="has no times"):
            export(folder, form=form)


def test_the_command_prints_text_and_writes_the_rest(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(run), "badge"]) == 0
    assert capsys.readouterr().out.startswith("<svg")
    assert main(["export", str(run), "asv"]) == 2
    assert "Name a file or folder with --output" in capsys.readouterr().err
    assert main(["export", str(run), "asv", "-o", str(tmp_path / "asv"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"written": str(tmp_path / "asv")}
    assert (tmp_path / "asv/benchmarks.json").is_file()


def test_every_form_is_one_of_the_command(run: Path) -> None:
    for form in FORMS:
        if form != "parquet" or find_spec("pyarrow"):
            assert export(run, form=form)
    (choices,) = (action.choices for action in command_parsers()["export"]._actions if action.dest == "form")
    assert tuple(choices or ()) == FORMS
    with pytest.raises(ValueError, match="wanted one of"):
        export(run, form="other")


def test_a_run_says_which_commit_it_ran(tmp_path: Path) -> None:
    assert revision(tmp_path) == {}
    found = revision(Path(__file__).parent)
    assert not found or len(found["commit"]) == 40
