"""`harness check --steps`: which step is the first that fails, what is said of it, what a second walk makes again."""

import json
import subprocess
import sys

import pytest

from harness import find_cases, find_repository
from harness.cli import main
from harness.parity.compare import Verdict
from harness.porting.ends import compare_ends
from harness.porting.steps import STEPS, Status, walk
from harness.porting.usual import USUAL
from harness.tolerance import Tolerance

MODEL = """
import numpy as np
from harness.adapters.toy.layers import Layers

def net(wrong="", by=lambda x: x * 1.1):
    layers = {"embed": lambda x: x + 1}
    for number in range(3):
        layers[f"layers.{number}.up"] = lambda x: 2 * x
        layers[f"layers.{number}"] = lambda x: x / 2 + 0.1
    layers |= {"norm": lambda x: x - 0.5, "head": np.square}
    if wrong:
        right = layers[wrong]
        layers[wrong] = lambda x: by(right(x))
    return Layers(layers)

def reference(): return net()
def port(wrong="", slightly=False, oddly=False):
    if oddly:
        return net(wrong, lambda x: x + 0.1 * np.sin(50 * x))
    return net(wrong, (lambda x: x + 1e-4) if slightly else (lambda x: x * 1.1))
def inputs():
    return {"x": np.linspace(0.5, 2, 24, dtype=np.float32).reshape(2, 3, 4)}

def answers(reference, port, other=False):
    return {"text": "yes", "numbers": [1, 2]}, {"text": "no" if other else "yes", "numbers": [1, 2]}
def empty(): return {}, {}
def single(): return "yes"

class Tokens:
    def __init__(self, shift=0): self.shift = shift
    def encode(self, text): return [ord(sign) + self.shift for sign in text]
    def decode(self, ids): return "".join(chr(number - self.shift) for number in ids)
def tokens(shift=0): return Tokens(shift)
"""

CASE = """
title = "layers"
[reference]
factory = "model:reference"
[port]
factory = "model:port"
arguments = {{ {arguments} }}
[inputs]
factory = "model:inputs"
{more}
"""


@pytest.fixture
def walked(toys, monkeypatch):
    """Walk through a case with a fault; the memory of walks is in the folder of the test."""
    monkeypatch.chdir(toys.root)
    monkeypatch.setenv("HARNESS_CACHE", str(toys.root / "cache"))
    toys.write("model.py", MODEL)

    def call(arguments="", more="", **options):
        toys.write("fixtures/cases/layers.toml", CASE.format(arguments=arguments, more=more))
        sys.modules.pop("model", None)
        repository = find_repository(toys.root)
        return walk(find_cases(repository, "layers")[0], repository, **options)

    return call


def statuses(found):
    return {step.step: str(step.status) for step in found.steps}


def test_a_port_that_is_right_passes_every_step_that_applies(walked):
    found = walked()
    assert tuple(statuses(found)) == STEPS
    assert found.first is None
    assert found.exit_status == 0
    passed = {"embeddings": "ok", "first layer": "ok", "remaining layers": "ok", "head": "ok"}
    assert statuses(found) == dict.fromkeys(STEPS, "does not apply") | passed
    assert found.steps[1].detail == "agreed: 1 tap, embed"
    assert found.steps[3].detail == "agreed: 4 taps, layers.1.up to layers.2"
    assert found.steps[4].detail == "outputs agree: output; agreed: 2 taps, norm to head"


@pytest.mark.parametrize("slightly", ["false", "true"], ids=["diverging", "within tolerance"])
@pytest.mark.parametrize(
    ("wrong", "step"),
    [
        ("embed", "embeddings"),
        ("layers.0.up", "first layer"),
        ("layers.0", "first layer"),
        ("layers.1.up", "remaining layers"),
        ("layers.2", "remaining layers"),
        ("norm", "head"),
        ("head", "head"),
    ],
)
def test_the_step_of_a_planted_fault_is_the_first_that_fails(walked, wrong, step, slightly):
    found = walked(f'wrong = "{wrong}", slightly = {slightly}')
    assert (found.first.step, found.first.status, found.exit_status) == (step, Status.FAILED, 1)
    assert wrong in found.first.detail
    assert found.first.usual == USUAL[step]
    later = list(statuses(found).values())[STEPS.index(step) + 1 :]
    assert set(later) == {"not reached"}
    assert found.first.text.startswith("layers: ")


def test_every_step_has_its_usual_faults_and_none_is_there_for_nothing():
    assert tuple(USUAL) == STEPS
    assert all(len(set(rows)) == len(rows) >= 3 for rows in USUAL.values())


def test_a_fault_that_the_register_knows_is_passed(toys, walked):
    toys.row("layers", error=100.0)
    found = walked('wrong = "norm"')
    assert statuses(found)["head"] == "registered"
    assert found.steps[4].detail.startswith("toy-shift: norm")
    assert found.exit_status == 0


def test_open_names_are_inconclusive_where_they_stand(walked):
    found = walked(more='[mapping]\n"layers.1" = "elsewhere"')
    assert (found.first.step, found.first.status, found.exit_status) == ("remaining layers", Status.INCONCLUSIVE, 3)
    assert found.first.detail == "1 tap unmatched, first layers.1: map it, or name it with a reason"


def test_taps_that_are_left_out_are_not_said_to_agree(walked):
    excused = '[unmatched.reference]\n"embed" = "so"\n[unmatched.port]\n"embed" = "so"'
    found = walked(more=f'[mapping]\n"embed" = "words"\n{excused}')
    assert found.steps[1].status is Status.NONE
    assert found.steps[1].detail == "the case names its 1 tap with a reason and compares none"


