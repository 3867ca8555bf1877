"""Ports in Flax NNX, written by hand, against their originals in transformers: these need no Flax model of it.

The cases hold the contract and float64 of each in a quick run; the slow tests make every check, in every variant.
"""

import dataclasses

import pytest

LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
VARIANTS = {
    "bert": {},
    "bert-tanh": {"hidden_act": "gelu_new", "type_vocab_size": 3, "num_hidden_layers": 1},
    "llama": {},
    "llama-linear": {"rope_scaling": {"rope_type": "linear", "factor": 4.0}, "rope_theta": 500.0},
    "llama-dynamic": {"rope_scaling": {"rope_type": "dynamic", "factor": 4.0}, "max_position_embeddings": 8},
    "llama-llama3": {"rope_scaling": LLAMA3},
    "llama-untied": {"tie_word_embeddings": False, "attention_bias": True, "mlp_bias": True, "head_dim": 16},
    "resnet": {},
    "resnet-downsampling": {"downsample_in_first_stage": True, "downsample_in_bottleneck": True},
    "resnet_classifier": {},
}
"""Fields of the configurations that are not those of the small models in `fixtures.ports.nnx.references`."""


@pytest.fixture
def flax_models():
    """None is needed: these ports are the project's own."""


@pytest.fixture
def ports():
    from fixtures.ports.nnx import bert, llama, references, resnet

    texts, more_texts = references.decoder_texts(), references.encoder_texts()
    return {
        "bert": (references.bert, bert.convert, more_texts),
        "llama": (references.llama, llama.convert, texts),
        "resnet": (references.resnet, resnet.convert, references.images()),
        "resnet_classifier": (references.resnet_classifier, resnet.convert_classifier, references.images()),
    }


def made(ports, variant):
    """A variant's original, what converts it, and inputs."""
    original, convert, inputs = ports[variant.partition("-")[0]]
    return original(**VARIANTS[variant]), convert, inputs


def checked(original, convert, inputs, **options):
    import harness

    return harness.check(original, convert(original), inputs, convert=convert, **options)


@pytest.mark.case("nnx-*")
def test_case(case, parity):
    parity(case)


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_port_agrees_in_every_check(ports, variant):
    import harness

    found = checked(*made(ports, variant))
    assert found.verdict is harness.Verdict.AGREE, str(found)
    assert found.islands == ()
    made_checks = {line.check for line in found.lines} | {"float64"}
    wanted = {"float64", "forward", "gradients", "train"}
    wanted |= {"dropout"} if "resnet" not in variant else set()
    # The original's dynamic scaling puts a float32 table back into a model in float64, and raises: see the test below.
    wanted |= {"decode"} if variant.startswith("llama") and variant != "llama-dynamic" else set()
    assert wanted <= made_checks, found.not_checked


def with_epsilon(port):
    """A BERT whose norms have Flax's own epsilon."""
    from flax import nnx

    for _, module in nnx.iter_modules(port):
        if isinstance(module, nnx.LayerNorm):
            module.epsilon = 1e-6
    return port


def with_base(port):
    """A Llama that reads no base from its configuration."""
    port.rotary = dataclasses.replace(port.rotary, theta=10000.0)
    return port


def with_momentum(port):
    """A ResNet whose batch norms have Flax's own momentum."""
    from flax import nnx

    from fixtures.ports.nnx.resnet import BatchNorm

    for _, module in nnx.iter_modules(port):
        if isinstance(module, BatchNorm):
            module.momentum = 0.99
    return port


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variant", "planted", "checks", "verdict", "shows"),
    [
        ("bert", with_epsilon, ("forward", "float64"), "WITHIN_TOLERANCE", "forward"),
        ("llama-linear", with_base, ("forward", "float64"), "DIVERGE", "forward"),
        ("resnet", with_momentum, ("forward", "train"), "DIVERGE", "train"),
    ],
)
def test_planted_fault_is_caught(ports, variant, planted, checks, verdict, shows):
    import harness

    original, convert, inputs = made(ports, variant)
    found = checked(original, lambda reference: planted(convert(reference)), inputs, checks=checks)
    assert found.verdict is harness.Verdict[verdict], str(found)
    assert shows in {line.check for line in found.lines if line.verdict is not harness.Verdict.AGREE}


