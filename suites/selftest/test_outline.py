"""Embeddings, first layer, remaining layers and head are told apart by names of taps and weights, in any framework."""

import pytest

from harness.porting.outline import PARTS, outline_of, plain

LAYER = ("norm", "mlp.up", "mlp.down", "mlp", "")


def model(layers, *, before, after, inside=LAYER):
    """Taps of a model in the order of execution; `layers` as `h.{}`."""
    every = [f"{layers.format(number)}.{each}".rstrip(".") for number in range(3) for each in inside]
    return [*before, *every, *after]


MODELS = {
    "pytorch": (model("encoder.layer.{}", before=["embeddings.word", "embeddings"], after=["encoder", "head"]), ".0"),
    "nnx": (model("layers.{}", before=["patches"], after=["norm", "classifier"]), "layers.0"),
    "linen": (model("Block_{}", before=["Embed_0", "LayerNorm_0"], after=["LayerNorm_1", "Dense_0"]), "Block_0"),
    "linen, named": (model("h.layers_{}", before=["h.embed"], after=["h", "lm_head"]), "h.layers_0"),
}


@pytest.mark.parametrize("name", MODELS)
def test_parts_are_told_apart(name):
    taps, first = MODELS[name]
    found = outline_of(taps)
    assert tuple(found.parts) == PARTS
    assert [tap for part in PARTS for tap in found.parts[part]] == taps
    assert found.parts["first layer"][-1].endswith(first)
    assert len(found.parts["first layer"]) == len(LAYER)
    assert len(found.parts["remaining layers"]) == 2 * len(LAYER)
    assert found.parts["embeddings"] == tuple(taps[: taps.index(found.parts["first layer"][0])])
    assert not found.why_not


def test_an_encoder_and_a_decoder_have_layers_of_two_lists():
    taps = [f"encoder.block.{n}{each}" for n in range(2) for each in (".up", "")]
    taps += ["decoder.embed", *(f"decoder.block.{n}{each}" for n in range(2) for each in (".up", ""))]
    found = outline_of(["embed", *taps, "lm_head"])
    assert found.layers == ("encoder.block.*", "decoder.block.*")
    assert found.parts["first layer"] == ("encoder.block.0.up", "encoder.block.0")
    assert found.parts["head"] == ("lm_head",)


def test_lists_inside_a_layer_are_its_own():
    taps = [f"blocks.{n}.mix.{m}" for n in range(2) for m in range(3)]
    weights = [f"{tap}.weight" for tap in taps]
    assert outline_of(["embed", *taps, "head"], weights).layers == ("blocks.*",)


def test_a_list_of_bare_modules_is_told_by_its_weights():
    taps, weights = ["embed", "cells.0", "cells.1", "head"], ["cells.0.kernel", "cells.1.kernel", "head.kernel"]
    assert outline_of(taps, weights).parts["first layer"] == ("cells.0",)
    # Linear and ReLU in turn are no layers that are built alike.
    assert outline_of(["0", "1", "2"], ["0.weight", "2.weight"]).layers == ()


def test_one_layer_is_the_first_and_there_are_no_others():
    found = outline_of(["embed", "layers.0.up", "layers.0", "head"])
    assert found.why_not == {"remaining layers": "there is one layer, layers.0"}


def test_without_a_list_the_taps_are_taken_in_order_and_that_is_said():
    found = outline_of(["embed", "gru", "head"])
    assert found.parts["embeddings"] == ("embed",)
    assert found.parts["remaining layers"] == ("gru", "head")
    assert "no list of layers that are built alike was found: the taps are taken in order" in found.why_not["head"]
    assert outline_of([]).why_not["head"] == "no module of the reference can be seen"


def test_a_module_is_found_by_its_path_and_a_container_only_if_all_of_it_is_in_one_part():
    found = outline_of(MODELS["pytorch"][0])
    assert found.part_of("encoder.layer.1.mlp.up") == "remaining layers"
    assert found.part_of("encoder.layer.0") == "first layer"
    assert found.part_of("encoder.layer.0.mlp#2") == "first layer"
    assert found.part_of("encoder.layer") == ""
    assert found.part_of("nowhere") == ""


@pytest.mark.parametrize("tap", ["a.b", "a.b#2", "a.b[1]", "a.b[key][0]#3", "a.b@2"])
def test_taps_of_one_module(tap):
    assert plain(tap) == "a.b"
