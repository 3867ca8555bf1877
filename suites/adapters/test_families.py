"""Gradients, decoding, training, dropout and preflight: a fault planted in each, and the user's objects untouched."""

import copy

import numpy as np
import pytest

import harness

AGREE, INCONCLUSIVE = harness.Verdict.AGREE, harness.Verdict.INCONCLUSIVE
X = {"x": np.random.default_rng(0).normal(size=(4, 16)).astype(np.float32)}


@pytest.fixture
def torch():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    return torch


@pytest.fixture
def net(torch):
    nn = torch.nn
    layers = [nn.Linear(16, 32), nn.LayerNorm(32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 16)]
    return nn.Sequential(*layers).eval()


def lines(found, check):
    """Probe -> verdict, of one check."""
    return {line.probe: line.verdict for line in found.lines if line.check == check}


def failing(found):
    return {line.check for line in found.lines if line.verdict is not AGREE}


def test_a_copy_agrees_in_every_claim(net):
    found = harness.check(net, copy.deepcopy(net), X)
    assert found.verdict is AGREE
    assert {line.check for line in found.lines} == {"forward", "gradients", "dropout", "train"}
    assert found.not_checked["decode"] == "the inputs hold no tokens"
    assert set(found.not_checked) == {"decode", "generation"}
    assert found.weights["linked"] == 6


def test_the_users_objects_are_bit_for_bit_what_they_were(torch, net):
    port = copy.deepcopy(net).train()
    port[4].eval()
    port[0].weight.grad = torch.ones_like(port[0].weight)
    port[1].bias.requires_grad_(False)
    before = [(p, p.data_ptr(), p.detach().clone(), p.requires_grad, p.grad) for p in port.parameters()]
    modes = [module.training for module in port.modules()]
    state = torch.get_rng_state()
    harness.check(net, port, X)
    assert torch.equal(torch.get_rng_state(), state)
    assert [module.training for module in port.modules()] == modes
    for (old, pointer, values, wanted, gradient), new in zip(before, port.parameters(), strict=True):
        assert new is old
        assert (new.data_ptr(), new.requires_grad) == (pointer, wanted)
        assert new.grad is gradient
        assert torch.equal(new, values)


def test_a_bias_that_default_initialisation_hides_is_found(torch, net):
    class NoBias(torch.nn.LayerNorm):
        def forward(self, x):
            return torch.nn.functional.layer_norm(x, self.normalized_shape, self.weight, None, self.eps)

    port = copy.deepcopy(net)
    port[1] = NoBias(32)
    found = harness.check(net, port, X)
    assert found.outputs[0].error == 0
    assert "forward" in failing(found)


def test_a_weight_that_the_port_lacks_is_found(torch):
    reference, port = torch.nn.Linear(16, 16), torch.nn.Linear(16, 16, bias=False)
    reference.bias.data.zero_()
    port.weight.data = reference.weight.data.clone()
    found = harness.check(reference, port, X)
    assert "the port has no counterpart of bias" in found.reason


def test_a_branch_without_gradient_is_found_by_gradients_alone(torch, net):
    class Detached(torch.nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, x):
            return self.inner[4](self.inner[2](self.inner[1](self.inner[0](x).detach())))

    found = harness.check(net, Detached(copy.deepcopy(net)), X, checks=["forward", "float64", "gradients"])
    assert failing(found) == {"gradients"}
    assert found.outputs[0].error == 0


def test_tied_weights_have_their_gradients_summed_and_are_missed_when_untied(torch):
    class Tied(torch.nn.Module):
        def __init__(self, tied):
            super().__init__()
            self.embed = torch.nn.Embedding(20, 8)
            self.head = torch.nn.Linear(8, 20, bias=False)
            if tied:
                self.head.weight = self.embed.weight

        def forward(self, input_ids):
            return self.head(torch.tanh(self.embed(input_ids)))

    reference, port = Tied(tied=True), Tied(tied=False)
    port.embed.weight.data = reference.embed.weight.data.clone()
    port.head.weight.data = reference.embed.weight.data.clone()
    found = harness.check(reference, port, {"input_ids": np.arange(12).reshape(2, 6)})
    assert set(lines(found, "gradients").values()) == {AGREE}
    assert failing(found) == {"train"}


def test_dropout_of_another_rate_and_none_at_all_are_found(torch, net):
    for change in (torch.nn.Dropout(0.3), torch.nn.Identity()):
        port = copy.deepcopy(net)
        port[3] = change
        found = harness.check(net, port, X)
        assert "dropout" in failing(found)
        assert set(lines(found, "gradients").values()) == {AGREE}


def test_dropout_that_does_not_make_up_for_what_it_drops_is_found_by_its_mean(torch, net):
    class Unscaled(torch.nn.Module):
        def forward(self, x):
            return x * (torch.rand_like(x) > 0.2) if self.training else x

    port = copy.deepcopy(net)
    port[3] = Unscaled()
    assert "dropout" in failing(harness.check(net, port, X))


def test_batch_statistics_that_move_too_fast_are_found(torch):
    nn = torch.nn
    reference = nn.Sequential(nn.Linear(16, 8), nn.BatchNorm1d(8), nn.ReLU()).eval()
    port = copy.deepcopy(reference)
    port[1].momentum = 0.9
    found = harness.check(reference, port, X)
    assert failing(found) == {"train"}
    assert "running" in found.reason


