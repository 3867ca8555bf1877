"""What samples are measured by: outcomes, what a model hears and sees by definition, and how alike sentences are."""

import io
import wave

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.end_to_end import sound
from harness.end_to_end.outcome import Step, of_answers, of_arrays, of_raised, worst_of
from harness.end_to_end.pixels import Recipe, offset, pixels, target
from harness.end_to_end.similarity import pooled, ranking
from harness.end_to_end.spectrogram import RATE, filters, log_mel
from harness.errors import MissingError, RunError
from harness.parity.compare import Verdict
from harness.register import Row

STEP = Step("sample", "check", "title", "original", "port", "what was asked")
ONES = np.ones(3, np.float32)


def test_arrays_agree_up_to_what_rounding_does_to_the_reference():
    wide = np.array([1.0, 2.0, 3.0])
    reference = wide.astype(np.float32)
    assert of_arrays(STEP, reference, reference, wide).verdict is Verdict.AGREE
    near = of_arrays(STEP, reference, reference + np.float32(2e-6), wide)
    assert near.verdict is Verdict.AGREE
    assert near.limit == pytest.approx(10 * 3 * np.finfo(np.float32).eps)
    within = of_arrays(STEP, reference, reference + np.float32(5e-4), wide)
    assert within.verdict is Verdict.WITHIN_TOLERANCE
    off = of_arrays(STEP, reference, reference + np.float32(2e-3), wide)
    assert off.verdict is Verdict.DIVERGE
    assert "is allowed (at [" in off.reason


@pytest.mark.parametrize(
    ("port", "verdict"),
    [
        (np.ones(4, np.float32), Verdict.DIVERGE),
        (np.array([1, np.nan, 1], np.float32), Verdict.INCONCLUSIVE),
        (np.array([1, np.inf, 1], np.float32), Verdict.DIVERGE),
    ],
)
def test_arrays_that_cannot_agree(port, verdict):
    assert of_arrays(STEP, ONES, port, ONES).verdict is verdict


def test_nothing_compared_is_inconclusive():
    empty = np.zeros(0, np.float32)
    assert of_arrays(STEP, empty, empty, empty).verdict is Verdict.INCONCLUSIVE
    assert of_answers(STEP, [], []).verdict is Verdict.INCONCLUSIVE
    assert of_answers(STEP, [], []).registered([row(1.0)]) == ()


@pytest.mark.parametrize(
    ("port", "wrong"), [(["a", "b"], 0), (["a", "c"], 1), (["a"], 1), (["a", "b", "c"], 1), ([], 2)]
)
def test_answers_count_one_by_one(port, wrong):
    outcome = of_answers(STEP, ["a", "b"], port)
    assert outcome.error == wrong
    assert outcome.verdict is (Verdict.DIVERGE if wrong else Verdict.AGREE)


def test_what_an_outcome_says():
    outcome = of_answers(STEP, ["yes"], ["no"])
    assert str(outcome).splitlines() == [
        "sample.check: DIVERGE",
        "  reference   original",
        "  port        port",
        "  error       1 on values up to 1, where 0 is allowed",
        "  asked       what was asked",
        "  reference's yes",
        "  port's      no",
        "  worst       answer 0: 'yes' and 'no'",
    ]
    assert outcome.to_dict()["answers"] == ["yes", "no"]
    assert len(of_answers(STEP, ["x" * 500], ["x" * 500]).answers[0]) == 161


def row(error):
    return Row(
        id="known", area="end-to-end", subjects=("sample.check",), error=error, scale=1.0, cause="c", where="w",
        proof="p", kind="defect", applies_to={"numpy": ">=1"},
    )  # fmt: skip


def test_the_register_explains_an_error_of_its_size_alone():
    raised = of_raised(STEP, ValueError("no"))
    assert raised.verdict is Verdict.DIVERGE
    assert raised.registered([row(float("inf"))]) == ("known",)
    assert raised.registered([row(4.0)]) == ()
    assert of_answers(STEP, ["a"], ["b"]).registered([row(1.0)]) == ("known",)
    assert of_answers(STEP, ["a"], ["a"]).registered([row(1.0)]) == ("known",)


