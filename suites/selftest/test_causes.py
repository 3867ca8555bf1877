"""Each cause of the catalogue, planted; none is named where another is planted, or none of the catalogue."""

import numpy as np
import pytest

from harness.adapters.protocols import Call
from harness.parity.causes import prove
from harness.parity.causes.activations import ACTIVATIONS
from harness.parity.causes.convolutions import Convolution
from suites.selftest.causes import cause, evidence, inside, name

RNG = np.random.default_rng(0)
WIDTH = 8


NORM = {"weight": RNG.normal(1, 0.3, WIDTH), "bias": RNG.normal(0, 0.3, WIDTH)}


def norm(x, epsilon=1e-5, mean=True, weight=NORM["weight"], bias=NORM["bias"], power=0.5, ddof=0):
    around = x - x.mean(-1, keepdims=True) if mean else x
    variance = (around**2).sum(-1, keepdims=True) / (x.shape[-1] - ddof)
    return around / (variance + epsilon) ** power * weight + bias


@pytest.mark.parametrize(
    ("wrong", "wanted"),
    [
        ({"epsilon": 1e-6}, "epsilon"),
        ({"epsilon": 3.3e-4}, "epsilon"),
        ({"mean": False}, "mean subtracted"),
        ({"weight": 1.0}, "weight unused"),
        ({"weight": 1 + NORM["weight"]}, "1 + weight"),
        ({"bias": 0.0}, "bias missing"),
        ({"power": 1.0}, "variance for deviation"),
        ({"ddof": 1}, "unbiased variance"),
    ],
)
def test_norms(wrong, wanted):
    def make(generator):
        x = generator.normal(0, 0.5, (2, 5, WIDTH))
        return evidence(norm(x), norm(x, **wrong), {"x": x}, NORM)

    assert name(make) == wanted


def test_a_fitted_epsilon_is_named_with_its_value():
    def make(generator):
        x = generator.normal(0, 0.1, (2, 5, WIDTH))
        return evidence(norm(x, 1e-12), norm(x, 3.3e-4), {"x": x}, NORM)

    found = cause(make)
    assert found.detail == "epsilon 0.00033 in the port, 1e-12 in the reference"
    assert found.inputs == 3
    assert found.before > 1e-3
    assert found.after < 1e-12


@pytest.mark.parametrize("wrong", [each for each in ACTIVATIONS if each != "erf GELU"])
def test_activations(wrong):
    def make(generator):
        x = generator.normal(0, 3, (2, 5, WIDTH))
        return evidence(ACTIVATIONS["erf GELU"](x), ACTIVATIONS[wrong](x), {"x": x})

    found = cause(make)
    assert found.name == "activation"
    assert found.detail == f"{wrong} in the port, erf GELU in the reference"


KERNEL, OFFSET = RNG.normal(size=(WIDTH, WIDTH)), RNG.normal(size=WIDTH)
OTHER = RNG.normal(size=(WIDTH, WIDTH))


@pytest.mark.parametrize(
    ("kernel", "offset", "wanted"),
    [
        (KERNEL, 0 * OFFSET, "bias missing"),
        (KERNEL.T, OFFSET, "kernel transposed"),
        (KERNEL[::-1], OFFSET, "kernel reversed"),
        (OTHER, OFFSET, "weights of another module"),
        (2 * KERNEL, 2 * OFFSET, "scale"),
    ],
)
def test_matrix_products(kernel, offset, wanted):
    every = {"module.weight": KERNEL, "module.bias": OFFSET, "other.weight": OTHER}

    def make(generator):
        x = generator.normal(size=(2, 5, WIDTH))
        weights = {"weight": KERNEL, "bias": OFFSET}
        return evidence(x @ KERNEL.T + OFFSET, x @ kernel.T + offset, {"x": x}, weights, every=every)

    assert name(make) == wanted


def test_a_single_element_that_is_another():
    held = KERNEL.copy()
    held[3, 2] += 1

    def make(generator):
        x = generator.normal(size=(2, 5, WIDTH))
        return evidence(x @ KERNEL.T, x @ held.T, {"x": x}, {"weight": KERNEL}, theirs={"weight": held})

    found = cause(make)
    assert found.name == "corrupted element"
    assert "at [3, 2]" in found.detail


TABLE = RNG.normal(size=(20, WIDTH))


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        (lambda ids: ids + 2, "position offset"),
        (lambda ids: np.minimum(ids, 7), "rows end"),
        (np.zeros_like, "default row"),
    ],
)
def test_tables(change, wanted):
    def make(generator):
        ids = generator.permutation(16).reshape(2, 8)
        return evidence(TABLE[ids], TABLE[change(ids)], {"ids": ids}, {"weight": TABLE})

    assert name(make) == wanted


