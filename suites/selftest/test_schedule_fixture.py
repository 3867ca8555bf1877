"""The fixture `schedule` in a repository of its own: outcomes end the test and reach the record."""

import json

import pytest

TEST = """
import pytest
from harness.schedulers.outcome import Outcome

def outcome(row="euler", check="original", error=0.0, **others):
    return Outcome(row, check, "Euler", "k-diffusion sample_euler", "EulerDiscreteScheduler", error, 1e-12,
                   worst="variant karras, step 3", compared=5, numbers={{"error32": 2e-6}}, series={{8: 0.1}}, **others)

{mark}
def test_it(schedule):
    {body}
"""


def write(toys, body, mark=""):
    toys.write("test_it.py", TEST.format(body=body, mark=mark))


def results(toys):
    lines = (toys.root / "out/results.jsonl").read_text().splitlines()
    return {f"{line['case']}.{line['check']}": line for line in map(json.loads, lines)}


def run(toys, *options):
    return toys.pytest("test_it.py", "--report-dir=out", *options)


def test_an_outcome_within_its_gate_passes_and_is_recorded_whole(toys):
    write(toys, "schedule(outcome(error=1e-14))")
    run(toys).assert_outcomes(passed=1)
    line = results(toys)["euler.original"]
    assert (line["suite"], line["title"], line["verdict"], line["reason"]) == ("test_it", "Euler", "agree", "")
    assert (line["repeat"], line["key"], line["registered"]) == ("pytest 'test_it.py::test_it'", "", [])
    assert (line["metrics"]["error"], line["metrics"]["limit"], line["metrics"]["error32"]) == (1e-14, 1e-12, 2e-6)
    assert line["seconds"] > 0
    details = json.loads((toys.root / "out" / line["files"][0]).read_text())
    assert line["files"] == ["cases/euler.original.json"]
    assert (details["check"], details["series"], details["worst"]) == ("original", {"8": 0.1}, "variant karras, step 3")


def test_an_outcome_outside_its_gate_fails_with_its_text_and_the_command(toys):
    write(toys, "schedule(outcome(error=0.5))", mark="@pytest.mark.slow")
    done = run(toys, "--run-slow")
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(
        [
            "*Euler: original diverge*",
            "*error       0.5, where 1e-12 is allowed; 5 runs compared*",
            "*repeat      pytest --run-slow 'test_it.py::test_it'*",
        ]
    )
    assert results(toys)["euler.original"]["reason"] == "0.5, where 1e-12 is allowed (variant karras, step 3)"


def test_a_registered_defect_is_expected_and_gives_its_cause(toys):
    write(toys, "schedule(outcome(error=0.05))")
    toys.row("euler.original", error=0.04)
    run(toys).assert_outcomes(xfailed=1)
    line = results(toys)["euler.original"]
    assert (line["verdict"], line["registered"]) == ("diverge", ["toy-shift"])
    assert line["reason"] == "the port shifts too far"


@pytest.mark.parametrize(
    ("error", "registered", "said"),
    [
        (0.5, 0.04, "*register    toy-shift register an error of 0.04, not this one*"),
        (0.0, 0.04, "*registered as toy-shift, but it agrees: remove the rows.*"),
        ("float('nan')", 0.04, "*Euler: original inconclusive*"),
    ],
)
def test_a_row_covers_neither_a_larger_error_nor_one_that_is_gone_nor_no_number(toys, error, registered, said):
    write(toys, f"schedule(outcome(error={error}))")
    toys.row("euler.original", error=registered)
    done = run(toys)
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines([said])


def test_a_row_of_another_check_or_version_does_not_count(toys):
    write(toys, "schedule(outcome(error=0.05))")
    toys.row("euler.order", error=0.04)
    run(toys).assert_outcomes(failed=1)
    (toys.root / "fixtures/register/toy-shift.toml").unlink()
    toys.row("euler.original", error=0.04, **{'">=1"': '"<1"'})
    run(toys).assert_outcomes(failed=1)


def test_of_several_all_are_recorded_before_the_first_failure_ends_the_test(toys):
    made = ["outcome(error=0.5)", "outcome(check='order')", "outcome('heun', error=0.05)", "outcome('lms', error=3)"]
    write(toys, f"schedule.all([{', '.join(made)}])")
    toys.row("heun.original", error=0.05)
    done = run(toys)
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["*error       0.5,*", "*error       3,*", "*repeat *"])
    assert "error       0.05" not in done.stdout.str()
    verdicts = {name: line["verdict"] for name, line in results(toys).items()}
    assert verdicts == {
        "euler.original": "diverge", "euler.order": "agree", "heun.original": "diverge", "lms.original": "diverge",
    }  # fmt: skip
    toys.row("euler.original", error=0.5, identity="toy-sign")
    toys.row("lms.original", error=3, identity="toy-lms")
    run(toys).assert_outcomes(xfailed=1)


def test_no_outcome_at_all_fails(toys):
    write(toys, "schedule.all([])")
    done = run(toys)
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["*there is no outcome, so nothing is known*"])
    assert results(toys)["test_it.run"]["verdict"] == "inconclusive"


def test_what_the_originals_lack_is_named_with_the_command(monkeypatch):
    from importlib.metadata import PackageNotFoundError

    from harness.adapters.k_diffusion import needs

    def distribution(name):
        if name in ("k-diffusion", "torchsde"):
            raise PackageNotFoundError(name)

    monkeypatch.setattr(needs, "distribution", distribution)
    assert needs.missing() == f"needs k-diffusion: k-diffusion, torchsde not installed. {needs.INSTALL}"
    monkeypatch.setattr(needs, "distribution", str)
    assert needs.missing() == ""
