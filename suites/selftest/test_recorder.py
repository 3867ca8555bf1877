"""What is recorded by hand, in a process that has NumPy alone, is a trace like any other."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from safetensors.numpy import load_file

import harness
from harness import Verdict, compare_traces
from harness.errors import SpecError
from harness.parity.playback import Playback, Recorded
from harness.parity.stored import open_trace
from harness.recorder import TYPES, record

X = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)
CALL = {"inputs": {"x": X}, "outputs": {"y": np.tanh(X)}, "taps": {"first": 2 * X}}


def test_it_reads_like_any_trace(tmp_path):
    file = record(
        tmp_path / "a.safetensors", CALL, model="by hand", weights={"w": X.T}, versions={"tensorflow": "2.21"}
    )
    stored = open_trace(file)
    assert stored.index.model == "by hand"
    assert stored.index.environment["packages"] == {"tensorflow": "2.21"}
    side = Playback(stored)
    assert np.array_equal(side.inputs["x"], X)
    assert np.array_equal(side.run({})["y"], np.tanh(X))
    assert np.array_equal(Recorded(stored).weights()["w"].array, X.T)


def test_it_is_compared_with_a_trace_of_ours(tmp_path):
    ours = harness.trace(lambda x: np.tanh(x), {"x": X}, tmp_path / "b.safetensors", side="port")
    theirs = record(tmp_path / "a.safetensors", CALL, model="by hand")
    assert compare_traces(theirs, ours, outputs=["y"], mapping=None).verdict is not Verdict.AGREE
    named = harness.trace(lambda x: {"y": np.tanh(x)}, {"x": X}, tmp_path / "c.safetensors", side="port")
    assert compare_traces(theirs, named).verdict is Verdict.AGREE
    wrong = record(tmp_path / "d.safetensors", {**CALL, "outputs": {"y": np.tanh(X) + 0.1}}, model="by hand")
    assert compare_traces(wrong, named).verdict is Verdict.DIVERGE


def test_float64_decides_where_it_was_recorded(tmp_path):
    """An error within the contract is no rounding where both have float64."""
    wide = np.tanh(X.astype(np.float64))
    port = harness.trace(lambda x: {"y": np.tanh(x)}, {"x": X}, tmp_path / "port.safetensors", side="port")
    for shift, verdict in ((0.0, Verdict.AGREE), (1e-4, Verdict.WITHIN_TOLERANCE)):
        call = {"inputs": {"x": X}, "outputs": {"y": np.tanh(X) + np.float32(shift)}, "float64": {"y": wide + shift}}
        theirs = record(tmp_path / "a.safetensors", call, model="by hand")
        assert compare_traces(theirs, port).verdict is verdict


@given(
    st.lists(
        arrays.arrays(
            st.sampled_from(sorted(TYPES)).map(np.dtype),
            arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_every_array_comes_back_bit_for_bit(tmp_path_factory, found):
    file = tmp_path_factory.mktemp("recorded") / "a.safetensors"
    record(file, {"outputs": {str(number): array.T for number, array in enumerate(found)}}, model="by hand")
    held = load_file(file)
    for number, array in enumerate(found):
        back = held[f"1/outputs/{number}"]
        assert back.dtype == array.dtype
        assert back.shape == array.T.shape
        assert back.tobytes() == array.T.tobytes()


WRONG = {
    "no calls": ([], "no calls were given"),
    "no outputs": ({"inputs": {"x": X}}, "call 1 has no outputs; a call has inputs, outputs, taps, float64"),
    "an unknown part": ({**CALL, "tap": {}}, "call 1 has an unknown part 'tap'"),
    "objects": ({"outputs": {"y": np.array([None])}}, "1/outputs/y is of type object; a trace holds bool, int8"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_cannot_be_recorded_is_refused_and_leaves_the_old_file(wrong, tmp_path):
    file = record(tmp_path / "a.safetensors", CALL, model="by hand")
    before = file.read_bytes()
    call, message = WRONG[wrong]
    with pytest.raises(ValueError, match=message):
        record(file, call, model="by hand")
    assert file.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["a.safetensors"]


def test_the_file_alone_is_enough(tmp_path):
    """Copied somewhere, run by an interpreter that finds no package but NumPy."""
    shutil.copy(Path(harness.__file__).with_name("recorder.py"), tmp_path)
    text = (
        "import sys, numpy as np, recorder\n"
        "recorder.record('t.safetensors', {'inputs': {'x': np.ones(2)}, 'outputs': {'y': np.ones(2)}}, model='m')\n"
        "loaded = {name.split('.')[0] for name in sys.modules}\n"
        "print(sorted(loaded & {'harness', 'safetensors', 'torch', 'pydantic'}))\n"
    )
    done = subprocess.run([sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, '.')\n{text}"], cwd=tmp_path,
                          capture_output=True, text=True, check=True)  # fmt: skip
    assert done.stdout.strip() == "[]"
    assert open_trace(tmp_path / "t.safetensors").index.model == "m"


def test_a_trace_that_is_cut_off_or_of_another_schema_is_refused(tmp_path):
    file = record(tmp_path / "a.safetensors", CALL, model="by hand")
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])
    with pytest.raises(SpecError, match="is no whole safetensors file"):
        open_trace(file)
    size = int.from_bytes(data[:8], "little")
    table = json.loads(data[8 : 8 + size])
    index = json.loads(table["__metadata__"]["harness"])
    table["__metadata__"]["harness"] = json.dumps({**index, "schema": 2})
    text = json.dumps(table).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + size :])
    with pytest.raises(SpecError, match="has schema 2, and this harness reads 1"):
        open_trace(file)
