"""The smallest repro: its script shows the fault where nothing of ours can be imported, and is content once mended."""

import copy
import importlib
import re
import subprocess
import sys

import numpy as np
import pytest

import harness

torch = pytest.importorskip("torch")

FILES = {"README.md", "inputs.safetensors", "port.safetensors", "reference.safetensors", "repro.json", "repro.py"}

BLOCKED = "import sys, runpy; sys.modules['harness'] = None; runpy.run_path(sys.argv[1], run_name='__main__')"

TORCH = """
import torch
from torch import nn


class Attention(nn.Module):
    def __init__(self, width, heads=2):
        super().__init__()
        self.width, self.heads = width, heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x, mask=None):
        q, k, v = (f(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for f in (self.query, self.key, self.value))
        scores = q @ k.mT * q.shape[-1] ** -0.5  # scale
        if mask is not None:
            scores = scores.masked_fill(~mask[:, None, None, :].bool(), -1e9)
        return self.out((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))


class Layer(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.width = width
        self.norm, self.attention = nn.LayerNorm(width), Attention(width)

    def forward(self, x, mask=None):
        return x + self.attention(self.norm(x), mask=mask)  # handed on


class Net(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.embed = nn.Embedding(20, width)
        self.layers = nn.ModuleList([Layer(width), Layer(width)])
        self.head = nn.Linear(width, 5)

    def forward(self, input_ids, attention_mask):
        x = self.embed(input_ids)
        for layer in self.layers:
            x = layer(x, mask=attention_mask)
        return self.head(x)
"""

LINEN = """
import flax.linen as nn
import jax.numpy as jnp


class Norm(nn.Module):
    epsilon: float = 1e-6
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x):
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],))
        mean = jnp.mean(jnp.square(x), axis=-1, keepdims=True)
        return scale * x / jnp.sqrt(mean + self.epsilon)  # norm


class Net(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.Dense(8, name="dense")(x)
        return nn.Dense(5, name="head")(Norm(name="norm")(x))
"""

NNX = """
import jax.numpy as jnp
from flax import nnx


class Norm(nnx.Module):
    def __init__(self, width):
        self.width = width
        self.scale = nnx.Param(jnp.ones(width))

    def __call__(self, x):
        return self.scale.get_value() * x / jnp.sqrt(jnp.mean(jnp.square(x), axis=-1, keepdims=True) + 1e-6)  # norm


class Net(nnx.Module):
    def __init__(self):
        self.dense, self.norm = nnx.Linear(8, 8, rngs=nnx.Rngs(0)), Norm(8)
        self.head = nnx.Linear(8, 5, rngs=nnx.Rngs(1))

    def __call__(self, x):
        return self.head(self.norm(self.dense(x)))
"""

