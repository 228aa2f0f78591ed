"""How an annotation file finds its recording, with subtitles as the smallest kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from speechtl.sources.rows import Options, Reading, build
from speechtl.sources.subtitles import rows

CUE = "1\n00:00:00,000 --> 00:00:01,000\naye\n"


def recording(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.zeros(1600, np.float32), 16_000)
    return path


def put(path: Path, text: str = CUE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def read(source: Path, **given: Any) -> Reading:
    options = Options(**({"accent": "scottish", "speaker": "anna"} | given))
    notes: list[str] = []
    root = source if source.is_dir() else source.parent
    found = rows(source, options, notes)
    return build(found, root=root, source=str(source), kind="subtitles", options=options,
                 notes=notes)  # fmt: skip


def pairs(reading: Reading, root: Path) -> dict[str, str]:
    return {each.id: each.audio.relative_to(root.resolve()).as_posix() for each in reading.corpus}


def faults(reading: Reading) -> list[tuple[str, str]]:
    return [(fault.kind, fault.place) for fault in reading.faults]


def test_files_at_any_depth_belong_to_the_recordings_beside_them(tmp_path: Path) -> None:
    for name in ("a/talk", "b/c/talk"):
        put(tmp_path / f"{name}.srt")
    recording(tmp_path / "a/talk.WAV")
    recording(tmp_path / "b/c/talk.flac")
    put(tmp_path / "a/._talk.srt", "what a Mac leaves behind")
    reading = read(tmp_path)
    assert not reading.faults
    assert pairs(reading, tmp_path) == {
        "a-talk-0001": "a/talk.WAV", "b-c-talk-0001": "b/c/talk.flac",
    }  # fmt: skip


def test_of_several_formats_the_one_that_lost_least_is_taken(tmp_path: Path) -> None:
    put(tmp_path / "talk.srt")
    recording(tmp_path / "talk.mp3")
    recording(tmp_path / "talk.flac")
    reading = read(tmp_path)
    assert pairs(reading, tmp_path) == {"talk-0001": "talk.flac"}
    assert not reading.faults
    assert [note for note in reading.notes if "several formats" in note and "'talk'" in note]


def test_a_recording_in_no_row_is_told(tmp_path: Path) -> None:
    put(tmp_path / "talk.srt")
    put(tmp_path / "blank.srt", "")
    for name in ("talk.wav", "blank.wav", "x/other.wav"):
        recording(tmp_path / name)
    assert faults(read(tmp_path)) == [
        ("audio-unused", "blank.wav"),
        ("audio-unused", "x/other.wav"),
    ]
    assert not read(tmp_path / "talk.srt").faults


def test_the_recording_of_one_file_may_be_named(tmp_path: Path) -> None:
    source = put(tmp_path / "text/talk.srt")
    sound = recording(tmp_path / "sound/day1.wav")
    reading = read(source, audio=sound)
    assert not reading.faults
    assert pairs(reading, tmp_path) == {"talk-0001": "sound/day1.wav"}
    put(tmp_path / "text/chat.srt")
    (fault,) = read(tmp_path / "text", audio=sound).faults
    assert fault.kind == "reference-missing"
    assert "there are 2 annotation files" in fault.message


def test_the_folder_of_the_recordings_may_be_named(tmp_path: Path) -> None:
    for name in ("ann/talk", "ben/talk"):
        put(tmp_path / f"text/{name}.srt")
        recording(tmp_path / f"sound/{name}.wav")
    reading = read(tmp_path / "text", audio=tmp_path / "sound")
    assert not reading.faults
    assert pairs(reading, tmp_path) == {
        "ann-talk-0001": "sound/ann/talk.wav", "ben-talk-0001": "sound/ben/talk.wav",
    }  # fmt: skip
    assert faults(read(tmp_path / "text", audio=tmp_path / "none"))[0][0] == "source-missing"


def test_recordings_in_another_folder_are_found_by_their_names(tmp_path: Path) -> None:
    for speaker in ("ann", "ben"):
        put(tmp_path / speaker / "text/talk.srt")
        recording(tmp_path / speaker / "wav/talk.wav")
    reading = read(tmp_path)
    assert not reading.faults
    assert pairs(reading, tmp_path) == {
        "ann-text-talk-0001": "ann/wav/talk.wav", "ben-text-talk-0001": "ben/wav/talk.wav",
    }  # fmt: skip
    assert [note for note in reading.notes if "another folder" in note]


def test_a_recording_that_has_its_own_file_is_no_other_s(tmp_path: Path) -> None:
    put(tmp_path / "a/talk.srt")
    put(tmp_path / "b/talk.srt")
    recording(tmp_path / "b/talk.wav")
    reading = read(tmp_path)
    assert faults(reading) == [("audio-missing", "a/talk.srt")]
    assert pairs(reading, tmp_path) == {"b-talk-0001": "b/talk.wav"}


def test_a_choice_between_two_recordings_is_left_to_the_person(tmp_path: Path) -> None:
    put(tmp_path / "text/talk.srt")
    recording(tmp_path / "one/talk.wav")
    recording(tmp_path / "two/talk.wav")
    fault = read(tmp_path).faults[0]
    assert (fault.kind, fault.place) == ("audio-missing", "text/talk.srt")
    assert "one/talk.wav, two/talk.wav" in fault.message


def test_a_source_that_is_not_there_is_told(tmp_path: Path) -> None:
    assert [kind for kind, _ in faults(read(tmp_path / "none.srt"))] == ["source-missing"]