def test_a_running_variance_is_kept_by_the_convention_of_the_framework(torch):
    pytest.importorskip("jax")
    linen = pytest.importorskip("flax.linen")
    nn = torch.nn
    reference = nn.Sequential(nn.Linear(16, 8), nn.BatchNorm1d(8)).eval()

    def port(momentum):
        class Port(linen.Module):
            @linen.compact
            def __call__(self, x, train: bool = False):
                x = linen.Dense(8)(x)
                return linen.BatchNorm(use_running_average=not train, momentum=momentum, epsilon=1e-5)(x)

        held = [tensor.detach().numpy() for tensor in (*reference.parameters(), *reference.buffers())]
        params = {"Dense_0": {"kernel": held[0].T, "bias": held[1]}, "BatchNorm_0": {"scale": held[2], "bias": held[3]}}
        return Port(), {"params": params, "batch_stats": {"BatchNorm_0": {"mean": held[4], "var": held[5]}}}

    found = harness.check(reference, port(0.9), X)
    assert found.verdict is AGREE
    assert "running variance, by convention" in lines(found, "train")
    assert failing(harness.check(reference, port(0.99), X)) == {"train"}


def test_a_port_that_draws_numbers_where_the_reference_does_not_is_found(torch, net):
    class Noise(torch.nn.Module):
        def forward(self, x):
            return x + 0.1 * torch.randn_like(x) if self.training else x

    port = torch.nn.Sequential(*copy.deepcopy(net), Noise()).eval()
    found = harness.check(net, port, X)
    assert lines(found, "train") == {"the same twice": harness.Verdict.DIVERGE}


def test_a_side_that_draws_numbers_when_it_is_used_is_inconclusive(torch, net):
    class Noise(torch.nn.Module):
        def forward(self, x):
            return x + 1e-4 * torch.randn_like(x)

    found = harness.check(net, torch.nn.Sequential(*copy.deepcopy(net), Noise()).eval(), X, checks=["forward"])
    assert found.verdict is INCONCLUSIVE
    assert "two runs of the port differ" in found.reason


def test_a_reference_in_half_precision_is_inconclusive(torch):
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = torch.nn.Embedding(20, 8)

        def forward(self, input_ids):
            return self.embed(input_ids).float()

    reference = Model().to(torch.bfloat16)
    found = harness.check(reference, copy.deepcopy(reference).float(), {"input_ids": np.arange(12).reshape(2, 6)})
    assert found.verdict is INCONCLUSIVE
    assert "the reference holds 1 weights in half precision" in found.reason


def test_a_step_through_half_precision_is_not_taken_for_caution(torch, net):
    class Half(torch.nn.Module):
        def forward(self, x):
            return x.to(torch.bfloat16).to(x.dtype)

    port = copy.deepcopy(net)
    port[2] = torch.nn.Sequential(port[2], Half())
    assert "forward" in failing(harness.check(net, port, X))


class Cached:
    """A decoder of one layer that adds up what it has seen, with a cache or without."""

    def __new__(cls, torch, *, forgets=False):
        class Model(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.embed = torch.nn.Embedding(20, 8)
                self.head = torch.nn.Linear(8, 20)

            def forward(self, input_ids, past_key_values=None, use_cache=False):
                seen = torch.cumsum(self.embed(input_ids), dim=1)
                if past_key_values is not None:
                    seen = seen + past_key_values[:, None]
                last = self.embed(input_ids)[:, -1] if forgets else seen[:, -1]
                return {"logits": self.head(torch.tanh(seen)), "past_key_values": last if use_cache else None}

        return Model()


def test_a_cache_that_forgets_is_found_by_decoding_alone(torch):
    reference, port = Cached(torch), Cached(torch, forgets=True)
    port.load_state_dict(reference.state_dict())
    call = {"input_ids": np.arange(12).reshape(2, 6)}
    found = harness.check(reference, port, call)
    assert failing(found) == {"decode"}
    again = Cached(torch)
    again.load_state_dict(reference.state_dict())
    agreeing = harness.check(reference, again, call)
    assert (agreeing.verdict, set(lines(agreeing, "decode").values())) == (AGREE, {AGREE})


def test_weights_that_conversion_left_at_their_start_are_found_with_convert(torch, net):
    fresh = copy.deepcopy(net)

    def converted(reference):
        port = copy.deepcopy(fresh).to(reference[0].weight.dtype)
        names = {name: value for name, value in reference.state_dict().items() if not name.startswith("1.")}
        port.load_state_dict(names, strict=False)
        return port

    assert harness.check(net, converted(net), X).verdict is AGREE
    found = harness.check(net, converted(net), X, convert=converted)
    assert "forward" in failing(found)


def test_a_transformer_of_pytorch_is_tapped_layer_by_layer(torch):
    nn = torch.nn

    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(50, 16)
            self.layers = nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), 2)

        def forward(self, input_ids, attention_mask):
            return self.layers(self.embed(input_ids), src_key_padding_mask=attention_mask == 0)

    encoder = Encoder().eval()
    call = {"input_ids": np.arange(14).reshape(2, 7), "attention_mask": np.ones((2, 7), int)}
    found = harness.check(encoder, copy.deepcopy(encoder), call)
    assert found.verdict is AGREE
    assert "layers.layers.1.norm2" in {tap.name for tap in found.taps}


def test_a_conversion_that_raises_is_a_clear_error(net):
    def convert(reference):
        raise KeyError("norm.weight")

    with pytest.raises(
        harness.HarnessError, match=r"convert: raised KeyError for the reference in float64: 'norm.weight'"
    ):
        harness.check(net, copy.deepcopy(net), X, convert=convert)
