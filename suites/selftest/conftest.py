"""A small repository of NumPy-only cases, in which every kind of fault can be planted."""

from __future__ import annotations

from pathlib import Path

import jinja2
import numpy as np
import pydantic
import pytest
import rich.progress
import rich.table

INNER_RUNS_FIND_IMPORTED = (jinja2, np, pydantic, rich.progress, rich.table)
"""An inner run in this process forgets what it imports: NumPy cannot be imported twice, the others take long."""

TOYS = """
import os, signal
import numpy as np
from harness.adapters.toy.layers import Layers

def net(shift=1.0, last=np.square, extra=False):
    layers = {"double": lambda x: 2 * x, "shift": lambda x: x + shift, "last": last}
    if extra:
        layers["extra"] = lambda x: x
    return Layers(layers)

def inputs():
    return {"x": np.linspace(-2, 2, 24, dtype=np.float32).reshape(2, 3, 4)}

def masked():
    return inputs() | {"attention_mask": np.array([[1, 1, 1], [1, 1, 0]])}

def no_positions():
    return inputs() | {"attention_mask": np.zeros((2, 3), int)}

def nan(x):
    return np.where(x > 1, np.nan, x)

def raising():
    raise ValueError("the checkpoint is truncated")

def killed(x):
    os.kill(os.getpid(), signal.SIGKILL)

def reference(): return net()
def agreeing(): return net()
def diverging(): return net(shift=1.01)
def nearly(): return net(last=lambda x: np.square(x) + 2e-4)
def one_sided_nan(): return net(last=lambda x: nan(np.square(x)))
def nan_reference(): return net(last=lambda x: nan(np.square(x)))
def other_shape(): return net(last=lambda x: np.square(x)[:, :2])
def more_taps(): return net(extra=True)
def failing(): return lambda x: 1 / 0
def dying(): return killed
def empty(): return lambda x: {}
def other_output(): return lambda x: {"logits": x}
def no_model(): return 3

def recorded():
    from pathlib import Path
    from harness.parity.stored import open_trace
    return open_trace(Path("reference.safetensors"))
"""

CASE = """
title = "a toy"
[reference]
factory = "toys:{reference}"
[port]
factory = "toys:{port}"
[inputs]
factory = "toys:{inputs}"
"""

ROW = """
[[row]]
id = "{id}"
area = "toys"
subjects = ["{subject}"]
field = "shift"
error = {error}
scale = 25.0
cause = "the port shifts too far"
where = "toys.py:1"
proof = "test_cases.py::test_case"
kind = "defect"
applies_to = {{ pytest = ">=1" }}
"""

TEST = """
import pytest

@pytest.mark.case("*")
def test_case(case, parity):
    parity(case)
"""


class Toys:
    """A repository on disk: its cases, register and tests are written by the methods, and pytest is run in it."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester
        self.root: Path = pytester.path
        self.write("toys.py", TOYS)
        self.write("test_cases.py", TEST)
        self.write("pyproject.toml", '[tool.harness.profiles.quick]\nsuites = ["test_cases.py"]\n')

    def write(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def case(self, name, port="agreeing", *, reference="reference", inputs="inputs", before="", after="") -> Path:
        text = before + CASE.format(reference=reference, port=port, inputs=inputs) + after
        return self.write(f"fixtures/cases/{name}.toml", text)

    def row(self, subject: str, *, error: float, identity: str = "toy-shift", **changes: str) -> Path:
        text = ROW.format(id=identity, subject=subject, error=error)
        for old, new in changes.items():
            text = text.replace(old, new)
        return self.write(f"fixtures/register/{identity}.toml", text)

    def pytest(self, *arguments: str, apart: bool = False) -> pytest.RunResult:
        """Run pytest here; `apart`, in a process of its own: for what kills it, or loads a framework."""
        run = self.pytester.runpytest_subprocess if apart else self.pytester.runpytest_inprocess
        return run("-p", "no:cacheprovider", *arguments)

    def harness(self, *arguments: str) -> pytest.RunResult:
        import sys

        return self.pytester.run(sys.executable, "-m", "harness", *arguments)


@pytest.fixture
def toys(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Toys:
    monkeypatch.delenv("RUN_SLOW", raising=False)
    # Only our plugin: loading all that are installed would take longer than the runs.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_PLUGINS", "harness.plugin")
    return Toys(pytester)
