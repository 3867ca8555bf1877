"""What the trips must catch: a fault planted between saving and loading, or in the stand-in of the Hub."""

from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest

from harness.equivalence.trips import travelled
from harness.equivalence.ways import (
    APART,
    CONTROL,
    IGNORED,
    MISSING,
    NO_INDEX,
    NO_SHARD,
    PUSHED,
    RESHAPED,
    STRAY,
    TO_BASE,
    TO_HEAD,
    TOLD,
    WAYS,
    Trip,
)
from harness.parity.compare import Verdict
from suites.equivalence.conftest import FAMILIES

BERT = next(family for family in FAMILIES if family.id == "bert")
HEAD = BERT.head_of()
TO_FLAX, IN_FLAX, _ = WAYS
SINGLE = [
    pytest.param(trip, id=trip.name, marks=[] if trip == TO_FLAX else pytest.mark.slow)
    for trip in (TO_FLAX, IN_FLAX, CONTROL)
]
HUB = [pytest.param(replace(each.values[0], how=PUSHED), id=each.id, marks=each.marks) for each in SINGLE]


def changed(trip, made):
    """What spoils a folder: its weights are what `made` makes of them."""

    def spoil(folder):
        from harness.adapters.transformers.trips import change

        change(folder, trip.form, made)

    return spoil


def a_digit(held):
    """One digit of one weight, the last that float32 has."""
    key = next(key for key in sorted(held) if held[key].ndim == 2)
    array = np.array(held[key])
    array[0, 0] = np.nextafter(array[0, 0], np.float32(np.inf))
    return {**held, key: array}


def one_less(held):
    return {key: array for key, array in held.items() if key != sorted(held)[0]}


def swapped(held):
    """Two weights of one shape and of one kind, each under the other's name."""
    first, second = [key for key in sorted(held) if held[key].shape == (32, 32)][:2]
    return {**held, first: held[second], second: held[first]}


@pytest.mark.parametrize("fault", [a_digit, one_less, swapped])
@pytest.mark.parametrize("trip", SINGLE)
def test_a_changed_file_is_seen(trip, fault):
    assert travelled(BERT, HEAD, trip).verdict is Verdict.AGREE
    outcome = travelled(BERT, HEAD, trip, spoil=changed(trip, fault))
    assert outcome.verdict is Verdict.DIVERGE, str(outcome)


def test_a_table_changed_in_the_file_is_seen():
    """The positions of Whisper, which PyTorch makes by itself: weights are compared without them, outputs with."""
    whisper = next(family for family in FAMILIES if family.id == "whisper")
    table = "model.encoder.embed_positions.weight"

    def other_way_round(held):
        return {**held, table: held[table][::-1].copy()}

    assert travelled(whisper, whisper.head_of(), TO_FLAX).verdict is Verdict.AGREE
    outcome = travelled(whisper, whisper.head_of(), TO_FLAX, spoil=changed(TO_FLAX, other_way_round))
    assert outcome.verdict is Verdict.DIVERGE, str(outcome)
    assert "another than before" in outcome.reason


MUTE = [
    *((trip, how) for trip in (TO_FLAX, IN_FLAX, CONTROL) for how in (MISSING, STRAY, TO_HEAD, TOLD)),
    *((trip, TO_BASE) for trip in (TO_FLAX, CONTROL)),
    *((trip, IGNORED) for trip in (IN_FLAX, CONTROL)),
]


@pytest.mark.parametrize(("trip", "how"), [pytest.param(*each, id=replace(each[0], how=each[1]).name) for each in MUTE])
def test_what_is_not_said_is_missed(trip, how):
    """A library that says nothing of missing and unexpected weights, or that says so of all."""
    from harness.adapters.transformers import trips

    real = trips.load

    def mute(*arguments, **options):
        found = real(*arguments, **options)
        told = repr(sorted(found.weights)) if how == TOLD else ""
        return type(found)(found.model, found.weights, found.empty, (), told, "")

    with patch.object(trips, "load", mute):
        outcome = travelled(BERT, HEAD, replace(trip, how=how))
    assert outcome.reason.endswith("is not" if how == TOLD else "no message names it"), str(outcome)


@pytest.mark.parametrize("how", [NO_SHARD, NO_INDEX, RESHAPED])
def test_what_is_loaded_all_the_same_is_seen(how):
    from harness.adapters.transformers import trips

    trip = replace(TO_FLAX, how=how) if how == RESHAPED else Trip("pytorch", "sharded bin", "flax", how)
    with patch.object(trips, "load", lambda *arguments, **options: None):
        outcome = travelled(BERT, HEAD, trip)
    assert outcome.reason == "it is loaded all the same"


def test_a_refusal_that_names_nothing_is_seen():
    from harness.adapters.transformers import trips

    def refuse(*arguments, **options):
        raise ValueError("something is amiss")

    with patch.object(trips, "load", refuse):
        for how in (RESHAPED, APART):
            assert travelled(BERT, HEAD, replace(IN_FLAX, how=how)).verdict is Verdict.DIVERGE


@pytest.mark.parametrize("trip", SINGLE)
def test_an_output_that_changes_is_seen(trip):
    """Another configuration than the one that was saved: the weights are the same, what is computed is not."""

    def spoil(folder):
        file = folder / "config.json"
        file.write_text(file.read_text().replace('"hidden_act": "gelu"', '"hidden_act": "relu"'))

    outcome = travelled(BERT, HEAD, trip, spoil=spoil)
    assert outcome.verdict is Verdict.DIVERGE
    assert "another than before" in outcome.reason


@pytest.mark.parametrize("fault", ["another commit", "other bytes"])
@pytest.mark.parametrize("trip", HUB)
def test_a_hub_that_gives_something_else_is_seen(trip, fault):
    outcome = travelled(BERT, HEAD, trip, spoil=lambda hub: setattr(hub, "fault", fault))
    assert outcome.verdict is Verdict.DIVERGE, str(outcome)


@pytest.mark.parametrize("fault", ["broken off", "server error"])
@pytest.mark.parametrize("trip", HUB)
def test_a_hub_that_fails_is_told_of(trip, fault):
    """The library raises an error that says what broke, or where, and gives no model."""
    with patch("time.sleep"):
        outcome = travelled(BERT, HEAD, trip, spoil=lambda hub: setattr(hub, "fault", fault))
    told = {"broken off": ("Connection broken",), "server error": ("owner/twin", "127.0.0.1")}[fault]
    assert outcome.compared == 0, str(outcome)
    assert any(text in outcome.reason for text in told), str(outcome)


def test_a_file_written_anew_has_the_shapes_it_had(tmp_path):
    """A number by itself too, such as the temperature of CLIP."""
    from safetensors.numpy import load_file, save_file

    from harness.adapters.transformers.trips import change

    file = tmp_path / "model.safetensors"
    save_file({"scale": np.array(2.0, np.float32), "weight": np.ones((2, 3), np.float32)}, file)
    change(tmp_path, "safetensors", lambda held: {name: array.T for name, array in held.items()})
    assert {name: array.shape for name, array in load_file(file).items()} == {"scale": (), "weight": (3, 2)}
