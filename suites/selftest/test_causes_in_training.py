"""Causes that show in training, backwards and with a cache, planted; none is named where another is planted."""

import numpy as np
import pytest

from harness.parity.causes import prove
from suites.selftest.causes import cause, evidence, inside, name

WIDTH = 8


@pytest.mark.parametrize(
    ("scale", "drawn", "wanted"),
    [
        (1.0, (80, 0), "dropout missing: nothing is dropped, 0.1 in the reference"),
        (1.0, (80, 80), "dropout not rescaled: what is kept is not divided by 0.9"),
        (1 / 0.7, (80, 80), "dropout rate: scaled by 1.42857 in the port, by 1.11111 in the reference"),
    ],
)
def test_dropout(scale, drawn, wanted):
    def make(generator):
        x = generator.normal(size=(2, 5, WIDTH))
        return evidence(x / 0.9, x * scale, {"x": x}, check="train", drawn=drawn)

    found = cause(make)
    assert f"{found.name}: {found.detail}" == wanted


def test_dropout_that_the_reference_does_not_have():
    def make(generator):
        x = generator.normal(size=(2, 5, WIDTH))
        return evidence(x, x / 0.9, {"x": x}, check="train", drawn=(0, 80))

    assert cause(make).detail == "0.1 is dropped, nothing in the reference"


def test_a_scale_in_training_is_no_dropout_where_nothing_was_drawn():
    def make(generator):
        x = generator.normal(size=(2, 5, WIDTH))
        return evidence(np.sin(x), 1.05 * np.sin(x), {"x": x}, check="train")

    assert name(make) == "scale"


@pytest.mark.parametrize(
    ("leaf", "after", "wanted"),
    [
        (
            "running_mean",
            lambda b, x: 0.1 * b + 0.9 * x.mean((0, 2)),
            "momentum: 0.9 in the port, 0.1 in the reference",
        ),
        ("running_mean", lambda b, x: b, "statistics not kept: its running_mean stays as it is"),
        ("running_var", lambda b, x: 0.9 * b + 0.1 * x.var((0, 2)), "biased running variance: the variance is kept, *"),
    ],
)
def test_running_statistics(leaf, after, wanted):
    def make(generator):
        x, before = generator.normal(size=(3, 4, 6)), generator.uniform(0.5, 2, size=4)
        batch = x.mean((0, 2)) if leaf == "running_mean" else x.var((0, 2), ddof=1)
        return evidence(
            0.9 * before + 0.1 * batch, after(before, x), {"x": x}, {leaf: before}, leaf=leaf, check="train"
        )

    found = cause(make)
    assert f"{found.name}: {found.detail}".startswith(wanted.removesuffix("*"))


@pytest.mark.parametrize(
    ("wrong", "wanted"),
    [
        (lambda g: 0 * g, "gradient stopped"),
        (lambda g: -g, "gradient scaled"),
        (lambda g: np.clip(g, -0.1, 0.1), "gradient clipped"),
        (lambda g: np.where(np.arange(WIDTH) < 4, 0, g), "gradient stopped"),
    ],
)
def test_gradients(wrong, wanted):
    def make(generator):
        given, back = generator.normal(size=(2, 2, 5, WIDTH))
        return evidence(back, wrong(back), {"": given}, check="gradients", leaf="x")

    assert name(make) == wanted


def test_a_gradient_that_is_handed_straight_through():
    def make(generator):
        given, x = generator.normal(size=(2, 2, 5, WIDTH))
        return evidence(given * (x > 0), given, {"": given}, check="gradients", leaf="x")

    assert name(make) == "gradient straight through"


def test_a_branch_that_is_detached():
    def make(generator):
        given, inner = generator.normal(size=(2, 2, 5, WIDTH))
        calls = inside(dense=inner)
        return evidence(given + inner, inner, {"": given}, inside=calls, check="gradients", leaf="x")

    found = cause(make)
    assert (found.name, found.detail) == ("gradient stopped", "of what comes back,  is not added")


def test_a_row_of_padding_and_rows_by_frequency():
    counts = np.array([0, 2, 1, 3])[:, None]

    def padding(generator):
        table = generator.normal(size=(4, WIDTH)) * (counts > 0)
        return evidence(table, table + np.eye(4)[0][:, None], {}, check="gradients", leaf="weight")

    def frequency(generator):
        table = generator.normal(size=(4, WIDTH)) * (counts > 0)
        return evidence(table, table / np.maximum(counts, 1), {}, check="gradients", leaf="weight")

    assert cause(padding).detail == "row 0 has a gradient"
    assert name(frequency) == "gradient by frequency"


