"""Traces in files: what is written comes back, no array twice, one at a time; what is no trace is refused."""

import json
import os
import subprocess
import sys
import weakref
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from harness.adapters.choose import adapt
from harness.adapters.toy.layers import Layers
from harness.errors import RunError, SpecError
from harness.parity.across import compare_across, terms_of
from harness.parity.compare import Verdict
from harness.parity.playback import Playback
from harness.parity.recording import store
from harness.parity.stored import Claim, Index, Stored, open_trace
from harness.parity.storing import Writer

X = {"x": np.linspace(-2, 2, 24, dtype=np.float32).reshape(2, 3, 4)}
ARRAYS = {
    "float16": np.arange(6, dtype=np.float16),
    "transposed": np.arange(6.0).reshape(2, 3).T,
    "strided": np.arange(12.0)[::2],
    "scalar": np.array(3.0),
    "none of it": np.zeros((0, 3), np.float32),
    "complex": (np.arange(6) * (1 + 2j)).reshape(2, 3),
    "complex scalar": np.array(1 + 2j, np.complex64),
    "switch": np.array([True, False]),
    "big endian": np.arange(3, dtype=">i4"),
    "whole": np.arange(3, dtype=np.uint8),
    "odd": np.array([np.nan, np.inf, -np.inf, -0.0]),
}


def net(**changed):
    layers = {"double": lambda x: 2 * x, "shift": lambda x: x + 1, "square": np.square, "halve": lambda x: x / 2}
    return Layers({name: changed.get(name, layer) for name, layer in layers.items()})


def claim(side="reference", **further):
    return Claim(case="toy", side=side, **further)


def stored(path, model, side="reference", inputs=X, **options):
    calls = inputs if isinstance(inputs, list) else [inputs]
    return open_trace(store(adapt(model), calls, path, claim=claim(side), **options))


def empty(**arrays):
    return Index(
        schema=1, model="m", claim=claim(), device="cpu", precision="highest", environment={}, runs=(), arrays=arrays
    )


@pytest.fixture
def trace(tmp_path):
    return stored(tmp_path / "a.safetensors", net())


@pytest.mark.parametrize("limit", [1 << 30, 40], ids=["whole", "shards"])
def test_every_array_comes_back_as_it_was(tmp_path, limit):
    writer = Writer(tmp_path / "a.safetensors", limit)
    keys = writer.put_all("here", ARRAYS)
    found = open_trace(writer.finish(empty()))
    for name, array in ARRAYS.items():
        read = found.read(keys[name])
        assert (read.dtype, read.shape) == (array.dtype.newbyteorder("="), array.shape)
        np.testing.assert_array_equal(read, array)
    assert bool(found.index.arrays["here/odd"].shard) == (limit == 40)


def test_what_numpy_cannot_hold_as_numbers_is_refused(tmp_path):
    writer = Writer(tmp_path / "a.safetensors")
    for array in (np.array(["word"]), np.array([None]), np.zeros(2, np.longdouble)):
        with pytest.raises(RunError, match=f"x: an array of {array.dtype} cannot be stored. Put out numbers"):
            writer.put("x", array)


def test_equal_arrays_are_stored_once(trace):
    run = trace.index.runs[0]
    modules = {each.name: each for each in run.wide.modules}
    assert modules["shift"].inputs["x"] == modules["double"].outputs[""]
    assert modules[""].outputs[""] == run.wide.outputs["output"] == modules["halve"].outputs[""]
    assert run.outputs["output"] == run.taps["halve"]
    held = load_file(trace.path)
    assert set(held) == set(trace.index.arrays)
    assert len(held) == len({(each.dtype, each.shape, each.tobytes()) for each in map(np.asarray, held.values())})


def test_the_index_says_what_the_trace_stands_on(trace):
    with safe_open(trace.path, framework="np") as file:
        index = json.loads(file.metadata()["harness"])
    assert (index["schema"], index["model"], index["claim"]["side"]) == (1, "Python Layers", "reference")
    assert list(index["runs"][0]["taps"]) == ["double", "shift", "square", "halve"]
    assert index["arrays"]["1/taps/double"] == {"dtype": "float32", "shape": [2, 3, 4], "shard": ""}
    assert index["environment"]["packages"]["numpy"] == np.__version__


def test_shards_are_read_as_one_and_the_old_ones_go(tmp_path):
    path = tmp_path / "a.safetensors"
    whole = stored(path, net())
    sharded = stored(path, net(), limit_bytes=200)
    assert sharded.path.name == "a.index.json"
    assert not path.exists()
    shards = {each.name for each in tmp_path.glob("a-*.safetensors")}
    assert shards == {each.shard for each in sharded.index.arrays.values()}
    assert len(shards) > 3
    for key in whole.index.arrays:
        np.testing.assert_array_equal(open_trace(path).read(key), sharded.read(key))
    again = stored(path, net(), limit_bytes=200)
    assert not shards & {each.name for each in tmp_path.iterdir()}
    assert len(list(tmp_path.iterdir())) == len(shards) + 1
    assert again.index.runs == sharded.index.runs
    stored(path, net())
    assert [each.name for each in tmp_path.iterdir()] == ["a.safetensors"]


