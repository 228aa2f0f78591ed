"""Speech from text with espeak-ng and flite, in mild rooms, noise and levels."""

from __future__ import annotations

import io
import re
import subprocess
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from .voices import Voice

__all__ = ["SAMPLE_RATE", "phonemes", "recording"]

SAMPLE_RATE = 16_000

Waveform = npt.NDArray[np.float32]


def _espeak(name: str, text: str, rng: np.random.Generator) -> tuple[Waveform, int]:
    command = ["espeak-ng", "-v", name, "--stdout"]
    command += [
        "-s",
        str(rng.integers(135, 196)),
        "-p",
        str(rng.integers(35, 66)),
        "-g",
        str(rng.integers(0, 4)),
    ]
    wav = subprocess.run([*command, "--", text], capture_output=True, check=True).stdout
    # espeak-ng streams, so its header's length is a placeholder: take all that follows 44 bytes.
    samples = np.frombuffer(wav[44 : len(wav) - len(wav) % 2], dtype="<i2")
    return samples.astype(np.float32) / np.float32(32768), 22_050


def _flite(name: str, text: str, rng: np.random.Generator) -> tuple[Waveform, int]:
    command = ["flite", "-voice", name, "--setf", f"duration_stretch={rng.uniform(0.85, 1.2):.2f}"]
    wav = subprocess.run(
        [*command, "-t", text, "-o", "/dev/stdout"], capture_output=True, check=True
    ).stdout
    waveform, rate = soundfile.read(io.BytesIO(wav), dtype="float32")
    return waveform, rate


@lru_cache(maxsize=1)
def _noise_filters() -> list[npt.NDArray[np.float32]]:
    """Magnitude shapes over 257 bins: white, pink, and a hum-like brown."""
    bins = np.arange(1, 258, dtype=np.float32)
    return [np.ones_like(bins), bins**-0.5, bins**-1.0]


def _noise(samples: int, rng: np.random.Generator) -> Waveform:
    shape = _noise_filters()[rng.integers(3)]
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    spectrum *= np.interp(np.linspace(0, 256, len(spectrum)), np.arange(257), shape)
    return np.fft.irfft(spectrum, samples).astype(np.float32)


def _room(waveform: Waveform, rng: np.random.Generator) -> Waveform:
    """Convolve with a decaying noise tail of 0.08 to 0.3 s; the direct sound stays strong."""
    reverberation_s = rng.uniform(0.08, 0.3)
    tail = rng.standard_normal(int(reverberation_s * SAMPLE_RATE))
    tail *= np.exp(-6.9 * np.arange(len(tail)) / len(tail))
    tail *= rng.uniform(0.1, 0.45) / np.sqrt(np.sum(tail**2))
    impulse = np.concatenate([[1.0], np.zeros(int(rng.uniform(0.002, 0.012) * SAMPLE_RATE)), tail])
    size = len(waveform) + len(impulse) - 1
    return np.fft.irfft(np.fft.rfft(waveform, size) * np.fft.rfft(impulse, size), size).astype(
        np.float32
    )


def recording(voice: Voice, text: str, rng: np.random.Generator) -> Waveform:
    """Return `text` as `voice` says it, 16 kHz mono, shape `(samples,)`, peak below 0.98.

    Silence of 0.05 to 0.25 s stands before and after; noise at 18 to 40 dB SNR and a level of -32
    to -14 dBFS are drawn from `rng`.
    """
    speak = _espeak if voice.engine == "espeak" else _flite
    waveform, rate = speak(voice.name, text, rng)
    waveform = soxr.resample(waveform, rate, SAMPLE_RATE)
    loud = np.flatnonzero(np.abs(waveform) > 0.01 * np.abs(waveform).max())
    waveform = waveform[loud[0] : loud[-1] + 1]
    waveform = np.pad(waveform, [int(rng.uniform(0.05, 0.25) * SAMPLE_RATE) for _ in range(2)])
    if rng.random() < 0.5:
        waveform = _room(waveform, rng)
    noise = _noise(len(waveform), rng)
    power = np.mean(waveform**2)
    noise *= np.sqrt(power / np.mean(noise**2) * 10 ** (-rng.uniform(18, 40) / 10))
    waveform = waveform + noise
    waveform *= 10 ** (rng.uniform(-32, -14) / 20) / np.sqrt(np.mean(waveform**2))
    waveform *= min(1.0, 0.98 / np.abs(waveform).max())
    return np.asarray(waveform, dtype=np.float32)


def phonemes(texts: Sequence[str], language: str) -> list[list[str]]:
    """Return espeak-ng's phonemes of each text in an accent of English, without stress."""
    command = ["espeak-ng", "-q", "-x", "--sep=_", "-v", language]
    spoken = subprocess.run(
        command, input="\n".join(texts) + "\n", capture_output=True, text=True, check=True
    ).stdout
    lines = [line for line in spoken.splitlines() if line.strip()]
    if len(lines) != len(texts):
        raise RuntimeError(f"espeak-ng gave {len(lines)} lines for {len(texts)} sentences")
    cleaned = (re.sub(r"[',%=|;]", "", line.replace(" ", "_")).split("_") for line in lines)
    return [[symbol for symbol in line if symbol.strip(":")] for line in cleaned]