def test_the_worst_is_the_farthest_and_nan_before_all():
    good, bad = of_answers(STEP, ["a"], ["a"]), of_answers(STEP, ["a", "b"], ["b", "a"])
    nan = of_arrays(STEP, ONES, ONES * np.float32(np.nan), ONES)
    assert worst_of([good, bad]) is bad
    assert worst_of([good, nan, bad]) is nan


def test_the_triangles_are_those_of_slaney():
    """Each of area 1 in hertz, the lower ones 200 / 3 Hz apart from peak to peak, where 80 of them reach 8000 Hz."""
    made = filters(80)
    assert made.shape == (80, 201)
    assert (made >= 0).all()
    # Of triangles that are wide beside the 40 Hz between two frequencies the sum is near the area.
    assert np.allclose(made[50:].sum(axis=1) * 40, 1.0, atol=0.05)
    mels = (15 + 27 * np.log(8) / np.log(6.4)) / 81
    assert made[:20].argmax(axis=1).tolist() == [round((n + 1) * mels * 200 / 3 / 40) for n in range(20)]


def test_a_tone_is_heard_where_it_is():
    time = np.arange(RATE) / RATE
    made = log_mel(np.sin(2 * np.pi * 1000 * time))
    assert made.shape == (80, 100)
    middle = made[:, 50]
    assert filters()[middle.argmax(), 25] > 0, "1000 Hz is the 25th frequency of 40 Hz each"
    assert made.max() - made.min() <= 2.0 + 1e-12, "eight tens, a quarter of each"


def test_a_frame_by_its_sum():
    """The discrete Fourier transform written out, of one frame."""
    samples = np.random.default_rng(0).normal(size=2000)
    n = np.arange(400)
    frame = samples[5 * 160 - 200 : 5 * 160 + 200] * np.sin(np.pi * n / 400) ** 2
    power = [abs((frame * np.exp(-2j * np.pi * k * n / 400)).sum()) ** 2 for k in range(201)]
    logs = np.log10(filters() @ np.array(power))
    assert np.allclose(log_mel(samples)[:, 5], (logs + 4) / 4, atol=1e-9)


def test_too_little_to_hear_is_refused():
    with pytest.raises(ValueError, match="200 samples, and more than 200 are wanted"):
        log_mel(np.zeros(200))


def test_a_sound_stays_what_it_is_at_another_rate():
    time = np.arange(22050) / 22050
    made = sound.resampled(np.sin(2 * np.pi * 440 * time), 22050, 16000)
    assert made.dtype == np.float32
    assert np.allclose(made, np.sin(2 * np.pi * 440 * np.arange(16000) / 16000), atol=1e-6)
    with pytest.raises(RunError, match="1 samples at 22050 a second are none at 16000"):
        sound.resampled(np.ones(1), 22050, 16000)


def wave_of(samples, *, channels=1, rate=22050, width=2):
    held = io.BytesIO()
    with wave.open(held, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(np.asarray(samples, "<i2").tobytes())
    return held.getvalue()


def test_a_wave_is_read():
    samples, rate = sound.read_wave(wave_of([0, 16384, -32768]))
    assert samples.tolist() == [0.0, 0.5, -1.0]
    assert rate == 22050
    with pytest.raises(RunError, match=r"got \(channels, bytes\) = \(2, 2\), want \(1, 2\)"):
        sound.read_wave(wave_of([0, 0], channels=2))


def espeak(tmp_path, monkeypatch, script):
    file = tmp_path / "espeak-ng"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")


def test_without_espeak_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingError, match="apt-get install -y espeak-ng"):
        sound.spoken("a", rate=RATE)


