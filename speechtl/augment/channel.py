"""Augmentations of what lies between the mouth and the recogniser: room, level, telephone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
import torchaudio.functional
from scipy import fft

from speechtl import audio
from speechtl.audio import Waveform
from speechtl.augment.base import (
    checked,
    decibels_to_amplitude,
    energy,
    require_range,
    to_tensor,
    to_waveform,
)
from speechtl.errors import ConfigError, DataError

__all__ = ["Gain", "RoomImpulseResponse", "TelephoneBand"]

DECAY_OF_60_DB: Final = 3.0 * math.log(10.0)
"""exp(-3 ln 10) is -60 dB in amplitude: the fall that defines the reverberation time."""

TELEPHONE_RATE: Final = 8_000
"""Samples a second of narrow-band telephony (ITU-T G.711)."""

FILTER_S: Final = 0.032
"""The length of the band-pass filter: with a Blackman window its edges are 170 Hz wide."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomImpulseResponse:
    """Puts the utterance into a room: convolves it with an impulse response.

    The response is drawn from Polack's model, a direct sound and noise that decays exponentially
    (Polack, "La transmission de l'énergie sonore dans les salles", 1988), or is one of the recorded
    `responses`. The direct sound stays in its place, so that the times of words still hold. Length
    and energy are those of the input; what rings on past the end is cut off. Ko et al., "A study on
    data augmentation of reverberant speech" (ICASSP 2017).

    Args:
        minimum_reverberation_s: the driest room: seconds until the sound has fallen by 60 dB
            (RT60), above 0.
        maximum_reverberation_s: the most reverberant room, at most 10 s.
        minimum_direct_db: the furthest speaker: decibels of the direct sound above the
            reverberation.
        maximum_direct_db: the nearest speaker.
        responses: audio files of recorded impulse responses; with them the four values above are
            not used.

    Raises:
        ConfigError: a range is turned round, not finite, or a reverberation time not within 0.01 to
            10 s.
    """

    minimum_reverberation_s: float = 0.15
    maximum_reverberation_s: float = 0.6
    minimum_direct_db: float = 0.0
    maximum_direct_db: float = 12.0
    responses: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        require_range(
            "reverberation_s",
            self.minimum_reverberation_s,
            self.maximum_reverberation_s,
            lowest=0.01,
            highest=10.0,
        )
        require_range(
            "direct_db",
            self.minimum_direct_db,
            self.maximum_direct_db,
            lowest=-60.0,
            highest=60.0,
        )

    def __call__(self, waveform: Waveform, sample_rate: int, rng: np.random.Generator) -> Waveform:
        """The waveform as heard in a room, of the same length and energy; see `Augmentation`."""
        samples = checked(waveform)
        response = self.response(sample_rate, rng)[: samples.size]
        wet = _convolved(samples, response)
        wet_energy = energy(wet)
        if not wet_energy:
            return samples.copy()
        return (wet * math.sqrt(energy(samples) / wet_energy)).astype(np.float32)

    def response(self, sample_rate: int, rng: np.random.Generator) -> Waveform:
        """An impulse response `(samples,)` that starts with the direct sound, of amplitude 1.

        Raises:
            DataError: a recorded response cannot be read or is silent.
        """
        if self.responses:
            return _recorded(self.responses[int(rng.integers(len(self.responses)))], sample_rate)
        reverberation_s = rng.uniform(self.minimum_reverberation_s, self.maximum_reverberation_s)
        direct_db = rng.uniform(self.minimum_direct_db, self.maximum_direct_db)
        length = max(2, math.ceil(reverberation_s * sample_rate))
        times_s = np.arange(length, dtype=np.float32) / np.float32(sample_rate)
        tail = rng.standard_normal(length, dtype=np.float32)
        tail *= np.exp(times_s * np.float32(-DECAY_OF_60_DB / reverberation_s))
        tail[0] = 0.0
        tail *= decibels_to_amplitude(-direct_db) / math.sqrt(energy(tail))
        tail[0] = 1.0
        return tail


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """Makes the utterance louder or quieter, never so loud that it would clip.

    The length stays. The gain is lowered where the peak would pass 1; an input whose peak is above
    1 already is brought down to it.

    Args:
        minimum_db: the strongest attenuation, in decibels; at least -120.
        maximum_db: the strongest amplification; at most 120.

    Raises:
        ConfigError: the gains are turned round, not finite, or outside -120 to 120 dB.
    """

    minimum_db: float = -10.0
    maximum_db: float = 6.0

    def __post_init__(self) -> None:
        require_range("gain_db", self.minimum_db, self.maximum_db, lowest=-120.0, highest=120.0)

    def __call__(self, waveform: Waveform, sample_rate: int, rng: np.random.Generator) -> Waveform:  # noqa: ARG002
        """The waveform at another level; see `Augmentation`."""
        samples = checked(waveform)
        factor = decibels_to_amplitude(rng.uniform(self.minimum_db, self.maximum_db))
        peak = float(np.abs(samples).max())
        if peak * factor > 1.0:
            factor = 1.0 / peak
        # The clip takes off at most a rounding error of the division.
        limited: Waveform = np.clip(samples * np.float32(factor), -1.0, 1.0)
        return limited


