"""Every call of a model can be watched, fed with inputs from elsewhere, and its outputs replaced."""

import numpy as np
import pytest

from harness.adapters.choose import adapt
from harness.adapters.protocols import Replays, State

X = {"x": np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32)}


def torch_model():
    nn = pytest.importorskip("torch").nn
    return nn.Sequential(nn.Linear(8, 4), nn.ReLU(inplace=True), nn.Linear(4, 2))


def linen_model():
    jax = pytest.importorskip("jax")
    linen = pytest.importorskip("flax.linen")
    module = linen.Sequential([linen.Dense(4), linen.LayerNorm(), linen.Dense(2)])
    return module, module.init(jax.random.key(0), X["x"])


def nnx_model():
    pytest.importorskip("jax")
    nnx = pytest.importorskip("flax.nnx")
    rngs = nnx.Rngs(0)
    return nnx.Sequential(nnx.Linear(8, 4, rngs=rngs), nnx.LayerNorm(4, rngs=rngs), nnx.Linear(4, 2, rngs=rngs))


def watched(model, **changes):
    found = {}
    adapt(model).replay(X, lambda call: found.__setitem__(call.name, call), **changes)
    return found


@pytest.mark.parametrize("make", [torch_model, linen_model, nnx_model])
def test_every_call_in_float64_children_first(make):
    model = make()
    assert isinstance(adapt(model), Replays)
    calls = watched(model)
    names = list(calls)
    assert names[-1] == ""
    assert len(names) == 4
    first, middle, last, whole = calls.values()
    assert {call.caller for call in (first, middle, last)} == {""}
    for call in calls.values():
        assert call.outputs[""].dtype == np.float64
    (given,) = (leaf for leaf in first.inputs.values() if isinstance(leaf, np.ndarray))
    np.testing.assert_array_equal(given, X["x"].astype(np.float64))
    np.testing.assert_allclose(whole.outputs[""], last.outputs[""])
    # what an in-place step overwrote afterwards is as it was
    (handed,) = (leaf for leaf in middle.inputs.values() if isinstance(leaf, np.ndarray))
    np.testing.assert_allclose(handed, first.outputs[""])


@pytest.mark.parametrize("make", [torch_model, linen_model, nnx_model])
def test_what_is_fed_and_grafted_counts_and_what_came_is_told(make):
    model = make()
    plain = watched(model)
    names = list(plain)
    argument = next(name for name, leaf in plain[names[2]].inputs.items() if isinstance(leaf, np.ndarray))
    other = np.full((3, 4), 0.5)
    fed = watched(model, feed={names[2]: {argument: other}})
    np.testing.assert_allclose(fed[names[2]].inputs[argument], plain[names[2]].inputs[argument])
    assert not np.allclose(fed[names[2]].outputs[""], plain[names[2]].outputs[""])
    grafted = watched(model, graft={names[1]: {"": other}})
    np.testing.assert_allclose(grafted[names[1]].outputs[""], plain[names[1]].outputs[""])
    np.testing.assert_allclose(grafted[names[2]].inputs[argument], other)
    np.testing.assert_allclose(grafted[""].outputs[""], fed[""].outputs[""])


def test_nothing_of_the_users_changes():
    torch = pytest.importorskip("torch")
    model = torch_model()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    watched(model, state=State({"0.weight": np.zeros((4, 8))}))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_a_second_call_has_a_number():
    torch = pytest.importorskip("torch")

    class Twice(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = torch.nn.Linear(8, 8)

        def forward(self, x):
            return self.inner(self.inner(x))

    assert list(watched(Twice())) == ["inner", "inner#2", ""]


def test_inputs_that_were_left_out_and_those_in_containers():
    torch = pytest.importorskip("torch")

    class Inner(torch.nn.Module):
        def forward(self, states, mask=None):
            return {"sum": states[0] + states[1] + (0 if mask is None else mask), "first": states[0]}

    class Outer(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = Inner()

        def forward(self, x):
            return self.inner((x, 2 * x))["sum"]

    plain = watched(Outer())["inner"]
    assert plain.inputs["mask"] is None
    np.testing.assert_allclose(plain.inputs["states[1]"], 2 * X["x"])
    assert list(plain.outputs) == ["", "[first]"]
    ones = np.ones((3, 8))
    fed = watched(Outer(), feed={"inner": {"mask": ones, "states[0]": 0 * ones}})
    np.testing.assert_allclose(fed[""].outputs[""], 2 * X["x"] + 1)


def test_calls_inside_a_compiled_loop_are_passed_over():
    jax = pytest.importorskip("jax")
    linen = pytest.importorskip("flax.linen")

    class Layer(linen.Module):
        @linen.compact
        def __call__(self, x, _):
            return linen.Dense(8)(x), None

    class Scanned(linen.Module):
        @linen.compact
        def __call__(self, x):
            layers = linen.scan(Layer, variable_axes={"params": 0}, split_rngs={"params": True}, length=2)
            return linen.Dense(2, name="head")(layers()(x, None)[0])

    model = Scanned()
    calls = watched((model, model.init(jax.random.key(0), X["x"])))
    assert "head" in calls
    assert not any("Dense" in name for name in calls)


def test_what_is_written_to_afterwards_and_told_again_is_told_as_it_was():
    torch = pytest.importorskip("torch")

    class Adds(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = torch.nn.Linear(8, 8), torch.nn.Linear(8, 8)

        def forward(self, x):
            y = self.first(x)
            y += x
            return self.last(y)

    model = Adds()
    calls = watched(model)
    first, last = calls["first"].outputs[""], calls["last"].inputs["input"]
    np.testing.assert_allclose(last - first, X["x"], rtol=1e-12)


def test_one_trace_serves_all_runs_of_a_flax_model_but_those_with_other_shapes():
    jax = pytest.importorskip("jax")
    linen = pytest.importorskip("flax.linen")
    traced = []

    class Mean(linen.Module):
        @linen.compact
        def __call__(self, x):
            traced.append(x.shape)
            return x.mean(0)

    class Net(linen.Module):
        @linen.compact
        def __call__(self, x):
            return linen.Dense(2)(Mean()(linen.Dense(4)(x)))

    model = Net()
    side = adapt((model, model.init(jax.random.key(0), X["x"])))
    traced.clear()

    def output(**changes):
        found = {}
        side.replay(X, lambda call: found.__setitem__(call.name, call), **changes)
        return found[""].outputs[""]

    plain = output()
    fed = output(feed={"Mean_0": {"x": np.ones((3, 4))}})
    np.testing.assert_allclose(output(graft={"Mean_0": {"": np.ones(4)}}), fed)
    np.testing.assert_array_equal(output(), plain)
    assert traced == [(3, 4)]
    np.testing.assert_allclose(output(feed={"Mean_0": {"x": np.ones((5, 4))}}), fed)
    np.testing.assert_allclose(
        output(feed={"Mean_0": {"x": np.full((5, 4), 2.0)}}, graft={"Mean_0": {"": np.ones(4)}}), fed
    )
    assert traced[1:] == [(5, 4)] * 2
