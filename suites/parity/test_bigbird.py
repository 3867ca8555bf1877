"""BigBird's sparse attention against its definition, `fixtures/originals/bigbird_attention.py`."""

import json
import os
from itertools import cycle
from pathlib import Path

import numpy as np
import pytest

from fixtures.originals.bigbird_attention import attention, looks, mask_of, of_tokens
from harness.adapters.source import Replaced
from harness.errors import MissingError

PORTS = {"torch": "models.big_bird.modeling_big_bird", "flax": "models.big_bird.modeling_flax_big_bird"}
NAMES = ("query", "key", "value")
HEADS, WIDTH, SIZE, BLOCKS, RANDOM = 2, 6, 4, 11, 2
"""Of the attention that is tested: more blocks than 5 + 2 RANDOM, and a width whose root is no number of float32."""

PADDED = SIZE + 2
"""The last block and half of the one before."""

EXACT = 1e-12
"""Of float64, by which numbers near 1 are rounded by 1e-16: at most 3.6e-15 was measured, on 1024 tokens."""

ROUNDED = 1e-5
"""Of float32, by which numbers near 4 are rounded by 2e-7: at most 4.0e-6 was measured, on 2048 tokens."""

APART = 1e-2
"""Far above all rounding: at least 0.17 was measured where something differs."""

SPARSE = ("long_sparse", "min_sparse", "tiny_sparse", "simulated", "paper_1024", "paper_2048", "rescaled")
"""The trace's cases that look at random blocks."""

PAPER = ("paper_1024", "paper_2048")
"""Cases whose trace holds no queries, keys and values: they follow from what it holds."""

KEYS = "[blocked_{0}_matrix[:, :, 1:-3], blocked_{0}_matrix[:, :, 2:-2], blocked_{0}_matrix[:, :, 3:-1]]"
MOVED = "[blocked_{0}_matrix[:, :, :-4], blocked_{0}_matrix[:, :, 1:-3], blocked_{0}_matrix[:, :, 2:-2]]"
EDGE = "[\n                blocked_{0}_matrix[:, :, 0],\n                blocked_{0}_matrix[:, :, -3],\n"
FIRST = "        first_band_product = first_band_product * rsqrt_d\n"
FAULTS = {
    "window moved by one block": [Replaced(KEYS.format(name), MOVED.format(name)) for name in ("key", "value")],
    "window of the second-last block moved": [
        Replaced(EDGE.format(name), EDGE.format(name).replace("-3", "-4")) for name in ("key", "value")
    ],
    "first block not global": [Replaced(FIRST, FIRST.rstrip() + " - 10000.0\n")],
    "a block of the table exchanged": [],
}
"""What is replaced in the source of either port; nothing where its table is at fault."""


@pytest.fixture(autouse=True)
def kept():
    """NumPy's global state of random numbers, which the port sets."""
    state = np.random.get_state()
    yield
    np.random.set_state(state)


def trace(case):
    """The original's trace of a case; where there is none, the test is skipped."""
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from fixtures.originals.bigbird import NAME, original

    try:
        return original(case=case)
    except MissingError as error:
        pytest.skip(f"HARNESS_DATA: {NAME}.json is not there: {error.problem}")


def settings_of(case):
    """What the trace's notes say of the original's configuration."""
    from fixtures.originals.bigbird import NAME

    file = Path(os.environ["HARNESS_DATA"]) / f"{NAME}.json"
    return json.loads(file.read_text(encoding="utf-8"))["cases"][case]["config"]


def held(stored, part, name):
    """An array of the trace."""
    return stored.read(getattr(stored.index.runs[0], part)[name])


def table_of(seed=0, *, heads=HEADS, blocks=BLOCKS, random=RANDOM):
    """A table as it should be: other blocks for every head, none twice, none that is looked at anyway."""
    draw = np.random.default_rng(seed)
    free = [[block for block in range(1, blocks - 1) if abs(block - row) > 1] for row in range(1, blocks - 1)]
    return np.array([[draw.permutation(each)[:random] for each in free] for _ in range(heads)])


def faults_of(table, blocks):
    """Where a table names a block again: (head, row, block) by kind."""
    found = {"named twice": set(), "in the window": set(), "global": set()}
    for head, rows in enumerate(np.asarray(table).tolist()):
        for row, named in enumerate(rows, start=1):
            for block in named:
                assert 0 <= block < blocks
                if named.count(block) > 1:
                    found["named twice"].add((head, row, block))
                if abs(block - row) <= 1:
                    found["in the window"].add((head, row, block))
                if block in (0, blocks - 1):
                    found["global"].add((head, row, block))
    return {kind: places for kind, places in found.items() if places}


