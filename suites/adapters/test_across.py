"""A PyTorch reference and a Flax port, each traced where the other's framework is absent, compared where both are."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("flax")

ROOT = Path(__file__).parents[2]

WEIGHTS = """
import numpy as np

def weights():
    draw = np.random.default_rng(0)
    shapes = {"embed": (20, 8), "head": (5, 8)}
    for block in ("block_0", "block_1"):
        shapes |= {f"{block}.norm": (8,), f"{block}.up": (16, 8), f"{block}.down": (8, 16)}
    found = {f"{name}.weight": draw.normal(size=shape).astype("float32") for name, shape in shapes.items()}
    return found | {f"{n}.bias": draw.normal(size=s[0]).astype("float32") for n, s in shapes.items() if n != "embed"}

def inputs():
    draw = np.random.default_rng(1)
    return {"input_ids": draw.integers(0, 20, (2, 6)), "attention_mask": np.array([[1] * 6, [1] * 4 + [0] * 2])}
"""

ORIGINAL = """
import torch
from torch import nn
from weights import weights

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(8), nn.Linear(8, 16), nn.Linear(16, 8)

    def forward(self, x):
        return x + self.down(nn.functional.gelu(self.up(self.norm(x))))

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Embedding(20, 8), nn.Linear(8, 5)
        self.block_0, self.block_1 = Block(), Block()

    def forward(self, input_ids, attention_mask):
        x = self.embed(input_ids) * attention_mask[:, :, None]
        return self.head(self.block_1(self.block_0(x)))

def reference():
    net = Net()
    net.load_state_dict({name: torch.from_numpy(array) for name, array in weights().items()})
    return net
"""

PORT = """
import flax.linen as nn
import jax.numpy as jnp
from weights import weights

class Block(nn.Module):
    epsilon: float
    approximate: bool

    @nn.compact
    def __call__(self, x):
        y = nn.Dense(16, name="up")(nn.LayerNorm(epsilon=self.epsilon, name="norm")(x))
        return x + nn.Dense(8, name="down")(nn.gelu(y, approximate=self.approximate))

class Net(nn.Module):
    epsilon: float
    approximate: bool

    @nn.compact
    def __call__(self, input_ids, attention_mask):
        x = nn.Embed(20, 8, name="embed")(input_ids) * attention_mask[:, :, None]
        for number in range(2):
            x = Block(self.epsilon, self.approximate, name=f"block_{number}")(x)
        return nn.Dense(5, name="head")(x)

def port(epsilon=1e-5, approximate=False):
    params = {}
    for name, array in weights().items():
        *path, leaf = name.split(".")
        home = params
        for part in path:
            home = home.setdefault(part, {})
        if leaf == "bias":
            home["bias"] = array
        elif path == ["embed"]:
            home["embedding"] = array
        else:
            home["scale" if array.ndim == 1 else "kernel"] = array.T
    return Net(epsilon, approximate), params
"""

CASE = """
title = "a small network"
[reference]
factory = "original:reference"
[port]
factory = "converted:port"
[port.arguments]
{arguments}
[inputs]
factory = "weights:inputs"
"""

FRAMEWORKS = ("torch", "jax", "flax", "transformers")
COMMAND = """
import sys
for name in {blocked!r}:
    sys.modules[name] = None
from harness.cli import main
sys.exit(main({arguments!r}))
"""


@pytest.fixture
def harness_without(tmp_path):
    """Run the command in a process in which these packages cannot be imported."""
    for name, text in (("weights", WEIGHTS), ("original", ORIGINAL), ("converted", PORT)):
        (tmp_path / f"{name}.py").write_text(text)
    (tmp_path / "fixtures/cases").mkdir(parents=True)

    def call(*blocked, arguments, port=""):
        (tmp_path / "fixtures/cases/net.toml").write_text(CASE.format(arguments=port))
        command = COMMAND.format(blocked=blocked, arguments=list(arguments))
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout, done.stderr

    return call


def traced(run, port=""):
    assert run("jax", "flax", arguments=["trace", "net", "--side", "reference", "-o", "a.safetensors"])[0] == 0
    found = run("torch", arguments=["trace", "net", "--side", "port", "-o", "b.safetensors"], port=port)
    assert found[0] == 0, found[2]
    return "a.safetensors", "b.safetensors"


def test_a_right_port_agrees_to_rounding_where_no_framework_is(harness_without):
    status, text, _ = harness_without(*FRAMEWORKS, arguments=["compare", *traced(harness_without)])
    assert status == 0
    assert text.startswith("net: AGREE\n  reference   PyTorch Net\n  port        Flax linen Net\n")
    assert "taps        all 10 within the tolerance" in text
    assert "float64     off by" in text


@pytest.mark.parametrize(
    ("port", "fault", "cause"),
    [
        # The cause of the first would need the reference's weights, which no trace holds.
        ("epsilon = 1e-3", "block_0.norm, LayerNorm: its inputs agree and its output does not", ""),
        ("approximate = true", "block_0, Block: hands block_0.down a wrong input", "proved      activation: "),
    ],
)
def test_a_wrong_port_is_told_with_the_module_and_with_a_live_port_with_the_cause(harness_without, port, fault, cause):
    files = traced(harness_without, port)
    status, text, _ = harness_without(*FRAMEWORKS, arguments=["compare", *files])
    assert status == 1
    assert f"at fault    {fault}\n" in text, text
    assert "replay: neither side is here; " in " ".join(text.split())
    assert "proved" not in text
    status, text, _ = harness_without("torch", arguments=["compare", files[0], "net"], port=port)
    assert status == 1
    assert f"at fault    {fault}\n" in text, text
    assert "the same in 1 more: block_1" in text
    assert cause in text, text
    status, _, error = harness_without("torch", arguments=["compare", "net", files[1]])
    assert status == 2
    assert "'original:reference' cannot be imported" in error


def test_bfloat16_is_stored_as_float32_without_loss(tmp_path):
    from harness.adapters.choose import adapt
    from harness.parity.recording import store
    from harness.parity.stored import Claim, open_trace

    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(4, 3)).to(torch.bfloat16)
    x = torch.linspace(-1, 1, 8).reshape(2, 4)
    inputs = {"x": x.to(torch.bfloat16).float().numpy()}

    class Cast(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = model

        def forward(self, x):
            return self.inner(x.to(self.inner[0].weight.dtype))

    path = tmp_path / "a.safetensors"
    found = open_trace(store(adapt(Cast()), [inputs], path, claim=Claim(case="x", side="port"), float64=False))
    key = found.index.runs[0].taps["inner"]
    assert found.index.arrays[key].dtype == "float32"
    with torch.no_grad():
        right = model(x.to(torch.bfloat16))
    np.testing.assert_array_equal(torch.from_numpy(found.read(key)).to(torch.bfloat16).float(), right.float())


def test_inputs_of_torch_are_stored_whatever_they_hang_on(tmp_path):
    from harness.adapters.choose import adapt
    from harness.parity.playback import Playback
    from harness.parity.recording import store
    from harness.parity.stored import Claim, open_trace

    x = torch.linspace(-1, 1, 6).reshape(2, 3).T.requires_grad_()
    model = torch.nn.Linear(2, 2)
    found = open_trace(store(adapt(model), [{"x": x}], tmp_path / "a.safetensors", claim=Claim(case="x", side="port")))
    np.testing.assert_array_equal(Playback(found).inputs["x"], x.detach().numpy())
