"""What it costs to say where a fault is, in plain forwards, on the shape of SmolLM2-135M; only a failure pays it."""

import statistics
import time

import numpy as np
import pytest

import harness

pytestmark = pytest.mark.slow

SHAPE = {
    "vocab_size": 49152,
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "max_position_embeddings": 512,
}
LIMIT = 10


def cpu_seconds(run):
    start = time.process_time()
    result = run()
    return time.process_time() - start, result


def test_pytorch(benchmark):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from harness.adapters.choose import adapt

    torch.manual_seed(0)
    config = transformers.LlamaConfig(**SHAPE)
    reference, clean, faulty = (transformers.LlamaForCausalLM(config).eval() for _ in range(3))
    for port in (clean, faulty):
        port.load_state_dict(reference.state_dict())
    # Far outside of the contract, whatever the weights are.
    faulty.lm_head.weight.data.mul_(2.0)
    faulty.model.layers[3].mlp.act_fn = torch.nn.Tanh()
    call = {"input_ids": np.random.default_rng(0).integers(0, 49152, (2, 64))}

    def measured():
        forward = statistics.median(cpu_seconds(lambda: adapt(reference).run(call))[0] for _ in range(3))
        plain, found = cpu_seconds(lambda: harness.check(reference, clean, call, checks=["forward"]))
        assert not found.faulty
        whole, found = cpu_seconds(lambda: harness.check(reference, faulty, call, checks=["forward"]))
        assert [each.path for each in found.faulty] == ["model.layers.3.mlp.act_fn", "lm_head"]
        return (whole - plain) / forward, found.diagnosis.runs

    ratio, runs = benchmark.pedantic(measured, rounds=1)
    print(f"PyTorch, diagnosis: {ratio:.1f} plain forwards, in {runs} runs in float64")  # noqa: T201
    assert ratio <= LIMIT
