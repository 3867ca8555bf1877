"""The measurement behind `harness.parity.precision.FACTORS`, and a fault that half precision alone has."""

import copy

import numpy as np
import pytest

import harness


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:ComplexHalf support is experimental")  # torch 2.13: rotary by complex numbers
@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_correct_ports_are_about_as_far_off_as_their_references(precision):
    pytest.importorskip("torch")
    pytest.importorskip("jax")
    from fixtures.power.measure import short_ratios
    from harness.parity.precision import FACTORS

    ratios = dict(short_ratios(precision))
    worst = max(ratios, key=ratios.get)
    print(f"\n{precision}: {len(ratios)} outputs of correct ports, at most {ratios[worst]:.2f} times ({worst})")
    assert len(ratios) > 80
    assert ratios[worst] <= FACTORS[precision, "cpu"]


def test_a_port_that_sums_in_half_precision_is_found():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)

    class Mean(torch.nn.Module):
        def __init__(self, careful):
            super().__init__()
            self.careful = careful
            self.dense = torch.nn.Linear(8, 8)

        def forward(self, x):
            x = self.dense(x)
            if self.careful:
                return x.float().mean(dim=1).to(x.dtype)
            total = x[:, 0]
            for position in range(1, x.shape[1]):
                total = total + x[:, position]
            return total / x.shape[1]

    reference, port = Mean(careful=True), Mean(careful=False)
    port.load_state_dict(reference.state_dict())
    inputs = {"x": np.random.default_rng(0).normal(1.0, 1.0, size=(4, 300, 8)).astype(np.float32)}
    assert harness.check(reference, port, inputs).verdict is harness.Verdict.AGREE
    found = harness.check(reference, port, inputs, precision="bfloat16")
    assert [line.check for line in found.lines if line.verdict is not harness.Verdict.AGREE] == ["precision"]
    agreeing = harness.check(reference, copy.deepcopy(reference), inputs, precision="bfloat16")
    assert agreeing.verdict is harness.Verdict.AGREE
    assert "precision" in {line.check for line in agreeing.lines}


def test_a_port_that_keeps_two_bits_of_few_values_is_found():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)

    class Score(torch.nn.Module):
        def __init__(self, kept):
            super().__init__()
            self.kept = kept
            self.dense = torch.nn.Linear(64, 1)

        def forward(self, x):
            return self.dense(x if x.dtype is not torch.bfloat16 else x.to(self.kept).to(x.dtype))

    reference, port = Score(torch.bfloat16), Score(torch.float8_e5m2)
    port.load_state_dict(reference.state_dict())
    inputs = {"x": np.random.default_rng(0).normal(size=(4, 64)).astype(np.float32)}
    found = harness.check(reference, port, inputs, precision="bfloat16")
    assert [line.check for line in found.lines if line.verdict is not harness.Verdict.AGREE] == ["precision"]
    agreeing = harness.check(reference, copy.deepcopy(reference), inputs, precision="bfloat16")
    assert agreeing.verdict is harness.Verdict.AGREE
