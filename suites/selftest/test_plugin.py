"""The pytest plugin in a repository of its own: verdicts become outcomes, and every run leaves its record."""

import json

import pytest

from harness.plugin.options import is_true


def results(toys, folder="out"):
    lines = (toys.root / folder / "results.jsonl").read_text().splitlines()
    return {line["case"]: line for line in map(json.loads, lines)}


def record(toys, folder="out"):
    return json.loads((toys.root / folder / "run.json").read_text())


def test_agree_passes_diverge_fails_with_the_text_and_the_command(toys):
    toys.case("good")
    toys.case("bad", "diverging")
    done = toys.pytest("--report-dir=out")
    done.assert_outcomes(passed=1, failed=1)
    done.stdout.fnmatch_lines(["*bad: DIVERGE*", "*first off   shift*", "*repeat      harness check bad*"])
    assert {name: line["verdict"] for name, line in results(toys).items()} == {"bad": "diverge", "good": "agree"}
    assert {path.name for path in (toys.root / "out").iterdir()} == {
        "cases", "events.jsonl", "index.html", "junit.xml", "results.jsonl", "run.json", "summary.md",
    }  # fmt: skip
    details = json.loads((toys.root / "out" / results(toys)["bad"]["files"][0]).read_text())
    assert [tap["name"] for tap in details["taps"]] == ["double", "shift", "last"]


@pytest.mark.parametrize(
    ("port", "said"),
    [
        ("nan_reference", "NaN on both sides"),
        ("other_output", "output 'logits' is missing in the reference|missing in the port"),
        ("more_taps", "1 taps are unmatched"),
        ("raising", "the factory 'toys:raising' raised ValueError: the checkpoint is truncated"),
        ("absent", "toys has no function 'absent'"),
        ("no_model", "no adapter takes an object of type builtins.int"),
        ("failing", "raised ZeroDivisionError when called with x"),
        ("empty", "put out no array"),
    ],
)
def test_what_cannot_be_compared_is_inconclusive_and_says_why(toys, port, said):
    import re

    reference = "nan_reference" if port == "nan_reference" else "reference"
    toys.case("odd", port, reference=reference, before='outputs = ["output"]\n' if port == "other_output" else "")
    toys.pytest("--report-dir=out").assert_outcomes(failed=1)
    assert results(toys)["odd"]["verdict"] == "inconclusive"
    assert re.search(said, results(toys)["odd"]["reason"])


def test_nan_or_another_shape_on_one_side_diverges(toys):
    toys.case("nan", "one_sided_nan")
    toys.case("shape", "other_shape")
    toys.pytest("--report-dir=out").assert_outcomes(failed=2)
    assert {line["verdict"] for line in results(toys).values()} == {"diverge"}


def test_a_registered_divergence_is_expected_and_keeps_its_verdict(toys):
    toys.case("bad", "diverging")
    toys.row("bad", error=0.1)
    done = toys.pytest("--report-dir=out")
    done.assert_outcomes(xfailed=1)
    line = results(toys)["bad"]
    assert (line["verdict"], line["registered"]) == ("diverge", ["toy-shift"])
    assert line["reason"] == "the port shifts too far"
    assert record(toys)["run"]["exit_status"] == 0


def test_an_error_within_the_tolerance_fails_unless_registered_or_judged_by_the_contract_alone(toys):
    toys.case("near", "nearly")
    done = toys.pytest("--report-dir=out")
    done.assert_outcomes(failed=1)
    assert results(toys)["near"]["verdict"] == "within_tolerance"
    assert record(toys)["run"]["exit_status"] == 1
    toys.row("near", error=2e-4)
    toys.pytest("--report-dir=out").assert_outcomes(xfailed=1)
    toys.case("near", "nearly", before='checks = ["forward"]\n')
    (toys.root / "fixtures/register/toy-shift.toml").unlink()
    toys.pytest("--report-dir=out").assert_outcomes(passed=1)