def weights_of(seed=1):
    """Kernels (in, out) and biases, by which scores are far enough apart to show who is looked at."""
    draw = np.random.default_rng(seed)
    wide = HEADS * WIDTH
    return {name: (draw.normal(size=(wide, wide)) / np.sqrt(wide), draw.normal(size=wide)) for name in NAMES}


def inputs_of(seed=2, *, padded=True, blocks=BLOCKS):
    """Two texts, of which the second may be padded."""
    hidden = np.random.default_rng(seed).normal(size=(2, blocks * SIZE, HEADS * WIDTH))
    valid = np.ones((2, blocks * SIZE), int)
    if padded:
        valid[1, -PADDED:] = 0
    return hidden, valid


def projected(hidden, weights):
    """Queries, keys and values (batch, heads, tokens, width), in float64."""
    batch, tokens, _ = hidden.shape
    flat = (hidden.astype(np.float64) @ kernel + bias for kernel, bias in (weights[name] for name in NAMES))
    return [each.reshape(batch, tokens, HEADS, -1).swapaxes(1, 2) for each in flat]


def module_of(framework):
    """The port's module, asked for anew each time: it may be corrected."""
    return pytest.importorskip(f"transformers.{PORTS[framework]}")


def configuration(**settings):
    from transformers import BigBirdConfig

    usual = {
        "vocab_size": 50,
        "hidden_size": HEADS * WIDTH,
        "num_attention_heads": HEADS,
        "num_hidden_layers": 2,
        "intermediate_size": 16,
        "max_position_embeddings": 256,
        "attention_type": "block_sparse",
        "block_size": SIZE,
        "num_random_blocks": RANDOM,
    }
    return BigBirdConfig(**usual | settings)


def look_at(layer, table):
    """Let a layer in PyTorch look at the blocks of a table, whichever plan it goes by."""
    rows = list(np.asarray(table))
    heads = cycle(rows)
    layer._bigbird_block_rand_mask = lambda *_, **__: next(heads)
    layer._bigbird_block_rand_mask_with_head = lambda *_, **__: rows


def torch_layer(table=None, *, weights=None, seed=0, **settings):
    """The port's layer in float64, which looks at a table or at what it finds by itself."""
    torch = pytest.importorskip("torch")
    layer = module_of("torch").BigBirdBlockSparseAttention(configuration(**settings), seed=seed).double().eval()
    for each, (kernel, bias) in (weights or weights_of()).items():
        linear = getattr(layer, each)
        linear.weight.data, linear.bias.data = torch.from_numpy(kernel.T.copy()), torch.from_numpy(bias)
    if table is not None:
        look_at(layer, table)
    return layer


def attend(layer, hidden, valid, nudge=None):
    """What the layer in PyTorch puts out, (batch, tokens, heads, width). nudge: what is added to keys and values."""
    torch = pytest.importorskip("torch")
    make = module_of("torch").BigBirdModel.create_masks_for_block_sparse_attn
    masks = make(torch.from_numpy(valid).double(), layer.block_size)
    blocked, band, queries, keys = masks
    added = 0.0 if nudge is None else torch.from_numpy(nudge)
    hooks = [each.register_forward_hook(lambda _, __, out: out + added) for each in (layer.key, layer.value)]
    try:
        with torch.no_grad():
            context, _ = layer(torch.from_numpy(hidden), band, queries, keys, blocked, blocked)
    finally:
        for hook in hooks:
            hook.remove()
    return context.numpy().reshape(*hidden.shape[:2], layer.num_attention_heads, -1)


def flax_layer(table, monkeypatch, *, weights):
    """The same of the port in Flax, with its call: `attend` of this layer.

    Its layers find their blocks by a function of their class, which is exchanged: an object of Flax cannot be.
    """
    jax = pytest.importorskip("jax")
    linen = pytest.importorskip("flax.linen")
    kind = module_of("flax").FlaxBigBirdBlockSparseAttention
    monkeypatch.setattr(kind, "_bigbird_block_rand_mask_with_head", lambda *_, **__: list(jax.numpy.array(table)))

    def attend_in_flax(hidden, valid, nudge=None):
        def nudged(call, given, named, context):
            out = call(*given, **named)
            return out + nudge if nudge is not None and context.module.name in ("key", "value") else out

        with jax.enable_x64(True), linen.intercept_methods(nudged):
            filled = {each: {"kernel": kernel, "bias": bias} for each, (kernel, bias) in weights.items()}
            layer = kind(configuration(), dtype=jax.numpy.float64)
            (context,) = layer.apply({"params": filled}, jax.numpy.asarray(hidden), jax.numpy.asarray(valid))
            return np.asarray(context).reshape(*hidden.shape[:2], HEADS, -1)

    return attend_in_flax


