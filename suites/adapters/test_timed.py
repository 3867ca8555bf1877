"""Models made ready to be timed: what they put out, that they are afterwards what they were, and what is counted."""

import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from harness.adapters.choose import adapt
from harness.adapters.protocols import Chunk
from harness.adapters.timed import Job, precision_mode, yardstick

torch = pytest.importorskip("torch", reason="needs torch 2, which is not installed")

ROWS, LENGTH, VOCABULARY = 2, 6, 61


@pytest.fixture
def llama():
    transformers = pytest.importorskip("transformers", reason="needs transformers 4, which is not installed")
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(vocab_size=VOCABULARY, **sizes)).eval()


@pytest.fixture
def flax_llama(llama, tmp_path):
    transformers = pytest.importorskip("transformers", reason="needs transformers 4, which is not installed")
    if not hasattr(transformers, "FlaxLlamaForCausalLM"):
        pytest.skip("needs transformers 4, which is not installed")
    llama.save_pretrained(tmp_path)
    return transformers.FlaxLlamaForCausalLM.from_pretrained(tmp_path, from_pt=True)


@pytest.fixture
def inputs():
    ids = np.random.default_rng(0).integers(0, VOCABULARY, (ROWS, LENGTH))
    return {"input_ids": ids, "attention_mask": np.ones((ROWS, LENGTH), int)}


def job(way, work, precision="float32", **further):
    chunk = {"prefill": Chunk(0, LENGTH - 1), "decode": Chunk(LENGTH - 1, LENGTH)}.get(work)
    weights = np.random.default_rng(1).normal(size=(ROWS, LENGTH, VOCABULARY)) / 10
    given = {"cotangents": {"logits": weights}, "rate": 0.1} if work == "train" else {}
    return Job(way, work, precision, chunk, **given, **further)


def outputs(model, inputs, chosen):
    """Of a call that has been made twice before, as in rounds."""
    with adapt(model).ready(inputs, chosen) as call:
        for _ in range(2):
            call.before()
            call()
        return call.outputs()["logits"]


@pytest.mark.parametrize("work", ["forward", "prefill", "decode"])
@pytest.mark.parametrize("way", ["eager", "op-by-op", "jit", "aot"])
def test_a_step_is_a_part_of_the_whole(way, work, llama, request, inputs):
    model = llama if way == "eager" else request.getfixturevalue("flax_llama")
    whole = adapt(model).run(inputs)["logits"]
    part = {"forward": whole, "prefill": whole[:, :-1], "decode": whole[:, -1:]}[work]
    found = outputs(model, inputs, job(way, work))
    assert found.shape == part.shape
    assert np.abs(found - part).max() < 1e-5


@pytest.mark.parametrize("way", ["jit", "op-by-op", "aot"])
def test_frameworks_train_alike_and_the_step_counts(way, llama, flax_llama, inputs):
    before = adapt(llama).run(inputs)["logits"]
    ours, theirs = outputs(llama, inputs, job("eager", "train")), outputs(flax_llama, inputs, job(way, "train"))
    assert np.abs(ours - before).max() > 0.05
    assert np.abs(ours - theirs).max() < 1e-5


def test_a_model_is_bit_for_bit_what_it_was(llama, inputs):
    kept = {name: each.clone() for name, each in llama.state_dict().items()}
    llama.model.norm.weight.grad = torch.full_like(llama.model.norm.weight, 3.0)
    llama.model.embed_tokens.weight.requires_grad_(False)
    llama.train()
    for precision in ("float32", "bfloat16", "float64"):
        for work in ("forward", "train", "decode"):
            outputs(llama, inputs, job("eager", work, precision))
    assert all(torch.equal(each, kept[name]) for name, each in llama.state_dict().items())
    assert llama.training
    assert not llama.model.embed_tokens.weight.requires_grad
    assert (llama.model.norm.weight.grad == 3.0).all()