def test_what_passed_is_not_made_again_until_something_changes(toys, walked):
    walked()
    assert all(step.before for step in walked().steps)
    assert not any(step.before for step in walked(fresh=True).steps)
    assert all(step.before for step in walked().steps)
    assert not any(step.before for step in walked(more="[unmatched.port]\n").steps)
    toys.write("model.py", MODEL + "\n# changed\n")
    assert not any(step.before for step in walked(more="[unmatched.port]\n").steps)


def test_a_killed_walk_goes_on_where_it_was(walked):
    class KilledError(Exception):
        pass

    def kill(step):
        if step.step == "first layer":
            raise KilledError

    with pytest.raises(KilledError):
        walked(meet=kill)
    assert [step.before for step in walked().steps] == [True] * 3 + [False] * 6


def test_a_failed_step_is_made_again(walked):
    walked('wrong = "norm"')
    found = walked('wrong = "norm"')
    assert [step.before for step in found.steps[:5]] == [True] * 4 + [False]


def test_a_file_that_is_written_during_a_walk_keeps_nothing(toys, walked):
    walked(meet=lambda _step: toys.write("model.py", MODEL + "\n"))
    assert not any(step.before for step in walked().steps)


def test_end_to_end_compares_what_the_function_returns(walked):
    ends = '[end_to_end]\nfactory = "model:answers"\n'
    found = walked(more=ends)
    assert statuses(found)["end to end"] == "ok"
    assert found.steps[-1].detail == "3 results agree, the first 'yes'"
    found = walked(more=f"{ends}arguments = {{ other = true }}\n")
    assert (found.first.step, found.first.detail) == ("end to end", "text: 'yes' in the reference, 'no' in the port")
    found = walked(more='[end_to_end]\nfactory = "model:empty"\n')
    assert (found.first.status, found.exit_status) == (Status.INCONCLUSIVE, 3)
    from harness import HarnessError

    with pytest.raises(HarnessError, match="end_to_end: returned a str of 3. Return two: the reference's result and"):
        walked(more='[end_to_end]\nfactory = "model:single"\n')


@pytest.mark.parametrize(
    ("ours", "theirs", "said"),
    [
        ({"a": 1}, {"b": 1}, "the port has no a"),
        ([1, 2], [1], "the port has no [1]"),
        ([1.0], [1.0005], ""),
        ([1.0], [1.5], "[0]: 1.0 in the reference, 1.5 in the port"),
        ([float("nan")], [float("nan")], "[0]: is NaN in the reference"),
        ("a" * 100, "b", f"'{'a' * 56}... in the reference, 'b' in the port"),
        (3, 4, "3 in the reference, 4 in the port"),
    ],
)
def test_ends_are_told_apart(ours, theirs, said):
    verdict, text = compare_ends((ours, theirs), tolerance=Tolerance(), place="here")
    assert verdict is (Verdict.DIVERGE if said else Verdict.AGREE)
    assert not said or text == said


@pytest.mark.parametrize(
    ("shift", "status", "said"),
    [(0, "ok", "tokenizers: AGREE"), (2, "failed", "tokenizers: DIVERGE")],
)
def test_tokenizers_are_held_against_each_other(walked, shift, status, said):
    pair = '[tokenizer.reference]\nfactory = "model:tokens"\n[tokenizer.port]\nfactory = "model:tokens"\n'
    found = walked(more=f"{pair}arguments = {{ shift = {shift} }}\n")
    assert statuses(found)["tokenizer"] == status
    assert found.steps[6].detail == said


def test_the_command_prints_a_line_a_step_then_a_table_or_json(walked, capsys):
    walked('wrong = "norm", oddly = true')
    assert main(["check", "layers", "--steps", "--fresh"]) == 1
    said = capsys.readouterr()
    assert [line[:18].strip() for line in said.err.splitlines()] == list(STEPS[:5])
    assert "head               failed" in said.err
    assert max(map(len, said.out.splitlines())) <= 80
    for text in ("first that does not pass: head", "usually wrong there:", "harness watch layers"):
        assert text in said.out
    walked('wrong = "norm"')
    assert main(["check", "layers", "--steps"]) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "proved: scale: " in said
    assert "11/10 times what it should be" in said
    assert "usually wrong there" not in said
    assert main(["check", "layers", "--steps", "--json"]) == 1
    said = capsys.readouterr()
    assert json.loads(said.out)["first"] == "head"
    assert "as before" in said.err


def test_a_walk_in_a_process_that_is_killed_goes_on(toys, walked):
    """A real kill: the model kills the process when it is run for the second time."""
    walked()
    toys.write("cache/count", "")
    slow = MODEL.replace("def reference(): return net()", KILLING)
    toys.write("model.py", slow)
    command = [sys.executable, "-m", "harness", "check", "layers", "--steps"]
    first = subprocess.run(command, cwd=toys.root, capture_output=True, text=True, check=False)
    assert first.returncode == -9
    assert "weights" in first.stderr
    again = subprocess.run(command, cwd=toys.root, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert again.stderr.splitlines()[0].endswith("as before")
    assert not again.stderr.splitlines()[1].endswith("as before")


KILLING = """
import os, pathlib, signal
def reference():
    made = net()
    first = made.layers["embed"]
    def embed(x):
        if not pathlib.Path("cache/killed").exists():
            pathlib.Path("cache/killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return first(x)
    return Layers({**made.layers, "embed": embed})
"""
