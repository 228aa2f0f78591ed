"""What `speechtl.audio` promises: one kind of waveform, and a clear refusal of all else."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from speechtl import audio
from speechtl.errors import DataError, OutputError


def tone(hz: float, *, seconds: float = 1.0, rate: int = 16_000) -> audio.Waveform:
    times = np.arange(round(seconds * rate)) / rate
    return (0.5 * np.sin(2 * np.pi * hz * times)).astype(np.float32)


def level_db(waveform: audio.Waveform) -> float:
    return 10 * math.log10(float(np.mean(np.square(waveform))) + 1e-20)


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_a_waveform_survives_writing_and_reading_to_16_bits(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"tone{suffix}"
    audio.write(path, tone(440))
    waveform = audio.read(path)
    assert waveform.dtype == np.float32
    assert waveform.shape == (16_000,)
    np.testing.assert_allclose(waveform, tone(440), atol=2**-14)
    assert soundfile.info(path).subtype == "PCM_16"
    assert audio.duration(path) == 1.0


@pytest.mark.parametrize(
    ("suffix", "rate", "options"),
    [
        (".ogg", 16_000, {}),
        (".mp3", 16_000, {}),
        (".opus", 48_000, {"format": "OGG", "subtype": "OPUS"}),
        (".aiff", 22_050, {}),
    ],
)
def test_lossy_and_foreign_formats_become_16_khz(
    tmp_path: Path, suffix: str, rate: int, options: dict[str, str]
) -> None:
    path = tmp_path / f"tone{suffix}"
    soundfile.write(path, tone(440, rate=rate), rate, **options)
    waveform = audio.read(path)
    assert abs(len(waveform) - 16_000) <= 2
    spectrum = np.abs(np.fft.rfft(waveform[2000:14_000]))
    assert np.argmax(spectrum) * 16_000 / 12_000 == pytest.approx(440, abs=2)


def test_channels_are_averaged(tmp_path: Path) -> None:
    path = tmp_path / "stereo.wav"
    soundfile.write(path, np.stack([np.full(100, 0.5), np.full(100, 0.25)], axis=1), 16_000)
    np.testing.assert_allclose(audio.read(path), np.full(100, 0.375), atol=2**-14)


def test_what_lies_above_8_khz_does_not_alias() -> None:
    kept = audio.resample(tone(3000, rate=48_000), source_rate=48_000)
    gone = audio.resample(tone(13_000, rate=48_000), source_rate=48_000)
    assert level_db(kept) == pytest.approx(level_db(tone(3000)), abs=0.1)
    assert level_db(gone) < level_db(kept) - 40


@settings(max_examples=30, deadline=None)
@given(
    rate=st.sampled_from([8000, 11_025, 16_000, 22_050, 24_000, 44_100, 48_000]),
    samples=st.integers(1, 5000),
)
def test_resampling_gives_the_ceiling_of_the_exact_length(rate: int, samples: int) -> None:
    resampled = audio.resample(np.zeros(samples, dtype=np.float32), source_rate=rate)
    assert len(resampled) == math.ceil(samples * 16_000 / rate)


def test_a_rate_without_a_common_divisor_is_resampled_too() -> None:
    resampled = audio.resample(tone(440, rate=44_101), source_rate=44_101)
    assert len(resampled) == 16_000
    np.testing.assert_allclose(resampled[1000:15_000], tone(440)[1000:15_000], atol=1e-3)


def test_resampling_leaves_the_argument_alone_and_returns_a_copy() -> None:
    waveform = tone(440)
    resampled = audio.resample(waveform, source_rate=16_000)
    resampled[:] = 0
    np.testing.assert_array_equal(waveform, tone(440))


def test_a_stretch_is_the_same_as_a_slice_of_the_whole(tmp_path: Path) -> None:
    path = tmp_path / "tone.flac"
    audio.write(path, tone(440, seconds=3))
    whole = audio.read(path)
    np.testing.assert_array_equal(audio.read(path, start=0.5, end=1.25), whole[8000:20_000])
    np.testing.assert_array_equal(audio.read(path, start=2.5), whole[40_000:])
    np.testing.assert_array_equal(audio.read(path, end=0.1), whole[:1600])


def test_a_rounded_end_may_pass_the_recording_by_a_hundredth_of_a_second(tmp_path: Path) -> None:
    path = tmp_path / "tone.wav"
    audio.write(path, tone(440))
    assert len(audio.read(path, start=0.5, end=1.009)) == 8000


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (-0.1, 0.5),
        (0.5, 0.5),
        (0.6, 0.5),
        (0.0, 1.1),
        (1.0, None),
        (2.0, 3.0),
        (math.nan, 0.5),
        (0.5, math.nan),
    ],
)
def test_a_stretch_outside_of_the_recording_is_refused(
    tmp_path: Path, start: float, end: float | None
) -> None:
    path = tmp_path / "tone.wav"
    audio.write(path, tone(440))
    with pytest.raises(DataError, match=r"tone\.wav: start .*1\.000 s, the length.*correct"):
        audio.read(path, start=start, end=end)


def test_a_stretch_between_two_samples_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tone.wav"
    audio.write(path, tone(440))
    with pytest.raises(DataError, match="hold no sample"):
        audio.read(path, start=0.5, end=0.500001)


def test_a_missing_file_a_folder_and_an_empty_file_are_refused_by_name(tmp_path: Path) -> None:
    empty = tmp_path / "empty.wav"
    empty.touch()
    for path, why in (
        (tmp_path / "none.wav", "no such file"),
        (tmp_path, "is a folder"),
        (Path("/dev/null"), "pipe or a device"),
        (empty, "is empty"),
    ):
        for read in (audio.read, audio.duration):
            with pytest.raises(DataError, match=why) as caught:
                read(path)
            assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3", ".raw", ".txt"])
def test_bytes_that_are_no_audio_are_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"novel{suffix}"
    path.write_text("It was a bright cold day in April. " * 100)
    with pytest.raises(DataError, match=r"novel\.\w+: .*(copy|convert)"):
        audio.read(path)


@pytest.mark.parametrize("fraction", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".opus", ".mp3"])
def test_a_truncated_file_is_refused(tmp_path: Path, suffix: str, fraction: float) -> None:
    path = tmp_path / f"tone{suffix}"
    options = {"format": "OGG", "subtype": "OPUS"} if suffix == ".opus" else {}
    noise = np.random.default_rng(0).normal(0, 0.1, 10 * 48_000)
    soundfile.write(path, noise, 48_000, **options)
    assert len(audio.read(path)) == pytest.approx(160_000, abs=2)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * fraction)])
    with pytest.raises(DataError, match=r"is truncated|cannot be decoded"):
        audio.read(path)


def test_a_wav_from_a_pipe_with_no_known_size_is_read(tmp_path: Path) -> None:
    path = tmp_path / "pipe.wav"
    audio.write(path, tone(440))
    content = bytearray(path.read_bytes())
    content[4:8] = content[40:44] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    assert len(audio.read(path)) == 16_000


def test_a_header_that_promises_more_than_the_file_can_hold_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "liar.flac"
    audio.write(path, tone(440))
    content = bytearray(path.read_bytes())
    content[22:26] = b"\xff\xff\xff\xff"  # the lower bits of the sample count in STREAMINFO
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"cannot hold \d+ frames"):
        audio.duration(path)


def test_an_ogg_file_without_a_whole_page_header_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tone.ogg"
    soundfile.write(path, tone(440, seconds=3), 16_000)
    content = path.read_bytes()
    path.write_bytes(content + b"OggS\0")
    with pytest.raises(DataError, match="last Ogg page"):
        audio.read(path)


def test_a_recording_of_no_samples_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "nothing.wav"
    soundfile.write(path, np.zeros(0), 16_000)
    with pytest.raises(DataError, match="holds no samples"):
        audio.read(path)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_are_refused_and_counted(tmp_path: Path, value: float) -> None:
    path = tmp_path / "broken.wav"
    soundfile.write(path, np.array([0.0, value, 0.0, value], np.float32), 16_000, subtype="FLOAT")
    with pytest.raises(DataError, match="holds 2 NaN or infinite values"):
        audio.read(path)


def test_trimming_removes_the_silent_ends_and_nothing_between() -> None:
    silence = np.zeros(16_000, dtype=np.float32)
    speech = np.concatenate([tone(440), silence, tone(440)])
    trimmed = audio.trim_silence(np.concatenate([silence, speech, silence]), top_db=40)
    assert trimmed.dtype == np.float32
    assert len(speech) <= len(trimmed) <= len(speech) + 2 * 2048
    assert len(audio.trim_silence(silence, top_db=40)) == len(silence)


def test_a_wrong_shape_or_number_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(samples,\), got \(2, 3\)"):
        audio.resample(np.zeros((2, 3), np.float32), source_rate=8000)
    with pytest.raises(ValueError, match="source_rate"):
        audio.resample(tone(440), source_rate=0)
    with pytest.raises(ValueError, match="top_db"):
        audio.trim_silence(tone(440), top_db=0)


def test_samples_beyond_full_scale_are_clipped_not_wrapped(tmp_path: Path) -> None:
    path = tmp_path / "loud.wav"
    audio.write(path, np.array([1.5, -1.5], dtype=np.float32))
    np.testing.assert_allclose(audio.read(path), [1, -1], atol=2**-14)


def test_audio_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"\.wav or \.flac"):
        audio.write(tmp_path / "tone.mp3", tone(440))
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        audio.write(tmp_path / "file" / "tone.wav", tone(440))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
