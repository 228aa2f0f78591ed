"""Recordings in which nobody speaks: their levels and lengths, and what is kept of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from speechtl.audio import SAMPLE_RATE, Waveform
from speechtl.models import load
from speechtl.models.base import Family
from speechtl.probes import heard_in_silence, probes
from speechtl.transcription import transcribe_waveforms


def level_db(waveform: Waveform) -> float:
    """Return the root mean square over full scale (dBFS)."""
    return float(20 * np.log10(np.sqrt(np.mean(np.square(waveform, dtype=np.float64)))))


def test_there_are_silence_noise_and_a_hum_each_of_two_lengths() -> None:
    found = probes(longest_s=30.0)
    assert len(found) == 8
    for name, waveform in found.items():
        kind, seconds = name.rsplit(", ", 1)
        assert len(waveform) == float(seconds.removesuffix(" s")) * SAMPLE_RATE
        assert waveform.dtype == np.float32
        if kind == "digital silence":
            assert not waveform.any()
        else:
            assert level_db(waveform) == pytest.approx(float(kind.split()[1]), abs=0.01)
    assert {waveform.size / SAMPLE_RATE for waveform in found.values()} == {2.0, 6.0}


def test_the_hum_is_of_50_hz_and_the_noise_has_all_frequencies() -> None:
    found = probes(longest_s=30.0)
    hum, noise = (np.abs(np.fft.rfft(found[f"{kind} -40 dBFS, 2 s"])) for kind in ("hum", "noise"))
    assert np.argmax(hum) / 2 == 50.0  # half a hertz from one to the next
    quarters = [float(np.square(part).sum()) for part in np.array_split(noise, 4)]
    assert max(quarters) < 1.1 * min(quarters)


def test_they_are_the_same_each_time_and_none_is_too_long_for_the_model() -> None:
    first, again = probes(longest_s=30.0), probes(longest_s=30.0)
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert [name for name in probes(longest_s=4.5) if name.startswith("hum")] == [
        "hum -40 dBFS, 2 s",
        "hum -40 dBFS, 4.5 s",
    ]
    assert {len(waveform) for waveform in probes(longest_s=1.0).values()} == {SAMPLE_RATE}


@pytest.mark.parametrize("family", ["ctc", "whisper"])
def test_what_is_heard_is_kept_as_a_hypothesis_without_reference_or_file(
    family: Family, tiny_models: dict[str, Path]
) -> None:
    model = load(str(tiny_models[family]))
    rows = heard_in_silence(model)
    made = probes(longest_s=model.longest_s)
    assert [row.id for row in rows] == list(made)
    assert [row.hypothesis for row in rows] == transcribe_waveforms(model, list(made.values()))
    for row, waveform in zip(rows, made.values(), strict=True):
        assert (row.audio, row.reference) == ("", "")
        assert (row.speaker, row.accent) == ("nobody", "none")
        assert row.duration == len(waveform) / SAMPLE_RATE
