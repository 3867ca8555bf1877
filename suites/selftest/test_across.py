"""`harness trace` and `compare` on a repository of NumPy models: one side here, the other in a file."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from harness.adapters.choose import adapt
from harness.adapters.toy.layers import Layers
from harness.cli import main
from harness.errors import SpecError
from harness.parity.across import compare_across, terms_of
from harness.parity.compare import Verdict
from harness.parity.recording import store
from harness.parity.stored import Claim, open_trace

X = {"x": np.linspace(-2, 2, 24, dtype=np.float32).reshape(2, 3, 4)}


@pytest.fixture
def run(toys, monkeypatch, capsys):
    monkeypatch.chdir(toys.root)

    def call(*arguments):
        try:
            status = main(list(arguments))
        except SystemExit as exit_:
            status = exit_.code
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


def both(run, case="toy"):
    for side in ("reference", "port"):
        assert run("trace", case, "--side", side, "-o", f"{side}.safetensors")[0] == 0
    return "reference.safetensors", "port.safetensors"


@pytest.mark.parametrize(
    ("port", "status", "first"),
    [
        ("agreeing", 0, "toy: AGREE"),
        ("nearly", 1, "toy: WITHIN TOLERANCE"),
        ("diverging", 1, "toy: DIVERGE"),
        ("more_taps", 3, "toy: INCONCLUSIVE"),
        ("one_sided_nan", 1, "toy: DIVERGE"),
        ("other_shape", 1, "toy: DIVERGE"),
        ("other_output", 3, "toy: INCONCLUSIVE"),
    ],
)
def test_the_verdict_is_that_of_check_and_so_is_the_exit_status(toys, run, port, status, first):
    toys.case("toy", port, before="" if port != "other_output" else 'outputs = ["output"]\n')
    found = run("compare", *both(run))
    assert (found[0], found[1].splitlines()[0]) == (status, first)
    checked = run("check", "toy")
    assert (checked[0], checked[1].splitlines()[0]) == (status, first)


def test_the_text_names_the_module_and_says_what_was_not_done(toys, run):
    toys.case("toy", "diverging")
    text = run("compare", *both(run))[1]
    assert "at fault    shift, layer: its inputs agree and its output does not\n" in text
    assert "sound       1 other modules compute what the reference's do on the same inputs\n" in text
    assert "first off   shift (2, 3, 4): off by 0.01 on values up to 5\n" in text
    assert "not checked probes, gradients, decode, train: neither side is here\n" in text
    assert "replay: neither side is here; 1 modules that were given other inputs" in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 80


def test_compare_prints_json_alone(toys, run):
    toys.case("toy", "diverging")
    status, text, errors = run("compare", *both(run), "--json")
    found = json.loads(text)
    assert (status, errors, found["verdict"], found["first"]) == (1, "", "diverge", "shift")
    assert [each["path"] for each in found["diagnosis"]["faulty"]] == ["shift"]
    assert found["not_checked"]["gradients"] == "neither side is here"


def test_trace_says_what_it_wrote(toys, run):
    toys.case("toy")
    status, text, _ = run("trace", "toy", "--side", "port", "-o", "deep/a.safetensors")
    assert status == 0
    assert text.splitlines()[0] == "deep/a.safetensors: Python Layers, the port of toy"
    assert text.splitlines()[1].startswith("  1 calls, 3 taps, 4 modules, ")
    found = json.loads(run("trace", "toy", "--side", "port", "-o", "a.safetensors", "--json", "--no-float64")[1])
    assert (found["file"], found["float64"], found["why_not"]) == ("a.safetensors", False, "it was not asked for")


def test_a_trace_without_float64_says_so_in_the_comparison(toys, run):
    toys.case("toy", "diverging")
    files = both(run)
    assert run("trace", "toy", "--side", "reference", "-o", files[0], "--no-float64")[0] == 0
    text = " ".join(run("compare", *files)[1].split())
    assert "not checked float64: the reference has no float64 in its trace: it was not asked for" in text
    assert "at fault not found: Python Layers has no calls of modules in its trace: it was not asked for" in text
    assert "first off shift" in text


def test_the_other_side_is_not_built(toys, run):
    toys.write("absent.py", "import no_such_framework\n")
    file = toys.case("toy")
    file.write_text(file.read_text().replace("toys:agreeing", "absent:port"))
    assert run("trace", "toy", "--side", "reference", "-o", "a.safetensors")[0] == 0
    status, _, error = run("trace", "toy", "--side", "port", "-o", "b.safetensors")
    assert status == 2
    assert "'absent:port' cannot be imported: it needs the package 'no_such_framework', which is not installed" in error


def test_a_port_that_is_made_from_the_reference_gets_it(toys, run):
    toys.write("converted.py", "def port(reference):\n    return reference\n")
    file = toys.case("toy")
    file.write_text(file.read_text().replace("toys:agreeing", "converted:port"))
    assert run("compare", *both(run))[0] == 0


@pytest.mark.parametrize(("port", "status"), [("agreeing", 0), ("diverging", 1)])
def test_a_trace_against_the_live_other_side(toys, run, port, status):
    toys.case("toy", port)
    files = both(run)
    live = run("compare", files[0], "toy")
    assert live[0] == status
    assert run("compare", "toy", files[1])[0] == status
    assert "replay of the reference: the reference is not here" in " ".join(live[1].split())
    if status:
        assert "at fault    shift, layer: its inputs agree and its output does not\n" in live[1]
        assert "sound       2 other modules" in live[1]  # those after it are run again on the reference's inputs
        assert "at fault    shift" in run("compare", "toy", files[1])[1]


def test_a_live_side_that_draws_at_random_is_seen(toys, run):
    toys.case("toy")
    files = both(run)
    text = toys.root.joinpath("toys.py").read_text() + "\ndef random(): return net(last=lambda x: np.random.rand(2))\n"
    toys.write("toys2.py", text)
    file = toys.case("toy")
    file.write_text(file.read_text().replace("toys:agreeing", "toys2:random"))
    assert "two runs of the port differ by" in " ".join(run("compare", files[0], "toy")[1].split())


def test_the_case_s_mapping_is_in_the_trace_and_another_can_be_given(toys, run):
    mapped = "def port(): return toys.Layers({'a': lambda x: 2 * x, 'b': lambda x: x + 1, 'c': np.square})\n"
    toys.write("renamed.py", "import numpy as np\nimport toys\n" + mapped)
    file = toys.case("toy", after='[mapping]\ndouble = "a"\nshift = "b"\nlast = "c"\n')
    file.write_text(file.read_text().replace("toys:agreeing", "renamed:port"))
    files = both(run)
    status, text, _ = run("compare", *files)
    assert (status, "taps        all 3 within the tolerance" in text) == (0, True)
    names = '[mapping]\ndouble = "a"\nshift = "b"\n[unmatched.reference]\nlast = "no"\n[unmatched.port]\nc = "no"\n'
    toys.write("names.toml", names)
    status, text, _ = run("compare", *files, "--mapping", "names.toml")
    assert (status, "taps        all 2 within the tolerance" in text) == (0, True)
    assert text.startswith("reference.safetensors against port.safetensors: AGREE")
    toys.write("names.toml", '[mapping]\ntreble = "a"\n')
    assert "the mapping's pattern 'treble' matches no name" in run("compare", *files, "--mapping", "names.toml")[2]
    toys.write("names.toml", 'maping = "a"\n')
    status, _, error = run("compare", *files, "--mapping", "names.toml")
    assert (status, "names.toml:1: unknown key 'maping'. Did you mean 'mapping'?" in error) == (2, True)
    assert run("compare", files[0], "toy")[0] == 0


def test_a_tolerance_of_the_mapping_s_file_counts(toys, run):
    toys.case("toy", "diverging")
    files = both(run)
    toys.write("names.toml", '[tolerance]\natol = 1.0\nreason = "for once"\n')
    status, text, _ = run("compare", *files, "--mapping", "names.toml")
    assert (status, "1 allowed" in text) == (1, True)
    assert "WITHIN TOLERANCE" in text


def test_the_register_counts_and_the_versions_are_those_of_the_traces(toys, run):
    toys.case("toy", "diverging")
    toys.row("toy", error=0.1)
    files = both(run)
    status, text, _ = run("compare", *files)
    assert (status, "registered  toy-shift" in text) == (0, True)
    toys.row("toy", error=0.1, **{'pytest = ">=1"': 'pytest = ">=1000"'})
    assert run("compare", *files)[0] == 1


def test_misuse_is_said(toys, run):
    toys.case("toy")
    toys.case("other")
    files = both(run)
    save_file({"a": np.ones(3)}, "foreign.safetensors")
    for arguments, said in (
        (("compare", "toy", "toy"), "toy toy: are no traces. Give a trace, or use `harness check toy`."),
        (("compare", files[0], "nowhere.safetensors"), "nowhere.safetensors: no such file"),
        (("compare", files[0], "toi"), "case 'toi': not found in"),
        (("compare", files[0], "foreign.safetensors"), "is no trace: its metadata has no 'harness'"),
        (
            ("compare", files[1], files[0]),
            "the first is the port and the second the reference. Give the",
        ),
        (("compare", files[1], "toy"), "the trace is of the port, and stands for the reference"),
        (("trace", "*", "--side", "port", "-o", "a.safetensors"), "case '*': names 2 cases. Trace one at a time"),
        (("trace", "toy", "--side", "port", "-o", "a.npz"), "a.npz: is no name for a trace"),
        (("trace", "toy", "-o", "a.safetensors"), "the following arguments are required: --side"),
    ):
        status, out, error = run(*arguments)
        assert (status, out) == (2, "")
        assert said in error


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"x": X["x"] + (X["x"] == X["x"][1, 2, 3])}, "'x' in 1 of 24 elements, first at [1, 2, 3]: 2.0 and 3.0"),
        ({"x": X["x"][:1]}, "'x' is float32 (2, 3, 4) and float32 (1, 3, 4)"),
        ({**X, "mask": X["x"]}, "one has no input 'mask'"),
    ],
)
def test_other_inputs_are_refused_and_the_remedy_works(toys, run, inputs, said):
    toys.case("toy")
    files = both(run)
    net = Layers({"double": lambda x: 2 * x, "shift": lambda x: x + 1, "last": np.square})
    store(adapt(net), [inputs], toys.root / files[1], claim=Claim(case="toy", side="port"))
    status, _, error = run("compare", *files)
    assert status == 2
    assert f"were run on different inputs: {said}. Trace the second once more with --inputs" in error
    assert run("trace", "toy", "--side", "port", "--inputs", files[0], "-o", files[1])[0] == 0
    assert run("compare", *files)[0] == 0


def test_numbers_of_calls_that_differ_are_refused_and_all_calls_are_compared(tmp_path):
    net = Layers({"double": lambda x: 2 * x})
    wrong = Layers({"double": lambda x: 2 * x + (x.max() > 3)})
    calls = [X, {"x": 2 * X["x"]}]
    claims = [Claim(case="toy", side=side) for side in ("reference", "port")]

    def trace(name, model, calls, claim):
        return open_trace(store(adapt(model), calls, tmp_path / name, claim=claim))

    one = trace("a.safetensors", net, calls, claims[0])
    found = compare_across(one, trace("b.safetensors", wrong, calls, claims[1]), terms_of(*claims, name="toy"))
    assert found.verdict is Verdict.DIVERGE
    assert found.reason.startswith("output@2: ")
    with pytest.raises(SpecError, match=r"toy: calls of the model: 2 in .* and 1 in .*Trace both with the same"):
        compare_across(one, trace("b.safetensors", net, [X], claims[1]), terms_of(*claims, name="toy"))


def test_rounding_is_told_from_a_fault_as_check_does(tmp_path):
    """A port that computes in float64 itself agrees; a constant far below the contract does not."""
    claims = [Claim(case="toy", side=side) for side in ("reference", "port")]
    verdicts = []
    for last in (lambda x: np.float64(x) * 1.0, lambda x: x + 2e-4):
        models = [Layers({"a": lambda x: 2 * x}), Layers({"a": lambda x, last=last: last(2 * x)})]
        traces = [
            open_trace(store(adapt(model), [X], tmp_path / f"{claim.side}.safetensors", claim=claim))
            for model, claim in zip(models, claims, strict=True)
        ]
        verdicts.append(compare_across(*traces, terms_of(*claims, name="toy")).verdict)
    assert verdicts == [Verdict.AGREE, Verdict.WITHIN_TOLERANCE]


def test_a_reference_that_is_a_trace_already_is_not_traced_again(toys, run):
    toys.case("toy")
    assert run("trace", "toy", "--side", "reference", "-o", "reference.safetensors")[0] == 0
    toys.case("again", reference="recorded")
    status, out, error = run("trace", "again", "--side", "reference", "-o", "other.safetensors")
    assert (status, out) == (2, "")
    assert "is a trace already: reference.safetensors. Give that to `harness compare`." in error
    assert not (toys.root / "other.safetensors").exists()
    assert run("check", "again")[0] == 0