@pytest.fixture
def port(monkeypatch):
    """Makes the call of one of the ports' attention layers, given a table."""

    def make(framework, table):
        if framework == "flax":
            return flax_layer(table, monkeypatch, weights=weights_of())
        layer = torch_layer(table, weights=weights_of())
        return lambda *given: attend(layer, *given)

    return make


def looked_at(call, hidden, valid):
    """Which block looks at which, (heads, blocks, blocks): what changes at all where one block's keys and values do."""
    blocks = hidden.shape[1] // SIZE
    before = call(hidden, valid)
    columns = []
    for block in range(blocks):
        nudge = np.zeros(hidden.shape)
        nudge[:, block * SIZE : (block + 1) * SIZE] = 1.0
        changed = call(hidden, valid, nudge) != before
        columns.append(changed.reshape(len(hidden), blocks, SIZE, HEADS, -1).any(axis=(0, 2, 4)).T)
    return np.stack(columns, axis=2)


def error_of(call, looked, *, padded, blocks=BLOCKS):
    """How far a layer is off full attention under a mask, where the text is no padding; of that, what it puts out."""
    hidden, valid = inputs_of(padded=padded, blocks=blocks)
    found = call(hidden, valid)
    expected = attention(*projected(hidden, weights_of()), looked, valid)
    return np.abs(found - expected)[valid == 1].max(), found[valid == 0]


frameworks = pytest.mark.parametrize("framework", list(PORTS))
padding = pytest.mark.parametrize("padded", [False, True], ids=["whole", "padded"])


def test_mask_of_the_definition():
    """Drawn by hand: g global, w window, r random, for one head and seven blocks of one token."""
    drawn = ["ggggggg", "gwwr..g", "gwwwr.g", "g.wwwrg", "gr.wwwg", "g.r.wwg", "ggggggg"]
    table = [[[3], [4], [5], [1], [2]]]
    assert mask_of(table, 7, size=1)[0].tolist() == [[each != "." for each in row] for row in drawn]
    assert mask_of(table, 7, size=3)[0].tolist() == np.kron(mask_of(table, 7, size=1)[0], np.ones((3, 3))).tolist()


def test_attention_counts_a_key_as_often_as_it_is_looked_at():
    draw = np.random.default_rng(0)
    query, key, value = draw.normal(size=(3, 1, 1, 4, 3))
    twice = attention(query, key, value, np.array([[[1, 2, 0, 1]] * 4]), np.ones((1, 4)))
    listed = [0, 1, 1, 3]
    again = attention(query, key[:, :, listed], value[:, :, listed], np.ones((1, 4, 4), bool), np.ones((1, 4)))
    assert np.abs(twice - again).max() < EXACT


@frameworks
def test_a_block_looks_at_those_of_the_mask_and_no_other(framework, port):
    table = table_of()
    found = looked_at(port(framework, table), *inputs_of(padded=False))
    assert found.tolist() == (looks(table, BLOCKS) > 0).tolist()
    assert found[:, [0, -1]].all()
    assert found[:, :, [0, -1]].all()
    assert found[:, 1].sum(axis=1).tolist() == [4 + RANDOM] * HEADS
    assert found[:, 2:-2].sum(axis=2).tolist() == [[5 + RANDOM] * (BLOCKS - 4)] * HEADS
    assert found[:, -2].sum(axis=1).tolist() == [4 + RANDOM] * HEADS


@frameworks
@padding
def test_sparse_is_full_attention_under_the_mask(framework, padded, port):
    table = table_of()
    error, outside = error_of(port(framework, table), mask_of(table, BLOCKS, size=SIZE), padded=padded)
    assert error < EXACT
    assert (outside == 0).all()
    assert len(outside) == PADDED * padded


@padding
def test_blocks_that_are_all_looked_at_are_full_attention(padded):
    """Five blocks and the random ones: only the second and the second-last row leave one out, each another."""
    blocks = 5 + RANDOM
    table = table_of(blocks=blocks)
    every = np.ones((HEADS, blocks * SIZE, blocks * SIZE), bool)
    layer = torch_layer(table)
    hidden, valid = inputs_of(padded=padded, blocks=blocks)
    difference = np.abs(attend(layer, hidden, valid) - attention(*projected(hidden, weights_of()), every, valid))
    of_blocks = (difference.max(axis=(2, 3)) * valid).reshape(2, blocks, SIZE).max(axis=(0, 2))
    assert np.flatnonzero(of_blocks > EXACT).tolist() == [1, blocks - 2]