IDS = {
    "input_ids": np.random.default_rng(0).integers(0, 20, (3, 7)),
    "attention_mask": np.array([[1] * 7, [1] * 4 + [0] * 3, [1] * 6 + [0]]),
}
X = {"x": np.random.default_rng(0).normal(size=(3, 4, 8)).astype(np.float32)}


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write a file of classes and import it under a name of its own."""
    monkeypatch.syspath_prepend(str(tmp_path))
    made = []

    def write(name, text):
        (tmp_path / f"{name}.py").write_text(text)
        made.append(name)
        return importlib.import_module(name)

    yield write
    for name in made:
        sys.modules.pop(name, None)


def ended(script, *, before=""):
    """The exit status of a script, and what it printed, where nothing of ours can be imported.

    before: lines that are run first, to mend what cannot be edited.
    """
    command = [sys.executable, "-I", "-B", "-c", f"{before}\n{BLOCKED}", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr, done.stderr[-2000:]
    return done.returncode, done.stdout


def pair(module, wrong, right):
    """The reference, and a port with its weights whose file has a fault planted in it."""
    assert right in TORCH
    torch.manual_seed(0)
    reference = module("sound_net", TORCH).Net()
    port = module("ported_net", TORCH.replace(right, wrong)).Net()
    port.load_state_dict(reference.state_dict())
    return reference, port


@pytest.mark.parametrize(
    ("right", "wrong", "path", "built"),
    [
        ("q.shape[-1] ** -0.5  # scale", "0.3", "layers.0.attention", "Attention(width=8)"),
        ("mask=mask)  # handed on", "mask=None)", "layers.0", "Layer(width=8)"),
        ("nn.LayerNorm(width), A", "nn.LayerNorm(width, eps=1e-3), A", "layers.0.norm", "torch.nn.LayerNorm("),
    ],
)
def test_a_fault_in_torch(module, tmp_path, right, wrong, path, built):
    reference, port = pair(module, wrong, right)
    found = harness.check(reference, port, IDS, checks=["forward", "float64"])
    made = found.save_repro(tmp_path / "repro")
    assert made.reproduces, str(made)
    assert made.module == path
    assert built in (tmp_path / "repro/repro.py").read_text()
    assert made.shape[0] == 1
    assert made.shape[1] < 7
    assert sorted(made.files) == sorted(file.name for file in (tmp_path / "repro").iterdir())
    assert set(made.files) - {"standalone.py"} == FILES
    status, said = ended(tmp_path / "repro/repro.py")
    assert status == 1
    assert said.endswith("the fault is there\n")
    if "torch.nn" not in built:  # whose fault stands in the file of the port's class
        (tmp_path / "ported_net.py").write_text(TORCH)
        assert ended(tmp_path / "repro/repro.py")[0] == 0


def test_a_fault_in_linen(module, tmp_path):
    pytest.importorskip("flax")
    reference = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.RMSNorm(8, eps=1e-6), torch.nn.Linear(8, 5))
    params = {
        "dense": {"kernel": reference[0].weight.detach().numpy().T, "bias": reference[0].bias.detach().numpy()},
        "norm": {"scale": np.ones(8, np.float32)},
        "head": {"kernel": reference[2].weight.detach().numpy().T, "bias": reference[2].bias.detach().numpy()},
    }
    wrong = LINEN.replace("mean + self.epsilon)  # norm", "mean + 0.01)  # norm")
    names = {"0": "dense", "1": "norm", "2": "head"}
    found = harness.check(reference, (module("linen_net", wrong).Net(), params), X, mapping=names)
    made = found.save_repro(tmp_path / "repro")
    assert made.reproduces, str(made)
    assert made.shape == (1, 1, 8)
    assert "module = Norm()" in (tmp_path / "repro/repro.py").read_text()
    assert ended(tmp_path / "repro/repro.py")[0] == 1
    (tmp_path / "linen_net.py").write_text(LINEN)
    assert ended(tmp_path / "repro/repro.py")[0] == 0


def test_a_fault_in_nnx(module, tmp_path):
    pytest.importorskip("flax")
    wrong = NNX.replace("+ 1e-6)  # norm", "+ 0.01)  # norm")
    port = module("nnx_net", wrong).Net()
    reference = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.RMSNorm(8, eps=1e-6), torch.nn.Linear(8, 5))
    for ours, theirs in ((reference[0], port.dense), (reference[2], port.head)):
        ours.weight.data = torch.tensor(np.array(theirs.kernel.get_value()).T)
        ours.bias.data = torch.tensor(np.array(theirs.bias.get_value()))
    found = harness.check(reference, port, X, mapping={"0": "dense", "1": "norm", "2": "head"})
    made = found.save_repro(tmp_path / "repro")
    assert made.reproduces, str(made)
    assert "module = Norm(width=8)" in (tmp_path / "repro/repro.py").read_text()
    assert ended(tmp_path / "repro/repro.py")[0] == 1
    (tmp_path / "nnx_net.py").write_text(NNX)
    assert ended(tmp_path / "repro/repro.py")[0] == 0


ROTARY_MENDED = """
import numpy as np
from transformers.models.llama import modeling_flax_llama as llama

def table(positions, width, base=100000.0):
    angles = np.outer(np.arange(positions), base ** -(np.arange(0, width, 2) / width)).astype(np.float32)
    angles = np.concatenate((angles, angles), axis=-1)[:, None, :]
    return np.concatenate((np.sin(angles), np.cos(angles)), axis=-1)

llama.create_sinusoidal_positions = table
"""

HEAD_MENDED = """
from transformers import FlaxLlamaForCausalLM as Llama

load = Llama.from_pretrained

def tied(*arguments, **options):
    port = load(*arguments, **options)
    port.params["lm_head"]["kernel"] = port.params["model"]["embed_tokens"]["embedding"].T
    return port

