"""Speech for a model that hears: made by `espeak-ng`, at the rate that the model wants."""

from __future__ import annotations

import io
import shutil
import subprocess
import wave

import numpy as np

from harness.errors import MissingError, RunError
from harness.parity.compare import Array

COMMAND = "espeak-ng"


def missing() -> str:
    """What to do where there is no `espeak-ng`, or ""."""
    if shutil.which(COMMAND):
        return ""
    return f"{COMMAND} is not installed: get it, as by `apt-get install -y {COMMAND}`"


def spoken(text: str, *, rate: int, voice: str = "en-us", words_per_minute: int = 175) -> Array:
    """The text as `espeak-ng` says it: samples between -1 and 1 in float32, `rate` of them a second.

    Raises:
        MissingError: there is no `espeak-ng`. RunError: it failed, or said nothing.
    """
    if missing():
        raise MissingError("speech", missing(), todo="Install it.")
    call = [COMMAND, "--stdout", "-v", voice, "-s", str(words_per_minute), "--", text]
    done = subprocess.run(call, capture_output=True, check=False)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()
        raise RunError("speech", f"{COMMAND} failed: {said}", todo=f"Call it by hand: {' '.join(call)}.")
    samples, own = read_wave(done.stdout)
    if not samples.any():
        raise RunError("speech", f"{COMMAND} said nothing of {text!r}", todo="Give it a text that has words.")
    return resampled(samples, own, rate)


def read_wave(data: bytes) -> tuple[Array, int]:
    """Samples between -1 and 1 in float64, and how many there are a second, of one channel of 16 bits.

    Raises:
        RunError: it is another kind of sound.
    """
    with wave.open(io.BytesIO(data)) as file:
        kind = file.getnchannels(), file.getsampwidth()
        if kind != (1, 2):
            raise RunError("speech", f"got (channels, bytes) = {kind}, want (1, 2)", todo="Save it as 16 bits, mono.")
        # One who writes to a pipe does not know the length beforehand: what is there counts.
        return np.frombuffer(file.readframes(len(data)), "<i2") / 32768.0, file.getframerate()


def resampled(samples: Array, rate: int, wanted: int) -> Array:
    """The sound at another rate, in float32: its spectrum up to half the lower one."""
    count = len(samples) * wanted // rate
    if not count:
        raise RunError("speech", f"{len(samples)} samples at {rate} a second are none at {wanted}", todo="Give more.")
    spectrum = np.fft.rfft(samples)[: count // 2 + 1]
    return (np.fft.irfft(spectrum, count) * (count / len(samples))).astype(np.float32)