def test_an_espeak_that_fails_or_says_nothing_is_told(tmp_path, monkeypatch):
    espeak(tmp_path, monkeypatch, "echo no such voice >&2; exit 3")
    with pytest.raises(RunError, match="espeak-ng failed: no such voice"):
        sound.spoken("a", rate=RATE)
    (tmp_path / "silent.wav").write_bytes(wave_of([0] * 100))
    espeak(tmp_path, monkeypatch, f"cat {tmp_path}/silent.wav")
    with pytest.raises(RunError, match="espeak-ng said nothing of 'a'"):
        sound.spoken("a", rate=RATE)


class Drawn:
    """What the definition asks of an image of Pillow, which the environment of these tests does not have."""

    def __init__(self, levels):
        self.levels = np.asarray(levels)
        self.size = self.levels.shape[1::-1]

    def convert(self, _mode):
        return self

    def resize(self, size, _resample):
        rows, columns = (np.arange(new) * old // new for new, old in zip(size[::-1], self.size[::-1]))
        return Drawn(self.levels[rows][:, columns])

    def crop(self, box):
        return Drawn(self.levels[box[1] : box[3], box[0] : box[2]])

    def __array__(self, dtype=None, copy=None):
        return self.levels.astype(dtype)


def recipe(**changed):
    values = {"fit": "both", "size": 2, "resample": "bilinear", "mean": (0.5, 0.0, 0.0), "std": (0.5, 1.0, 2.0)}
    return Recipe(**values | changed)


def test_pixels_are_channels_first_and_normalised_one_by_one():
    made = pixels(Drawn(np.full((2, 2, 3), [255, 51, 0])), recipe())
    assert made.shape == (3, 2, 2)
    assert made[:, 0, 0].tolist() == [1.0, 0.2, 0.0]


def test_what_is_put_around_is_zero_after_all():
    made = pixels(Drawn(np.full((2, 1, 3), 255)), recipe(fit="longest", pad=3))
    assert made.shape == (3, 3, 3)
    assert made[0].tolist() == [[1, 0, 0], [1, 0, 0], [0, 0, 0]]


def test_the_middle_is_cut_out():
    levels = np.arange(5)[None, :, None] * np.ones((2, 1, 3)) * 51
    assert pixels(Drawn(levels), recipe(fit="shortest", crop=2, std=(0.5, 1.0, 1.0)))[1, 0].tolist() == [0.4, 0.6]
    with pytest.raises(ValueError, match="an edge of 2 pixels, of which 3 are wanted"):
        pixels(Drawn(levels), recipe(fit="shortest", crop=3))


@given(st.integers(1, 2000), st.integers(1, 2000), st.sampled_from(["shortest", "longest", "both"]))
def test_an_image_fits(width, height, fit):
    made = target(width, height, recipe(fit=fit, size=32))
    assert {"shortest": min(made), "longest": max(made), "both": made[0]}[fit] == 32
    if fit == "shortest":
        assert 0 <= 32 * max(width, height) / min(width, height) - max(made) < 1


@given(st.integers(1, 50), st.integers(0, 50))
def test_the_margins_differ_by_one_at_most(crop, margin):
    begin = offset(crop + margin, crop)
    assert abs(margin - 2 * begin) <= 1


def test_padding_does_not_count_and_lengths_are_one():
    states = np.array([[[3.0, 4.0], [100.0, 0.0]], [[0.0, 2.0], [0.0, 4.0]]])
    assert pooled(states, np.array([[1, 0], [1, 1]])).tolist() == [[0.6, 0.8], [0.0, 1.0]]
    assert pooled(states, np.array([[1, 0], [1, 1]]), normalised=False).tolist() == [[3.0, 4.0], [0.0, 3.0]]
    with pytest.raises(ValueError, match="a sentence has no token"):
        pooled(states, np.array([[1, 0], [0, 0]]))


def test_the_nearest_come_first_and_none_is_near_itself():
    assert ranking(np.array([[1.0, 0.1, 0.5], [0.1, 1.0, 0.9], [0.5, 0.9, 1.0]])) == [(2, 1), (2, 0), (1, 0)]
