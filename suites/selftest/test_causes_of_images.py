"""Causes in models of images, sounds and relative positions, planted; none is named where another is planted."""

import numpy as np
import pytest

from suites.selftest.causes import cause, evidence, inside, name

RNG = np.random.default_rng(0)
TABLE = RNG.normal(size=(1, 10, 8))


def pooled(x, size, stride, padding, reduce):
    padded = np.pad(
        x, ((0, 0), (0, 0), (padding,) * 2, (padding,) * 2), constant_values=-9e9 if reduce is np.max else 0
    )
    places = range(0, padded.shape[-1] - size + 1, stride)
    parts = [[reduce(padded[..., i : i + size, j : j + size], axis=(-2, -1)) for j in places] for i in places]
    return np.moveaxis(np.array(parts), (0, 1), (-2, -1))


def test_windows_that_are_pooled():
    def make(generator):
        x = generator.normal(size=(2, 3, 8, 8))
        return evidence(pooled(x, 3, 2, 1, np.max), pooled(x, 3, 2, 1, np.mean), {"x": x})

    found = cause(make)
    assert found.name == "pooling"
    assert found.detail.startswith("the mean of 3x3, stride 2, padding 1 in the port, the largest value of 3x3")


def test_a_pooling_that_divides_by_the_number_of_another_size():
    def make(generator):
        x = generator.normal(size=(2, 3, 6, 6)) + 1
        return evidence(x.mean((2, 3), keepdims=True), x.sum((2, 3), keepdims=True) / 16, {"x": x})

    assert cause(make).detail == "the sum divided by 16 in the port, the mean of the image in the reference"


@pytest.mark.parametrize(
    ("wrong", "wanted"),
    [
        (lambda tokens: tokens, "positions ignored"),
        (lambda tokens: tokens + np.roll(TABLE, 1, axis=1), "position offset"),
        (lambda tokens: np.roll(tokens, -1, axis=1) + TABLE, "class token last"),
        (lambda tokens: tokens + TABLE[:, ::-1], "positions reversed"),
    ],
)
def test_positions_that_are_added(wrong, wanted):
    def make(generator):
        tokens = generator.normal(size=(2, 10, 8))
        return evidence(tokens + TABLE, wrong(tokens), {}, {"position_embeddings": TABLE})

    assert name(make) == wanted


@pytest.mark.parametrize(
    ("mode", "corners", "wanted"), [("bilinear", False, "bilinear"), ("bicubic", True, "bicubic with aligned corners")]
)
def test_positions_that_are_resized_in_another_way(mode, corners, wanted):
    torch = pytest.importorskip("torch")

    def resized(how, corners):
        grid = torch.from_numpy(TABLE[:, 1:].reshape(1, 3, 3, 8)).permute(0, 3, 1, 2)
        grid = torch.nn.functional.interpolate(grid, size=(4, 4), mode=how, align_corners=corners)
        return np.concatenate([TABLE[:, :1], grid.permute(0, 2, 3, 1).reshape(1, 16, 8).numpy()], axis=1)

    def make(generator):
        patches, token = generator.normal(size=(2, 16, 8)), np.ones((1, 1, 8))
        tokens = np.concatenate([np.broadcast_to(token, (2, 1, 8)), patches], axis=1)
        weights = {"position_embeddings": TABLE, "cls_token": token}
        inputs = {"pixel_values": generator.normal(size=(2, 3, 16, 16))}
        right, got = tokens + resized("bicubic", False), tokens + resized(mode, corners)
        return evidence(right, got, inputs, weights, inside(patch_embeddings=patches))

    found = cause(make)
    assert (found.name, found.detail) == ("position interpolation", f"{wanted} in the port, bicubic in the reference")


