"""Recordings in which nobody speaks: every word that is heard there is made up.

They are made in memory, and are the same for every run: noise of one seed, a hum, and nothing.
Levels are the root mean square over full scale (dBFS), so that a sine at full scale has -3 dBFS.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from speechtl.audio import SAMPLE_RATE, Waveform
from speechtl.models import SpeechModel
from speechtl.scoring import Hypothesis
from speechtl.transcription import transcribe_waveforms

__all__ = ["heard_in_silence", "probes"]

LENGTHS_S = (2.0, 6.0)
"""Shorter than a sentence, and longer than most."""

_HUM_HZ = 50.0  # of the mains


def probes(*, longest_s: float) -> dict[str, Waveform]:
    """Return the recordings `(samples,)` by their names, none above `longest_s` seconds."""
    found = {}
    for seconds in dict.fromkeys(min(length, longest_s) for length in LENGTHS_S):
        samples = int(seconds * SAMPLE_RATE)
        noise = np.random.default_rng(0).standard_normal(samples)
        hum = np.sin(2 * np.pi * _HUM_HZ * np.arange(samples) / SAMPLE_RATE)
        for name, waveform in {
            "digital silence": np.zeros(samples),
            "noise -60 dBFS": _at(-60.0, noise),
            "noise -40 dBFS": _at(-40.0, noise),
            "hum -40 dBFS": _at(-40.0, hum),
        }.items():
            found[f"{name}, {seconds:g} s"] = waveform.astype(np.float32)
    return found


def _at(level_db: float, waveform: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return a waveform at this level (dBFS)."""
    loudness = float(np.sqrt(np.mean(np.square(waveform))))
    return waveform * (10 ** (level_db / 20) / loudness)


def heard_in_silence(model: SpeechModel, *, batch_size: int = 16) -> list[Hypothesis]:
    """Return what a model hears in each recording, as hypotheses of an empty reference."""
    made = probes(longest_s=model.longest_s)
    texts = transcribe_waveforms(model, list(made.values()), batch_size=batch_size)
    return [
        Hypothesis(
            id=name,
            audio="",
            speaker="nobody",
            accent="none",
            reference="",
            hypothesis=text,
            duration=round(len(waveform) / SAMPLE_RATE, 3),
        )
        for (name, waveform), text in zip(made.items(), texts, strict=True)
    ]