@frameworks
def test_a_block_that_is_named_again_counts_again(framework, port):
    """No mask says so: a table that names what is looked at anyway weighs it twice."""
    table = table_of()
    table[0, 4, 0], table[1, 6, 1] = 0, 6
    times = looks(table, BLOCKS)
    assert sorted(map(tuple, np.argwhere(times > 1).tolist())) == [(0, 5, 0), (1, 7, 6)]
    call = port(framework, table)
    assert error_of(call, of_tokens(times, size=SIZE), padded=True)[0] < EXACT
    assert error_of(call, of_tokens(times > 0, size=SIZE), padded=True)[0] > APART


@frameworks
@pytest.mark.parametrize("fault", list(FAULTS))
def test_a_planted_fault_is_caught(framework, fault, port):
    module_of(framework)
    from harness.adapters.transformers.corrected import corrected

    table = table_of()
    given = table.copy()
    if not FAULTS[fault]:
        named = {*given[1, 4], 4, 5, 6}
        given[1, 4, 0] = next(block for block in range(1, BLOCKS - 1) if block not in named)
    with corrected({PORTS[framework]: FAULTS[fault]}):
        call = port(framework, given)
        found = looked_at(call, *inputs_of(padded=False))
        error, _ = error_of(call, mask_of(table, BLOCKS, size=SIZE), padded=False)
    assert found.tolist() != (looks(table, BLOCKS) > 0).tolist()
    assert error > APART


def drawn_by(layer, tokens):
    """The table that a layer in PyTorch looks at, (heads, blocks - 2, random)."""
    seen = []
    make = layer._create_rand_mask_from_inputs

    def noted(queries, keys, table, *rest):
        seen.append(table[0].numpy())
        return make(queries, keys, table, *rest)

    layer._create_rand_mask_from_inputs = noted
    attend(layer, np.zeros((1, tokens, layer.query.in_features)), np.ones((1, tokens), int))
    (table,) = seen
    return table


def test_in_training_the_port_looks_at_what_it_draws():
    """The same blocks in every call, from the layer's seed: what changes where a block does is what it drew."""
    layer = torch_layer(seed=3).train()
    table = drawn_by(torch_layer(seed=3).train(), BLOCKS * SIZE)
    assert (table[0] != table[1]).any()
    found = looked_at(lambda *given: attend(layer, *given), *inputs_of(padded=False))
    assert found.tolist() == (looks(table, BLOCKS) > 0).tolist()


@pytest.mark.parametrize("random", [1, 2, 3, 4])
def test_random_blocks_by_the_general_plan(random):
    """For more than 5 + 2r blocks: the first 5 + 2r are drawn from. With 5 + r blocks, all that are left are drawn."""
    for blocks in (5 + random, 6 + 2 * random, 9 + 2 * random, 30):
        for seed in range(4):
            layer = torch_layer(seed=seed, num_random_blocks=random).train()
            table = drawn_by(layer, blocks * SIZE)
            assert table.shape == (HEADS, blocks - 2, random)
            assert faults_of(table, blocks) == {}, (blocks, seed)
            assert table.max() < 5 + 2 * random


@pytest.mark.parametrize("random", [1, 2, 3, 4])
def test_where_the_general_plan_has_too_few_blocks(random):
    """For a text of 5 to 5 + 2r blocks, the function that the port has from the original raises, but for 5 + r; or it
    names one block r times where no other is left. The port's model does not get there: it attends fully.
    """
    outcomes = {}
    for blocks in range(5, 7 + 2 * random):
        layer = torch_layer(num_random_blocks=random).train()
        try:
            faults = faults_of(drawn_by(layer, blocks * SIZE), blocks)
        except ValueError as error:
            outcomes[blocks] = str(error)[:31]
        else:
            outcomes[blocks] = " ".join(faults) or "whole"
    expected = dict.fromkeys(range(5, 6 + 2 * random), "could not broadcast input array")
    expected |= {5 + random: "whole", 6 + 2 * random: "whole"}
    if random in (2, 3):
        expected[6] = "named twice"
    assert outcomes == expected


