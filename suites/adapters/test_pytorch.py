"""A torch module is run in inference mode, tapped whole, and is afterwards bit for bit what it was."""

import numpy as np
import pytest

import harness
from harness.adapters.choose import adapt
from harness.errors import BuildError, RunError
from harness.parity.trace import record


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


@pytest.fixture
def net(torch):
    torch.manual_seed(0)
    layers = [torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.ReLU(inplace=True), torch.nn.Dropout(0.5)]
    return torch.nn.Sequential(*layers, torch.nn.Linear(8, 3)).train()


INPUTS = {"input": np.linspace(-1, 1, 20, dtype=np.float32).reshape(5, 4)}


def test_every_module_is_tapped_in_order_and_copied_before_the_next_works_in_place(net):
    trace = record(adapt(net), INPUTS)
    assert list(trace.taps) == ["0", "1", "2", "3", "4"]
    assert list(trace.outputs) == ["output"]
    assert trace.taps["1"].min() < 0 <= trace.taps["2"].min()


def test_the_module_is_afterwards_what_it_was(torch, net):
    net[1].eval()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    modes = [module.training for module in net.modules()]
    state = torch.random.get_rng_state()
    precision = torch.get_float32_matmul_precision()
    harness.check(net, net, INPUTS)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    assert [module.training for module in net.modules()] == modes
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.get_float32_matmul_precision() == precision
    assert all(parameter.grad is None and parameter.requires_grad for parameter in net.parameters())
    assert not any(module._forward_hooks for module in net.modules())


def test_it_is_restored_after_a_failure_too(net):
    with pytest.raises(RunError, match=r"PyTorch Sequential: raised RuntimeError when called with input \(5, 3\)"):
        record(adapt(net), {"input": np.zeros((5, 3), np.float32)})
    assert all(module.training for module in net.modules())
    assert not any(module._forward_hooks for module in net.modules())


def test_inputs_are_not_written_to(torch):
    class Overwrite(torch.nn.Module):
        def forward(self, x):
            return x.mul_(2)

    values = np.ones((2, 2), np.float32)
    record(adapt(Overwrite()), {"x": values})
    assert values.max() == 1


def test_nested_results_are_named_and_what_is_no_array_left_out(torch):
    class Many(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.pair = Pair()

        def forward(self, x):
            first, (second, _) = self.pair(x)
            return {"logits": first, "hidden": (second, second + 1), "cache": object(), "none": None}

    class Pair(torch.nn.Module):
        def forward(self, x):
            return x, (x + 1, None)

    trace = record(adapt(Many()), {"x": np.zeros(2, np.float32)})
    assert list(trace.outputs) == ["logits", "hidden[0]", "hidden[1]"]
    assert list(trace.taps) == ["pair", "pair[1][0]"]


def test_a_module_called_twice_and_one_under_two_names(torch):
    class Shared(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first = torch.nn.Linear(2, 2)
            self.second = self.first

        def forward(self, x):
            return self.second(self.first(x))

    assert list(record(adapt(Shared()), {"x": np.zeros((1, 2), np.float32)}).taps) == ["first", "first#2"]


def test_bfloat16_is_read_exactly(torch):
    class Half(torch.nn.Module):
        def forward(self, x):
            return x.to(torch.bfloat16)

    output = record(adapt(Half()), {"x": np.array([1.0, 1.0078125], np.float32)}).outputs["output"]
    assert output.dtype == np.float32
    assert output.tolist() == [1.0, 1.0078125]


def test_a_planted_fault_is_found_at_its_module(torch, net):
    import copy

    port = copy.deepcopy(net)
    with torch.no_grad():
        port[4].bias += 0.01
    found = harness.check(net, port, INPUTS)
    assert found.verdict is harness.Verdict.DIVERGE
    assert found.first.name == "4"


def test_full_float32_is_used_and_the_users_setting_restored(torch):
    seen = []

    class Watch(torch.nn.Module):
        def forward(self, x):
            seen.append(torch.get_float32_matmul_precision())
            return x

    torch.set_float32_matmul_precision("medium")
    try:
        record(adapt(Watch()), {"x": np.zeros(2)})
        record(adapt(Watch(), precision="default"), {"x": np.zeros(2)})
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")
    assert seen == ["highest", "medium"]


def test_a_device_that_is_not_there_is_said(torch, net):
    from harness.errors import DeviceError

    if torch.cuda.is_available():
        pytest.skip("there is a GPU here: nothing is missing")
    with pytest.raises(DeviceError, match="PyTorch sees no such device. Run the case where there is one."):
        record(adapt(net, device="gpu"), INPUTS)


@pytest.mark.parametrize("damage", [lambda data: data[:50], lambda data: b"\xff" * 8 + data[8:]], ids=["short", "long"])
def test_a_damaged_safetensors_file_is_said_with_the_factory(torch, tmp_path, damage):
    import safetensors.torch

    from harness.cases.build import build
    from harness.cases.spec import Factory

    file = tmp_path / "model.safetensors"
    safetensors.torch.save_file({"weight": torch.ones(4, 4)}, file)
    file.write_bytes(damage(file.read_bytes()))
    factory = Factory(factory="safetensors.torch:load_file", arguments={"filename": str(file)})
    with pytest.raises(BuildError, match="the factory 'safetensors.torch:load_file' raised SafetensorError"):
        build(factory, {}, root=tmp_path, place="case 'x', reference")


@pytest.mark.gpu
def test_a_module_goes_to_the_gpu_and_comes_back(torch, net):
    found = harness.check(net, net, INPUTS, device="gpu")
    assert found.verdict is harness.Verdict.AGREE
    assert {parameter.device.type for parameter in net.parameters()} == {"cpu"}


def test_texts_are_written_also_by_a_model_that_puts_out_its_states(torch):
    pytest.importorskip("transformers")
    from transformers import GPT2Config, GPT2LMHeadModel

    from harness.adapters.protocols import Writing

    inputs = {"input_ids": np.array([[3, 4, 5]])}
    made = {"vocab_size": 20, "n_positions": 16, "n_embd": 8, "n_layer": 1, "n_head": 2, "pad_token_id": 0}
    torch.manual_seed(0)
    plain = GPT2LMHeadModel(GPT2Config(**made)).eval()
    telling = GPT2LMHeadModel(GPT2Config(**made, output_hidden_states=True)).eval()
    telling.load_state_dict(plain.state_dict())
    one, other = (adapt(module).generate(inputs, Writing(4)) for module in (plain, telling))
    assert one.shape == (1, 7)
    assert np.array_equal(one, other)
