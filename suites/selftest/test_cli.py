"""The `harness` command: what it prints, and that its exit status is the verdict."""

import json

import pytest

from harness.cli import main
from suites.selftest.conftest import TEST


@pytest.fixture
def run(toys, monkeypatch, capsys):
    """Call the command inside the toy repository; status, standard output, standard error."""
    monkeypatch.chdir(toys.root)

    def call(*arguments):
        try:
            status = main(list(arguments))
        except SystemExit as exit_:
            status = exit_.code
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


def test_help_names_the_commands_and_the_exit_statuses(run):
    status, text, _ = run("--help")
    assert status == 0
    for word in (
        "run",
        "list",
        "check",
        "trace",
        "compare",
        "bisect-version",
        "report",
        "exit status:",
        "inconclusive",
    ):
        assert word in text
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize(
    ("port", "status", "first"),
    [
        ("agreeing", 0, "toy: AGREE"),
        ("nearly", 1, "toy: WITHIN TOLERANCE"),
        ("diverging", 1, "toy: DIVERGE"),
        ("more_taps", 3, "toy: INCONCLUSIVE"),
    ],
)
def test_check_prints_the_comparison(toys, run, port, status, first):
    toys.case("toy", port)
    assert (status, first) == (run("check", "toy")[0], run("check", "toy")[1].splitlines()[0])


def test_check_prints_json_alone(toys, run):
    toys.case("a")
    toys.case("b", "diverging")
    status, text, _ = run("check", "a", "--json")
    assert (status, json.loads(text)["verdict"]) == (0, "agree")
    status, text, _ = run("check", "*", "--json")
    assert (status, [found["verdict"] for found in json.loads(text)]) == (1, ["agree", "diverge"])


def test_check_knows_the_register(toys, run):
    toys.case("toy", "diverging")
    toys.row("toy", error=0.1)
    status, text, _ = run("check", "toy")
    assert status == 0
    assert "registered  toy-shift" in text
    toys.case("toy", "agreeing")
    assert run("check", "toy")[0] == 1


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("check", "toi"), 2, "case 'toi': not found in"),
        (("check", "broken"), 2, "broken.toml:1: unknown key 'divice'. Did you mean 'device'?"),
        (("check", "raising"), 3, "case 'raising', port: the factory 'toys:raising' raised ValueError"),
        (("check", "absent"), 2, "toys has no function 'absent'"),
        (("check", "gpu"), 3, "device 'gpu'"),
        (("check", "artifact"), 2, "artifact 'tinny': not known in"),
        (("run", "--profile", "quik"), 2, "profile 'quik': not known in"),
        (("report", "nowhere"), 3, "nowhere: holds no run. Name the folder given as --report-dir."),
        (("run", "--report-dir", "fixtures"), 2, "is neither empty nor the folder of an earlier run"),
        (("chekc",), 2, "invalid choice: 'chekc'"),
    ],
)
def test_misuse_and_trouble_are_said_on_standard_error(toys, run, arguments, status, said):
    toys.case("toy")
    toys.case("broken", before="divice = 1\n")
    toys.case("raising", "raising")
    toys.case("absent", "absent")
    toys.case("artifact", after='[artifacts]\nweights = "tinny"\n')
    toys.write("fixtures/artifacts.toml", "")
    if arguments == ("check", "gpu"):
        pytest.importorskip("torch")
        toys.write("torched.py", "import torch\ndef port():\n    return torch.nn.Identity()\n")
        file = toys.case("gpu", before='device = "gpu"\n')
        file.write_text(file.read_text().replace("toys:agreeing", "torched:port"))
    found = run(*arguments)
    assert found[0] == status
    assert said in found[2]
    assert found[1] == ""


def test_a_factory_wants_what_the_case_does_not_provide(toys, run):
    toys.write("wanting.py", "import toys\ndef port(weights, size=1):\n    return toys.net()\n")
    file = toys.case("toy", after="[port.arguments]\n")
    file.write_text(file.read_text().replace("toys:agreeing", "wanting:port"))
    assert "wants 'weights', which is neither an artifact of the case nor an argument" in run("check", "toy")[2]
    file.write_text(file.read_text() + "sise = 2\n")
    assert "takes no argument 'sise'. Did you mean 'size'?" in run("check", "toy")[2]


def test_a_port_factory_may_take_the_built_reference(toys, run):
    toys.write("converted.py", "def port(reference):\n    return reference\n")
    file = toys.case("toy")
    file.write_text(file.read_text().replace("toys:agreeing", "converted:port"))
    assert run("check", "toy")[0] == 0


def test_list_shows_what_there_is(toys, run):
    toys.case("toy")
    toys.row("toy", error=0.1)
    status, text, _ = run("list")
    assert status == 0
    for word in ("cases", "a toy", "profiles", "quick", "artifacts: none", "register", "toy-shift"):
        assert word in text
    assert json.loads(run("list", "cases", "--json")[1]) == {"cases": {"toy": "a toy"}}


def test_run_shows_a_table_and_the_failures_and_writes_the_report(toys):
    toys.case("good")
    toys.case("bad", "diverging")
    done = toys.harness("run", "--report-dir=out")
    assert done.ret == 1
    done.stdout.fnmatch_lines(["*diverge*bad*0.1*", "*agree*good*", "bad: DIVERGE", "  repeat      harness check bad"])
    assert max(map(len, done.outlines)) <= 80
    assert (toys.root / "out/index.html").exists()


