"""Flax models are tapped by module path without being edited, in full float32 and inference mode."""

import numpy as np
import pytest

import harness
from harness.adapters.choose import adapt
from harness.errors import BuildError
from harness.parity.trace import record

INPUTS = {"x": np.linspace(-1, 1, 20, dtype=np.float32).reshape(5, 4)}


@pytest.fixture
def nn():
    pytest.importorskip("jax")
    return pytest.importorskip("flax.linen")


@pytest.fixture
def net(nn):
    import jax

    class Block(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.relu(nn.Dense(8)(x)), None

    class Net(nn.Module):
        def setup(self):
            self.blocks = [Block(), Block()]
            self.drop = nn.Dropout(0.5)
            self.norm = nn.BatchNorm(use_running_average=True)
            self.head = nn.Dense(3)

        def __call__(self, x, *, deterministic):
            for block in self.blocks:
                x, _ = block(x)
            return {"logits": self.head(self.norm(self.drop(x, deterministic=deterministic)))}

    module = Net()
    return module, module.init(jax.random.key(0), INPUTS["x"], deterministic=True)


def test_every_submodule_is_tapped_under_its_path(net):
    trace = record(adapt(net), INPUTS)
    assert list(trace.taps) == ["blocks_0.Dense_0", "blocks_0", "blocks_1.Dense_0", "blocks_1", "drop", "norm", "head"]
    assert list(trace.outputs) == ["logits"]


def test_a_planted_fault_is_found_at_its_module(net):
    import jax

    module, variables = net
    faulty = jax.tree.map(lambda leaf: leaf, variables)
    faulty["params"]["blocks_1"]["Dense_0"]["bias"] += 0.01
    found = harness.check(net, (module, faulty), INPUTS)
    assert found.verdict is harness.Verdict.DIVERGE
    assert found.first.name == "blocks_1.Dense_0"


def test_parameters_alone_will_do_where_there_are_no_other_collections(nn):
    import jax

    module = nn.Dense(3)
    params = module.init(jax.random.key(0), INPUTS["x"])["params"]
    assert harness.check((module, params), (module, {"params": params}), {"inputs": INPUTS["x"]}).verdict is (
        harness.Verdict.AGREE
    )


def test_a_module_without_parameters_is_refused(nn):
    with pytest.raises(BuildError, match=r"came without its parameters. Give the pair \(module, params\)"):
        adapt(nn.Dense(3))


def test_a_scanned_body_gives_no_tap_of_the_shape_only_pass(nn):
    import jax

    class Step(nn.Module):
        @nn.compact
        def __call__(self, carry, _):
            return nn.Dense(4)(carry), None

    class Scanned(nn.Module):
        @nn.compact
        def __call__(self, x):
            scan = nn.scan(Step, variable_axes={"params": 0}, split_rngs={"params": True}, length=3)
            return scan(name="steps")(x, None)[0]

    module = Scanned()
    variables = module.init(jax.random.key(0), INPUTS["x"])
    assert all(isinstance(array, np.ndarray) for array in record(adapt((module, variables)), INPUTS).taps.values())


def test_the_precision_is_that_of_the_case(nn):
    import jax

    seen = []

    class Watch(nn.Module):
        def __call__(self, x):
            seen.append(jax.config.jax_default_matmul_precision)
            return x

    record(adapt((Watch(), {})), INPUTS)
    record(adapt((Watch(), {}), precision="default"), INPUTS)
    assert seen == ["highest", None]


def test_torch_and_flax_are_compared_and_a_tied_head_has_its_parents_path():
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    if not hasattr(transformers, "FlaxGPT2LMHeadModel"):
        pytest.skip("this transformers has no Flax models: install transformers<5")
    pytest.importorskip("jax")
    config = transformers.GPT2Config(n_layer=2, n_head=2, n_embd=16, vocab_size=50, n_positions=32)
    port = transformers.FlaxGPT2LMHeadModel(config, seed=1)
    reference = transformers.GPT2LMHeadModel(config)
    convert = transformers.modeling_flax_pytorch_utils.load_flax_weights_in_pytorch_model
    reference = convert(reference, port.params)
    inputs = {
        "input_ids": np.array([[3, 7, 11, 13], [2, 4, 0, 0]]),
        "attention_mask": np.array([[1, 1, 1, 1], [1, 1, 0, 0]]),
    }
    found = harness.check(reference, port, inputs, outputs=["logits"])
    assert found.verdict is harness.Verdict.AGREE
    assert "lm_head" in [tap.name for tap in found.taps]
    assert found.worst.skipped == 2 * 50
    with torch.no_grad():
        reference.transformer.h[1].mlp.c_fc.bias += 0.1
    found = harness.check(reference, port, inputs, outputs=["logits"])
    assert found.first.name == "transformer.h.1.mlp.c_fc"


def test_a_single_input_may_be_called_otherwise_by_each_side(nn):
    torch = pytest.importorskip("torch")
    original = torch.nn.Linear(4, 3)
    params = {"kernel": original.weight.detach().numpy().T, "bias": original.bias.detach().numpy()}
    assert harness.check(original, (nn.Dense(3), params), INPUTS).verdict is harness.Verdict.AGREE
    assert harness.check(original, (nn.Dense(3), params | {"bias": params["bias"] + 1}), INPUTS).verdict is (
        harness.Verdict.DIVERGE
    )
