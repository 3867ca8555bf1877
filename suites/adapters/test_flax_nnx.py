"""NNX modules are tapped by path on a second module that shares their arrays: the user's own is never touched."""

import dataclasses

import numpy as np
import pytest

import harness
from harness.adapters.choose import adapt
from harness.adapters.protocols import Chunk
from harness.parity.trace import record

INPUTS = {"x": np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)}


@pytest.fixture
def nnx():
    return pytest.importorskip("flax.nnx")


@pytest.fixture
def net(nnx):
    class Block(nnx.Module):
        def __init__(self, width, rngs):
            self.linear = nnx.Linear(4, width, rngs=rngs)
            self.norm = nnx.BatchNorm(width, rngs=rngs)
            self.drop = nnx.Dropout(0.5, rngs=rngs)
            self.back = nnx.Linear(width, 4, rngs=rngs)

        def __call__(self, x):
            return x + self.back(self.drop(nnx.gelu(self.norm(self.linear(x))))), None

    class Net(nnx.Module):
        def __init__(self, rngs):
            self.blocks = nnx.List([Block(8, rngs), Block(16, rngs)])

        def __call__(self, x):
            for block in self.blocks:
                x, _ = block(x)
            return {"logits": x}

    return Net(nnx.Rngs(0))


PARTS = ("linear", "norm", "drop", "back")


def test_every_submodule_is_tapped_in_order(net):
    trace = record(adapt(net), INPUTS)
    expected = [name for i in range(2) for name in (*(f"blocks.{i}.{part}" for part in PARTS), f"blocks.{i}")]
    assert list(trace.taps) == expected
    assert list(trace.outputs) == ["logits"]


def test_the_users_module_is_never_touched(nnx, net):
    import jax

    before = nnx.split(net)
    leaves = jax.tree.leaves(before[1])
    classes = [type(module) for _, module in nnx.iter_modules(net)]
    harness.check(net, net, INPUTS)
    assert [type(module) for _, module in nnx.iter_modules(net)] == classes
    assert nnx.split(net)[0] == before[0]
    assert all(a is b for a, b in zip(leaves, jax.tree.leaves(nnx.split(net)[1]), strict=True))
    assert net.blocks[0].drop.deterministic is False


def test_it_runs_in_inference_mode_and_twice_alike(net):
    first, second = (record(adapt(net), INPUTS).outputs["logits"] for _ in range(2))
    assert np.array_equal(first, second)


def test_a_planted_fault_is_found_at_its_module(nnx, net):
    port = nnx.clone(net)
    port.blocks[1].back.bias[...] += 0.01
    found = harness.check(net, port, INPUTS)
    assert found.verdict is harness.Verdict.DIVERGE
    assert found.first.name == "blocks.1.back"


def test_a_fault_within_the_contract_is_found_in_float64(nnx, net):
    port = nnx.clone(net)
    port.blocks[0].norm.epsilon = 1e-6
    found = harness.check(net, port, INPUTS)
    assert found.verdict is harness.Verdict.WITHIN_TOLERANCE
    assert found.islands == ()
    assert harness.check(net, nnx.clone(net), INPUTS).outputs[0].rounding.error64 == 0


def test_a_module_with_a_type_of_its_own_is_widened(nnx):
    import jax.numpy as jnp

    module = nnx.Linear(4, 3, dtype=jnp.float32, rngs=nnx.Rngs(0))
    found = adapt(module).run_wide(INPUTS)
    assert (found.outputs["output"].dtype, found.islands) == (np.float64, ())
    assert module.dtype == jnp.float32


def test_a_subclass_without_a_call_of_its_own_is_tapped_too(nnx):
    class Renamed(nnx.Linear):
        pass

    class Net(nnx.Module):
        def __init__(self):
            self.inner = Renamed(4, 3, rngs=nnx.Rngs(0))

        def __call__(self, x):
            return self.inner(x)

    assert list(record(adapt(Net()), INPUTS).taps) == ["inner"]


def test_torch_and_nnx_agree_and_are_told_apart(nnx):
    torch = pytest.importorskip("torch")
    reference = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.GELU(), torch.nn.Linear(8, 3))

    class Port(nnx.Module):
        def __init__(self, *, approximate):
            self.first = nnx.Linear(4, 8, rngs=nnx.Rngs(0))
            self.last = nnx.Linear(8, 3, rngs=nnx.Rngs(0))
            self.approximate = approximate
            for mine, theirs in ((self.first, reference[0]), (self.last, reference[2])):
                mine.kernel[...] = theirs.weight.detach().numpy().T
                mine.bias[...] = theirs.bias.detach().numpy()

        def __call__(self, x):
            return self.last(nnx.gelu(self.first(x), approximate=self.approximate))

    mapping = {"0": "first", "2": "last"}
    excuse = ({"1": "a function in the port"}, {})
    found = harness.check(reference, Port(approximate=False), INPUTS, mapping=mapping, unmatched=excuse)
    assert (found.verdict, found.coverage) == (harness.Verdict.AGREE, 4 / 5)
    assert found.outputs[0].rounding.error64 < 1e-14
    faulty = harness.check(reference, Port(approximate=True), INPUTS, mapping=mapping, unmatched=excuse)
    assert faulty.verdict is harness.Verdict.WITHIN_TOLERANCE


def test_a_cache_that_is_a_tree_of_arrays_is_handed_on_and_traced_once_for_all_steps(nnx):
    import jax
    import jax.numpy as jnp

    @jax.tree_util.register_dataclass
    @dataclasses.dataclass
    class Cache:
        total: jax.Array
        tokens: jax.Array

    traced = []

    class Decoder(nnx.Module):
        """The mean of all tokens so far."""

        def __init__(self, *, forgets=False):
            self.embed, self.head = (nnx.Embed(20, 8, rngs=nnx.Rngs(0)), nnx.Linear(8, 20, rngs=nnx.Rngs(1)))
            self.forgets = forgets

        def __call__(self, input_ids, cache=None, use_cache=False):
            traced.append(input_ids.shape)
            cache = Cache(jnp.zeros(()), jnp.zeros((), int)) if cache is None else cache
            seen = cache.total + jnp.cumsum(self.embed(input_ids), axis=1)
            count = cache.tokens + 1 + jnp.arange(input_ids.shape[1])
            held = Cache(seen[:, -1:], count[-1] - self.forgets)
            logits = self.head(seen / count[:, None])
            return {"logits": logits, "cache": held} if use_cache else {"logits": logits}

    call = {"input_ids": np.arange(12).reshape(2, 6)}
    adapt(Decoder()).decode(call, [Chunk(0, 3), Chunk(3, 4), Chunk(4, 5), Chunk(5, 6)])
    assert traced == [(2, 3), (2, 1)]
    checks = ("forward", "decode")
    found = harness.check(Decoder(), Decoder(), call, checks=checks)
    assert found.verdict is harness.Verdict.AGREE
    assert [line.verdict for line in found.lines if line.check == "decode"] == [harness.Verdict.AGREE]
    faulty = harness.check(Decoder(), Decoder(forgets=True), call, checks=checks)
    assert {line.check for line in faulty.lines if line.verdict is harness.Verdict.DIVERGE} == {"decode"}
