"""What watching every module costs, as a ratio of CPU seconds, taken side by side on the shape of SmolLM2-135M."""

import statistics
import time

import numpy as np
import pytest

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
LIMIT = 1.3
ROUNDS = 5


def cpu_seconds(run):
    start = time.process_time()
    run()
    return time.process_time() - start


def ratio(plain, watched):
    """The median of rounds, each in the order plain, watched, watched, plain."""
    plain(), watched()
    found = []
    for _ in range(ROUNDS):
        times = [cpu_seconds(run) for run in (plain, watched, watched, plain)]
        found.append((times[1] + times[2]) / (times[0] + times[3]))
    return statistics.median(found)


@pytest.fixture(scope="module")
def call():
    return {"input_ids": np.random.default_rng(0).integers(0, 49152, (4, 128))}


def test_pytorch(call, benchmark):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from harness.adapters.choose import adapt

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        model = adapt(transformers.LlamaForCausalLM(transformers.LlamaConfig(**SHAPE)))
        found = benchmark.pedantic(ratio, (lambda: model.run(call), lambda: model.statistics(call)), rounds=1)
    finally:
        torch.set_num_threads(threads)
    print(f"PyTorch, statistics of all modules: {found:.2f} times a plain forward")  # noqa: T201
    assert found <= LIMIT


def test_flax_under_jit(call, benchmark):
    jax = pytest.importorskip("jax")
    transformers = pytest.importorskip("transformers")
    if not hasattr(transformers, "FlaxLlamaForCausalLM"):
        pytest.skip("this transformers has no Flax models: install transformers<5")
    from harness.adapters.choose import adapt

    model = transformers.FlaxLlamaForCausalLM(transformers.LlamaConfig(**SHAPE))
    forward = jax.jit(lambda params, ids: model(input_ids=ids, params=params).logits)
    adapted = adapt(model)
    plain = lambda: np.asarray(forward(model.params, call["input_ids"]))  # noqa: E731
    found = benchmark.pedantic(ratio, (plain, lambda: adapted.statistics(call)), rounds=1)
    print(f"Flax under jit, statistics of all modules: {found:.2f} times a plain forward")  # noqa: T201
    assert found <= LIMIT