Llama.from_pretrained = tied
"""


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    """The comparison of a small FlaxLlama, which has two faults, with the original."""
    pytest.importorskip("flax")
    transformers = pytest.importorskip("transformers")
    if not hasattr(transformers, "FlaxLlamaForCausalLM"):
        pytest.skip("this transformers has no Flax models: install transformers<5")
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "vocab_size": 64}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64}
    config = transformers.LlamaConfig(**sizes, **heads, rope_theta=1e5, tie_word_embeddings=True)
    reference = transformers.LlamaForCausalLM(config).eval()
    for parameter in reference.parameters():
        parameter.data *= 4
    folder = tmp_path_factory.mktemp("llama")
    reference.save_pretrained(folder)
    port = transformers.FlaxLlamaForCausalLM.from_pretrained(folder, from_pt=True)
    inputs = {"input_ids": np.random.default_rng(0).integers(3, 64, (2, 9)), "attention_mask": np.ones((2, 9), int)}
    return harness.check(reference, port, inputs, checks=["forward"])


def test_the_rotary_base_that_flax_llama_ignores(llama, tmp_path):
    made = llama.save_repro(tmp_path)
    assert made.reproduces, str(made)
    assert made.module == "model.layers.0.self_attn"
    assert made.shape == (1, 2, 32)
    for name in ("repro.py", "standalone.py"):
        text = (tmp_path / name).read_text()
        assert text.count("rope_theta=100000.0") >= 2  # the port, which ignores it, is to heed it once it is mended
        assert "vocab_size" not in text
        assert ended(tmp_path / name)[0] == 1
        assert ended(tmp_path / name, before=ROTARY_MENDED)[0] == 0


def test_the_head_that_flax_llama_does_not_tie(llama, tmp_path):
    made = llama.save_repro(tmp_path, module="lm_head")
    assert made.reproduces, str(made)
    text = (tmp_path / "repro.py").read_text()
    assert "tie_word_embeddings=True" in text
    assert "rope_theta" not in text  # another fault, which has a script of its own
    assert "FlaxLlamaForCausalLM.from_pretrained(folder, from_pt=True)" in text
    assert not list(tmp_path.glob("*.safetensors"))
    assert ended(tmp_path / "repro.py")[0] == 1
    assert ended(tmp_path / "repro.py", before=HEAD_MENDED)[0] == 0


def patched(module, text):
    """An NNX port whose norm computes with an epsilon that was set on the object, and its reference."""
    port = module("patched_net", text).Net()
    port.norm.epsilon = 0.01
    reference = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.RMSNorm(8, eps=1e-6), torch.nn.Linear(8, 5))
    for ours, theirs in ((reference[0], port.dense), (reference[2], port.head)):
        ours.weight.data = torch.tensor(np.array(theirs.kernel.get_value()).T)
        ours.bias.data = torch.tensor(np.array(theirs.bias.get_value()))
    return harness.check(reference, port, X, mapping={"0": "dense", "1": "norm", "2": "head"}, checks=["forward"])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("", "built anew, the module is right: the fault is in how this one was set up"),
        (" * 1.1", "built anew, the port's module does not compute what it did in its model"),
    ],
)
def test_a_fault_that_a_script_would_not_have_is_not_claimed(module, tmp_path, wrong, said):
    """Also where the class has another one: the script would show that, and not what was found."""
    pytest.importorskip("flax")
    text = NNX.replace("self.width = width", "self.width, self.epsilon = width, 1e-6")
    made = patched(module, text.replace("+ 1e-6)  # norm", f"+ self.epsilon){wrong}")).save_repro(tmp_path / "repro")
    assert not made.reproduces
    assert said in str(made)
    assert not (tmp_path / "repro").exists()


def test_an_error_that_only_float64_shows_is_shown_in_float64(tmp_path):
    torch.manual_seed(0)
    reference = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.LayerNorm(8))
    port = copy.deepcopy(reference)
    port[1].eps = 1.001e-5
    made = harness.check(reference, port, X).save_repro(tmp_path)
    assert made.reproduces, str(made)
    text = (tmp_path / "repro.py").read_text()
    assert "torch.set_default_dtype(torch.float64)" in text
    assert "what rounding may change in float64" in text
    assert ended(tmp_path / "repro.py")[0] == 1


def test_what_was_set_after_a_module_was_made_is_set_in_the_script(module, tmp_path):
    reference, port = pair(module, "mask=mask)  # handed on", "mask=mask)  # handed on")
    port.layers[1].attention.heads = 4
    port.layers[1].attention.out = torch.nn.Sequential(port.layers[1].attention.out, torch.nn.Tanh())
    found = harness.check(reference, port, IDS, checks=["forward"])
    made = found.save_repro(tmp_path / "repro", module="layers.1.attention")
    assert made.reproduces, str(made)
    text = (tmp_path / "repro/repro.py").read_text()
    assert "Attention(width=8, heads=4)" in text
    assert re.search(r"module.out = torch.nn.Sequential\(torch.nn.Linear\(.*\), torch.nn.Tanh\(\)\)", text)


def test_a_module_that_keeps_no_arguments_is_taken_out_of_the_one_around_it(module, tmp_path):
    text = TORCH.replace("self.width, self.heads = width, heads", "self.heads = heads")
    reference = module("forgetful", text).Net()
    port = module("forgetful_port", text.replace("q.shape[-1] ** -0.5", "0.3")).Net()
    port.load_state_dict(reference.state_dict())
    made = harness.check(reference, port, IDS, checks=["forward"]).save_repro(tmp_path / "repro")
    assert made.reproduces, str(made)
    assert "module = Layer(width=8).get_submodule('attention')" in (tmp_path / "repro/repro.py").read_text()


class TestThereIsNone:
    def test_of_a_class_that_cannot_be_imported(self, tmp_path):
        class Twice(torch.nn.Module):
            def forward(self, x):
                return x * 2

        class Thrice(torch.nn.Module):
            def forward(self, x):
                return x * 3

        reference, port = (torch.nn.Sequential(torch.nn.Linear(8, 8), kind()) for kind in (Twice, Thrice))
        port[0].load_state_dict(reference[0].state_dict())
        made = harness.check(reference, port, X, checks=["forward"]).save_repro(tmp_path)
        assert not made.reproduces
        assert not list(tmp_path.iterdir())
        assert "no repro of 1: 1: TestThereIsNone" in str(made)
        assert "Thrice is defined in a function, or is nameless: it must be importable, from a file of its own" in str(
            made
        )

    def test_of_a_forward_that_was_replaced_on_the_object(self, module, tmp_path):
        reference, port = pair(module, "# scale", "# scale")
        port.layers[0].attention.forward = lambda x, mask=None: x
        made = harness.check(reference, port, IDS, checks=["forward"]).save_repro(tmp_path / "repro")
        assert not made.reproduces
        assert "the forward of Attention was replaced on the object itself" in str(made)

    def test_of_gradients(self, module, tmp_path):
        reference, port = pair(module, "self.norm(x).detach(), mask=mask", "self.norm(x), mask=mask")
        made = harness.check(reference, port, IDS, checks=["forward", "float64", "gradients"]).save_repro(
            tmp_path / "repro"
        )
        assert "the fault shows in the gradients, of which no script is written" in str(made)

    def test_of_a_module_that_is_not_at_fault(self, module, tmp_path):
        reference, port = pair(module, "0.3  # scale", "q.shape[-1] ** -0.5  # scale")
        found = harness.check(reference, port, IDS, checks=["forward"])
        with pytest.raises(
            harness.HarnessError, match=r"no repro was kept of module 'layers.0.atention'. Did you mean"
        ):
            found.save_repro(tmp_path / "repro", module="layers.0.atention")

    def test_where_all_agrees(self, tmp_path):
        agreeing = torch.nn.Linear(8, 8)
        found = harness.check(agreeing, copy.deepcopy(agreeing), X, checks=["forward"])
        with pytest.raises(harness.HarnessError, match="no module is known to be at fault"):
            found.save_repro(tmp_path)


def test_a_script_that_does_not_show_the_fault_says_so(module, tmp_path, monkeypatch):
    import harness.parity.repro as repro

    reference, port = pair(module, "0.3  # scale", "q.shape[-1] ** -0.5  # scale")
    found = harness.check(reference, port, IDS, checks=["forward"])
    monkeypatch.setattr(repro, "verified", lambda path: (False, "the script ended with ImportError: no"))
    made = found.save_repro(tmp_path / "repro")
    said = "DOES NOT REPRODUCE the fault of layers.0.attention: the script ended with ImportError: no"
    assert str(made) == f"{tmp_path / 'repro'}: {said}"
    assert "**It does not reproduce the fault**" in (tmp_path / "repro/README.md").read_text()
