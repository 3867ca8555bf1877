"""A port begun as a person begins one: from `new-port` to a green case, and planted faults that the steps name."""

import importlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness import find_cases, find_repository
from harness.errors import HarnessError, SpecError
from harness.porting import sources
from harness.porting.new_port import new_port, new_port_from_hub
from harness.porting.steps import Status, walk

BEGUN = Path(__file__).parents[2] / "fixtures/begun"
EXPLAINED = {
    "mixer": ("blocks.*.mix_tokens.1", "blocks.*.mix_channels.1"),
    "tagger": ("gru[1]", "layers.*.input", "layers.*.hidden", "layers.*.hidden#*", "layers.0"),
}
"""What one side alone has, and a person says why that is right."""

COMMANDS = 10
MINUTES = 20


@pytest.fixture(autouse=True)
def frameworks():
    pytest.importorskip("torch")


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """Make a repository of a model and its port; what was imported from it is forgotten afterwards."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    root = tmp_path / "repository"
    monkeypatch.syspath_prepend(root)

    def make(name):
        if name == "mixer":
            pytest.importorskip("flax.nnx")
        shutil.copytree(BEGUN / name, root)
        (root / "pyproject.toml").write_text('[tool.harness]\ncases = "parity/cases"\nconversions = "parity/rules"\n')
        importlib.invalidate_caches()
        return root

    yield make
    sources.forget(root)


def explain(root, name):
    """Take the # away before every name that is open, with a reason."""
    file = root / f"parity/cases/{name}.toml"
    lines = file.read_text().splitlines()
    opened = [line.split('"')[1] for line in lines if line.startswith('# "')]
    file.write_text(
        "\n".join(f'{line[2:].split(" = ")[0]} = "as it is"' if line.startswith('# "') else line for line in lines)
    )
    return tuple(opened)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "made"), [("mixer", "mixer"), ("tagger", "tagger")], ids=["NNX", "PyTorch"])
def test_from_new_port_to_a_green_case_as_a_person_goes(repository, name, made, tmp_path):
    """By commands alone, and an edit: under ten, and under twenty minutes."""
    root = repository(name)
    since, count = time.perf_counter(), 0
    environment = os.environ | {"HARNESS_CACHE": str(tmp_path / "cache")}

    def run(*command, status):
        nonlocal count
        count += 1
        done = subprocess.run(
            [sys.executable, "-m", *command], cwd=root, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == status, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout

    said = run("harness", "new-port", name, "--reference", f"original:{made}", "--port", f"port:{made}", status=3)
    assert "map or explain what the files mark with #" in said
    assert explain(root, name) == EXPLAINED[name]
    assert "every step that applies passes" in run("harness", "check", name, "--steps", status=0)
    assert f"{name}: AGREE" in run("harness", "check", name, status=0)
    assert "1 passed" in run("pytest", "-q", "-p", "no:cacheprovider", status=0)
    seconds = time.perf_counter() - since
    print(f"{name}: {count} commands, one edit, {seconds:.0f} s")  # noqa: T201
    assert count < COMMANDS
    assert seconds < 60 * MINUTES


def begun(root, name):
    """The case of a model, made in this process, with reasons for all that is open."""
    found = new_port(name, find_repository(root), reference=f"original:{name}", port=f"port:{name}")
    explain(root, name)
    return found


def walked(root, name, changes, file="port.py"):
    """A walk after changes in a file, which are taken back."""
    path = root / file
    before = path.read_text()
    text = before
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)
    sources.forget(root)
    try:
        repository = find_repository(root)
        return walk(find_cases(repository, name)[0], repository)
    finally:
        path.write_text(before)


FIRST = "Block((side // patch) ** 2, width, rngs)"
FAULTS = {
    "weights": (
        "parity/mixer.py",
        {'".".join(map(str, path))': '".".join(map(str, path)).replace("classifier.bias", "")'},
    ),
    "embeddings": ("port.py", {"images.transpose(0, 2, 3, 1)": "images.transpose(0, 3, 2, 1)"}),
    "first layer": ("port.py", {FIRST: FIRST[:-1] + ", 1e-3 if number == 0 else 1e-5)"}),
    "remaining layers": ("port.py", {FIRST: FIRST[:-1] + ", 1e-3 if number == 1 else 1e-5)"}),
    "head": ("port.py", {"self.norm(x).mean(1)": "self.norm(x).max(1)"}),
    "loss and gradients": ("port.py", {"self.norm(x).mean(1)": "jax.lax.stop_gradient(self.norm(x)).mean(1)"}),
}
PROVED = {"first layer": "epsilon", "remaining layers": "epsilon", "loss and gradients": "gradient stopped"}


