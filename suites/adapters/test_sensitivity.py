"""Faults planted in ports of every framework: modules are known by what they compute; nothing of the user's moves."""

import copy

import numpy as np
import pytest

import harness

RNG = np.random.default_rng(0)
IDS = RNG.integers(1, 19, size=(2, 7))
MASK = np.array([[1] * 7, [1] * 5 + [0] * 2])
TEXT = {"input_ids": IDS, "attention_mask": MASK}

ATTENTION = {
    "attention scale",
    "softmax axis",
    "head split order",
    "number of heads",
    "mask ignored",
    "mask inverted",
    "mask value",
    "mask after softmax",
    "causal mask added",
    "window",
    "projections swapped",
}
NORM = {"epsilon", "mean subtracted", "unbiased variance", "variance for deviation", "weight unused", "1 + weight"}
PRODUCT = {"bias missing", "kernel transposed", "kernel permuted", "corrupted element", "weights of another module"}
OTHERS = {"activation", "residual missing", "rows moved", "scale", "cast", "order", "module skipped"}


def torch_text():
    torch = pytest.importorskip("torch")
    nn = torch.nn

    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            for name in ("query", "key", "value", "out"):
                setattr(self, name, nn.Linear(16, 16))

        def forward(self, x, mask):
            query, key, value = (
                each(x).unflatten(-1, (4, 4)).transpose(1, 2) for each in (self.query, self.key, self.value)
            )
            scores = query @ key.transpose(-1, -2) / 2
            scores = scores.masked_fill(mask[:, None, None, :] == 0, torch.finfo(scores.dtype).min)
            return self.out((scores.softmax(-1) @ value).transpose(1, 2).flatten(2))

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.norm, self.attention = nn.Embedding(19, 16), nn.LayerNorm(16), Attention()
            self.up, self.act, self.down, self.drop = nn.Linear(16, 24), nn.GELU(), nn.Linear(24, 16), nn.Dropout(0.1)

        def forward(self, input_ids, attention_mask):
            x = self.embed(input_ids)
            x = x + self.attention(self.norm(x), attention_mask)
            return {"hidden": self.drop(x + self.down(self.act(self.up(x))))}

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Net()


def linen_text():
    jax = pytest.importorskip("jax")
    nn = pytest.importorskip("flax.linen")

    class Net(nn.Module):
        @nn.compact
        def __call__(self, input_ids, attention_mask):
            x = nn.Embed(19, 16, name="embed")(input_ids)
            normed = nn.LayerNorm(name="norm")(x)
            mask = attention_mask[:, None, None, :] > 0
            x = x + nn.MultiHeadDotProductAttention(4, name="attention")(normed, normed, mask=mask)
            up = nn.gelu(nn.Dense(24, name="up")(x))
            return {"hidden": x + nn.Dense(16, name="down")(up)}

    return Net(), Net().init(jax.random.key(0), **TEXT)


def nnx_text():
    pytest.importorskip("jax")
    nnx = pytest.importorskip("flax.nnx")

    class Net(nnx.Module):
        def __init__(self, rngs):
            self.embed, self.norm = nnx.Embed(19, 16, rngs=rngs), nnx.LayerNorm(16, rngs=rngs)
            self.attention = nnx.MultiHeadAttention(4, 16, decode=False, rngs=rngs)
            self.up, self.down = nnx.Linear(16, 24, rngs=rngs), nnx.Linear(24, 16, rngs=rngs)

        def __call__(self, input_ids, attention_mask):
            x = self.embed(input_ids)
            x = x + self.attention(self.norm(x), mask=attention_mask[:, None, None, :] > 0)
            return {"hidden": x + self.down(nnx.gelu(self.up(x)))}

    return Net(nnx.Rngs(0))


@pytest.mark.parametrize("make", [torch_text, linen_text, nnx_text])
def test_every_family_is_planted_and_caught(make):
    found = harness.sensitivity(make(), make(), TEXT, name=make.__name__)
    causes = {fault.cause for fault in found.faults}
    assert causes >= ATTENTION | NORM | PRODUCT | OTHERS, found.not_planted
    missed = {fault.cause for fault in found.missed}
    # a neutral weight hides whether it is used, no text is longer than the windows, none holds the middle row
    assert missed <= {"weight unused", "bias missing", "window", "corrupted element", "activation"}, str(found)
    assert {fault.cause for fault in found.faults if not fault.checked} <= {"window", "corrupted element"}
    assert max(map(len, str(found).splitlines())) <= 80