@pytest.mark.parametrize(
    ("wrong", "wanted"),
    [
        (lambda seen: ~seen, "mask inverted"),
        (np.ones_like, "mask ignored"),
        (lambda seen: seen | np.eye(6, k=1, dtype=bool), "causal off by one"),
        (lambda seen: seen & ~np.tri(6, k=-3, dtype=bool), "window"),
    ],
)
def test_masks(wrong, wanted):
    def make(generator):
        seen = np.tri(6, dtype=bool) & (generator.random((2, 1, 1, 6)) < 0.9)
        more = {"child": "inner", "leaf": "mask", "is_mask": True}
        return evidence(seen, wrong(seen), {}, **more)

    assert name(make) == wanted


def test_positions_that_are_handed_on():
    def make(generator):
        ids = generator.permutation(12).reshape(2, 6)
        return evidence(ids, ids + 1, {}, child="inner", leaf="position_ids")

    found = cause(make)
    assert (found.name, found.detail) == ("position offset", "position_ids: each is +1")


def test_a_residual():
    def make(generator):
        x, y = generator.normal(size=(2, 2, 5, WIDTH))
        inside = {"inner": Call("inner", "module", "Inner", {}, {"": y})}
        return evidence(x + y, y, {"x": x}, inside=inside)

    found = cause(make)
    assert (found.name, found.detail) == ("residual missing", "x is not added")


def attention(q, k, v, seen, *, scale=0.5, heads_first=True, axis=-1):
    def split(array):
        if heads_first:
            return array.reshape(2, 6, 2, 4).swapaxes(1, 2)
        return array.reshape(2, 6, 4, 2).transpose(0, 3, 1, 2)

    scores = split(q) @ split(k).swapaxes(-1, -2) * scale
    scores = np.where(seen, scores, np.finfo(float).min)
    powers = np.exp(scores - scores.max(axis, keepdims=True))
    mixed = powers / powers.sum(axis, keepdims=True) @ split(v)
    return mixed.swapaxes(1, 2).reshape(2, 6, 8)


@pytest.mark.parametrize(
    ("wrong", "wanted"),
    [
        ({"scale": 1.0}, "attention scale"),
        ({"scale": 0.25}, "attention scale"),
        ({"heads_first": False}, "head split order"),
        ({"axis": -2}, "softmax axis"),
        ({"seen": np.ones((2, 1, 1, 6), bool)}, "mask ignored"),
        ({"swap": True}, "query and key swapped"),
    ],
)
def test_attention(wrong, wanted):
    def make(generator):
        q, k, v = generator.normal(size=(3, 2, 6, 8))
        seen = np.ones((2, 1, 1, 6), bool)
        seen[1, ..., 4:] = False
        changed = dict(wrong)
        ours = (k, q, v) if changed.pop("swap", False) else (q, k, v)
        inside = {
            f"module.{part}": Call(f"module.{part}", "module", "Linear", {}, {"": array})
            for part, array in zip(("query", "key", "value"), (q, k, v), strict=True)
        }
        got = attention(*ours, **{"seen": seen, **changed})
        return evidence(attention(q, k, v, seen), got, {"attention_mask": seen}, inside=inside)

    assert name(make) == wanted


@pytest.mark.parametrize(
    ("wrong", "wanted"),
    [
        (lambda x: 3 * x, "scale"),
        (lambda x: x + np.arange(WIDTH), "constant"),
        (lambda x: x[..., ::-1], "order"),
        (lambda x: np.clip(x, -1, 1), "clipped"),
        (lambda x: 2 * np.tanh(x / 2), "soft cap"),
        (lambda x: x.astype(np.float16).astype(float), "cast"),
    ],
)
def test_outputs_of_a_module_of_any_kind(wrong, wanted):
    def make(generator):
        x = generator.normal(size=(2, 5, WIDTH))
        made = np.cumsum(np.sin(3 * x), axis=-1)
        return evidence(made, wrong(made), {"x": x})

    assert name(make) == wanted


def turned(x, positions, base=1e4, paired=False):
    """Rotary embedding of (batch, heads, tokens, 4) by complex numbers, which the model does not use."""
    angles = positions[:, None, :, None] * base ** -(np.arange(2) / 2)
    first, second = (x[..., ::2], x[..., 1::2]) if paired else (x[..., :2], x[..., 2:])
    both = (first + 1j * second) * np.exp(1j * angles)
    parts = (both.real, both.imag)
    return np.stack(parts, axis=-1).reshape(x.shape) if paired else np.concatenate(parts, axis=-1)