def test_buckets_of_relative_positions_are_those_of_t5():
    pytest.importorskip("torch")
    torch, t5 = pytest.importorskip("torch"), pytest.importorskip("transformers.models.t5.modeling_t5")

    def buckets(both_ways, size=40):
        apart = torch.arange(size)[None] - torch.arange(size)[:, None]
        return t5.T5Attention._relative_position_bucket(apart, both_ways, 32, 128).numpy()

    def make(_generator):
        return evidence(buckets(True), buckets(False), {}, child="module.table", leaf="input")

    found = cause(make)
    assert found.name == "relative position buckets"
    assert found.detail.startswith("32 buckets one way up to 128 in the port, 32 buckets both ways up to 128 in the ")


def test_what_is_added_to_scores():
    def make(generator):
        bias = generator.normal(size=(2, 4, 6, 6))
        hidden = np.where(np.tri(6, dtype=bool), bias, -3e38)
        return evidence(hidden, np.where(np.tri(6, dtype=bool), 0 * bias, -3e38), {}, child="module.next", leaf="bias")

    assert name(make) == "relative positions ignored"


@pytest.mark.parametrize(
    ("wrong", "wanted"),
    [
        (lambda x: x[..., :5, :5], "cut"),
        (lambda x: x.swapaxes(-1, -2), "image transposed"),
        (lambda x: x[np.minimum(np.arange(4), 1)], "rows repeated"),
        (lambda x: (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-7), "normalised again"),
    ],
)
def test_images_that_are_handed_on(wrong, wanted):
    def make(generator):
        x = generator.normal(size=(4, 3, 6, 6))
        return evidence(x, wrong(x), {}, child="module.inner", leaf="pixels")

    assert name(make) == wanted


def test_lengths_that_are_one_too_short():
    def make(generator):
        lengths = generator.integers(3, 9, size=4)
        places = np.arange(9)
        seen, short = places < lengths[:, None], places < lengths[:, None] - 1
        return evidence(seen, short, {}, child="module.inner", leaf="attention_mask", is_mask=True)

    assert name(make) == "lengths"


@pytest.mark.parametrize("wrong", ["its length is ignored", "its length is that of each output"])
def test_a_weight_norm(wrong):
    def convolved(x, kernel):
        windows = np.lib.stride_tricks.sliding_window_view(x, 3, axis=2)
        return np.einsum("bitk,oik->bot", windows, kernel)

    def make(generator):
        x, v, g = (generator.normal(size=size) for size in ((2, 4, 9), (5, 4, 3), (1, 1, 3)))
        norms = {"": (0, 1), "its length is that of each output": (1, 2)}
        kernels = {key: g * v / np.sqrt((v**2).sum(axes, keepdims=True)) for key, axes in norms.items()}
        kernels["its length is ignored"] = v
        weights = {"weight": kernels[""], "weight_g": g, "weight_v": v}
        return evidence(convolved(x, kernels[""]), convolved(x, kernels[wrong]), {"x": x}, weights)

    found = cause(make)
    assert (found.name, found.detail) == ("weight norm", wrong)


def test_statistics_of_a_batch_norm():
    weights = {k: RNG.uniform(0.5, 2, 3) for k in ("weight", "bias", "running_mean", "running_var")}

    def normal(x, mean, variance):
        shaped = (each.reshape(1, -1, 1, 1) for each in (weights["weight"], weights["bias"]))
        weight, bias = shaped
        return (x - mean) / np.sqrt(variance + 1e-5) * weight + bias

    def stored(leaf):
        return weights[leaf].reshape(1, -1, 1, 1)

    for got, wanted in (
        (lambda x: normal(x, 0.0, stored("running_var")), "running mean ignored"),
        (lambda x: normal(x, stored("running_mean"), 1.0), "running variance ignored"),
        (lambda x: normal(x, x.mean((0, 2, 3), keepdims=True), x.var((0, 2, 3), keepdims=True)), "batch statistics"),
        (lambda x: normal(x, x.mean((2, 3), keepdims=True), x.var((2, 3), keepdims=True)), "image statistics"),
    ):

        def make(generator, got=got):
            x = generator.normal(size=(4, 3, 5, 5))
            right = normal(x, stored("running_mean"), stored("running_var"))
            return evidence(right, got(x), {"x": x}, weights)

        assert name(make) == wanted