def test_a_registered_divergence_that_was_mended_fails_until_its_row_goes(toys):
    toys.case("mended", "agreeing")
    toys.row("mended", error=0.1)
    done = toys.pytest("--report-dir=out")
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["*registered as toy-shift, but it agrees: remove the rows.*"])
    assert record(toys)["run"]["exit_status"] == 1


def test_a_row_covers_neither_a_larger_error_nor_another_version_nor_an_inconclusive_result(toys):
    toys.case("bad", "diverging")
    toys.row("bad", error=0.01)
    done = toys.pytest("--report-dir=out")
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["*register    toy-shift register an error of 0.01, not this one*"])
    assert results(toys)["bad"]["registered"] == []
    toys.row("bad", error=0.1, **{'">=1"': '"<1"'})
    toys.pytest().assert_outcomes(failed=1)
    toys.row("bad", error=0.1)
    toys.case("bad", "nan_reference", reference="nan_reference")
    toys.pytest().assert_outcomes(failed=1)


def test_objects_in_memory_are_checked_and_recorded_under_the_tests_name(toys):
    toys.write(
        "test_mine.py",
        """
        import toys
        def test_mine(parity):
            found = parity(toys.reference(), toys.agreeing(), toys.inputs())
            assert found.coverage == 1
        def test_off(parity):
            parity(toys.reference(), toys.diverging(), toys.inputs())
        """.replace("\n        ", "\n"),
    )
    toys.pytest("test_mine.py", "--report-dir=out").assert_outcomes(passed=1, failed=1)
    assert results(toys)["test_off"]["repeat"] == "pytest 'test_mine.py::test_off'"


def test_a_test_that_fails_for_another_reason_is_recorded_as_inconclusive(toys):
    toys.write("test_other.py", "def test_other():\n    raise OSError('no room')\n")
    toys.pytest("test_other.py", "--report-dir=out").assert_outcomes(failed=1)
    assert results(toys)["test_other"]["verdict"] == "inconclusive"
    assert "no room" in results(toys)["test_other"]["reason"]


def test_a_file_that_cannot_be_collected_is_recorded_too(toys):
    toys.write("test_broken.py", "import nothing_of_this_name\n")
    toys.pytest("test_broken.py", "--report-dir=out")
    assert "nothing_of_this_name" in str(results(toys))
    assert record(toys)["run"]["exit_status"] == 3


def test_a_wrong_case_file_stops_its_own_tests_with_the_line(toys):
    toys.case("good")
    toys.case("wrong", before="divice = 1\n")
    done = toys.pytest()
    done.stdout.fnmatch_lines(["*wrong.toml:1: unknown key 'divice'. Did you mean 'device'?*"])
    assert done.ret != 0


def test_what_was_not_run_is_counted_by_reason(toys):
    toys.write(
        "test_slow.py",
        """
        import pytest
        @pytest.mark.slow
        def test_slow(): pass
        @pytest.mark.gpu
        def test_gpu(): pass
        def test_data(): pytest.skip("HARNESS_DATA is not set")
        def test_fine(): pass
        """.replace("\n        ", "\n"),
    )
    done = toys.pytest("test_slow.py", "--report-dir=out", "-k", "not fine", apart=True)
    done.assert_outcomes(skipped=3, deselected=1)
    done.stdout.fnmatch_lines_random(
        ["*1  slow: give --run-slow*", "*1  HARNESS_DATA is not set*", "*1  needs a GPU*", "*1  not selected*"]
    )
    assert len(record(toys)["run"]["not_run"]) == 4


@pytest.mark.parametrize(("variable", "option", "runs"), [("yes", "", 1), ("0", "", 0), ("", "--run-slow", 1)])
def test_slow_tests_run_on_demand(toys, monkeypatch, variable, option, runs):
    monkeypatch.setenv("RUN_SLOW", variable)
    toys.write("test_slow.py", "import pytest\n@pytest.mark.slow\ndef test_slow(): pass\n")
    toys.pytest("test_slow.py", *filter(None, [option])).assert_outcomes(passed=runs, skipped=1 - runs)