def test_files_that_are_called_alike_are_left_alone(tmp_path):
    others = ["a-0123.safetensors", "a-b-01234567-00001.safetensors", "ab-01234567-00001.safetensors"]
    for name in others:
        (tmp_path / name).write_text("")
    stored(tmp_path / "a.safetensors", net())
    assert {each.name for each in tmp_path.iterdir()} == {"a.safetensors", *others}


def damaged(trace, **changes):
    index = json.loads(safe_open(trace.path, framework="np").metadata()["harness"]) | changes
    save_file(load_file(trace.path), trace.path, metadata={"harness": json.dumps(index)})


DAMAGES = {
    "absent": (lambda trace: trace.path.unlink(), "no such file. Check the path, or make it with `harness trace`"),
    "empty": (lambda trace: trace.path.write_bytes(b""), "is no whole safetensors file"),
    "cut off": (lambda trace: trace.path.write_bytes(trace.path.read_bytes()[:-9]), "is no whole safetensors file"),
    "text": (lambda trace: trace.path.write_text("x" * 99), "is no whole safetensors file"),
    "folder": (lambda trace: (trace.path.unlink(), trace.path.mkdir()), "is no whole safetensors file"),
    "foreign": (lambda trace: save_file({"a": np.ones(3)}, trace.path), "is no trace: its metadata has no 'harness'"),
    "no index": (
        lambda trace: save_file({"a": np.ones(3)}, trace.path, metadata={"harness": "[]"}),
        "is no trace: its index is not what `harness trace` writes",
    ),
    "newer": (
        lambda trace: damaged(trace, schema=2, further=3),
        "has schema 2, and this harness reads 1. Upgrade the harness here, or write it again with this one",
    ),
    "index": (lambda trace: damaged(trace, runs=3), "its index is damaged: runs: "),
    "type": (
        lambda trace: damaged(trace, arrays={"a": {"dtype": "float9", "shape": []}}),
        "its index is damaged: arrays.a: Value error, unknown type 'float9'",
    ),
    "missing array": (lambda trace: damaged(trace, arrays={}), "its index is damaged: it lists no array '1/inputs/x'"),
}


@pytest.mark.parametrize(("damage", "said"), DAMAGES.values(), ids=DAMAGES)
def test_a_file_that_is_no_whole_trace_is_refused(trace, damage, said):
    damage(trace)
    with pytest.raises(SpecError) as raised:
        open_trace(trace.path)
    assert str(raised.value).startswith(f"{trace.path}: {said}")


def test_an_array_that_is_not_what_the_index_says_is_refused(trace):
    arrays = json.loads(safe_open(trace.path, framework="np").metadata()["harness"])["arrays"]
    arrays["1/taps/double"]["shape"] = [4, 3, 2]
    damaged(trace, arrays=arrays | {"1/taps/none": arrays["1/taps/shift"]})
    found = open_trace(trace.path)
    with pytest.raises(SpecError, match=r"'1/taps/double' is float32 \(2, 3, 4\), in the index float32 \(4, 3, 2\)"):
        found.read("1/taps/double")
    with pytest.raises(SpecError, match="does not give '1/taps/none', which its index names"):
        found.read("1/taps/none")


def test_a_shard_that_is_missing_or_another_trace_s_is_refused(tmp_path):
    found = stored(tmp_path / "a.safetensors", net(), limit_bytes=200)
    other = stored(tmp_path / "b.safetensors", net(), limit_bytes=200)
    shard = tmp_path / found.index.arrays["1/taps/double"].shard
    shard.write_bytes((tmp_path / other.index.arrays["1/taps/double"].shard).read_bytes())
    with pytest.raises(SpecError, match=r"-00001.safetensors: is no shard of a.index.json"):
        open_trace(found.path)
    shard.unlink()
    with pytest.raises(SpecError, match=r"its shard 'a-.*' is missing. Keep all shards beside the index"):
        open_trace(found.path)
    text = found.path.read_text().replace(shard.name, f"../{shard.name}")
    found.path.write_text(text)
    with pytest.raises(SpecError, match="its shard '../a-.*' is missing"):
        open_trace(found.path)


KILLED = """
import os, signal, sys
import numpy as np
from pathlib import Path
from harness.parity.storing import Writer
import harness.parity.storing as storing
writer = Writer(Path(sys.argv[1]), int(sys.argv[2]))
writer.put("a", np.arange(10.0))
save = storing.save_file
def save_and_die(tensors, path, metadata):
    save(tensors, path, metadata=metadata)
    os.kill(os.getpid(), signal.SIGKILL)
storing.save_file = save_and_die
writer.put("b", np.arange(20.0))
from suites.selftest.test_stored import empty
writer.finish(empty())
"""


