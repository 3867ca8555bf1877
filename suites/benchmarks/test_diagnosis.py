"""What it costs to say where a fault is, in plain forwards, on the shape of SmolLM2-135M; only a failure pays it."""

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
LIMIT = 10
"""Measured, with the proofs of causes: 2.5 for a fault from the first token on, 7.2 for one from token 110 of 128."""


def cpu_seconds(run):
    start = time.process_time()
    result = run()
    return time.process_time() - start, result


@pytest.mark.parametrize("start", [0, 110])
def test_pytorch(benchmark, start):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from harness.adapters.choose import adapt
    from harness.cases.probes import Probe, Probes
    from harness.parity.diagnose import diagnose
    from harness.parity.linking import pair_weights
    from harness.parity.probing import probe_lines
    from harness.parity.study import study

    class Faulty(torch.nn.Module):
        """Another activation from the token `start` on."""

        def forward(self, x):
            late = torch.arange(x.shape[1])[:, None] >= start
            return torch.where(late, torch.tanh(x), torch.nn.functional.silu(x))

    torch.manual_seed(0)
    config = transformers.LlamaConfig(**SHAPE)
    reference, port = (transformers.LlamaForCausalLM(config).eval() for _ in range(2))
    port.load_state_dict(reference.state_dict())
    port.model.layers[3].mlp.act_fn = Faulty()
    call = {"input_ids": np.random.default_rng(0).integers(0, 49152, (2, 128))}
    sides = adapt(reference), adapt(port)
    pairing = pair_weights(sides[0].weights(), sides[1].weights(), {})
    given = Probe("as given", call)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)

    def measured():
        sides[0].run(call)
        forward = statistics.median(cpu_seconds(lambda: sides[0].run(call))[0] for _ in range(3))
        with study(*sides, pairing, names=[("logits", "logits")], seed=0) as found:
            lines = list(probe_lines(found, Probes((given,)), lambda _: {}))  # the check, which is paid for anyway
            seconds, diagnosis = cpu_seconds(
                lambda: diagnose(
                    found,
                    lines,
                    [given],
                    richest=given,
                    given_fails=True,
                    masks_of=lambda _: {},
                    mapping={},
                    seed=0,
                )
            )
        assert [each.path for each in diagnosis.faulty] == ["model.layers.3.mlp.act_fn"]
        return seconds / forward, diagnosis

    try:
        ratio, diagnosis = benchmark.pedantic(measured, rounds=1)
    finally:
        torch.set_num_threads(threads)
    print(f"PyTorch, from token {start}: {ratio:.1f} plain forwards, {diagnosis.runs} runs on {diagnosis.probe}")  # noqa: T201
    assert ratio <= LIMIT
