"""Audio of any length to text: where it is cut, what shares a batch, and whose failure it is."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st
from models.conftest import noise, write_ctc_checkpoint, write_whisper_checkpoint

from speechtl import transcription
from speechtl.audio import SAMPLE_RATE, Waveform, read, write
from speechtl.corpus import Utterance
from speechtl.errors import ConfigError, DataError, OutputError
from speechtl.features import FeatureSource, Waveforms
from speechtl.models import Features, SpeechModel, load
from speechtl.models.base import Family
from speechtl.transcription import (
    Failure,
    Segment,
    Transcript,
    audio_files,
    may_hold_speech,
    plain_recipe,
    segments,
    stretches,
    transcribe_files,
    transcribe_utterances,
    transcribe_waveforms,
    transcript_files,
    writer,
)

both_families = pytest.mark.parametrize("family", ["ctc", "whisper"])


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[Family, Path]:
    root = tmp_path_factory.mktemp("checkpoints")
    return {
        "ctc": write_ctc_checkpoint(root / "ctc", "wav2vec2-group"),
        "whisper": write_whisper_checkpoint(root / "whisper", "english", window_s=2),
    }


@pytest.fixture
def tiny(folders: dict[Family, Path]) -> Callable[..., SpeechModel]:
    """Return a function that loads a tiny random model, which reads 2 s at a time unless told."""

    def loaded(family: Family, *, longest_s: float = 2.0) -> SpeechModel:
        model = load(str(folders[family]))
        if family == "ctc":
            model.longest_s = longest_s
        return model

    return loaded


def recording(path: Path, *, seconds: float, seed: int = 1) -> Path:
    write(path, noise(seconds, seed=seed))
    return path


def text_of(model: SpeechModel, waveform: Waveform) -> str:
    """Return what the model says to a waveform alone."""
    top = "decoder.0" if model.family == "whisper" else "head"
    return model.decode(model.encode([waveform], top))[0]


def batch_sizes(model: SpeechModel, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that grows by the size of each batch that the model encodes."""
    sizes: list[int] = []
    encode = model.encode

    def noted(waveforms: Sequence[Waveform], cut: str) -> Features:
        sizes.append(len(waveforms))
        return encode(waveforms, cut)

    monkeypatch.setattr(model, "encode", noted)
    return sizes


# --- segments -------------------------------------------------------------------------------------


@given(
    st.integers(0, 200_000),
    st.floats(0.5, 4),
    st.integers(0, 2**32),
    st.sampled_from(["noise", "silence"]),
)
def test_segments_cover_the_waveform_and_none_is_too_long_or_a_scrap(
    samples: int, longest_s: float, seed: int, kind: str
) -> None:
    waveform = np.zeros(samples, dtype=np.float32)
    if kind == "noise":
        waveform += np.random.default_rng(seed).standard_normal(samples).astype(np.float32)
    ranges = segments(waveform, longest_s=longest_s)
    assert ranges[0][0] == 0
    assert ranges[-1][1] == samples
    assert [end for _, end in ranges[:-1]] == [start for start, _ in ranges[1:]]
    longest = int(longest_s * SAMPLE_RATE)
    assert all(end - start <= longest for start, end in ranges)
    if len(ranges) > 1:
        assert all(end - start >= longest // 4 for start, end in ranges)


def test_what_fits_the_model_is_not_cut() -> None:
    assert segments(noise(2.0, seed=1), longest_s=2.0) == [(0, 32_000)]


def test_a_recording_is_cut_in_the_middle_of_its_pause() -> None:
    waveform = noise(5.0, seed=1)
    pause = slice(int(2.35 * SAMPLE_RATE), int(2.45 * SAMPLE_RATE))
    waveform[pause] = 0.0
    assert segments(waveform, longest_s=3.0) == [(0, int(2.4 * SAMPLE_RATE)), (38_400, 80_000)]


def test_a_click_is_not_a_pause_but_100_ms_of_quiet_are() -> None:
    waveform = np.full(5 * SAMPLE_RATE, 0.5, dtype=np.float32)
    waveform[35_000:35_160] = 0.0  # 10 ms of silence between two sounds of a word
    waveform[40_000:41_600] = 0.1  # 100 ms that are quiet, not silent
    (_, end), *_ = segments(waveform, longest_s=3.0)
    assert end == 40_800


def test_silence_is_cut_as_late_as_it_may_be() -> None:
    ranges = segments(np.zeros(10 * SAMPLE_RATE, dtype=np.float32), longest_s=4.0)
    assert ranges[0] == (0, 4 * SAMPLE_RATE - 800)  # the middle of the last 100 ms


@pytest.mark.parametrize("rate", [SAMPLE_RATE, 44_100])
def test_a_file_is_cut_where_it_would_be_to_be_transcribed(
    rate: int,
    tiny: Callable[..., SpeechModel],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transcription, "_BLOCK_S", 4.0)
    path = tmp_path / "long.wav"
    soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal(11 * rate), rate)
    found = list(stretches(path, longest_s=2.0))
    (result,) = transcribe_files(tiny("ctc", longest_s=2.0), [path])
    assert isinstance(result, Transcript)
    assert found == [(segment.start, segment.end) for segment in result.segments]
    assert found[0][0] == 0.0
    assert found[-1][1] == pytest.approx(11.0, abs=1e-3)
    assert max(end - start for start, end in found) <= 2.0