@pytest.mark.parametrize("variant", [name for name in VARIANTS if name.startswith("llama")])
def test_angles_are_those_of_the_configuration(ports, variant):
    import numpy as np
    import torch

    from fixtures.ports.nnx.rotary import rotary_of

    original, *_ = made(ports, variant)
    positions = np.arange(20)[None]
    cosines, sines = original.model.rotary_emb(torch.zeros(1), torch.from_numpy(positions))
    angles = np.asarray(rotary_of(original.config).angles(positions))
    both = np.concatenate([angles, angles], axis=-1)
    assert np.abs(np.cos(both) - cosines.numpy()).max() < 1e-5
    assert np.abs(np.sin(both) - sines.numpy()).max() < 1e-5


@pytest.mark.parametrize("variant", ["llama", "llama-dynamic"])
def test_decoding_agrees_and_no_step_has_another_shape(ports, variant):
    import jax.numpy as jnp
    import numpy as np
    import torch
    from flax import nnx

    original, convert, inputs = made(ports, variant)
    port, tokens, traced = convert(original), inputs["input_ids"], []
    port.eval()
    chunks = [tokens[:, :6], *(tokens[:, place : place + 1] for place in range(6, 10))]

    @nnx.jit
    def step(port, tokens, cache):
        traced.append(tokens.shape)
        found = port(tokens, cache=cache)
        return found["logits"], found["cache"]

    cache, past = port.empty_cache(2, 10), None
    for chunk in chunks:
        logits, cache = step(port, jnp.asarray(chunk), cache)
        with torch.no_grad():
            wanted = original(torch.from_numpy(chunk), past_key_values=past, use_cache=True)
        past = wanted.past_key_values
        assert np.abs(logits - wanted.logits.numpy()).max() < 1e-5
    assert traced == [(2, 6), (2, 1)]
    assert int(cache.length) == 10


def test_weights_are_loaded_whole_or_not_at_all(ports):
    from fixtures.ports.nnx.resnet import LEFT_OUT, WEIGHTS
    from fixtures.ports.nnx.weights import load

    original, convert, _ = made(ports, "resnet")
    port, tensors = convert(original), original.state_dict()
    name = "embedder.embedder.normalization.running_var"
    with pytest.raises(ValueError, match=r"not loaded: stem\.norm\.var"):
        load(port, {key: value for key, value in tensors.items() if key != name}, WEIGHTS, left_out=LEFT_OUT)
    with pytest.raises(ValueError, match=r"running_var has the shape \(2,\) here, where \(8,\) is wanted"):
        load(port, {**tensors, name: tensors[name][:2]}, WEIGHTS, left_out=LEFT_OUT)
    with pytest.raises(ValueError, match=r"embedder\.scale has no row in the table"):
        load(port, {**tensors, "embedder.scale": tensors[name]}, WEIGHTS, left_out=LEFT_OUT)
    with pytest.raises(ValueError, match=r"num_batches_tracked has no row in the table"):
        load(port, tensors, WEIGHTS)


def test_what_a_port_does_not_know_is_refused():
    from fixtures.ports.nnx.bert import BertSettings
    from fixtures.ports.nnx.rotary import Rotary

    with pytest.raises(ValueError, match="knows position_embedding_type = 'absolute' only, not 'relative_key'"):
        BertSettings(position_embedding_type="relative_key")
    with pytest.raises(ValueError, match="the port does not know the scaling 'yarn'"):
        Rotary(size=8, context=64, scaling="yarn")
