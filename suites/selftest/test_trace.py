"""A trace keeps what it can hold in memory, and the rest on disk until it goes."""

from pathlib import Path

import numpy as np

import harness
from harness.adapters.choose import adapt
from harness.adapters.toy.layers import Layers
from harness.parity.trace import record

X = {"x": np.arange(1000, dtype=np.float32).reshape(10, 100)}
NET = Layers({"double": lambda x: 2 * x, "shift": lambda x: x + 1, "square": np.square})


def test_taps_beyond_the_limit_lie_on_disk_and_are_the_same():
    whole, spilled = record(adapt(NET), X), record(adapt(NET), X, limit_bytes=5000)
    assert whole.folder is None
    assert all(np.array_equal(spilled.taps[name], array) for name, array in whole.taps.items())
    assert isinstance(spilled.taps["square"], np.memmap)
    folder = Path(spilled.folder.name)
    assert len(list(folder.iterdir())) == 2
    del spilled
    assert not folder.exists()


def test_taps_that_are_handed_on_are_not_kept():
    met = []
    trace = record(adapt(NET), X, meet=lambda name, array: met.append((name, array.shape)))
    assert trace.taps == {}
    assert dict(met) == trace.shapes == dict.fromkeys(("double", "shift", "square"), (10, 100))


def test_a_tap_of_another_shape_is_left_over_and_not_compared():
    port = Layers(
        {"double": lambda x: 2 * x, "shift": lambda x: (x + 1)[:, :50], "square": lambda x: np.square(np.tile(x, 2))}
    )
    found = harness.check(NET, port, X)
    assert "reference: shift" in found.unmatched
    assert [tap.name for tap in found.taps] == ["double", "square"]