@pytest.mark.parametrize(
    ("longest", "tokens", "kinds"),
    [
        (4096, 4096, set()),
        (4096, 3072, set()),
        (4096, 1024, {"global"}),
        (2048, 1024, {"global"}),
        (1024, 1024, {"in the window"}),
    ],
)
def test_random_blocks_by_the_plan_of_the_paper(longest, tokens, kinds):
    """For texts of 1024, 3072 and 4096 tokens, drawn from the first 1024.

    With 1024 tokens, the last block that is drawn from is the last of the text, which is global. The original draws for
    4096 tokens whatever the model's longest text is; the port for that longest text, and where it has 1024 tokens, the
    rows before the last draw from all blocks between the global ones, their windows too.
    """
    size = 64
    blocks, found = tokens // size, {}
    for seed in range(10):  # a row of 1024 tokens draws the last block with one of five
        settings = {"block_size": size, "num_random_blocks": 3, "max_position_embeddings": longest}
        table = drawn_for_the_paper(torch_layer(seed=seed, **settings).train())[:, : blocks - 2]
        for kind, places in faults_of(table, blocks).items():
            found.setdefault(kind, set()).update(places)
    assert set(found) == kinds
    assert {block for _, _, block in found.get("global", ())} <= {blocks - 1}
    assert {row for _, row, _ in found.get("in the window", ())} <= {blocks - 3, blocks - 2}


def drawn_for_the_paper(layer):
    """What a layer's function for the paper's lengths draws, as its call does, without the attention."""
    longest, size = layer.max_seqlen, layer.block_size
    draw = layer._bigbird_block_rand_mask
    np.random.seed(layer.seed)
    heads = range(layer.num_attention_heads)
    return np.stack([draw(longest, longest, size, size, layer.num_random_blocks, last_idx=1024) for _ in heads])


@pytest.mark.parametrize("tokens", [BLOCKS * SIZE, 1024])
def test_in_inference_the_port_looks_at_the_first_block_again(tokens):
    """In place of random blocks, by either plan: it counts 1 + r times, as under no mask."""
    size = SIZE if tokens < 1024 else 128
    layer = torch_layer(block_size=size, max_position_embeddings=1024)
    blocks = tokens // size
    table = drawn_by(layer, tokens)
    assert table.shape == (HEADS, blocks - 2, RANDOM)
    assert not table.any()
    times = looks(table, blocks)
    assert (times[:, 1:-1, 0] == 1 + RANDOM).all()
    hidden = np.random.default_rng(2).normal(size=(1, tokens, HEADS * WIDTH))
    valid = np.ones((1, tokens), int)
    found = attend(layer, hidden, valid)
    for looked, within in ((times, True), (times > 0, False)):
        expected = attention(*projected(hidden, weights_of()), of_tokens(looked, size=size), valid)
        error = np.abs(found - expected).max()
        assert error < EXACT if within else error > APART


@pytest.mark.parametrize("training", [False, True])
def test_a_call_sets_numpys_random_numbers(training):
    """What is drawn from NumPy's global state after a call does not depend on what was before, also in inference."""
    layer = torch_layer(seed=5).train(training)
    after = []
    for seed in (1, 2):
        np.random.seed(seed)
        attend(layer, *inputs_of())
        after.append(np.random.random())
    assert after[0] == after[1]
    assert (after[0] == np.random.RandomState(5).random()) != training


def test_in_flax_no_random_block_is_found_by_the_general_plan(monkeypatch):
    tables = flax_tables(monkeypatch, BLOCKS * SIZE, block_size=SIZE)
    assert not tables.any()


def test_in_flax_all_heads_have_the_same_random_blocks(monkeypatch):
    """By the paper's plan: all rows of all heads are drawn with one key. In PyTorch the heads differ."""
    table = flax_tables(monkeypatch, 1024, block_size=128)
    assert table.shape == (HEADS, 6, RANDOM)
    assert (table[0] == table[1]).all()
    of_torch = drawn_by(torch_layer(block_size=128, max_position_embeddings=1024).train(), 1024)
    assert (of_torch[0] != of_torch[1]).any()


def flax_tables(monkeypatch, tokens, *, block_size):
    """The table that the layer in Flax looks at in training, (heads, blocks - 2, random)."""
    jax = pytest.importorskip("jax")
    pytest.importorskip("flax")
    kind = module_of("flax").FlaxBigBirdBlockSparseAttention

    class FoundError(Exception):
        """With the table: what comes after it, operation by operation, takes long."""

    def noted(self, queries, keys, table, *_):
        raise FoundError(np.asarray(table[0]))

    monkeypatch.setattr(kind, "_create_rand_mask_from_inputs", noted)
    config = configuration(block_size=block_size, max_position_embeddings=1024)
    filled = {each: {"kernel": kernel, "bias": bias} for each, (kernel, bias) in weights_of().items()}
    hidden, valid = jax.numpy.zeros((1, tokens, HEADS * WIDTH)), jax.numpy.ones((1, tokens), "i4")
    keys = {"indices": jax.random.PRNGKey(0)}
    with pytest.raises(FoundError) as found:
        kind(config).apply({"params": filled}, hidden, valid, deterministic=False, rngs=keys)
    return found.value.args[0]