def test_one_that_raises_is_so_too(llama, inputs):
    kept = llama.model.norm.weight.clone()

    def step_and_raise():
        with adapt(llama).ready(inputs, job("eager", "train")) as call:
            call()
            raise ValueError("between two rounds")

    with pytest.raises(ValueError, match="between two rounds"):
        step_and_raise()
    assert torch.equal(llama.model.norm.weight, kept)


def test_half_precision_is_another_computation(llama, flax_llama, inputs):
    whole = adapt(llama).run(inputs)["logits"]
    for model, way in ((llama, "eager"), (flax_llama, "jit")):
        for work in ("forward", "decode"):
            off = np.abs(outputs(model, inputs, job(way, work, "bfloat16"))[:, -1] - whole[:, -1]).max()
            assert 1e-5 < off < 0.1


def test_float64_is_the_truth(llama, inputs):
    found = outputs(llama, inputs, job("eager", "forward", "float64"))
    assert found.dtype == np.float64
    assert np.abs(found - adapt(llama).run_wide(inputs).outputs["logits"]).max() < 1e-12


def test_operations_are_counted_by_the_frameworks(inputs):
    """Exactly: two matrix products forwards, and twice as many backwards, less that of the first layer's inputs."""
    rows, width = 8, 32
    model = torch.nn.Sequential(torch.nn.Linear(width, width), torch.nn.Linear(width, width))
    given = {"input": np.ones((rows, width), np.float32)}
    product = 2 * rows * width * width
    train = Job("eager", "train", cotangents={"output": np.ones((rows, width))}, rate=0.1)
    for chosen, products in ((Job("eager"), 2), (train, 5)):
        with adapt(model).ready(given, chosen) as call:
            assert call.flops() == products * product


def test_operations_are_counted_by_xla_too():
    """Of every operation, where PyTorch counts those of matrix products alone: here the bias is added, too."""
    jax = pytest.importorskip("jax", reason="needs jax 0, which is not installed")
    linen = pytest.importorskip("flax.linen", reason="needs flax 0, which is not installed")
    rows, width = 8, 32
    module, given = linen.Dense(width), {"inputs": np.ones((rows, width), np.float32)}
    params = module.init(jax.random.key(0), given["inputs"])["params"]
    with adapt((module, params)).ready(given, Job("jit")) as call:
        assert call.flops() == 2 * rows * width * width + rows * width


@pytest.mark.parametrize(("way", "known"), [("jit", True), ("aot", True), ("op-by-op", False)])
def test_the_memory_of_an_accelerator_is_that_of_this_call_alone(way, known):
    """What JAX's allocator held at most may be of an earlier path, or of the yardsticks, and is never forgotten."""
    jax = pytest.importorskip("jax", reason="needs jax 0, which is not installed")
    linen = pytest.importorskip("flax.linen", reason="needs flax 0, which is not installed")
    rows, width = 8, 32
    module, given = linen.Dense(width), {"inputs": np.ones((rows, width), np.float32)}
    params = module.init(jax.random.key(0), given["inputs"])["params"]
    with adapt((module, params)).ready(given, Job(way)) as call:
        assert call.device_peak_bytes() is None  # of a CPU
        call.device = SimpleNamespace(platform="gpu", memory_stats=lambda: {"peak_bytes_in_use": 1 << 40})
        weights, inputs, outputs = width * width + width, rows * width, rows * width
        assert call.device_peak_bytes() == (4 * (weights + inputs + outputs) if known else None)


def test_the_largest_product_is_in_full_float32_as_the_paths_are(monkeypatch):
    """An accelerator multiplies faster in fewer bits, of which a path in float32 would get a small part."""
    jax = pytest.importorskip("jax", reason="needs jax 0, which is not installed")
    call = yardstick("jax", device="cpu", precision="float32").matmul(8)
    assert "HIGHEST" in str(jax.make_jaxpr(call.plain)(*call.given))
    modes = []
    monkeypatch.setattr(torch, "mm", lambda *_, **__: modes.append(torch.get_float32_matmul_precision()))
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        yardstick("pytorch", device="cpu", precision="float32").matmul(8)()
        assert (modes, torch.get_float32_matmul_precision()) == (["highest"], "medium")
    finally:
        torch.set_float32_matmul_precision(before)


