"""What Whisper hears, from its definition and in float64: Radford et al., arXiv 2212.04356, section 2.2.

Power of windows of 25 ms every 10 ms, 80 triangles on the mel scale of Slaney's Auditory Toolbox, each of area 1, and
its logarithm, of which no more than eight tens below the largest are kept, scaled to about -1 to 1.
"""

from __future__ import annotations

import numpy as np

from harness.parity.compare import Array

RATE = 16000
WINDOW, HOP = 400, 160
BANDS = 80
LEAST, DEPTH = 1e-10, 8.0
LINEAR_HERTZ, LINEAR_MELS, STEP = 1000.0, 15.0, np.log(6.4) / 27
"""Slaney's scale: 15 mels to 1000 Hz, and 27 more for each factor of 6.4."""


def log_mel(samples: Array, *, bands: int = BANDS, hop: int = HOP) -> Array:
    """Of shape (bands, frames), a frame for every `hop` samples.

    Raises:
        ValueError: there is no sample to reflect at the ends.
    """
    if len(samples) <= WINDOW // 2:
        raise ValueError(f"{len(samples)} samples, and more than {WINDOW // 2} are wanted")
    padded = np.pad(np.asarray(samples, np.float64), WINDOW // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::hop][: len(samples) // hop]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    power = np.abs(np.fft.rfft(frames * hann)) ** 2
    logs = np.log10(np.maximum(filters(bands) @ power.T, LEAST))
    return np.asarray((np.maximum(logs, logs.max() - DEPTH) + 4.0) / 4.0)


def filters(bands: int = BANDS) -> Array:
    """The triangles, of shape (bands, frequencies): evenly spaced in mels, each of area 1 in hertz."""
    edges = _hertz(np.linspace(0.0, _mels(RATE / 2), bands + 2))
    low, middle, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    hertz = np.linspace(0.0, RATE / 2, WINDOW // 2 + 1)
    rising, falling = (hertz - low) / (middle - low), (high - hertz) / (high - middle)
    return np.asarray(np.maximum(0.0, np.minimum(rising, falling)) * 2.0 / (high - low))


def _mels(hertz: float) -> float:
    if hertz < LINEAR_HERTZ:
        return hertz * LINEAR_MELS / LINEAR_HERTZ
    return LINEAR_MELS + float(np.log(hertz / LINEAR_HERTZ) / STEP)


def _hertz(mels: Array) -> Array:
    above = LINEAR_HERTZ * np.exp(STEP * (mels - LINEAR_MELS))
    return np.asarray(np.where(mels < LINEAR_MELS, mels * LINEAR_HERTZ / LINEAR_MELS, above))
