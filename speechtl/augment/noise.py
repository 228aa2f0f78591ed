"""Additive noise at a signal-to-noise ratio that is exact."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final, Literal

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

__all__ = ["AdditiveNoise"]

LOWEST_PINK_HZ: Final = 20.0
"""Below hearing, the pink spectrum is flat: else rumble would take much of the noise's energy."""

SMALLEST_BABBLE: Final = 3
"""Fewer voices are heard as one competing speaker, whose words a recogniser may learn to write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdditiveNoise:
    """Adds noise at a drawn signal-to-noise ratio, measured over the whole utterance.

    The length stays. The result is not clipped. Silence stays silent, for no ratio to it exists.
    The babble and its range of ratios follow Snyder, Chen & Povey, "MUSAN" (2015, arXiv:1510.08484)
    and its use in Kaldi.

    Args:
        kind: `white` (a flat spectrum), `pink` (-3 dB per octave, near to rooms and traffic),
            `babble` (several utterances at equal level) or `files` (one recording of noise).
        minimum_snr_db: the loudest noise, in decibels of speech above noise.
        maximum_snr_db: the quietest noise.
        sources: for `babble`, audio files of speech, at least `voices` of them; for `files`,
            recordings of noise. Shorter ones are repeated, longer ones start at a drawn place.
        voices: how many utterances are mixed to one babble; at least 3.

    Raises:
        ConfigError: the ratios are turned round or not finite, or `sources` or `voices` do not fit
            the kind.
    """

    kind: Literal["white", "pink", "babble", "files"] = "pink"
    minimum_snr_db: float = 5.0
    maximum_snr_db: float = 20.0
    sources: tuple[Path, ...] = ()
    voices: int = 4

    def __post_init__(self) -> None:
        require_range(
            "snr_db", self.minimum_snr_db, self.maximum_snr_db, lowest=-60.0, highest=120.0
        )
        if self.kind not in ("white", "pink", "babble", "files"):
            raise ConfigError(f"kind must be white, pink, babble or files, got {self.kind!r}")
        if self.voices < SMALLEST_BABBLE:
            raise ConfigError(f"voices must be {SMALLEST_BABBLE} or more, got {self.voices}")
        needed = {"babble": self.voices, "files": 1}.get(self.kind, 0)
        if len(self.sources) < needed:
            raise ConfigError(
                f"kind {self.kind!r} needs at least {needed} audio files in sources, "
                f"got {len(self.sources)}"
            )
        if self.sources and not needed:
            raise ConfigError(
                f"kind {self.kind!r} takes no sources, got {len(self.sources)}: "
                "did you mean babble or files?"
            )

    def __call__(self, waveform: Waveform, sample_rate: int, rng: np.random.Generator) -> Waveform:
        """The waveform with noise added; see `Augmentation`."""
        samples = checked(waveform)
        snr_db = rng.uniform(self.minimum_snr_db, self.maximum_snr_db)
        noise = self._noise(samples.size, sample_rate, rng)
        wanted, drawn = energy(samples), energy(noise)
        if not wanted or not drawn:
            return samples.copy()
        # What `torchaudio.functional.add_noise` does, without torch's threads, which a model at
        # work needs; in float64, for the scaled noise of quiet speech would vanish in float32.
        level = math.sqrt(wanted / drawn) / decibels_to_amplitude(snr_db)
        return (samples + level * noise.astype(np.float64)).astype(np.float32)

    def _noise(self, length: int, sample_rate: int, rng: np.random.Generator) -> Waveform:
        """Noise of this kind at any level, `(length,)`; zeros if the drawn stretch is silent."""
        if self.kind == "white":
            return rng.standard_normal(length, dtype=np.float32)
        if self.kind == "pink":
            return _pink(length, sample_rate, rng)
        count = self.voices if self.kind == "babble" else 1
        chosen = rng.choice(len(self.sources), size=count, replace=False)
        mixed = np.zeros(length, dtype=np.float32)
        for index in chosen:
            stretch = _stretch(_recording(self.sources[index], sample_rate), length, rng)
            level = np.sqrt(energy(stretch) / length)
            if level:
                mixed += (stretch / level).astype(np.float32)
        return mixed


def _pink(length: int, sample_rate: int, rng: np.random.Generator) -> Waveform:
    """Noise whose power falls by 3 dB per octave from 20 Hz upwards, `(length,)`."""
    samples = fft.next_fast_len(length, real=True)
    frequencies = fft.rfftfreq(samples, d=1.0 / sample_rate).astype(np.float32)
    parts = rng.standard_normal((2, frequencies.size), dtype=np.float32)
    spectrum = (parts[0] + 1j * parts[1]) / np.sqrt(np.maximum(frequencies, LOWEST_PINK_HZ))
    if spectrum.size > 1:
        spectrum[0] = 0.0
    pink: Waveform = fft.irfft(spectrum, samples)[:length]
    return pink


@lru_cache(maxsize=64)
def _recording(path: Path, sample_rate: int) -> Waveform:
    """The read-only samples of a noise file at the wanted rate.

    Raises:
        DataError: the file cannot be read, or holds silence alone.
    """
    samples = audio.read(path)
    if not energy(samples):
        raise DataError(
            f"{path}: a source of noise must not be silent, all samples are 0: remove it"
        )
    if sample_rate != audio.SAMPLE_RATE:
        samples = to_waveform(
            torchaudio.functional.resample(to_tensor(samples), audio.SAMPLE_RATE, sample_rate)
        )
    samples.flags.writeable = False
    return samples


def _stretch(recording: Waveform, length: int, rng: np.random.Generator) -> Waveform:
    """A stretch from a drawn place of the recording, which repeats if it is short, `(length,)`."""
    if recording.size > length:
        first = int(rng.integers(recording.size - length + 1))
        return recording[first : first + length]
    first = int(rng.integers(recording.size))
    return np.resize(np.roll(recording, -first), length)