def test_without_the_trace_a_test_is_skipped_and_says_why(monkeypatch, tmp_path):
    monkeypatch.delenv("HARNESS_DATA", raising=False)
    with pytest.raises(pytest.skip.Exception) as unset:
        trace("long_sparse")
    assert str(unset.value).startswith("HARNESS_DATA: bigbird_original_trace.json is not there: ")
    assert "HARNESS_DATA names no folder" in str(unset.value)
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path))
    with pytest.raises(pytest.skip.Exception) as empty:
        trace("long_sparse")
    assert str(empty.value).startswith("HARNESS_DATA: bigbird_original_trace.json is not there: ")
    assert str(empty.value).endswith(f"no bigbird_original_trace.json in {tmp_path}")


NAMED_AGAIN = {
    0: {(0, 8, 15), (0, 10, 15), (1, 7, 15), (1, 13, 15), (2, 2, 15), (2, 11, 15)},
    1: {(0, 3, 15), (1, 2, 15), (1, 9, 15), (2, 5, 15), (3, 5, 15)},
}
"""Where the original's tables for 1024 tokens name the last block, which is global: (head, row, block) by layer."""


@pytest.mark.parametrize("case", SPARSE)
def test_random_blocks_of_the_original(case):
    """They are none that is looked at anyway, and none twice; but with 1024 tokens, some are the last block."""
    stored, said = trace(case), settings_of(case)
    blocks = said["max_encoder_length"] // said["block_size"]
    for layer in range(said["num_hidden_layers"]):
        table = held(stored, "taps", f"layer_{layer}/rand_attn")
        assert table.shape == (said["num_attention_heads"], blocks - 2, said["num_rand_blocks"])
        expected = {"global": NAMED_AGAIN[layer]} if case == "paper_1024" else {}
        assert faults_of(table, blocks) == expected
        assert all((table[head] != table[0]).any() for head in range(1, len(table)))


LENGTHS = Replaced("if from_seq_len in [1024, 3072, 4096]:", "if from_seq_len in [1024, 2048, 3072, 4096]:")
"""The texts whose random blocks are drawn by the paper's plan: in the port, and in the original."""


def tables_of(stored, case):
    """The original's random blocks and the port's in training, layer by layer."""
    from fixtures.originals.bigbird import port as port_of

    tokens = settings_of(case)["max_encoder_length"]
    model = port_of(stored, {}, case=case, tables=False).double().train()
    for number, layer in enumerate(model.encoder.layer):
        yield held(stored, "taps", f"layer_{number}/rand_attn"), drawn_by(layer.attention.self, tokens)


@pytest.mark.parametrize("case", [case for case in SPARSE if case != "paper_2048"])
def test_in_training_the_port_draws_the_blocks_of_the_original(case):
    for expected, found in tables_of(trace(case), case):
        assert found.tolist() == expected.tolist()


def test_for_2048_tokens_the_port_draws_other_blocks():
    """By the general plan, where the original draws by the paper's."""
    stored = trace("paper_2048")
    from harness.adapters.transformers.corrected import corrected

    for expected, found in tables_of(stored, "paper_2048"):
        assert (found != expected).any(axis=(1, 2)).all()
        assert expected.max() == 15
        assert found.max() == 9
    with corrected({PORTS["torch"]: [LENGTHS]}):
        for expected, found in tables_of(stored, "paper_2048"):
            assert found.tolist() == expected.tolist()


def seen_by(stored, said, layer):
    """Queries, keys and values of the original's layer; where the trace has none, of its weights and inputs."""
    if f"layer_{layer}/query" in stored.index.runs[0].taps:
        return [held(stored, "taps", f"layer_{layer}/{name}") for name in NAMES]
    hidden = held(stored, "taps", f"layer_{layer - 1}/output" if layer else "embeddings_layernorm").astype(np.float64)
    place = f"bert/encoder/layer_{layer}/attention/self"
    weight = {name: stored.read(key) for name, key in stored.index.weights.items() if name.startswith(place)}
    flat = [hidden @ weight[f"{place}/{name}/kernel"] + weight[f"{place}/{name}/bias"] for name in NAMES]
    return [each.reshape(*hidden.shape[:2], said["num_attention_heads"], -1).swapaxes(1, 2) for each in flat]