@pytest.mark.parametrize("what", ["variance", "mean"])
def test_statistics_of_a_norm_that_are_taken_for_constants(what):
    torch = pytest.importorskip("torch")

    def backwards(x, given, weight, detached):
        leaf = torch.tensor(x, requires_grad=True)
        mean, variance = leaf.mean(-1, keepdim=True), leaf.var(-1, keepdim=True, unbiased=False)
        mean, variance = (e.detach() if n == detached else e for n, e in (("mean", mean), ("variance", variance)))
        made = (leaf - mean) / (variance + 1e-5).sqrt() * torch.tensor(weight)
        return torch.autograd.grad(made, leaf, torch.tensor(given))[0].numpy()

    def make(generator):
        x, given = generator.normal(size=(2, 2, 5, WIDTH))
        weight = generator.uniform(0.5, 1.5, WIDTH)
        both = (backwards(x, given, weight, each) for each in ("", what))
        return evidence(*both, {"": given}, {"weight": weight}, check="gradients", leaf="x", before=x)

    assert cause(make).detail == f"the {what} is taken for a constant"


def attended(query, key, value, seen=None):
    """(batch, tokens, 2 heads x 4), by einsum."""
    q, k, v = (each.reshape(2, -1, 2, 4) for each in (query, key, value))
    scores = np.einsum("bqhd,bkhd->bhqk", q, k) / 2
    scores = scores if seen is None else np.where(seen, scores, -np.inf)
    powers = np.exp(scores)
    return np.einsum("bhqk,bkhd->bqhd", powers / powers.sum(-1, keepdims=True), v).reshape(2, -1, 8)


@pytest.mark.parametrize(
    ("wrong", "wanted"),
    [
        (lambda k, v: (k, v.reshape(2, -1, 2, 4)[:, :, ::-1].reshape(v.shape)), "cache written wrongly"),
        (lambda k, v: (v, k), "cache written wrongly"),
        (lambda k, v: (0 * k, 0 * v), "cache written wrongly"),
    ],
)
def test_what_is_written_to_a_cache(wrong, wanted):
    def make(generator):
        q, k, v = generator.normal(size=(3, 2, 4, 8))
        parts = lambda at: inside(query=q[:, at], key=k[:, at], value=v[:, at])  # noqa: E731
        earlier = tuple(({}, parts(slice(at, at + 1))) for at in range(3))
        changed = [np.concatenate([a[:, :1], b[:, 1:]], 1) for a, b in zip((k, v), wrong(k, v), strict=True)]
        return evidence(
            attended(q[:, 3:], k, v),
            attended(q[:, 3:], *changed),
            {},
            inside=parts(slice(3, 4)),
            check="decode",
            earlier=earlier,
        )

    assert name(make) == wanted


def test_the_newest_key_that_is_masked():
    def make(generator):
        q, k, v = generator.normal(size=(3, 2, 4, 8))
        parts = lambda at: inside(query=q[:, at], key=k[:, at], value=v[:, at])  # noqa: E731
        earlier = tuple(({}, parts(slice(at, at + 1))) for at in range(3))
        seen = np.ones((2, 1, 1, 4), bool)
        got = attended(q[:, 3:], k, v, np.arange(4) < 3)
        more = {"inside": parts(slice(3, 4)), "check": "decode", "earlier": earlier}
        return evidence(attended(q[:, 3:], k, v), got, {"attention_mask": seen}, **more)

    assert name(make) == "newest key masked"


def test_backwards_all_that_is_handed_back_must_be_explained():
    """The gradient of what the module is given follows from those that it hands back, and need not be modelled."""
    generator = np.random.default_rng(0)
    given, back, own = generator.normal(size=(3, 2, 5, WIDTH))
    strange = back + 0.1 * np.sin(7 * back)

    def handed(got):
        return evidence(back, got, {"": given}, check="gradients", leaf="", child="module.inner")

    follows = evidence(own, np.sin(3 * own), {"": given}, check="gradients", leaf="x")
    assert prove([{"inner True": handed(0 * back), "module False": follows}], "module").name == "gradient stopped"
    assert prove([{"inner True": handed(strange), "module False": follows}], "module") is None
    assert prove([{"one": handed(0 * back), "other": handed(strange)}], "module") is None
    assert prove([{"module False": follows}], "module") is None
