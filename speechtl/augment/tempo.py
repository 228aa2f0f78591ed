"""Augmentations of speed and pitch."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import numpy as np
import soxr

from speechtl.audio import Waveform
from speechtl.augment.base import checked, require_range
from speechtl.errors import ConfigError

__all__ = ["PitchShift", "SpeedPerturbation", "TimeStretch"]

LARGEST_DENOMINATOR: Final = 100
"""Of the ratio that stands for a speed: 1.1 is 11:10, whatever its last binary digits."""

STFT_SAMPLES: Final = 2048
"""The window of librosa's phase vocoder (librosa 0.11, `librosa.stft`), in samples."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedPerturbation:
    """Plays the utterance faster or slower: tempo and pitch move together.

    The result has round(samples / factor) samples, so label times and the number of frames change
    with it. Ko et al., "Audio augmentation for speech recognition" (Interspeech 2015): 4.3 %
    relative with 0.9, 1.0 and 1.1.

    The resampler is soxr's: torchaudio's compiles a kernel for each length that it meets, which
    takes longer than the resampling and stays in memory.

    Args:
        factors: the speeds, one of which is drawn; 1.1 is faster, shorter and higher. From 0.5 to
            2; each is taken as the nearest fraction with a denominator up to 100.

    Raises:
        ConfigError: no factors, or one outside 0.5 to 2.
    """

    factors: tuple[float, ...] = (0.9, 1.0, 1.1)

    def __post_init__(self) -> None:
        if not self.factors:
            raise ConfigError("factors must hold at least one speed, got none: try (0.9, 1.0, 1.1)")
        require_range("factors", min(self.factors), max(self.factors), lowest=0.5, highest=2.0)

    def __call__(self, waveform: Waveform, sample_rate: int, rng: np.random.Generator) -> Waveform:  # noqa: ARG002
        """The waveform at one of the speeds; see `Augmentation`."""
        samples = checked(waveform)
        factor = self.factors[int(rng.integers(len(self.factors)))]
        ratio = Fraction(factor).limit_denominator(LARGEST_DENOMINATOR)
        if ratio == 1:
            return samples.copy()
        resampled = soxr.resample(samples, ratio.numerator, ratio.denominator)
        return _of_length(resampled, max(1, round(samples.size / ratio)))


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeStretch:
    """Changes the tempo and keeps the pitch, by librosa's phase vocoder.

    The result has round(samples / rate) samples. It smears transients: prefer `SpeedPerturbation`
    unless the pitch must stay. Laroche & Dolson, "Improved phase vocoder time-scale modification of
    audio" (1999).

    Args:
        minimum_rate: the slowest tempo, at least 0.5; 1 is unchanged.
        maximum_rate: the fastest tempo, at most 2.

    Raises:
        ConfigError: the rates are turned round or outside 0.5 to 2.
    """

    minimum_rate: float = 0.9
    maximum_rate: float = 1.1

    def __post_init__(self) -> None:
        require_range("rate", self.minimum_rate, self.maximum_rate, lowest=0.5, highest=2.0)

    def __call__(self, waveform: Waveform, sample_rate: int, rng: np.random.Generator) -> Waveform:  # noqa: ARG002
        """The waveform at another tempo; see `Augmentation`."""
        # librosa takes a second to import, which only those who use it should pay.
        import librosa.effects  # noqa: PLC0415

        samples = checked(waveform)
        rate = rng.uniform(self.minimum_rate, self.maximum_rate)
        stretched = librosa.effects.time_stretch(_padded(samples), rate=rate)
        return _of_length(stretched, max(1, round(samples.size / rate)))


@dataclass(frozen=True, slots=True, kw_only=True)
class PitchShift:
    """Raises or lowers the pitch and keeps tempo and length.

    librosa's phase vocoder stretches, resampling brings the length back. The formants move with the
    pitch: beyond two or three semitones a voice stops sounding human.

    Args:
        minimum_semitones: the deepest shift, at least -12.
        maximum_semitones: the highest shift, at most 12; 12 doubles the frequency.

    Raises:
        ConfigError: the shifts are turned round or outside -12 to 12.
    """

    minimum_semitones: float = -2.0
    maximum_semitones: float = 2.0

    def __post_init__(self) -> None:
        require_range(
            "semitones", self.minimum_semitones, self.maximum_semitones, lowest=-12.0, highest=12.0
        )

    def __call__(self, waveform: Waveform, sample_rate: int, rng: np.random.Generator) -> Waveform:
        """The waveform at another pitch, of the same length; see `Augmentation`."""
        # librosa takes a second to import, which only those who use it should pay.
        import librosa.effects  # noqa: PLC0415

        samples = checked(waveform)
        semitones = rng.uniform(self.minimum_semitones, self.maximum_semitones)
        shifted = librosa.effects.pitch_shift(_padded(samples), sr=sample_rate, n_steps=semitones)
        return _of_length(shifted, samples.size)


def _padded(samples: Waveform) -> Waveform:
    """The samples followed by silence up to one window, below which librosa warns."""
    return np.pad(samples, (0, max(0, STFT_SAMPLES - samples.size)))


def _of_length(samples: Waveform, length: int) -> Waveform:
    """The samples cut, or followed by silence, to `length`."""
    cut = np.asarray(samples[:length], dtype=np.float32)
    return np.pad(cut, (0, length - cut.size))