@pytest.mark.parametrize(
    ("text", "meaning"), [("1", 1), ("Y", 1), ("yes", 1), ("t", 1), ("TRUE", 1), ("on", 1), ("no", 0)]
)
def test_run_slow_reads_what_the_field_writes(text, meaning):
    assert is_true(text) is bool(meaning)


def test_strict_skips_fail_a_slow_test_that_was_skipped_without_leave(toys):
    toys.write("test_slow.py", "import pytest\n@pytest.mark.slow\ndef test_slow():\n    pytest.skip('needs a moon')\n")
    done = toys.pytest("test_slow.py", "--run-slow", "--strict-skips")
    assert done.ret == 1
    done.stdout.fnmatch_lines(["*slow tests skipped without an allowed reason*", "*test_slow: needs a moon*"])
    toys.write("pyproject.toml", '[tool.harness]\nallowed_skips = ["^needs a moon"]\n')
    assert toys.pytest("test_slow.py", "--run-slow", "--strict-skips").ret == 0


def test_with_xdist_one_process_writes_the_record(toys):
    pytest.importorskip("xdist")
    for number in range(6):
        toys.case(f"case-{number}", "diverging" if number == 3 else "agreeing")
    toys.pytest("-p", "xdist", "-n2", "--report-dir=out", apart=True).assert_outcomes(passed=5, failed=1)
    assert sorted(results(toys)) == [f"case-{number}" for number in range(6)]
    assert record(toys)["run"]["status"] == "complete"
    assert len(list((toys.root / "out/cases").iterdir())) == 6


def test_a_folder_that_is_no_run_is_not_touched(toys):
    toys.case("good")
    done = toys.pytest("--report-dir=fixtures")
    assert done.ret == 4
    done.stderr.fnmatch_lines(["*fixtures: is neither empty nor the folder of an earlier run*"])
    assert (toys.root / "fixtures/cases/good.toml").exists()


def test_a_new_run_replaces_the_last_one(toys):
    toys.case("good")
    toys.case("gone", "diverging")
    toys.pytest("--report-dir=out")
    (toys.root / "fixtures/cases/gone.toml").unlink()
    toys.pytest("--report-dir=out").assert_outcomes(passed=1)
    assert list(results(toys)) == ["good"]
    assert [path.name for path in (toys.root / "out/cases").iterdir()] == ["good.forward.json"]


def test_the_case_fixture_needs_its_marker(toys):
    toys.write("test_bare.py", "def test_bare(case): pass\n")
    done = toys.pytest("test_bare.py")
    done.stdout.fnmatch_lines(["*the fixture `case` needs the marker*"])


def test_collecting_imports_no_framework(toys):
    toys.case("good")
    toys.write("conftest.py", "import sys\ndef pytest_sessionfinish():\n    print(sorted(sys.modules))\n")
    text = toys.pytest("--collect-only", "-q", "-s", apart=True).stdout.str()
    assert "'harness.cases.spec'" in text
    for framework in ("torch", "jax", "flax", "transformers", "diffusers"):
        assert f"'{framework}'" not in text


def test_a_disk_that_refuses_the_record_ends_the_run_with_a_clear_word(toys, monkeypatch):
    from harness.errors import RecordError
    from harness.plugin import recorder

    def full(path, *values):
        if path.name == "results.jsonl":
            raise RecordError(str(path), "cannot be written (No space left on device)", todo="The disk is full.")
        append(path, *values)

    append = recorder.append_line
    monkeypatch.setattr(recorder, "append_line", full)
    toys.case("good")
    done = toys.pytest("--report-dir=out")
    assert done.ret == 3
    done.stdout.fnmatch_lines(["*harness: out/results.jsonl: cannot be written (No space left on device)*"])
    assert not (toys.root / "out/results.jsonl").exists()