def test_the_time_of_a_gpu_is_that_between_its_events(llama, inputs):
    """With events that stand for those of CUDA: what the host takes to hand the work over is not in it."""
    from harness.adapters.pytorch.timed import TorchCall

    order = []

    class Event:
        def __init__(self):
            self.at = None

        def record(self):
            self.at = len(order)
            order.append("record")

        def synchronize(self):
            order.append("wait")

        def elapsed_time(self, other):
            assert order == ["record", "run", "record", "wait"]
            return 1000.0 * (other.at - self.at)

    run = lambda: order.append("run")  # noqa: E731
    call = TorchCall(run, run, torch.device("cuda"), 0, events=Event)
    call()
    assert call.device_seconds() == 2.0
    assert TorchCall(run, run, torch.device("cpu"), 0).device_seconds() is None


def test_what_is_not_here_has_its_reason(llama, monkeypatch):
    side = adapt(llama)
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert side.lacks(job("compile", "forward")) == "needs a C++ compiler, for torch.compile: install g++"
    assert side.lacks(job("export", "train")).startswith("torch.export keeps a program of the forward pass")
    if not torch.cuda.is_available():
        assert adapt(llama, device="gpu").lacks(job("eager", "forward")) == "needs a GPU: PyTorch sees none"


def test_a_model_that_does_not_generate_has_no_steps():
    transformers = pytest.importorskip("transformers", reason="needs transformers 4, which is not installed")
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    bert = transformers.BertModel(transformers.BertConfig(vocab_size=9, **sizes))
    assert "BertModel is no causal model" in adapt(bert).lacks(job("eager", "decode"))


def test_the_mode_of_precision_tells_what_was_set():
    before = torch.get_float32_matmul_precision()
    mode = precision_mode()
    assert f"torch torch.float32 {before}" in mode
    try:
        torch.set_float32_matmul_precision("medium" if before != "medium" else "high")
        assert precision_mode() != mode
    finally:
        torch.set_float32_matmul_precision(before)


MESH = """
import numpy as np, jax, flax.linen as nn
from harness.adapters.choose import adapt
from harness.adapters.timed import Job
module = nn.Dense(5)
inputs = {"inputs": np.random.default_rng(0).normal(size=(16, 3)).astype(np.float32)}
params = module.init(jax.random.key(0), inputs["inputs"])["params"]
weights = {"output": np.random.default_rng(1).normal(size=(16, 5))}
for work in ("forward", "train"):
    jobs = [Job(way, work, cotangents=weights, rate=0.1) for way in ("jit", "mesh")]
    found = []
    for job in jobs:
        with adapt((module, params)).ready(inputs, job) as call:
            call()
            found.append(call.outputs()["output"])
            devices = call.function(*call.given)[0]["output"].sharding.device_set
        print(work, job.way, len(devices))
    print(work, np.abs(found[0] - found[1]).max() < 1e-5, np.abs(found[0]).max() > 0.1)
odd = {"inputs": inputs["inputs"][:3]}
try:
    with adapt((module, params)).ready(odd, Job("mesh")) as call:
        call()
except Exception as error:
    print(error)
"""


def test_a_mesh_divides_the_batch_over_all_devices():
    pytest.importorskip("flax", reason="needs flax 0, which is not installed")
    variables = {**os.environ, "JAX_NUM_CPU_DEVICES": "8"}
    done = subprocess.run([sys.executable, "-c", MESH], env=variables, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "forward jit 1",
        "forward mesh 8",
        "forward True True",
        "train jit 1",
        "train mesh 8",
        "train True True",
        "a batch of [3] is not divided by 8 devices",
    ]
