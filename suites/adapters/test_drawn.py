"""Random numbers that one side alone draws: a fault where they drop something, and none where they never can."""

import pytest

pytest.importorskip("torch")


def layers(probability, *, mask=False):
    """Two layers, each dropped with this probability in training; None draws nothing."""
    import torch

    class Layers(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = torch.nn.Linear(4, 4), torch.nn.Linear(4, 4)
            if mask:
                self.register_buffer("mask", torch.full((4, 4), -torch.inf).triu(1))

        def forward(self, x):
            for layer in (self.first, self.second):
                if self.training and probability is not None and torch.rand([]) < probability:
                    continue
                x = x + layer(x)
            return x + self.mask.exp().sum() if mask else x

    torch.manual_seed(0)
    return Layers()


def checked(reference, port):
    import torch

    import harness

    return harness.check(reference, port, {"x": torch.linspace(-1, 1, 12).reshape(3, 4)}, checks=["train"])


def drawn_lines(found):
    return [line for line in found.lines if line.probe == "elements drawn"]


def test_a_layer_that_is_never_dropped_is_no_fault():
    from harness import Verdict

    found = checked(layers(None), layers(0.0))
    assert found.verdict is Verdict.AGREE, str(found)
    assert drawn_lines(found) == []


@pytest.mark.parametrize("probability", [0.01, 0.4])
@pytest.mark.parametrize("lacks", ["reference", "port"])
def test_a_layer_that_one_side_drops_is_a_fault(probability, lacks):
    from harness import Verdict

    sides = layers(None), layers(probability)
    found = checked(*(sides if lacks == "reference" else reversed(sides)))
    assert found.verdict is Verdict.DIVERGE


def test_a_mask_of_infinities_does_not_stop_the_steps():
    found = checked(layers(None, mask=True), layers(None, mask=True))
    steps = [line for line in found.lines if line.probe.startswith("3 steps")]
    assert len(steps) == 2, found.not_checked


def test_a_mask_of_whole_numbers_is_not_moved_by_rounding():
    """GPT-2 of 2019 multiplies what its mask leaves by ten thousand: rounding of the mask would explain anything."""
    import numpy as np

    from harness.adapters.rounding import nudged

    generator = np.random.default_rng(0)
    mask = np.tril(np.ones((4, 4)))
    assert np.array_equal(nudged(mask, 2.0**-23, generator), mask)
    assert not np.array_equal(nudged(0.1 * mask, 2.0**-23, generator), 0.1 * mask)


def test_every_way_to_ask_for_a_mask_is_held_still():
    """A tensor of probabilities, one of them zero, and a number that is zero."""
    import torch

    from harness.adapters.pytorch.training import KeepAll

    kept = torch.tensor([0.0, 0.4, 0.9])
    with KeepAll():
        found = [torch.bernoulli(kept), torch.empty(3).bernoulli_(kept), torch.bernoulli(kept, 0.0)]
        whole = torch.empty(2).bernoulli_()
    assert [each.tolist() for each in found] == [[0.0, 0.0, 1.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]
    assert whole.tolist() == [1.0, 1.0]


@pytest.mark.parametrize(("kept", "other", "agrees"), [(0.75, 0.75, True), (0.75, 0.5, False), (0.75, 1.0, False)])
def test_two_ways_to_drop_a_path_are_one(kept, other, agrees):
    """A mask by `bernoulli_`, and one by `floor(kept + rand)`."""
    import torch

    from harness import Verdict

    class Path(torch.nn.Module):
        def __init__(self, kept, rounded):
            super().__init__()
            self.inner, self.kept, self.rounded = torch.nn.Linear(4, 4), kept, rounded

        def forward(self, x):
            new = self.inner(x)
            if self.training:
                shape = (len(x), 1)
                by_hand = torch.floor(self.kept + torch.rand(shape, dtype=x.dtype))
                mask = by_hand if self.rounded else x.new_empty(shape).bernoulli_(self.kept)
                new = new / self.kept * mask
            return x + new

    torch.manual_seed(0)
    reference, port = Path(kept, rounded=False), Path(other, rounded=True)
    port.load_state_dict(reference.state_dict())
    assert (checked(reference, port).verdict is Verdict.AGREE) == agrees
