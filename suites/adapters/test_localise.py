"""Which module is at fault, in real frameworks: the module itself, its parent's code, or nobody."""

import copy

import numpy as np
import pytest

import harness

torch = pytest.importorskip("torch")
nn = torch.nn
F = nn.functional


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.query, self.key, self.value, self.out = (nn.Linear(8, 8) for _ in range(4))

    def forward(self, x, mask=None):
        q, k, v = (f(x).unflatten(-1, (2, 4)).transpose(1, 2) for f in (self.query, self.key, self.value))
        scores = q @ k.mT / 2
        if mask is not None:
            scores = scores.masked_fill(~mask[:, None, None, :], -1e9)
        return self.out((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.attention = nn.LayerNorm(8), Attention()
        self.up, self.down = nn.Linear(8, 16), nn.Linear(16, 8)

    def forward(self, x, mask=None):
        x = x + self.attention(self.norm(x), mask=mask)
        return x + self.down(F.gelu(self.up(x)))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(20, 8)
        self.layers = nn.ModuleList([Layer(), Layer()])
        self.head = nn.Linear(8, 5)

    def forward(self, input_ids, attention_mask):
        x = self.embed(input_ids)
        for layer in self.layers:
            x = layer(x, mask=attention_mask.bool())
        return self.head(x)


INPUTS = {
    "input_ids": np.random.default_rng(0).integers(0, 20, (2, 6)),
    "attention_mask": np.array([[1] * 6, [1] * 4 + [0] * 2]),
}


def checked(plant):
    torch.manual_seed(0)
    reference = Net()
    port = copy.deepcopy(reference)
    plant(port)
    return harness.check(reference, port, INPUTS, checks=["forward", "float64"])


def replaced(module, forward):
    module.forward = forward.__get__(module)


def scaled_scores(self, x, mask=None):
    q, k, v = (f(x).unflatten(-1, (2, 4)).transpose(1, 2) for f in (self.query, self.key, self.value))
    scores = (q @ k.mT / 4).masked_fill(~mask[:, None, None, :], -1e9)
    return self.out((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))


def other_fill(self, x, mask=None):
    q, k, v = (f(x).unflatten(-1, (2, 4)).transpose(1, 2) for f in (self.query, self.key, self.value))
    scores = q @ k.mT / 2 + (~mask[:, None, None, :]) * -1e30
    return self.out((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))


def no_residual(self, x, mask=None):
    x = self.attention(self.norm(x), mask=mask)
    return x + self.down(F.gelu(self.up(x)))


def tanh_gelu(self, x, mask=None):
    x = x + self.attention(self.norm(x), mask=mask)
    return x + self.down(F.gelu(self.up(x), approximate="tanh"))


def mask_lost(self, x, mask=None):
    x = x + self.attention(self.norm(x))
    return x + self.down(F.gelu(self.up(x)))


def mask_ones(self, input_ids, attention_mask):
    x = self.embed(input_ids)
    for layer in self.layers:
        x = layer(x, mask=torch.ones_like(attention_mask.bool()))
    return self.head(x)


def ids_shifted(self, input_ids, attention_mask):
    x = self.embed((input_ids + 1) % 20)
    for layer in self.layers:
        x = layer(x, mask=attention_mask.bool())
    return self.head(x)


@pytest.mark.parametrize(
    ("plant", "wanted"),
    [
        (lambda port: setattr(port.layers[1].norm, "eps", 1e-3), "layers.1.norm"),
        (lambda port: port.layers[0].up.bias.data.zero_(), "layers.0.up"),
        (lambda port: replaced(port.layers[1].attention, scaled_scores), "layers.1.attention"),
        (lambda port: replaced(port.layers[0], no_residual), "layers.0"),
        (lambda port: replaced(port.layers[0], tanh_gelu), "layers.0"),
        (lambda port: replaced(port.layers[1], mask_lost), "layers.1"),
        (lambda port: replaced(port, mask_ones), ""),
        (lambda port: replaced(port, ids_shifted), ""),
        (lambda port: setattr(port, "head", nn.Linear(8, 5)), "head"),
    ],
)
def test_one_fault_one_module(plant, wanted):
    found = checked(plant)
    assert found.verdict is not harness.Verdict.AGREE
    assert [each.path for each in found.faulty] == [wanted]


def test_faults_in_two_layers_come_out_of_one_run():
    def plant(port):
        port.layers[0].norm.eps = 1e-3
        replaced(port.layers[1], no_residual)

    assert [each.path for each in checked(plant).faulty] == ["layers.0.norm", "layers.1"]


def test_a_mask_of_another_form_is_no_fault_beside_one():
    def plant(port):
        replaced(port.layers[0].attention, other_fill)
        port.layers[1].norm.eps = 1e-3

    assert [each.path for each in checked(plant).faulty] == ["layers.1.norm"]


class Square(nn.Module):
    def __init__(self, stride=1):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, stride=stride, padding=1)
        self.last = nn.Conv2d(4, 3, 3, padding=1)

    def forward(self, pixel_values):
        return self.last(self.first(pixel_values).relu())


def test_a_fault_that_changes_a_size():
    torch.manual_seed(0)
    reference = Square()
    port = Square(stride=2)
    port.load_state_dict(reference.state_dict())
    image = {"pixel_values": np.random.default_rng(0).normal(size=(1, 3, 8, 8)).astype(np.float32)}
    found = harness.check(reference, port, image, checks=["forward"])
    assert [each.path for each in found.faulty] == ["first"]


def test_channels_last_in_linen():
    jnp = pytest.importorskip("jax.numpy")
    linen = pytest.importorskip("flax.linen")

    class Port(linen.Module):
        @linen.compact
        def __call__(self, pixel_values):
            x = jnp.transpose(pixel_values, (0, 2, 3, 1))
            x = linen.Conv(4, (3, 3), padding="VALID" if self.wrong else "SAME", name="first")(x)
            x = linen.Conv(3, (3, 3), padding="SAME", name="last")(linen.relu(x))
            return jnp.transpose(x, (0, 3, 1, 2))

        wrong: bool = True

    torch.manual_seed(0)
    reference = Square()
    params = {
        name: {
            "kernel": jnp.asarray(module.weight.detach().numpy().transpose(2, 3, 1, 0)),
            "bias": jnp.asarray(module.bias.detach().numpy()),
        }
        for name, module in reference.named_children()
    }
    image = {"pixel_values": np.random.default_rng(0).normal(size=(1, 3, 6, 6)).astype(np.float32)}
    assert harness.check(reference, (Port(wrong=False), params), image).verdict is harness.Verdict.AGREE
    found = harness.check(reference, (Port(), params), image, checks=["forward"])
    assert [each.path for each in found.faulty] == ["first"]

    params["first"]["kernel"] = params["first"]["kernel"][::-1]
    params["last"]["bias"] = 0 * params["last"]["bias"]
    steps = harness.check(reference, (Port(wrong=False), params), image, checks=["forward"]).diagnosis.steps
    assert {step.paths for step in steps[1:]} == {("first",), ("last",)}
    assert [step.rounding for step in steps] == [False, False, True]


def test_a_table_that_the_port_stores_in_float32_is_not_to_blame():
    class Angles(nn.Module):
        def forward(self, x):
            return x * torch.sin(torch.arange(8, dtype=x.dtype) / 3)

    class Stored(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("table", torch.sin(torch.arange(8) / 3))

        def forward(self, x):
            return x * self.table

    torch.manual_seed(0)
    reference = nn.Sequential(Angles(), nn.LayerNorm(8))
    port = nn.Sequential(Stored(), nn.LayerNorm(8, eps=1e-3))
    x = {"x": np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32)}
    assert [each.path for each in harness.check(reference, port, x, checks=["forward", "float64"]).faulty] == ["1"]


def test_an_error_that_no_cause_explains_is_described_by_its_tokens():
    def late(self, x, mask=None):
        made = Layer.forward(self, x, mask)
        extra = torch.sin(9 * made.cumsum(-1))
        extra[:, :4] = 0
        return made + 0.01 * extra

    found = checked(lambda port: replaced(port.layers[1], late))
    assert [(each.path, each.said) for each in found.diagnosis.descriptions] == [
        ("layers.1", ("only from token 4 on",))
    ]


def test_two_causes_are_mended_one_after_the_other():
    def plant(port):
        replaced(port.layers[0].attention, scaled_scores)
        port.layers[1].norm.eps = 0.1

    steps = checked(plant).diagnosis.steps
    assert [(step.mended, step.paths) for step in steps[1:]] in (
        [("attention scale", ("layers.0.attention",)), ("epsilon", ("layers.1.norm",))],
        [("epsilon", ("layers.1.norm",)), ("attention scale", ("layers.0.attention",))],
    )
    assert [step.rounding for step in steps] == [False, False, True]
    assert steps[0].error > 1e-3


def test_the_setting_that_the_port_does_not_follow_is_named_and_its_cause_mended():
    class Configuration:
        def to_dict(self):
            return {"layer_norm_eps": 1e-5}

    torch.manual_seed(0)
    reference = Net()
    reference.config = Configuration()
    port = copy.deepcopy(reference)
    port.layers[1].norm.eps = 0.1
    found = harness.check(reference, port, INPUTS, checks=["forward", "float64"])
    said = "the configuration's layer_norm_eps is 1e-05, which the port does not follow"
    assert found.diagnosis.configured == {"layers.1.norm": said}
    assert said in " ".join(str(found).split())
    assert [(step.mended, step.rounding) for step in found.diagnosis.steps] == [("", False), ("epsilon", True)]
    assert "  mended      nothing: the outputs are off by" in str(found)
    assert "epsilon in layers.1.norm: off by" in str(found)