def test_a_file_that_cannot_be_read_has_no_stretches(tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("no audio")
    with pytest.raises(DataError, match=r"text\.wav"):
        list(stretches(tmp_path / "text.wav", longest_s=2.0))


def test_a_scrap_and_digital_silence_hold_no_speech_and_the_quietest_sound_may() -> None:
    drawn = np.random.default_rng(0).integers(-1, 2, SAMPLE_RATE).astype(np.float32)
    dither = drawn / np.float32(32_768)
    assert not may_hold_speech(dither)
    assert not may_hold_speech(np.zeros(0, dtype=np.float32))
    assert not may_hold_speech(noise(1.0, seed=1)[: int(transcription.SHORTEST_S * 16_000) - 1])
    assert may_hold_speech(noise(1.0, seed=1)[: int(transcription.SHORTEST_S * 16_000)])
    assert may_hold_speech(noise(1.0, seed=1) / np.float32(1000))


# --- utterances -----------------------------------------------------------------------------------


@both_families
def test_each_utterance_has_the_text_that_it_has_alone_in_the_order_given(
    family: Family, tiny: Callable[..., SpeechModel], tmp_path: Path
) -> None:
    model = tiny(family)
    utterances = [
        Utterance(f"u{i}", recording(tmp_path / f"{i}.wav", seconds=s, seed=i), "", "s", "a")
        for i, s in enumerate((0.5, 1.5, 0.2, 1.0))
    ]
    alone = [text_of(model, each.waveform()) for each in utterances]
    assert len(set(alone)) > 1
    told: list[tuple[str, int, int]] = []

    def track(items: Any, description: str, *, total: int) -> Any:
        done = list(items)
        told.append((description, total, len(done)))
        return done

    for cut in ("encoder.1", "decoder.0" if family == "whisper" else "head"):
        source = FeatureSource(model, plain_recipe(model, cut), waveforms=Waveforms())
        texts = transcribe_utterances(
            model, utterances, source=source, batch_size=3, track=track, description="dev"
        )
        assert texts == alone
    assert told == [("dev", 2, 2)] * 2


@both_families
def test_an_utterance_too_long_is_cut_and_one_too_short_has_no_text(
    family: Family, tiny: Callable[..., SpeechModel], tmp_path: Path
) -> None:
    model = tiny(family)
    paths = [
        recording(tmp_path / f"{i}.wav", seconds=s, seed=i) for i, s in enumerate((5.0, 0.02, 1.0))
    ]
    utterances = [Utterance(f"u{i}", path, "", "s", "a") for i, path in enumerate(paths)]
    texts = transcribe_utterances(model, utterances, waveforms=Waveforms())
    pieces = [read(paths[0])[slice(*span)] for span in segments(read(paths[0]), longest_s=2.0)]
    assert len(pieces) > 2
    assert texts[0] == " ".join(filter(None, (text_of(model, piece) for piece in pieces)))
    assert texts[1:] == ["", text_of(model, read(paths[2]))]


def test_no_utterance_gives_no_text(tiny: Callable[..., SpeechModel]) -> None:
    assert transcribe_utterances(tiny("ctc"), []) == []


def test_an_utterance_that_cannot_be_read_is_named(
    tiny: Callable[..., SpeechModel], tmp_path: Path
) -> None:
    missing = Utterance("u7", tmp_path / "gone.wav", "", "s", "a", 0.0, 1.0)
    with pytest.raises(DataError, match=r"u7.*gone\.wav"):
        transcribe_utterances(tiny("ctc"), [missing])


# --- waveforms ------------------------------------------------------------------------------------


@both_families
def test_waveforms_have_the_text_that_they_have_alone_and_silence_is_shown_to_the_model_too(
    family: Family, tiny: Callable[..., SpeechModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny(family)
    silence = np.zeros(24_000, dtype=np.float32)
    waveforms = [noise(0.5, seed=1), silence, noise(2.0, seed=2)]
    alone = [text_of(model, each) for each in waveforms]
    sizes = batch_sizes(model, monkeypatch)
    assert transcribe_waveforms(model, waveforms, batch_size=2) == alone
    assert sorted(sizes) == [1, 2]
    assert transcribe_waveforms(model, []) == []


# --- files ----------------------------------------------------------------------------------------


@both_families
def test_files_of_every_format_rate_and_channel_count_have_text_in_their_order(
    family: Family, tiny: Callable[..., SpeechModel], tmp_path: Path
) -> None:
    model, files = tiny(family), []
    for number, (suffix, rate, channels) in enumerate(
        (("wav", 8000, 1), ("flac", 44_100, 2), ("ogg", 48_000, 1), ("mp3", 22_050, 2))
    ):
        path = tmp_path / f"{number}.{suffix}"
        rng = np.random.default_rng(number)
        soundfile.write(path, 0.1 * rng.standard_normal((rate, channels)), rate)
        files.append(path)
    results = list(transcribe_files(model, files, batch_size=3))
    assert [result.audio for result in results] == files
    for result, path in zip(results, files, strict=True):
        assert isinstance(result, Transcript)
        (segment,) = result.segments
        assert segment.start == 0
        assert segment.end == pytest.approx(1.0, abs=0.1)
        assert result.text == text_of(model, read(path))


@both_families
def test_a_long_file_is_cut_into_segments_that_cover_it(
    family: Family, tiny: Callable[..., SpeechModel], tmp_path: Path
) -> None:
    model, path = tiny(family), recording(tmp_path / "long.wav", seconds=7.0)
    (result,) = transcribe_files(model, [path], batch_size=2)
    assert isinstance(result, Transcript)
    waveform = read(path)
    ranges = [(round(s.start * SAMPLE_RATE), round(s.end * SAMPLE_RATE)) for s in result.segments]
    assert ranges == segments(waveform, longest_s=2.0)
    assert [s.text for s in result.segments] == [
        text_of(model, waveform[slice(*r)]) for r in ranges
    ]
    assert result.text == " ".join(s.text for s in result.segments if s.text)


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_a_file_of_many_blocks_is_read_block_by_block_and_none_of_it_is_lost(
    rate: int,
    tiny: Callable[..., SpeechModel],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, path = tiny("ctc", longest_s=1.0), tmp_path / "long.flac"
    samples = 0.1 * np.random.default_rng(0).standard_normal(20 * rate)
    soundfile.write(path, samples, rate)
    monkeypatch.setattr(transcription, "_BLOCK_S", 4.0)
    blocks: list[float] = []

    def noted(path: Path, *, start: float | None = None, end: float | None = None) -> Waveform:
        waveform = read(path, start=start, end=end)
        blocks.append(len(waveform) / SAMPLE_RATE)
        return waveform

    monkeypatch.setattr(transcription, "read", noted)
    (result,) = transcribe_files(model, [path])
    assert isinstance(result, Transcript)
    assert len(blocks) >= 5
    assert max(blocks) <= 4.0
    edges = [0.0, *(segment.end for segment in result.segments)]
    assert edges[-1] == pytest.approx(20.0, abs=1e-3)
    assert [s.start for s in result.segments] == pytest.approx(edges[:-1], abs=1e-4)
    assert all(0.25 <= s.end - s.start <= 1.0 for s in result.segments)
    for segment in result.segments:
        alone = text_of(model, read(path, start=segment.start, end=segment.end))
        assert segment.text == alone or rate != SAMPLE_RATE  # resampling blurs the edges


def test_short_files_are_decoded_together(
    tiny: Callable[..., SpeechModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny("ctc")
    files = [recording(tmp_path / f"{i}.wav", seconds=0.3, seed=i) for i in range(10)]
    sizes = batch_sizes(model, monkeypatch)
    results = list(transcribe_files(model, files, batch_size=4))
    assert sizes == [4, 4, 2]
    assert [result.audio for result in results] == files


def test_the_first_files_are_there_before_the_last_are_read(
    tiny: Callable[..., SpeechModel], tmp_path: Path
) -> None:
    files = [recording(tmp_path / f"{i}.wav", seconds=0.2, seed=i) for i in range(9)]
    taken: list[Path] = []

    def track(items: Any, description: str, *, total: int) -> Any:
        for item in items:
            taken.append(item)
            yield item

    first = next(transcribe_files(tiny("ctc"), files, batch_size=1, track=track))
    assert first.audio == files[0]
    assert len(taken) == 4  # batches ahead


def test_a_file_that_cannot_be_read_does_not_stop_the_others(
    tiny: Callable[..., SpeechModel], tmp_path: Path
) -> None:
    good = [recording(tmp_path / f"good{i}.wav", seconds=0.4, seed=i) for i in range(2)]
    text, empty, missing = tmp_path / "text.wav", tmp_path / "empty.wav", tmp_path / "gone.wav"
    text.write_text("no audio")
    empty.touch()
    broken = tmp_path / "nan.wav"
    soundfile.write(broken, np.full(8000, np.nan), SAMPLE_RATE, subtype="FLOAT")
    model = tiny("ctc")
    files = [text, good[0], empty, missing, broken, good[1]]
    results = list(transcribe_files(model, files))
    assert [result.audio for result in results] == files
    failed = [result for result in results if isinstance(result, Failure)]
    assert [result.audio for result in failed] == [text, empty, missing, broken]
    assert all(str(result.audio) in result.reason for result in failed)
    texts = [result.text for result in results if isinstance(result, Transcript)]
    assert texts == [text_of(model, read(path)) for path in good]


def test_a_file_that_breaks_off_half_way_is_a_failure_as_a_whole(
    tiny: Callable[..., SpeechModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, other = tmp_path / "half.wav", recording(tmp_path / "whole.wav", seconds=0.4)
    samples = np.random.default_rng(0).standard_normal(12 * SAMPLE_RATE) * 0.1
    samples[-8000:] = np.nan
    soundfile.write(path, samples, SAMPLE_RATE, subtype="FLOAT")
    monkeypatch.setattr(transcription, "_BLOCK_S", 4.0)
    first, second = transcribe_files(tiny("ctc", longest_s=1.0), [path, other], batch_size=2)
    assert isinstance(first, Failure)
    assert "NaN" in first.reason
    assert isinstance(second, Transcript)


@pytest.mark.parametrize("fault", [DataError("cannot"), torch.OutOfMemoryError("too much")])
def test_what_fails_in_a_batch_is_the_failure_of_its_own_file_alone(
    fault: Exception,
    tiny: Callable[..., SpeechModel],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = tiny("ctc", longest_s=1.0)
    files = [recording(tmp_path / f"{i}.wav", seconds=0.4, seed=i) for i in range(2)]
    bad = recording(tmp_path / "bad.wav", seconds=9.0, seed=3)
    encode = model.encode

    def picky(waveforms: Sequence[Waveform], cut: str) -> Features:
        if any(len(waveform) > 8000 for waveform in waveforms):
            raise fault
        return encode(waveforms, cut)

    monkeypatch.setattr(model, "encode", picky)
    results = list(transcribe_files(model, [files[0], bad, files[1]], batch_size=2))
    assert [type(result) for result in results] == [Transcript, Failure, Transcript]
    assert isinstance(results[1], Failure)
    assert results[1].reason == f"{bad}: {fault}"
    assert isinstance(results[2], Transcript)
    assert results[2].text == text_of(model, read(files[1]))


def test_a_fault_of_the_program_is_not_hidden(
    tiny: Callable[..., SpeechModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny("ctc")

    def broken(features: Features) -> list[str]:
        raise ZeroDivisionError

    monkeypatch.setattr(model, "decode", broken)
    with pytest.raises(ZeroDivisionError):
        list(transcribe_files(model, [recording(tmp_path / "a.wav", seconds=0.4)]))


@both_families
@pytest.mark.parametrize("seconds", [0.001, 0.05, 1.0, 5.0])
def test_silence_and_scraps_have_no_text(
    family: Family, seconds: float, tiny: Callable[..., SpeechModel], tmp_path: Path
) -> None:
    path = tmp_path / "silence.wav"
    steps = np.random.default_rng(0).integers(-1, 2, int(seconds * SAMPLE_RATE))  # dither
    soundfile.write(path, steps.astype(np.int16), SAMPLE_RATE, subtype="PCM_16")
    (result,) = transcribe_files(tiny(family), [path])
    assert isinstance(result, Transcript)
    assert result.text == ""
    assert result.segments[-1].end == pytest.approx(seconds, abs=1e-4)


@both_families
def test_silent_utterances_of_a_corpus_are_decoded_like_any_other(
    family: Family, tiny: Callable[..., SpeechModel], tmp_path: Path
) -> None:
    path = tmp_path / "silence.wav"
    write(path, np.zeros(SAMPLE_RATE, dtype=np.float32))
    model = tiny(family)
    (text,) = transcribe_utterances(model, [Utterance("u", path, "", "s", "a")])
    assert text == text_of(model, read(path))


# --- audio_files and transcript_files -------------------------------------------------------------


def test_folders_give_the_recordings_in_them_sorted_and_files_are_taken_as_they_are(
    tmp_path: Path,
) -> None:
    for name in ("b.WAV", "a.flac", "deep/er/c.mp3", "notes.txt", ".hidden.wav", ".cache/d.wav"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).touch()
    (tmp_path / "in" / "folder.wav").mkdir()
    odd = tmp_path / "odd.raw"
    odd.touch()
    found = audio_files([odd, tmp_path / "in"])
    names = [path.relative_to(tmp_path).as_posix() for path in found]
    assert names == ["odd.raw", "in/a.flac", "in/b.WAV", "in/deep/er/c.mp3"]


def test_a_recording_that_is_named_twice_is_there_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.wav"
    path.touch()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link.wav").symlink_to(path)
    assert audio_files([Path("a.wav"), tmp_path, path]) == [Path("a.wav")]


def test_all_paths_that_do_not_exist_and_folders_without_audio_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    good = tmp_path / "a.wav"
    good.touch()
    with pytest.raises(DataError, match="must exist") as caught:
        audio_files([tmp_path / "gone", good, tmp_path / "empty"])
    assert len(caught.value.faults) == 2
    assert "gone: no such file" in caught.value.faults[0]
    assert "empty: the folder holds no recording (.aif" in caught.value.faults[1]


def test_files_whose_transcripts_would_have_one_name_are_refused_with_both(tmp_path: Path) -> None:
    files = [Path("a/one.wav"), Path("b/One.flac"), Path("b/two.wav")]
    with pytest.raises(ConfigError, match=r"a/one\.wav and b/One\.flac"):
        transcript_files(files, tmp_path, suffix="txt")
    assert transcript_files(files[1:], tmp_path, suffix="txt") == {
        files[1]: tmp_path / "One.txt",
        files[2]: tmp_path / "two.txt",
    }


def test_files_that_are_there_already_are_not_replaced_unasked(tmp_path: Path) -> None:
    files = [Path("one.wav"), Path("two.wav"), Path("three.wav")]
    for name in ("one.txt", "two.txt"):
        (tmp_path / name).touch()
    with pytest.raises(OutputError, match=r"--overwrite\n  - .*one\.txt\n  - .*two\.txt$"):
        transcript_files(files, tmp_path, suffix="txt")
    assert len(transcript_files(files, tmp_path, suffix="txt", overwrite=True)) == 3
    assert len(transcript_files(files, tmp_path, suffix="json")) == 3


# --- writer ---------------------------------------------------------------------------------------

HARD = Transcript(
    Path("a\tb.wav"), (Segment(0, 1.25, "one\ttwo"), Segment(1.25, 2, ""), Segment(2, 3, "é\\n"))
)


def test_txt_is_the_text_on_one_line() -> None:
    assert writer("txt")(HARD) == "one two é\\n\n"
    assert writer("txt")(Transcript(Path("a"), (Segment(0, 1, ""),))) == "\n"


def test_txt_of_several_files_begins_with_the_path() -> None:
    assert writer("txt", named=True)(HARD) == "a\\tb.wav\tone two é\\n\n"


def test_json_is_one_object_on_one_line() -> None:
    line = writer("json")(HARD)
    assert line.endswith("\n")
    assert line.count("\n") == 1
    assert "é" in line
    assert json.loads(line) == {
        "audio": "a\tb.wav",
        "text": "one\ttwo é\\n",
        "segments": [
            {"start": 0, "end": 1.25, "text": "one\ttwo"},
            {"start": 1.25, "end": 2, "text": ""},
            {"start": 2, "end": 3, "text": "é\\n"},
        ],
    }


def test_tsv_is_a_line_for_each_segment_with_tabs_escaped() -> None:
    rows = list(csv.reader(io.StringIO(writer("tsv")(HARD)), "excel-tab"))
    assert rows == [
        ["a\\tb.wav", "0.000", "1.250", "one\\ttwo"],
        ["a\\tb.wav", "1.250", "2.000", ""],
        ["a\\tb.wav", "2.000", "3.000", "é\\\\n"],
    ]


@given(st.text(), st.text())
def test_two_texts_never_look_the_same_in_tsv(first: str, second: str) -> None:
    lines = [writer("tsv")(Transcript(Path("a"), (Segment(0, 1, t),))) for t in (first, second)]
    assert all(line.count("\t") == 3 and line.count("\n") == 1 for line in lines)
    assert (lines[0] == lines[1]) == (first == second)


def test_an_unknown_format_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match="no format 'srt'; choose one of: txt, json, tsv"):
        writer("srt")