def grouped(q, k, v, positions, *, base=1e4, paired=False, tiled=False, queries=True, keys=True):
    q, k, v = (each.reshape(2, 6, -1, 4).swapaxes(1, 2) for each in (q, k, v))
    q = turned(q, positions, base, paired) if queries else q
    k = turned(k, positions, base, paired) if keys else k
    order = [0, 1, 0, 1] if tiled else [0, 0, 1, 1]
    scores = np.einsum("bhqd,bhkd->bhqk", q, k[:, order]) / 2
    powers = np.exp(scores)
    mixed = np.einsum("bhqk,bhkd->bqhd", powers / powers.sum(-1, keepdims=True), v[:, order])
    return mixed.reshape(2, 6, 16)


@pytest.mark.parametrize(
    ("wrong", "wanted"),
    [
        ({"tiled": True}, "groups tiled"),
        ({"paired": True}, "rotary pairing"),
        ({"queries": False}, "rotary not applied"),
        ({"keys": False}, "rotary not applied"),
        ({"base": 5e5}, "rotary base"),
    ],
)
def test_rotary_attention_in_groups(wrong, wanted):
    def make(generator):
        q, k, v = generator.normal(size=(2, 6, 16)), *generator.normal(size=(2, 2, 6, 8))
        positions = np.tile(np.arange(6), (2, 1))
        angles = np.concatenate([positions[..., None] * 1e4 ** -(np.arange(2) / 2)] * 2, axis=-1)
        inputs = {"position_embeddings[0]": np.cos(angles), "position_embeddings[1]": np.sin(angles)}
        inside = {
            f"module.{part}": Call(f"module.{part}", "module", "Linear", {}, {"": array})
            for part, array in (("q_proj", q), ("k_proj", k), ("v_proj", v))
        }
        right, got = grouped(q, k, v, positions), grouped(q, k, v, positions, **wrong)
        return evidence(right, got, inputs, inside=inside)

    assert name(make) == wanted


@pytest.mark.parametrize(
    ("table", "wanted"),
    [
        (lambda ids: ids[..., None] * 5e5 ** -(np.arange(4) / 4), "rotary base"),
        (lambda ids: np.minimum(ids, 5)[..., None] * 1e4 ** -(np.arange(4) / 4), "positions end"),
        (lambda ids: (ids + 1)[..., None] * 1e4 ** -(np.arange(4) / 4), "position offset"),
    ],
)
def test_rotary_tables(table, wanted):
    def make(generator):
        ids = generator.permutation(16).reshape(2, 8)
        right = np.cos(np.concatenate([ids[..., None] * 1e4 ** -(np.arange(4) / 4)] * 2, axis=-1))
        got = np.cos(np.concatenate([table(ids)] * 2, axis=-1))
        return evidence(right, got, {"x": generator.normal(size=(2, 8, 8)), "position_ids": ids})

    assert name(make) == wanted


@pytest.mark.parametrize(
    ("wrong", "wanted"),
    [
        (lambda x: x.mean(1), "pooling"),
        (lambda x: x[:, -1], "pooling"),
        (lambda x: np.repeat(x[:1, 0], 2, axis=0), "first row for all"),
    ],
)
def test_pooling(wrong, wanted):
    def make(generator):
        x = generator.normal(size=(2, 5, WIDTH))
        return evidence(x[:, 0], wrong(x), {"x": x}, child="inner")

    assert name(make) == wanted


MEANS = {
    "the mean of all tokens": lambda x, mask: x.mean(1),
    "the sum without padding by the number of all tokens": lambda x, mask: (x * mask[..., None]).mean(1),
    "the largest without padding": lambda x, mask: np.where(mask[..., None] == 1, x, -9).max(1),
    "the last token that is no padding": lambda x, mask: x[[0, 1], [4, 2]],
}