def test_run_prints_json_alone(toys):
    toys.case("good")
    done = toys.harness("run", "--report-dir=out", "--json")
    record = json.loads(done.stdout.str())
    assert (done.ret, record["schema"], record["run"]["profile"]) == (0, 1, "quick")
    assert [result["case"] for result in record["results"]] == ["good"]


def test_a_profile_that_compares_nothing_is_inconclusive(toys):
    toys.write("pyproject.toml", '[tool.harness.profiles.quick]\nsuites = ["test_other.py"]\n')
    toys.write("test_other.py", "def test_other(): pass\n")
    assert toys.harness("run", "--report-dir=out").ret == 3


def test_a_profile_whose_suite_is_not_there_is_misuse(toys):
    toys.write("pyproject.toml", '[tool.harness.profiles.quick]\nsuites = ["nowhere"]\n')
    done = toys.harness("run", "--report-dir=out")
    assert done.ret == 2
    assert "nowhere" in done.stderr.str()


@pytest.fixture
def timed(toys):
    """A profile of two suites, of which the one that is timed is run alone; it notes who is beside it."""
    toys.write(
        "pyproject.toml",
        '[tool.harness.profiles.quick]\nsuites = ["."]\nalone = ["test_timed.py"]\n',
    )
    toys.write("test_cases.py", TEST.replace('"*"', '"shared*"'))
    toys.write("test_timed.py", TEST.replace('"*"', '"timed*"'))
    toys.write("conftest.py", NOTING)
    for name in ("shared-1", "shared-2", "timed-1", "timed-2"):
        toys.case(name)
    return toys


NOTING = """
import os, signal
def pytest_runtest_call(item):
    with open("ran", "a") as stream:
        stream.write(f"{os.getpid()} {item.callspec.id}\\n")
    if os.environ.get("DIES", "none") in item.nodeid:
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_is_timed_runs_after_the_rest_in_a_process_of_its_own(timed):
    done = timed.harness("run", "--report-dir=out", "--json")
    run = json.loads(done.stdout.str())
    assert (done.ret, run["run"]["status"], run["run"]["tests_total"], run["run"]["failed"]) == (0, "complete", 4, [])
    assert [each["case"] for each in run["results"]] == ["shared-1", "shared-2", "timed-1", "timed-2"]
    first, second = run["run"]["command"].split(" && ")
    assert first.startswith("pytest . --report-dir=out ")
    assert second.startswith("pytest test_timed.py --report-dir=out ")
    ran = [line.split() for line in (timed.root / "ran").read_text().splitlines()]
    assert [name for _, name in ran] == ["shared-1", "shared-2", "timed-1", "timed-2"]
    assert [ran[0][0] == process for process, _ in ran] == [True, True, False, False]
    assert (timed.root / "out/pytest.log").read_text().count("2 passed") == 2
    assert timed.harness("run", "--report-dir=out", "--", "-k", "shared-1 or timed-2").ret == 0


@pytest.mark.parametrize(("dies", "again"), [("shared-2", 3), ("timed-2", 2)])
def test_a_run_that_was_killed_in_either_part_goes_on_there(timed, monkeypatch, dies, again):
    monkeypatch.setenv("DIES", dies)
    assert timed.harness("run", "--report-dir=out").ret == 3
    monkeypatch.delenv("DIES")
    (timed.root / "ran").unlink()
    done = timed.harness("run", "--report-dir=out", "--json")
    assert "resuming the run in out" in done.stderr.str()
    run = json.loads(done.stdout.str())
    assert (done.ret, run["run"]["status"], run["run"]["tests_total"]) == (0, "complete", 4)
    assert sorted(each["case"] for each in run["results"]) == ["shared-1", "shared-2", "timed-1", "timed-2"]
    assert len((timed.root / "ran").read_text().splitlines()) == again


def test_what_is_timed_is_not_begun_where_the_rest_was_broken_off(timed, monkeypatch):
    monkeypatch.setenv("DIES", "shared-1")
    assert timed.harness("run", "--report-dir=out").ret == 3
    assert "timed" not in (timed.root / "ran").read_text()


def test_run_passes_further_arguments_on_to_pytest(toys):
    toys.case("good")
    toys.case("bad", "diverging")
    assert toys.harness("run", "--report-dir=out", "--", "-k", "good").ret == 0


def test_without_settings_the_defaults_run_what_pytest_would(toys):
    (toys.root / "pyproject.toml").unlink()
    toys.case("good")
    assert toys.harness("run", "--report-dir=out").ret == 0


def test_a_suite_brings_its_own_section_of_the_report(toys, run):
    toys.case("good")
    settings = '[tool.harness.sections]\ntest_cases = "mine:section"\n'
    toys.write("pyproject.toml", settings + '[tool.harness.profiles.quick]\nsuites = ["test_cases.py"]\n')
    toys.write(
        "mine.py",
        "from markupsafe import Markup\n"
        "def section(results, folder):\n"
        "    return Markup('<p>{} of mine</p>').format(len(results))\n",
    )
    assert toys.harness("run", "--report-dir=out").ret == 0
    assert "<p>1 of mine</p>" in (toys.root / "out/index.html").read_text()
    toys.write("pyproject.toml", settings.replace("mine:", "absent:"))
    assert run("report", "out")[0] == 0
    assert "&#39;absent:section&#39; cannot be imported" in (toys.root / "out/index.html").read_text()