@dataclass(frozen=True, slots=True, kw_only=True)
class TelephoneBand:
    """Leaves only what a telephone carries, and adds its codec if wanted.

    A linear-phase band-pass whose delay is taken out (Blackman-windowed sinc: -6 dB at the two
    edges, below -60 dB from about 170 Hz outside them), so that the times of words still hold; the
    length stays. 300 to 3400 Hz is the band of ITU-T G.712. Nothing is drawn: the same input gives
    the same output.

    Args:
        low_hz: the lower edge of the band, above 0.
        high_hz: the upper edge; below half the sample rate, and at most 4000 with the codec.
        mu_law: whether to pass through 8 kHz and the 8-bit mu-law (mu = 255) of ITU-T G.711.

    Raises:
        ConfigError: not 0 < low_hz < high_hz, or an upper edge beyond what the sample rate or the
            codec carries.
    """

    low_hz: float = 300.0
    high_hz: float = 3400.0
    mu_law: bool = False

    def __post_init__(self) -> None:
        if not 0.0 < self.low_hz < self.high_hz < math.inf:
            raise ConfigError(
                "the band must hold 0 < low_hz < high_hz, "
                f"got {self.low_hz:g} to {self.high_hz:g} Hz"
            )
        if self.mu_law and self.high_hz > TELEPHONE_RATE / 2:
            raise ConfigError(
                f"with mu_law, high_hz must be at most {TELEPHONE_RATE // 2}, got {self.high_hz:g}"
            )

    def __call__(self, waveform: Waveform, sample_rate: int, rng: np.random.Generator) -> Waveform:  # noqa: ARG002
        """The waveform as heard over the telephone; see `Augmentation`."""
        samples = checked(waveform)
        if self.high_hz >= sample_rate / 2:
            raise ConfigError(
                f"high_hz must be below half the sample rate, {sample_rate / 2:g} Hz, "
                f"got {self.high_hz:g}"
            )
        taps = _band_pass(self.low_hz, self.high_hz, sample_rate)
        narrow = _convolved(samples, taps, delay=taps.size // 2)
        return _through_mu_law(narrow, sample_rate) if self.mu_law else narrow


def _convolved(samples: Waveform, response: Waveform, *, delay: int = 0) -> Waveform:
    """The samples through a response whose delay, in samples, is taken out; `(samples,)`."""
    # scipy's transforms keep no plan for each length that they meet, torch's do; and all of
    # scipy.signal takes a second to import.
    length = fft.next_fast_len(samples.size + response.size - 1, real=True)
    spectrum = fft.rfft(samples, length) * fft.rfft(response, length)
    convolved: Waveform = fft.irfft(spectrum, length)[delay : delay + samples.size]
    return convolved


@lru_cache(maxsize=16)
def _recorded(path: Path, sample_rate: int) -> Waveform:
    """The read-only response in a file, cut to start at its direct sound, which is scaled to 1.

    Raises:
        DataError: the file cannot be read, or is silent.
    """
    samples = audio.read(path)
    if sample_rate != audio.SAMPLE_RATE:
        samples = to_waveform(
            torchaudio.functional.resample(to_tensor(samples), audio.SAMPLE_RATE, sample_rate)
        )
    direct = int(np.abs(samples).argmax())
    if not samples[direct]:
        raise DataError(
            f"{path}: an impulse response must not be silent, all samples are 0: remove it"
        )
    response: Waveform = samples[direct:] / samples[direct]
    response.flags.writeable = False
    return response


@lru_cache(maxsize=16)
def _band_pass(low_hz: float, high_hz: float, sample_rate: int) -> Waveform:
    """The taps of a linear-phase band-pass filter, `(taps,)`, symmetric about the middle one."""
    half = round(FILTER_S * sample_rate / 2)
    places = np.arange(-half, half + 1) / sample_rate
    low, high = (2 * edge * np.sinc(2 * edge * places) / sample_rate for edge in (low_hz, high_hz))
    taps: Waveform = ((high - low) * np.blackman(2 * half + 1)).astype(np.float32)
    taps.flags.writeable = False
    return taps


def _through_mu_law(samples: Waveform, sample_rate: int) -> Waveform:
    """The samples `(samples,)` after 8 kHz and 8-bit mu-law, at the old rate and length."""
    narrow = torchaudio.functional.resample(to_tensor(samples), sample_rate, TELEPHONE_RATE)
    codes = torchaudio.functional.mu_law_encoding(narrow.clamp(-1.0, 1.0), 256)
    heard = torchaudio.functional.mu_law_decoding(codes, 256)
    back = to_waveform(torchaudio.functional.resample(heard, TELEPHONE_RATE, sample_rate))
    return back[: samples.size]
