"""Speech becomes the same features, tokens and text in openai-whisper and in transformers, with Whisper tiny.en."""

import numpy as np
import pytest

from harness.adapters.source import Replaced
from harness.end_to_end.outcome import Step, of_answers, of_arrays
from harness.end_to_end.sound import missing
from harness.errors import MissingError
from harness.parity.compare import Verdict
from harness.register import read_register

ORIGINAL, PORT = "openai-whisper 20250625", "transformers WhisperForConditionalGeneration"
SPOKEN = ["short", "number", pytest.param("half-a-minute", marks=pytest.mark.slow)]
SOUNDS = ["tones-short", "tones-half-a-minute", "tones-longer", "silence", "louder"]


@pytest.fixture(autouse=True)
def _needs():
    for name in ("torch", "transformers", "whisper"):
        pytest.importorskip(name)


@pytest.fixture(scope="module")
def models(repository):
    """Original and port, with the same weights."""
    from fixtures.end_to_end.whisper import models

    try:
        return models(repository)
    except MissingError as error:
        pytest.skip(error.problem)


def sound_of(name):
    """A sound of that name: made here, or said by espeak-ng, if it is there."""
    from fixtures.end_to_end.samples import utterances
    from fixtures.end_to_end.whisper import silence, tones

    made = {
        "tones-short": lambda: tones(3),
        "tones-half-a-minute": lambda: tones(29.99),
        "tones-longer": lambda: tones(35),
        "silence": lambda: silence(4),
        "louder": lambda: np.concatenate([tones(31, loudness=0.002), tones(3)]),
    }
    if name in made:
        return made[name]()
    if missing():
        pytest.skip(missing())
    return utterances()[name].sound()


def step(name, check, port=PORT):
    from fixtures.end_to_end.samples import utterances

    said = utterances()[name].text.strip() if name in utterances() else name
    return Step(f"whisper-{name}", check, f"{name}: {port} against {ORIGINAL}", ORIGINAL, port, said)


def features(name, **changed):
    """The outcome for the features that both make of a sound by themselves."""
    from fixtures.end_to_end.whisper import by_definition, heard, heard_by_port

    sound = sound_of(name)
    made = heard_by_port(sound, **changed)
    return of_arrays(step(name, "features", "WhisperFeatureExtractor"), heard(sound), made, by_definition(sound))


@pytest.mark.parametrize("name", [*SOUNDS, *SPOKEN, pytest.param("longer", marks=pytest.mark.slow)])
def test_features_are_the_originals(name, answers):
    answers(features(name))


@pytest.mark.parametrize("name", SOUNDS)
def test_features_without_torch_are_the_originals(name, answers):
    from fixtures.end_to_end.whisper import by_definition, heard, heard_without_torch

    sound = sound_of(name)
    what = step(name, "features without torch", "WhisperFeatureExtractor")
    answers(of_arrays(what, heard(sound), heard_without_torch(sound), by_definition(sound)))


@pytest.mark.parametrize("name", [*SPOKEN, "silence"])
def test_tokens_and_text_are_the_originals(name, models, answers):
    """From the sound on, each side with its own features, and each read by its own tokenizer."""
    from fixtures.end_to_end.whisper import heard, heard_by_port, reader, tokenizer_of, written, written_by_port

    sound = sound_of(name)
    ours, theirs = written(models[0], heard(sound)), written_by_port(models[1], heard_by_port(sound))
    texts = tokenizer_of().decode(ours), reader().decode(theirs)
    answers.all([of_answers(step(name, "tokens"), ours, theirs), of_answers(step(name, "text"), *map(lines, texts))])
    if name != "silence":
        # Of their words 0.64 to 0.91 were understood, with espeak-ng 1.51.
        assert understood(step(name, "").asked, texts[0]) > 0.4, "what was heard is not what was said"


def lines(text):
    return [text.strip()]


def understood(said, heard):
    """The share of the words that were said which are among those that were heard."""
    words = said.lower().replace(".", "").split()
    return sum(word in heard.lower() for word in words) / len(words)