@pytest.mark.parametrize("case", ["short_full", *(case for case in SPARSE if case != "simulated")])
def test_the_original_obeys_the_definition(case):
    stored, said = trace(case), settings_of(case)
    valid = held(stored, "inputs", "attention_mask")
    size, sparse = said["block_size"], said["attention_type"] == "block_sparse"
    tokens = valid.shape[1]
    for layer in range(said["num_hidden_layers"]):
        assert (f"layer_{layer}/query" in stored.index.runs[0].taps) == (case not in PAPER)
        looked = np.ones((said["num_attention_heads"], tokens, tokens), bool)
        if sparse:
            looked = mask_of(held(stored, "taps", f"layer_{layer}/rand_attn"), tokens // size, size=size)
        found = held(stored, "taps", f"layer_{layer}/attention_context")
        expected = attention(*seen_by(stored, said, layer), looked, valid)
        assert np.abs(found - expected)[valid == 1].max() < ROUNDED
        assert (found[valid == 0] == 0).all() == sparse
    if case == "paper_1024":  # which cannot show whether a block that is named again counts again: it is padding
        assert not valid[:, -size:].any()


@pytest.mark.parametrize("fault", ["table of the next layer", "window moved by one block", "last block not global"])
def test_a_mask_at_fault_is_not_what_the_original_obeys(fault):
    stored, said = trace("rescaled"), settings_of("rescaled")
    valid, size = held(stored, "inputs", "attention_mask"), said["block_size"]
    blocks = valid.shape[1] // size
    tables = [held(stored, "taps", f"layer_{layer}/rand_attn") for layer in range(2)]
    by_blocks = looks(tables[fault == "table of the next layer"], blocks)
    if fault == "window moved by one block":
        by_blocks[:, range(2, blocks - 2), range(3, blocks - 1)] = 0
    elif fault == "last block not global":
        by_blocks[:, 1:-2, -1] = 0
    expected = attention(*seen_by(stored, said, 0), of_tokens(by_blocks, size=size), valid)
    assert np.abs(held(stored, "taps", "layer_0/attention_context") - expected)[valid == 1].max() > APART


def test_the_original_computes_the_same_by_its_own_mask():
    """Its `simulated_sparse` is full attention under a mask, which it makes itself, by the same tables."""
    sparse, full = trace("long_sparse"), trace("simulated")
    valid = held(sparse, "inputs", "attention_mask")
    both = [held(each, "outputs", "last_hidden_state") for each in (sparse, full)]
    assert np.abs(both[0] - both[1])[valid == 1].max() < ROUNDED
    for layer in range(3):
        name = f"layer_{layer}/rand_attn"
        assert held(sparse, "taps", name).tolist() == held(full, "taps", name).tolist()


@pytest.mark.parametrize("name", ["min-sparse", "own-blocks"])
def test_flax_twin_computes_what_pytorch_does(name, monkeypatch):
    """By the original's tables; and by none, in inference, where both look at the first block in their place."""
    torch = pytest.importorskip("torch")
    jax = pytest.importorskip("jax")
    pytest.importorskip("flax")
    trace("min_sparse")
    from harness import find_cases, find_repository
    from harness.adapters.transformers.twins import to_flax
    from harness.parity.case import Parts

    repository = find_repository(Path(__file__))
    (case,) = find_cases(repository, f"original-bigbird-{name}")
    parts = Parts(case, repository)
    stored = parts.reference()
    model = parts.port(stored)
    twins = to_flax(model, "FlaxBigBirdModel", model.config, seed=0)
    assert (twins.missing, twins.unexpected) == ((), ())
    if name == "min-sparse":
        monkeypatch.setattr(
            module_of("flax").FlaxBigBirdBlockSparseAttention,
            "_bigbird_block_rand_mask_with_head",
            lambda layer, **_: list(held(stored, "taps", f"layer_{layer.block_sparse_seed}/rand_attn")),
        )
    inputs = {each: held(stored, "inputs", each) for each in stored.index.runs[0].inputs}
    with torch.no_grad():
        ours = model(**{each: torch.from_numpy(array).long() for each, array in inputs.items()})
    theirs = twins.port(**{each: jax.numpy.asarray(array) for each, array in inputs.items()})
    valid = inputs["attention_mask"] == 1
    for output in ("last_hidden_state", "pooler_output"):
        found, expected = np.asarray(theirs[output]), ours[output].numpy()
        assert np.abs(found - expected).max() < ROUNDED
        original, chosen = held(stored, "outputs", output), valid if found.ndim == 3 else slice(None)
        assert (np.abs(found - original)[chosen].max() < ROUNDED) == (name == "min-sparse")


LIMIT = (5 + 2 * RANDOM) * SIZE
"""The longest text to which the port attends fully."""


def model_of(**settings):
    pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from fixtures.originals.weights import drawn

    return drawn(lambda: transformers.BigBirdModel(configuration(**settings)))


def read(model, tokens, *, seed=0, **further):
    """What the model makes of a text, and of its first token."""
    torch = pytest.importorskip("torch")
    text = torch.from_numpy(np.random.default_rng(seed).integers(1, 50, (1, 2 * LIMIT)))[:, :tokens]
    with torch.no_grad():
        made = model(text, **further)
    return made.last_hidden_state.numpy(), made.pooler_output.numpy()


@pytest.mark.parametrize("tokens", [1, SIZE, LIMIT - 1, LIMIT])
def test_a_short_text_is_attended_to_fully(tokens):
    full = model_of(attention_type="original_full")
    for expected, found in zip(read(full, tokens), read(model_of(), tokens)):
        assert (found == expected).all()


@pytest.mark.parametrize("tokens", [LIMIT + 1, LIMIT + SIZE, 2 * LIMIT])
def test_a_longer_text_is_not(tokens):
    full = model_of(attention_type="original_full")
    for expected, found in zip(read(full, tokens), read(model_of(), tokens)):
        assert np.abs(found - expected).max() > APART


def test_after_a_short_text_longer_ones_are_attended_to_fully():
    """By the same object, for good: what it makes of a text depends on those that it has seen before."""
    long, model = 2 * LIMIT, model_of()
    fresh = read(model, long)[0]
    assert (read(model, long)[0] == fresh).all()
    read(model, LIMIT)
    after = read(model, long)[0]
    assert np.abs(after - fresh).max() > APART
    assert (after == read(model_of(attention_type="original_full"), long)[0]).all()
    assert model.config.attention_type == "block_sparse"
    assert (read(model.eval(), long)[0] == after).all()
    model.set_attention_type("block_sparse")  # which nobody else does
    assert (read(model, long)[0] == fresh).all()


@pytest.mark.parametrize("short", range(1, SIZE))
@pytest.mark.parametrize("embedded", [False, True], ids=["tokens", "embeddings"])
def test_a_length_that_is_no_multiple_is_padded(short, embedded):
    """What stands there, given by the caller or by the model, changes nothing before it."""
    torch = pytest.importorskip("torch")
    whole = 2 * LIMIT
    tokens, model = whole - short, model_of()
    text = torch.from_numpy(np.random.default_rng(0).integers(1, 50, (1, whole)))
    padded = {"attention_mask": (torch.arange(whole) < tokens)[None].long()}
    found = []
    with torch.no_grad():
        given = {"inputs_embeds": model.embeddings.word_embeddings(text[:, :tokens])} if embedded else {}
        found.append(model(**given or {"input_ids": text[:, :tokens]}))
        for other in (text, (text + 7) % 50, torch.zeros_like(text)):
            other[:, :tokens] = text[:, :tokens]
            types = {"token_type_ids": torch.where(padded["attention_mask"] == 1, 0, other % 2)}
            found.append(model(other, **padded, **types))
    first = found[0]
    assert first.last_hidden_state.shape[:2] == (1, tokens)
    for each in found[1:]:
        assert torch.equal(each.last_hidden_state[:, :tokens], first.last_hidden_state)
        assert torch.equal(each.pooler_output, first.pooler_output)


def test_padding_by_a_whole_block_is_no_matter_of_indifference():
    """The last block is global, whatever it holds: where it is padding, the text has one global block less."""
    torch = pytest.importorskip("torch")
    tokens, model = 2 * LIMIT - SIZE, model_of()
    valid = (torch.arange(2 * LIMIT) < tokens)[None].long()
    alone, padded = read(model, tokens)[0], read(model, 2 * LIMIT, attention_mask=valid)[0][:, :tokens]
    assert np.abs(alone - padded).max() > APART
    full = model_of(attention_type="original_full")
    alone, padded = read(full, tokens)[0], read(full, 2 * LIMIT, attention_mask=valid)[0][:, :tokens]
    assert np.abs(alone - padded).max() < ROUNDED