@pytest.mark.parametrize("limit", [1 << 30, 90], ids=["whole", "shards"])
def test_a_kill_while_writing_leaves_the_old_file_as_it_was(tmp_path, limit):
    old = stored(tmp_path / "a.safetensors", net(), limit_bytes=limit)
    before = {each.name: each.read_bytes() for each in tmp_path.iterdir()}
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", KILLED, str(tmp_path / "a.safetensors"), str(limit)]
    done = subprocess.run(command, cwd=root, env=os.environ | {"PYTHONPATH": str(root)}, check=False)
    assert done.returncode == -9
    assert {name: (tmp_path / name).read_bytes() for name in before} == before
    assert open_trace(old.path).read("1/taps/double").shape == (2, 3, 4)


def test_what_is_written_as_it_comes_is_not_held(tmp_path):
    held = []

    class Watched(Writer):
        def put(self, key, array):
            held.append(self._pending_bytes)
            return Writer.put(self, key, array)

    writer = Watched(tmp_path / "a.safetensors", 1000)
    for number in range(50):
        writer.put(str(number), np.full(50, number, np.float64))
    assert max(held) <= 1000


def test_comparing_holds_one_module_s_arrays_at_a_time(tmp_path, monkeypatch):
    """Both files are 200 arrays of 80 kB; never are more than a few of them in memory."""
    layers = {str(number): lambda x, number=number: x + number for number in range(1, 100)}
    wide = {"x": np.linspace(-2, 2, 10_000).reshape(4, 50, 50)}
    one = stored(tmp_path / "a.safetensors", Layers(layers), inputs=wide)
    other = stored(tmp_path / "b.safetensors", Layers(layers | {"70": lambda x: x + 70.1}), "port", inputs=wide)
    open_arrays, most = weakref.WeakSet(), []
    read = Stored.read

    class Seen(np.ndarray):
        __hash__ = object.__hash__

    def counted(self, key):
        array = read(self, key).view(Seen)
        open_arrays.add(array)
        most.append(sum(each.nbytes for each in open_arrays))
        return array

    monkeypatch.setattr(Stored, "read", counted)
    found = compare_across(one, other, terms_of(one.index.claim, other.index.claim, name="toy"))
    assert found.verdict is Verdict.DIVERGE
    assert [each.path for each in found.faulty] == ["70"]
    assert len(most) > 400
    assert max(most) <= 8 * 80_000


def test_a_playback_gives_what_was_recorded_and_nothing_else(trace):
    side = Playback(trace)
    met = []
    outputs = side.run(X, tap=lambda name, array: met.append(name))
    np.testing.assert_array_equal(outputs["output"], net()(**X)["output"])
    assert met == ["double", "shift", "square", "halve"]
    assert side.run_wide(X).outputs["output"].dtype == np.float64
    assert side.describe() == "Python Layers"
    from harness.adapters.protocols import State, UnsupportedError

    with pytest.raises(UnsupportedError, match="replayed as it was recorded, and in no other way"):
        side.replay(X, met.append, feed={"shift": {"x": X["x"]}})
    with pytest.raises(UnsupportedError, match="holds no other weights"):
        side.run_wide(X, state=State({"w": X["x"]}))


def test_inputs_that_are_no_arrays_come_back(tmp_path):
    def model(x, scale, names=None, flag=True):
        return x * scale

    found = stored(tmp_path / "a.safetensors", model, inputs={**X, "scale": 2.0, "names": ["a"], "flag": False})
    inputs = Playback(found).inputs
    assert {name: inputs[name] for name in ("scale", "names", "flag")} == {"scale": 2.0, "names": ["a"], "flag": False}
    with pytest.raises(SpecError, match=r"input 'names': is a set, and a trace holds an array, .* Change the factory"):
        stored(tmp_path / "a.safetensors", model, inputs={**X, "scale": 2.0, "names": {1}})


def test_a_name_that_is_none_for_a_trace_is_refused_before_the_run(tmp_path):
    with pytest.raises(SpecError, match=r"a.npz: is no name for a trace. Give one that ends in .safetensors"):
        stored(tmp_path / "a.npz", net())


def test_objects_in_memory_are_traced_and_compared(tmp_path):
    import harness

    files = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    assert harness.trace(net(), X, files[0]) == files[0]
    harness.trace(net(shift=lambda x: x + 1.01), [X], str(files[1]), side="port", name="check")
    found = harness.compare_traces(*files)
    assert (found.name, found.verdict, [each.path for each in found.faulty]) == ("check", Verdict.DIVERGE, ["shift"])
    loose = harness.Tolerance(atol=9.0, reason="for once")
    assert harness.compare_traces(*files, tolerance=loose).verdict is Verdict.WITHIN_TOLERANCE
    mapped = harness.compare_traces(*files, mapping={"double": "treble"})
    assert "reference: double" in mapped.unmatched
    with pytest.raises(SpecError, match="unknown side 'left'. Say 'reference' or 'port'"):
        harness.trace(net(), X, files[0], side="left")
    with pytest.raises(SpecError, match="no inputs were given"):
        harness.trace(net(), [], files[0])
