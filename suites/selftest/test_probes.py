"""The inputs that faults need are derived from one call, or the reason is listed why not."""

import numpy as np

from harness.cases.probes import LONGEST, derive

CALL = {"input_ids": np.array([[5, 6, 7, 8, 9, 10]]), "attention_mask": np.ones((1, 6), int)}
SETTINGS = {
    "vocab_size": 30,
    "pad_token_id": 0,
    "eos_token_id": [2, 3],
    "max_position_embeddings": 40,
    "type_vocab_size": 2,
}
ACCEPTS = frozenset({"input_ids", "attention_mask", "position_ids", "token_type_ids"})


def named(found):
    return {probe.name.split(",")[0]: probe.inputs for probe in found.taken}


def test_texts_are_padded_on_either_side_left_bare_and_as_long_as_the_context():
    found = derive(CALL, accepts=ACCEPTS, settings=SETTINGS, seed=0)
    probes = named(found)
    right, left = probes["unequal lengths"], probes["padded left"]
    assert right["attention_mask"].sum(axis=1).tolist() == [6, 4, 2]
    assert np.all(right["input_ids"][right["attention_mask"] == 0] == 0)
    assert right["input_ids"][0, :2].tolist() == [29, 1]
    assert set(np.unique(right["token_type_ids"])) == {0, 1}
    assert left["attention_mask"][2].tolist() == [0, 0, 0, 0, 1, 1]
    assert left["position_ids"][2].tolist() == [0, 0, 0, 0, 0, 1]
    assert set(probes["no mask"]) == {"input_ids"}
    assert probes["the full context"]["input_ids"].shape == (1, 40)
    assert found.not_taken == {}


def test_special_tokens_stand_in_no_text():
    for probe in derive(CALL, accepts=ACCEPTS, settings=SETTINGS, seed=1).taken:
        valid = probe.inputs.get("attention_mask", np.ones_like(probe.inputs["input_ids"])) != 0
        assert not np.isin(probe.inputs["input_ids"][valid], [0, 2, 3]).any()


def test_what_cannot_be_taken_says_why():
    found = derive(CALL | {"bias": np.ones((1, 6), np.float32)}, accepts=ACCEPTS, settings=SETTINGS, seed=0)
    assert found.taken == ()
    assert "belong to these tokens" in next(iter(found.not_taken.values()))
    found = derive({"input_ids": CALL["input_ids"]}, accepts=frozenset({"input_ids"}), settings={}, seed=0)
    assert set(found.not_taken) == {
        "padding",
        "positions that leave some out",
        "the full context, more than one block or bucket",
    }
    found = derive(CALL, accepts=ACCEPTS, settings=SETTINGS | {"max_position_embeddings": 9000}, seed=0)
    assert f"{LONGEST} are tried" in found.not_taken["the context beyond that"]
    found = derive({"count": np.array(3)}, accepts=frozenset(), settings={}, seed=0)
    assert "neither tokens nor floats" in next(iter(found.not_taken.values()))


def test_images_are_taken_in_other_sizes_and_other_loudness():
    found = derive({"pixel_values": np.ones((2, 3, 16, 16), np.float32)}, accepts=frozenset(), settings={}, seed=0)
    shapes = [probe.inputs["pixel_values"].shape for probe in found.taken]
    assert shapes == [(3, 3, 16, 16), (1 + 1, 3, 16, 23), (2, 3, 21, 19)]
    loud = found.taken[0].inputs["pixel_values"]
    assert np.std(loud[2]) > 1e3 * np.std(loud[0])
    channels_last = derive({"x": np.ones((2, 16, 16, 3), np.float32)}, accepts=frozenset(), settings={}, seed=0)
    assert channels_last.taken[1].inputs["x"].shape == (2, 16, 23, 3)


def test_values_are_those_that_float32_holds():
    found = derive({"x": np.ones((2, 5), np.float32)}, accepts=frozenset(), settings={}, seed=0)
    assert all(probe.inputs["x"].dtype == np.float32 for probe in found.taken)


def test_the_padding_token_counts_once_where_its_row_is_asked_for():
    found = derive(CALL, accepts=ACCEPTS, settings=SETTINGS, seed=0, padding_row=True)
    right = named(found)["unequal lengths"]
    assert ((right["input_ids"] == 0) & (right["attention_mask"] != 0)).sum() == 1


def test_positions_begin_again_and_leave_some_out():
    found = derive(CALL, accepts=ACCEPTS, settings=SETTINGS, seed=0)
    positions = named(found)["positions that leave some out"]["position_ids"]
    assert np.any(np.diff(positions[0]) == 2)
    assert positions[-1, 3:].tolist() == [0, 1, 2]
    short = derive(CALL, accepts=ACCEPTS, settings=SETTINGS | {"max_position_embeddings": 5}, seed=0)
    assert "has 5 positions" in short.not_taken["positions that leave some out"]


def test_a_text_ends_as_the_given_one_does():
    call = CALL | {"input_ids": np.array([[5, 6, 7, 8, 9, 2]])}
    probes = named(derive(call, accepts=ACCEPTS, settings=SETTINGS, seed=0))
    right = probes["unequal lengths"]
    assert [right["input_ids"][row, at] for row, at in ((0, 5), (1, 3), (2, 1))] == [2, 2, 2]
    assert probes["padded left"]["input_ids"][:, -1].tolist() == [2, 2, 2]


def test_the_end_of_one_probe_does_not_stand_in_another():
    call = CALL | {"input_ids": np.array([[5, 6, 7, 8, 9, 2]])}
    settings = {key: value for key, value in SETTINGS.items() if key != "pad_token_id"}
    right = named(derive(call, accepts=ACCEPTS, settings=settings, seed=0))["unequal lengths"]
    assert (right["input_ids"] == 2).sum() == 3
    left = named(derive(call, accepts=ACCEPTS, settings=settings, seed=0))["padded left"]
    assert (left["input_ids"] == 2).sum() == 3