@pytest.mark.parametrize("wrong", MEANS)
def test_pooling_that_counts_padding(wrong):
    """Also of what a module inside puts out, where the model itself pools and hands on."""

    def make(generator):
        x, mask = generator.normal(size=(2, 5, WIDTH)), np.array([[1] * 5, [1] * 3 + [0] * 2])
        right = (x * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
        given = {"input_ids": np.arange(10).reshape(2, 5), "attention_mask": mask}
        return evidence(right, MEANS[wrong](x, mask), given, inside=inside(norm=x), child="module.head")

    found = cause(make)
    assert (found.name, found.detail) == ("pooling", f"{wrong} in the port, the mean without padding in the reference")


def test_another_mean_is_no_pooling_that_is_known():
    def make(generator):
        x, mask = generator.normal(size=(2, 5, WIDTH)), np.array([[1] * 5, [1] * 3 + [0] * 2])
        right = (x * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
        got = x[:, 1:4].mean(1)
        return evidence(right, got, {"attention_mask": mask}, inside=inside(norm=x), child="module.head")

    assert name(make) is None


def test_a_module_that_does_nothing():
    def make(generator):
        x = generator.normal(size=(2, 5, WIDTH))
        return evidence(norm(x), x, {"x": x}, NORM)

    assert name(make) == "module skipped"


def test_a_head_that_is_not_tied():
    def make(generator):
        x = generator.normal(size=(2, 5, WIDTH))
        weights, more = {"weight": TABLE}, {"tied": "embed.weight", "every": {"embed.weight": TABLE}}
        held = np.random.default_rng(9).normal(size=TABLE.shape)
        return evidence(x @ TABLE.T, x @ held.T, {"x": x}, weights, theirs={"weight": held}, **more)

    found = cause(make)
    assert found.name == "head not tied"
    assert found.detail.startswith("the reference uses embed.weight")


FILTER = RNG.normal(size=(4, 3, 3, 3))


@pytest.mark.parametrize(
    ("wrong", "wanted"),
    [
        ({"stride": 2}, "convolution stride"),
        ({"before": 0, "after": 2}, "convolution padding"),
        ({"before": 0, "after": 0}, "convolution padding"),
        ({"dilation": 2, "before": 2, "after": 2}, "convolution dilation"),
        ({"flipped": (2, 3)}, "kernel reversed"),
        ({"transposed": True}, "kernel transposed"),
        ({"bias": False}, "bias missing"),
    ],
)
def test_convolutions(wrong, wanted):
    weights = {"weight": FILTER, "bias": RNG.normal(size=4)}

    def make(generator):
        x = generator.normal(size=(2, 3, 9, 9))
        plain = evidence(np.zeros((2, 4, 9, 9)), x, {"x": x}, weights)
        form = {"before": 1, "after": 1}
        return evidence(Convolution(**form)(plain), Convolution(**{**form, **wrong})(plain), {"x": x}, weights)

    assert name(make) == wanted


def test_padding_that_depends_on_the_size():
    def make(generator):
        size = int(generator.integers(8, 12))
        x = generator.normal(size=(2, 3, size, size))
        before = 1 - (size + 1) % 2  # of 3 places at stride 2 an even size lacks one, and it is put at the end
        plain = evidence(np.zeros(1), x, {"x": x}, {"weight": FILTER})
        got = Convolution(2, before, 1)(plain)
        return evidence(Convolution(2, 1, 1)(plain), got, {"x": x}, {"weight": FILTER})

    found = cause(make, inputs=6)
    assert (found.name, found.detail) == ("convolution padding", "SAME in the port, 1 around in the reference")


def test_the_model_of_a_convolution_is_that_of_torch():
    torch = pytest.importorskip("torch")
    x = RNG.normal(size=(2, 6, 9, 9))
    kernel = RNG.normal(size=(4, 3, 3, 3))
    wanted = torch.nn.functional.conv2d(*map(torch.from_numpy, (x, kernel)), stride=2, padding=1, groups=2).numpy()
    made = Convolution(2, 1, 1)(evidence(wanted, x, {"x": x}, {"weight": kernel}))
    np.testing.assert_allclose(made, wanted, atol=1e-12)


def test_none_is_named_where_none_fits():
    def make(generator):
        x = generator.normal(size=(2, 5, WIDTH))
        return evidence(norm(x), norm(x) + 1e-3 * np.sin(7 * x), {"x": x}, NORM)

    assert cause(make) is None


def test_what_holds_on_one_input_alone_is_not_proved():
    def make(generator):
        x = generator.normal(size=(2, 5, WIDTH))
        return evidence(x, x * generator.uniform(2, 3), {"y": np.sin(x)})

    assert cause(make, inputs=1).name == "scale"
    assert cause(make) is None


def test_all_that_is_wrong_in_a_module_must_be_explained():
    x = np.random.default_rng(0).normal(size=(2, 5, WIDTH))
    scaled = evidence(x, 2 * x, {"y": np.sin(x)})
    strange = evidence(x, x + 1e-3 * np.sin(7 * x), {"y": np.cos(x)})
    assert prove([{"one": scaled}], "module").name == "scale"
    assert prove([{"one": scaled, "other": strange}], "module") is None


def test_a_prediction_that_is_no_number_is_infinitely_far_off():
    x = np.ones((2, 5, WIDTH))
    assert evidence(x, 2 * x, {"x": x}).apart(np.full_like(x, np.nan), x) == np.inf


def test_a_hypothesis_that_does_not_fit_warns_nobody():
    """One token: there is no mean of those after the first."""

    def make(generator):
        x = generator.normal(size=(3, 1, WIDTH))
        return evidence(x[:, 0], np.sin(x[:, 0]) + 0.1, {"x": x}, child="inner")

    assert name(make) is None
