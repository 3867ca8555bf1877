"""A large port is looked at on the least that shows its fault; here every port counts as large."""

import copy

import numpy as np
import pytest

import harness
from harness.parity import diagnose

torch = pytest.importorskip("torch")
nn = torch.nn

TOKENS = 64
WINDOW = 32
WRONG = torch.linspace(-0.1, 0.1, 8)


@pytest.fixture(autouse=True)
def every_port_is_large(monkeypatch):
    monkeypatch.setattr(diagnose, "SMALL", 0)


class Mix(nn.Module):
    """The mean of the tokens that a token sees: those of a window before it, or all that are valid."""

    def __init__(self, causal):
        super().__init__()
        self.causal = causal

    def forward(self, x, mask):
        seen = mask[:, None, :].expand(-1, x.shape[1], -1).double()
        if self.causal:
            seen = seen * torch.ones(x.shape[1], x.shape[1]).tril().triu(1 - WINDOW)
        return ((seen / seen.sum(-1, keepdim=True)) @ x.double()).to(x.dtype)


class Net(nn.Module):
    def __init__(self, causal):
        super().__init__()
        self.embed, self.mix, self.norm, self.head = nn.Embedding(20, 8), Mix(causal), nn.LayerNorm(8), nn.Linear(8, 5)

    def forward(self, input_ids, attention_mask):
        return self.head(self.norm(self.mix(self.embed(input_ids), attention_mask)))


INPUTS = {
    "input_ids": np.random.default_rng(0).integers(0, 20, (2, TOKENS)),
    "attention_mask": np.array([[1] * TOKENS, [1] * 40 + [0] * 24]),
}


def checked(causal, wrong, checks=("forward",)):
    torch.manual_seed(0)
    original = Net(causal).eval()
    port = copy.deepcopy(original)
    right = port.mix.forward
    port.mix.forward = lambda x, mask: wrong(right, x, mask)
    return harness.check(original, port, INPUTS, checks=checks)


def late(right, x, mask):
    return right(x, mask) + WRONG * (torch.arange(x.shape[1]) >= 40)[:, None]


def narrower(right, x, mask):
    found = right(x, mask)
    if x.shape[1] >= WINDOW:
        found[:, WINDOW - 1 :] += 0.1 * x[:, : x.shape[1] - WINDOW + 1]
    return found


def in_the_padded_row(right, x, mask):
    return right(x, mask) + WRONG * (mask.sum(1) < x.shape[1])[:, None, None]


def padding_seen(right, x, mask):
    return right(x, torch.ones_like(mask))


def unless_short(right, x, mask):
    return right(x, mask) + WRONG * (x.shape[1] == TOKENS)


def rows_mixed(right, x, mask):
    return right(x, mask) + 0.1 * (x - x.mean(0))


@pytest.mark.parametrize(
    ("causal", "wrong", "shape", "probe"),
    [
        (True, late, (1, 56, 8), "row 1, its first 56 tokens"),
        (True, narrower, (1, 47, 8), "its first 47 tokens"),
        (False, padding_seen, (1, 20, 8), "row 2, its first 16 tokens and 4 of padding"),
        (True, in_the_padded_row, (1, 20, 8), "row 2, its first 16 tokens and 4 of padding"),
        (False, unless_short, (2, 64, 8), "as given"),
        (False, rows_mixed, (2, 64, 8), "as given"),
    ],
)
def test_where_it_shows(causal, wrong, shape, probe):
    found = checked(causal, wrong)
    assert [each.path for each in found.faulty] == ["mix"]
    assert found.faulty[0].shape == shape
    assert found.faulty[0].probe.endswith(probe)
    assert found.diagnosis.probe == found.faulty[0].probe


def test_runs_on_an_excerpt_that_shows_nothing_are_counted():
    assert checked(False, rows_mixed).diagnosis.runs == 3 + 3


@pytest.mark.parametrize("wrong", [late, narrower, in_the_padded_row])
def test_with_healthy_weights_as_well(wrong):
    found = checked(True, wrong, checks=("forward", "float64"))
    assert [each.path for each in found.faulty] == ["mix"]
    assert found.faulty[0].shape[0] == 1


def test_a_model_that_takes_no_excerpt():
    torch.manual_seed(0)
    original = Net(True).eval()

    class Whole(nn.Module):
        def __init__(self, net):
            super().__init__()
            self.net = net

        def forward(self, input_ids, attention_mask):
            assert input_ids.shape == (2, TOKENS)
            return self.net(input_ids, attention_mask)

    port = copy.deepcopy(original)
    port.norm.eps = 0.1
    found = harness.check(Whole(original), Whole(port), INPUTS, checks=("forward",))
    assert [(each.path, each.shape) for each in found.faulty] == [("net.norm", (2, TOKENS, 8))]


def test_step_by_step():
    pytest.importorskip(
        "transformers.modeling_flax_pytorch_utils",
        reason="the table of faults has some of Flax models: install transformers<5",
    )
    from fixtures.power.fault import build
    from fixtures.power.faults import FAULTS
    from fixtures.power.subjects import subject

    given = subject("decoder", 0)
    fault = next(each for each in FAULTS if (each.name, each.framework) == ("cache forgets", "torch"))
    found = harness.check(given.reference, build(fault, given), given.inputs, checks=("forward", "float64", "decode"))
    assert found.faulty[0].path == "model.layers.0.self_attn"
    assert found.faulty[0].check == "decode"
    assert "row " in found.faulty[0].probe