@pytest.mark.slow
def test_every_planted_fault_of_a_port_in_nnx_is_named_by_its_step(repository):
    root = repository("mixer")
    begun(root, "mixer")
    clean = walked(root, "mixer", {})
    assert clean.first is None, clean.first
    for step, (file, changes) in FAULTS.items():
        found = walked(root, "mixer", changes, file=file)
        assert found.first is not None, step
        assert (found.first.step, found.first.status, found.exit_status) == (step, Status.FAILED, 1), found.first
        assert PROVED.get(step, "") in found.first.proved


SCALED = """class Scaled(nn.Embedding):
    def forward(self, tokens):
        return super().forward(tokens) * 1.1


class Tagger(nn.Module):"""


@pytest.mark.parametrize(
    ("changes", "step", "where"),
    [
        (
            {"class Tagger(nn.Module):": SCALED, "nn.Embedding(words": "Scaled(words"},
            "embeddings",
            "words, Embedding: ",
        ),
        (
            {"state = (1 - update) * new": "state = (1 - update) * new * 1.1"},
            "remaining layers",
            "gru, GRU: its output",
        ),
        (
            {"(self.last_norm(hidden))": "(self.last_norm(hidden)) + 0.1"},
            "head",
            "output: 70 of 70 elements are outside",
        ),
        ({"(1 - update) * new": "(1 - update) * new.detach()"}, "loss and gradients", "gru: the gradient of its "),
    ],
    ids=["embedding", "layer", "head", "gradient"],
)
def test_planted_faults_of_a_port_in_pytorch_that_has_no_list_of_layers(repository, changes, step, where):
    root = repository("tagger")
    begun(root, "tagger")
    assert walked(root, "tagger", {}).first is None
    found = walked(root, "tagger", changes)
    assert found.first is not None
    assert (found.first.step, found.first.status) == (step, Status.FAILED)
    assert found.first.detail.startswith(where)


LLAMA = """
import torch
from transformers import LlamaConfig, LlamaForCausalLM

SIZES = {"vocab_size": 50, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}

def original():
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**SIZES, num_attention_heads=4, max_position_embeddings=64)).eval()

class Port(LlamaForCausalLM):
    def forward(self, input_ids=None, attention_mask=None, position_ids=None, past_key_values=None, **further):
        given = {"attention_mask": attention_mask, "position_ids": position_ids, "past_key_values": past_key_values}
        seen = past_key_values.get_seq_length() if past_key_values is not None else 0
        found = super().forward(input_ids, **given, **further)
        return found

def port():
    torch.manual_seed(1)
    return Port(LlamaConfig(**SIZES, num_attention_heads=4, max_position_embeddings=64)).eval()
"""


def test_a_wrong_cache_is_named_by_the_step_of_generation(repository):
    pytest.importorskip("transformers")
    root = repository("tagger")
    (root / "llama.py").write_text(LLAMA)
    found = new_port("llama", find_repository(root), reference="llama:original", port="llama:port")
    assert (found.exit_status, found.open) == (0, ()), found.comparison
    assert "attention_mask" in (root / "parity/llama.py").read_text()
    clean = walked(root, "llama", {})
    assert clean.first is None, clean.first
    assert next(step for step in clean.steps if step.step == "generation").status is Status.OK
    wrong = {
        "        return found": "        found.logits = found.logits * (1.1 if seen else 1.0)\n        return found"
    }
    first = walked(root, "llama", wrong, file="llama.py").first
    assert first is not None
    assert (first.step, first.status) == ("generation", Status.FAILED)
    assert "positions that begin at 0 again at every step" in first.usual


