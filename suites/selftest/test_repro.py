"""The commands `repro` and `divergences`, and what they say, on plain Python."""

import json
import subprocess
import sys

import numpy as np
import pytest

from harness.cli import main

FUNCTIONS = """
def shift(x):
    return x + 1

def shifted_too_far(x):
    return x + 1.01
"""

FACTORIES = """
import numpy as np
import functions
from harness.adapters.toy.layers import Layers

def net(shift):
    return Layers({"double": np.negative, "shift": shift, "last": np.square})

def sound(): return net(functions.shift)
def far(): return net(functions.shifted_too_far)
def nameless(): return net(lambda x: x + 1.01)
"""


@pytest.fixture
def run(toys, monkeypatch, capsys):
    """Call the command inside a repository of named functions; status, standard output, standard error."""
    monkeypatch.chdir(toys.root)
    monkeypatch.syspath_prepend(str(toys.root))
    for name in ("functions", "named", "toys"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    toys.write("functions.py", FUNCTIONS)
    toys.write("named.py", FACTORIES)
    for name in ("sound", "far", "nameless"):
        file = toys.case(name)
        text = file.read_text().replace("toys:reference", "named:sound").replace("toys:agreeing", f"named:{name}")
        file.write_text(text)

    def call(*arguments):
        try:
            status = main(list(arguments))
        except SystemExit as exit_:
            status = exit_.code
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


def script(folder):
    return subprocess.run([sys.executable, "-I", "-B", str(folder / "repro.py")], capture_output=True, check=False)


def test_repro_writes_a_script_that_shows_the_fault_until_it_is_mended(toys, run):
    status, text, _ = run("repro", "far", "-o", "out")
    assert status == 0
    assert text.splitlines()[0] == "out: repro.py shows the fault of shift by itself:"
    assert text.splitlines()[-1] == "  the fault is there"
    assert script(toys.root / "out").returncode == 1
    written = (toys.root / "out/repro.py").read_text()
    assert "harness" not in written
    assert "from functions import shifted_too_far" in written
    (toys.root / "functions.py").write_text(FUNCTIONS.replace("1.01", "1"))
    assert script(toys.root / "out").returncode == 0


def test_the_least_input_is_one_row(toys, run):
    from safetensors.numpy import load_file

    status, text, _ = run("repro", "far", "-o", "out", "--json")
    record = json.loads(text)
    assert (status, record["module"], record["reproduces"]) == (0, "shift", True)
    assert record["runs"] <= 60
    arrays = load_file(toys.root / "out/inputs.safetensors")
    assert set(arrays) == {"reference.x", "port.x", "expected"}
    assert len(arrays["expected"]) == 1
    np.testing.assert_allclose(arrays["expected"], arrays["port.x"] + 1)


def test_a_script_without_files_is_written_beside(toys, run):
    run("repro", "far", "-o", "out")
    text = (toys.root / "out/standalone.py").read_text()
    assert "load_file" not in text
    assert "rng.normal(" in text
    assert "`standalone.py`" in (toys.root / "out/README.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("repro", "sound", "-o", "out"), 2, "case 'sound': agrees: there is nothing to show. Name one that does not."),
        (
            ("repro", "far", "-o", "out", "--module", "shft"),
            2,
            "no repro was kept of module 'shft'. Did you mean 'shift'?",
        ),
        (("repro", "fare", "-o", "out"), 2, "Did you mean 'far'?"),
        (("repro", "far"), 2, "the following arguments are required: -o/--output"),
        (("divergences", "--markdown", "toy-shft"), 2, "divergence 'toy-shft': not known. Did you mean 'toy-shift'?"),
        (("divergences", "--markdown", "toy-shift", "--repro", "no"), 3, "no: holds no repro"),
        (("divergences", "nowhere"), 3, "nowhere: holds neither events.jsonl nor results.jsonl"),
    ],
)
def test_misuse_is_said_on_standard_error(toys, run, arguments, status, said):
    toys.row("far", error=0.1)
    found = run(*arguments)
    assert found[0] == status
    assert said in found[2]
    assert not (toys.root / "out").exists()


def test_a_function_without_a_name_gives_no_script_and_says_why(toys, run):
    status, text, _ = run("repro", "nameless", "-o", "out")
    assert status == 3
    assert text.startswith(
        "no repro of shift: shift: net.<locals>.<lambda> is defined in a function, or is nameless"
    ) or ("nameless.<locals>.<lambda> is defined in a function, or is nameless: it must be importable" in text)


def test_divergences_lists_the_register_and_what_a_run_found(toys, run, capsys):
    toys.row("far", error=0.1)
    status, text, _ = run("divergences")
    assert status == 0
    line = "toy-shift  toys.py:1  the port shifts too far  off by 0.1 of 25  test_cases.py::test_case\n"
    assert text == line
    toys.pytest("--report-dir=found", "-k", "far", apart=True)
    capsys.readouterr()
    status, text, _ = run("divergences", "found")
    assert status == 0
    assert text.splitlines()[0] + "\n" == line
    assert text.splitlines()[1].startswith("far:shift  shift  ")
    listed = json.loads(run("divergences", "found", "--json")[1])
    assert [each["id"] for each in listed] == ["toy-shift", "far:shift"]


def test_without_the_library_that_writes_arrays_it_is_said_what_to_install(toys, run, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    status, _, said = run("repro", "far", "-o", "out")
    assert status == 3
    assert "repro: needs the package safetensors. Install it." in said


def test_an_empty_register_is_said_to_be(run):
    assert run("divergences")[1] == "no divergence is known: the register is empty\n"


def test_an_issue_has_all_that_a_maintainer_needs(toys, run):
    row = toys.row("far", error=0.1)
    row.write_text(row.read_text() + 'module = "shift"\nremedy = "Add 1."\n')
    status, text, _ = run("divergences", "--markdown", "toy-shift")
    assert status == 0
    assert text.startswith("# shifted_too_far: the port shifts too far\n")
    for words in (
        "Seen with numpy ",
        "the original has ",
        "In the whole model, outputs are off by 0.1 on values up to 25.",
        "## Cause\n\nThe port shifts too far (`toys.py:1`)",
        "```python\n",
        "rng = np.random.default_rng(0)",
        "the fault is there\n```",
        "## Suggested change\n\nAdd 1.",
    ):
        assert words in text
    assert "Attach" not in text
    again = run("divergences", "--markdown", "toy-shift", "--repro", "reports/divergences/toy-shift")
    assert again[:2] == (0, text)


def test_an_issue_names_the_files_to_attach_where_there_is_no_script_without_them(toys, run):
    toys.row("far", error=0.1)
    run("repro", "far", "-o", "out")
    record = json.loads((toys.root / "out/repro.json").read_text())
    record["files"].remove("standalone.py")
    (toys.root / "out/repro.json").write_text(json.dumps(record))
    text = run("divergences", "--markdown", "toy-shift", "--repro", "out")[1]
    assert "Attach `inputs.safetensors`" in text
    assert "from `out`: the script reads them from its own folder." in text


def test_an_issue_does_not_claim_what_its_script_does_not_show(toys, run):
    toys.row("far", error=0.1)
    run("repro", "far", "-o", "out")
    record = json.loads((toys.root / "out/repro.json").read_text())
    (toys.root / "out/repro.json").write_text(json.dumps(record | {"reproduces": False, "said": "it ended early"}))
    status, text, _ = run("divergences", "--markdown", "toy-shift", "--repro", "out")
    assert status == 3
    assert "**This script does not reproduce it**: it ended early" in text
    assert "exit status 1" not in text