def test_nothing_of_a_torch_model_changes():
    torch = pytest.importorskip("torch")
    reference, port = torch_text(), torch_text().train()
    before = copy.deepcopy(port.state_dict())
    state = torch.random.get_rng_state()
    pointers = [each.data_ptr() for each in port.parameters()]
    harness.sensitivity(reference, port, TEXT)
    assert all(torch.equal(array, before[name]) for name, array in port.state_dict().items())
    assert [each.data_ptr() for each in port.parameters()] == pointers
    assert all(module.training for module in port.modules())
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in port.modules())
    assert all(each.grad is None and each.dtype == torch.float32 for each in port.parameters())


def test_nothing_of_an_nnx_model_changes():
    jax = pytest.importorskip("jax")
    nnx = pytest.importorskip("flax.nnx")
    port = nnx_text()
    graph, state = nnx.split(port)
    leaves = jax.tree.leaves(state)
    harness.sensitivity(nnx_text(), port, TEXT)
    after = nnx.split(port)
    assert after[0] == graph
    assert all(one is other for one, other in zip(leaves, jax.tree.leaves(after[1]), strict=True))


def images(nn, torch):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.Flatten()
        ).eval()


def test_convolutions_and_statistics_of_batches():
    torch = pytest.importorskip("torch")
    inputs = {"x": RNG.normal(size=(2, 3, 8, 8)).astype(np.float32)}
    found = harness.sensitivity(images(torch.nn, torch), images(torch.nn, torch), inputs)
    causes = {fault.cause: fault.checked for fault in found.faults}
    wanted = {"convolution padding", "convolution dilation", "kernel reversed", "kernel transposed", "batch statistics"}
    wanted |= {"running mean ignored", "running variance ignored", "bias missing"}
    assert wanted <= set(causes)
    assert all(causes[cause] for cause in wanted)
    # as they are after initialisation, the running statistics are neutral: only healthy weights show them
    assert {fault.cause for fault in found.missed} >= {"running mean ignored", "running variance ignored"}


def test_flax_convolutions_have_their_channels_last():
    jax = pytest.importorskip("jax")
    nn = pytest.importorskip("flax.linen")

    class Net(nn.Module):
        @nn.compact
        def __call__(self, x, train=False):
            x = nn.Conv(8, (3, 3), strides=2, name="first")(x)
            x = nn.BatchNorm(use_running_average=not train, name="norm")(x)
            return nn.Conv(4, (3, 3), name="second")(nn.relu(x))

    x = RNG.normal(size=(2, 8, 8, 3)).astype(np.float32)
    port = (Net(), Net().init(jax.random.key(0), x))
    found = harness.sensitivity(port, port, {"x": x})
    causes = {fault.cause for fault in found.faults}
    assert {
        "convolution padding",
        "kernel reversed",
        "batch statistics",
        "running mean ignored",
        "activation",
    } <= causes


def test_a_tied_head_that_is_not_tied():
    torch = pytest.importorskip("torch")
    nn = torch.nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.lm_head = nn.Embedding(19, 8), nn.Linear(8, 19, bias=False)
            self.lm_head.weight = self.embed.weight

        def forward(self, input_ids):
            return self.lm_head(torch.tanh(self.embed(input_ids)))

    port = Net()
    found = harness.sensitivity(port, port, {"input_ids": IDS})
    tied = next(fault for fault in found.faults if fault.cause == "head not tied")
    assert (tied.path, tied.caught) == ("lm_head", True)


def test_causal_attention_with_rotary_angles():
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    config = transformers.LlamaConfig(
        vocab_size=19,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=24,
        max_position_embeddings=32,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        port = transformers.LlamaForCausalLM(config).eval()
    found = harness.sensitivity(port, copy.deepcopy(port), TEXT)
    causes = {fault.cause for fault in found.faults}
    wanted = {"rotary pairing", "rotary not applied", "rotary direction", "rotary base", "groups tiled"}
    wanted |= {"causal mask missing", "causal off by one"}
    assert wanted <= causes
    # padding on the right is seen by padding alone
    ignored = [fault.why for fault in found.missed if fault.cause == "mask ignored"]
    assert ignored == ["it changes padding alone"] * 2
    assert all(fault.checked for fault in found.faults if fault.cause == "mask ignored")
    # and no text of this model can be as long as the wider window
    assert "128 tokens are seen" not in {fault.detail for fault in found.faults}