def test_a_small_original_by_the_configuration_of_the_hub(repository, tmp_path):
    """Served on loopback: what is written sizes both sides, is built without the hub, and goes on to a case."""
    transformers = pytest.importorskip("transformers")
    from harness.adapters.hub import TOKEN, Hub, Repository
    from harness.adapters.transformers.hub import turned_to

    sizes = {"hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9}
    large = transformers.LlamaConfig(
        **sizes, num_key_value_heads=3, vocab_size=49152, rope_theta=1e5, eos_token_id=49151
    )
    large.architectures = ["LlamaForCausalLM"]
    root = repository("tagger")
    with Hub() as hub, turned_to(hub.endpoint, TOKEN, tmp_path / "hub"):
        hub.repositories["owner/large"] = Repository()
        hub.repositories["owner/large"].commit({"config.json": large.to_json_string().encode()})
        begun_ = new_port_from_hub("small", find_repository(root), "owner/large")
        assert begun_.files == ("parity/small_model.py", "parity/__init__.py")
        with pytest.raises(HarnessError, match="--from-hub owner/nothing: its configuration cannot be read: "):
            new_port_from_hub("other", find_repository(root), "owner/nothing")
    assert not (root / "parity/other_model.py").exists()
    text = (root / "parity/small_model.py").read_text()
    assert "'hidden_size': 32,  # 576 there" in text
    assert "'num_key_value_heads': 1,  # 3 there" in text
    assert "'eos_token_id': 4,  # 49151 there" in text
    assert "'rope_theta': 100000.0" in text
    (root / "ours.py").write_text("import copy\ndef port(reference):\n    return copy.deepcopy(reference)\n")
    importlib.invalidate_caches()
    assert begun_.next == (
        "write the port",
        "harness new-port small --reference parity.small_model:reference --port MODULE:FACTORY --force",
    )
    found = new_port(
        "small", find_repository(root), reference="parity.small_model:reference", port="ours:port", force=True
    )
    assert found.exit_status == 0, found.comparison or found.refused
    # The port holds the reference's weights: there is nothing to convert.
    assert not (root / "parity/rules/small.toml").exists()


def test_no_weight_in_common_is_told_with_those_of_both(repository):
    root = repository("tagger")
    (root / "other.py").write_text("import torch\ndef port():\n    return torch.nn.Embedding(41, 3)\n")
    importlib.invalidate_caches()
    with pytest.raises(SpecError, match="no weight of the port fits one of the reference, which has") as told:
        new_port("tagger", find_repository(root), reference="original:tagger", port="other:port")
    assert "words.weight (40, 12); gru.weight_ih_l0 (36, 12)" in str(told.value)
    assert "where the port has weight (41, 3). Build both of one size" in str(told.value)
    assert not (root / "parity").exists()


LINEN = """
import flax.linen as nn
import jax
import torch

def original():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(6, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 4)).eval()

class Net(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.BatchNorm(use_running_average=True, epsilon=1e-5)(nn.Dense(4)(x))
        return nn.Dense(4)(x)

def port():
    return Net(), Net().init(jax.random.key(0), jax.numpy.zeros((1, 6)))

def inputs():
    import numpy as np
    return {"x": np.random.default_rng(0).normal(size=(3, 6)).astype(np.float32)}
"""


def test_a_port_in_linen_is_given_its_weights_and_statistics(repository):
    pytest.importorskip("flax.linen")
    root = repository("tagger")
    (root / "net.py").write_text(LINEN)
    importlib.invalidate_caches()
    ours = {"reference": "net:original", "port": "net:port", "inputs": "net:inputs"}
    begun_ = new_port("net", find_repository(root), **ours)
    assert begun_.comparison is not None, begun_.refused
    assert all(pair.verdict.value == "agree" for pair in begun_.comparison.outputs), begun_.comparison
    rules = (root / "parity/rules/net.toml").read_text()
    assert 'target = "BatchNorm_0.mean"' in rules
    # A square kernel whose module puts out equal values is no guess any more.
    square = rules[: rules.index('source = "2.weight"')].splitlines()[-1]
    assert square == "[[rule]]  # certain: the only one of its shape; its module puts out equal values"
    assert [line.sources for line in begun_.guessed if "weight" in line.sources[0]] == [("1.weight",)]