@pytest.mark.slow
def test_a_longer_recording_is_the_originals(models, answers):
    """More than half a minute: window after window, each beginning where the last sentence ended.

    Of two equal timestamps that end a window the port keeps both, as a comment in generation_whisper.py says, and the
    original one: timestamps are compared as the times of the segments.
    """
    import torch
    import whisper

    from fixtures.end_to_end.whisper import ONE_TRY, generation, reader, recording_by_port

    sound = sound_of("longer")
    segments = whisper.transcribe(models[0], sound, **ONE_TRY)["segments"]
    given = torch.from_numpy(recording_by_port(sound))[None]
    settings = generation(models[1], return_timestamps=True)
    mask = torch.ones_like(given[:, 0]).long()
    made = models[1].generate(
        given, generation_config=settings, attention_mask=mask, return_segments=True, condition_on_prev_tokens=False
    )
    reads = reader()
    end = settings.eos_token_id
    ours = [[round(each["start"], 2), round(each["end"], 2), each["text"].strip()] for each in segments]
    theirs = [
        [
            round(float(each["start"]), 2),
            round(float(each["end"]), 2),
            reads.decode(each["tokens"][each["tokens"] < end]),
        ]
        for each in made["segments"][0]
    ]
    theirs = [[start, stop, text.strip()] for start, stop, text in theirs]
    answers(of_answers(step("longer", "segments"), ours, theirs))
    assert len({each[0] // 30 for each in ours}) > 1, "it all fell into one window"


def test_another_rate_is_refused():
    from transformers import WhisperFeatureExtractor

    from fixtures.end_to_end.whisper import silence

    with pytest.raises(ValueError, match="sampling rate of 16000"):
        WhisperFeatureExtractor()(silence(1), sampling_rate=22050)


# Where the original itself does it in two ways: `whisper.transcribe` pads otherwise than its README's `pad_or_trim`,
# and the port's extractor does as the README does.
PADDING = {
    "whisper-pads-sound": ("tones-short", "window"),
    "whisper-own-loudest": ("louder", "window"),
    "whisper-reflects-the-end": ("tones-longer", "recording"),
}


def padded(name, check, *, corrected=False):
    from fixtures.end_to_end import whisper as w

    sound, whole = sound_of(name), check == "recording"
    if corrected:
        theirs = (
            w.window_by_port(sound) if not whole else w.recording_by_port(np.pad(sound, (0, 30 * 16000)))[:, :-3000]
        )
    else:
        theirs = w.recording_by_port(sound) if whole else w.heard_by_port(sound)
    ours = w.recording(sound) if whole else w.window(sound)
    wide = w.by_definition(sound, whole=whole, as_window=True)
    return of_arrays(step(name, check, "WhisperFeatureExtractor"), ours, theirs, wide), abs(ours - theirs).max(axis=0)


@pytest.mark.parametrize("row", PADDING)
def test_whisper_transcribe_pads_otherwise(row, answers):
    answers(padded(*PADDING[row])[0])


@pytest.mark.parametrize("row", PADDING)
def test_padded_as_the_original_the_features_agree(row):
    """The proof of the register's rows: what is done in another order, done in the original's."""
    assert padded(*PADDING[row], corrected=True)[0].verdict is Verdict.AGREE
    assert padded(*PADDING[row])[0].verdict is Verdict.DIVERGE


def test_the_subject_of_every_row_is_claimed(repository):
    rows = [row for row in read_register(repository.register) if "test_speech" in row.proof]
    assert {row.id: row.subjects for row in rows} == {
        row: (step(name, check).sample + f".{check}",) for row, (name, check) in PADDING.items()
    }


def test_where_the_padding_shows():
    """After the sound of 3 seconds every frame; of a recording that goes on, the last; of a quiet one, all."""
    off = {row: np.flatnonzero(padded(*where)[1] > 1e-3) for row, where in PADDING.items()}
    assert off["whisper-pads-sound"].tolist() == list(range(300, 3000))
    assert off["whisper-reflects-the-end"].tolist() == [3499]
    assert len(off["whisper-own-loudest"]) == 3000


# Planted faults.


@pytest.mark.parametrize("changed", [{"hop_length": 159}, {"n_fft": 512}, {"dither": 1e-3}, {"chunk_length": 29}])
def test_another_setting_of_the_features_is_caught(changed):
    assert features("tones-short").verdict is Verdict.AGREE
    assert features("tones-short", **changed).verdict is Verdict.DIVERGE


EXTRACTOR = "models.whisper.feature_extraction_whisper"
FAULTS = {
    "mel scale of HTK": ('mel_scale="slaney"', 'mel_scale="htk"'),
    "filters of height 1": ('norm="slaney"', "norm=None"),
    "amplitude for power": ("stft[..., :-1].abs() ** 2", "stft[..., :-1].abs()"),
    "natural logarithm": ("min=1e-10).log10()", "min=1e-10).log()"),
    "symmetric window": (
        "window = torch.hann_window(self.n_fft, device=device)",
        "window = torch.hann_window(self.n_fft, periodic=False, device=device)",
    ),
    "zeros at the ends": (
        "window=window, return_complex=True",
        'window=window, pad_mode="constant", return_complex=True',
    ),
    "seven tens kept": ("max_val - 8.0", "max_val - 7.0"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_in_the_features_is_caught(fault):
    from harness.adapters.transformers.corrected import corrected

    assert features("tones-half-a-minute").verdict is Verdict.AGREE
    with corrected({EXTRACTOR: [Replaced(*FAULTS[fault])]}):
        outcome = features("tones-half-a-minute")
    assert outcome.verdict is Verdict.DIVERGE, str(outcome)


def test_every_setting_of_the_generation_is_needed(models):
    """With one of them otherwise the port writes other tokens than the original."""
    from fixtures.end_to_end.whisper import heard, suppressed, tokenizer_of, written, written_by_port

    made = heard(sound_of("tones-short"))
    right = written(models[0], made)
    # The original would begin with a bracket, if it were let.
    first = written(models[0], made, suppress_tokens="")[0]
    assert first in suppressed()

    def verdict(**changed):
        return of_answers(step("tones-short", "tokens"), right, written_by_port(models[1], made, **changed)).verdict

    assert verdict() is Verdict.AGREE
    assert verdict(without=[first]) is Verdict.DIVERGE
    # No sound here would begin with a space or the end, which are kept from that place: another token shows that it is.
    assert verdict(begin_suppress_tokens=right[:1]) is Verdict.DIVERGE
    assert verdict(decoder_start_token_id=tokenizer_of().eot) is Verdict.DIVERGE
    assert verdict(return_timestamps=True) is Verdict.DIVERGE
    assert verdict(max_new_tokens=1) is Verdict.DIVERGE


def test_what_the_port_calls_symbols_that_nobody_says():
    """Its list has all that the original never writes, but the two tasks, of which English alone has none."""
    from transformers.models.whisper.configuration_whisper import NON_SPEECH_TOKENS

    from fixtures.end_to_end.whisper import suppressed, tokenizer_of

    tokenizer = tokenizer_of()
    assert set(suppressed()) - set(NON_SPEECH_TOKENS) == {tokenizer.translate, tokenizer.transcribe}
    assert set(NON_SPEECH_TOKENS) <= set(suppressed())


def test_a_token_off_is_caught():
    ours = [383, 2068, 7586]
    assert of_answers(step("short", "tokens"), ours, [383, 2069, 7586]).verdict is Verdict.DIVERGE
    assert of_answers(step("short", "tokens"), ours, ours[:-1]).verdict is Verdict.DIVERGE
    assert of_answers(step("short", "tokens"), ours, [*ours, 13]).verdict is Verdict.DIVERGE


def test_where_there_is_no_espeak_the_tests_say_how_to_get_it(monkeypatch, repository):
    """The reason is none that a slow test may be skipped for."""
    import re

    from fixtures.end_to_end.samples import utterances

    monkeypatch.setenv("PATH", "")
    assert "apt-get install -y espeak-ng" in missing()
    assert not any(re.search(pattern, missing()) for pattern in repository.settings.allowed_skips)
    said = utterances()["short"]
    with pytest.raises(MissingError, match="espeak-ng"):
        said.sound()
