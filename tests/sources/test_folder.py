"""Folders of recordings with transcripts beside them, and what is wrong with some."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from speechtl.audio import write
from speechtl.manifest import read_manifest
from speechtl.sources import Options, Reading, read
from speechtl.sources.folder import lines, moved


def _record(path: Path, text: str | None = None, *, suffix: str = ".txt") -> Path:
    write(path, np.full(8_000, 0.1, dtype=np.float32))
    if text is not None:
        path.with_suffix(suffix).write_text(text, encoding="utf-8")
    return path


def _read(source: Path, **options: Any) -> Reading:
    return read(source, "folder", Options(**{"accent": "scottish", **options}))


def _told(reading: Reading) -> list[tuple[str, str]]:
    return [(fault.kind, fault.place) for fault in reading.faults]


def test_a_folder_is_the_corpus_of_the_same_manifest(tmp_path: Path) -> None:
    _record(tmp_path / "bob" / "day 2" / "one.wav", "A mat.\r\n")
    _record(tmp_path / "ann" / "one.wav", "The cat\n  sat on \n\nthe hat.\n")
    _record(tmp_path / "ann" / "two.flac", "THE CAT", suffix=".lab")
    rows = [
        {"id": "ann-one", "audio": "ann/one.wav", "text": "The cat sat on the hat.",
         "speaker": "ann"},
        {"id": "ann-two", "audio": "ann/two.flac", "text": "THE CAT", "speaker": "ann"},
        {"id": "bob-day 2-one", "audio": "bob/day 2/one.wav", "text": "A mat.", "speaker": "bob"},
    ]  # fmt: skip
    same = tmp_path / "same.jsonl"
    same.write_text("".join(json.dumps({**row, "accent": "scottish"}) + "\n" for row in rows))
    speaker = {"speaker": re.compile("^([^/]+)/")}
    reading = read(tmp_path, options=Options(accent="scottish", patterns=speaker))
    assert reading.kind == "folder"
    assert reading.require() == read_manifest(same)
    assert (reading.faults, reading.notes) == ((), ())
    assert list(reading.places) == ["ann/one.txt", "ann/two.lab", "bob/day 2/one.txt"]


def test_the_speaker_is_the_folder_where_all_files_lie_one_level_down(tmp_path: Path) -> None:
    for name in ("ann/1.wav", "ann/2.wav", "bob/1.wav"):
        _record(tmp_path / name, "x")
    reading = _read(tmp_path)
    assert [each.speaker for each in reading.require()] == ["ann", "ann", "bob"]
    assert reading.notes == (
        "speaker: the name of the folder that a recording lies in (2: ann, bob);"
        " --speaker or --from-path says otherwise",
    )


@pytest.mark.parametrize(
    "names",
    [
        ("1.wav", "2.wav"),
        ("ann/1.wav", "2.wav"),
        ("ann/1.wav", "ann/2.wav"),  # one folder may be of several speakers
        ("ann/day/1.wav", "bob/day/1.wav"),
        ("train/1.wav", "test/1.wav"),
    ],
)
def test_the_speaker_is_not_guessed_of_other_trees(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        _record(tmp_path / name, "x")
    reading = _read(tmp_path)
    assert [fault.kind for fault in reading.faults] == ["speaker-missing"] * 2
    assert reading.notes == ()


def test_a_speaker_that_is_given_is_not_guessed(tmp_path: Path) -> None:
    for name in ("ann/1.wav", "bob/1.wav"):
        _record(tmp_path / name, "x")
    reading = _read(tmp_path, speaker="cat")
    assert [each.speaker for each in reading.require()] == ["cat", "cat"]
    assert reading.notes == ()


def test_librispeech_is_read_with_its_speakers(tmp_path: Path) -> None:
    chapter = tmp_path / "LibriSpeech" / "dev-clean" / "84" / "121123"
    for number in range(2):
        _record(chapter / f"84-121123-000{number}.flac")
    (chapter / "84-121123.trans.txt").write_text(
        "84-121123-0000 GO DO YOU HEAR\n84-121123-0001 BUT IN LESS THAN FIVE MINUTES\n"
    )
    (tmp_path / "LibriSpeech" / "SPEAKERS.TXT").write_text("84 | F | dev-clean | 8.02 | X\n")
    reading = _read(tmp_path / "LibriSpeech")
    assert [(each.id, each.speaker, each.text) for each in reading.require()] == [
        ("84-121123-0000", "84", "GO DO YOU HEAR"),
        ("84-121123-0001", "84", "BUT IN LESS THAN FIVE MINUTES"),
    ]
    assert reading.faults == ()
    assert list(reading.places) == [
        f"dev-clean/84/121123/84-121123.trans.txt:{line}" for line in (1, 2)
    ]
    assert reading.notes == (
        "speaker: the first part of <speaker>-<chapter>.trans.txt;"
        " --speaker or --from-path says otherwise",
        "not read as transcripts: SPEAKERS.TXT",
    )


def test_files_without_their_counterpart_are_told(tmp_path: Path) -> None:
    _record(tmp_path / "good.wav", "x")
    _record(tmp_path / "deep" / "mute.wav")
    (tmp_path / "deep" / "deaf.txt").write_text("x")
    (tmp_path / "phone.txt").write_text("x")
    (tmp_path / "phone.m4a").write_bytes(b"")
    (tmp_path / "a.trans.txt").write_text("good again\nnone x\n\n")
    reading = _read(tmp_path, speaker="ann")
    assert [each.id for each in reading.corpus] == ["good"]
    assert _told(reading) == [
        ("name-ambiguous", "a.trans.txt:1"),
        ("audio-missing", "a.trans.txt:2"),
        ("audio-unreadable", "phone.txt"),
        ("audio-missing", "deep/deaf.txt"),
        ("audio-unused", "deep/mute.wav"),
    ]


def test_two_recordings_or_two_transcripts_of_one_name_are_faults(tmp_path: Path) -> None:
    _record(tmp_path / "a.wav", "x")
    _record(tmp_path / "a.flac")
    _record(tmp_path / "b.wav", "x")
    (tmp_path / "b.lab").write_text("y")
    reading = _read(tmp_path, speaker="ann")
    assert _told(reading) == [("name-ambiguous", "a.txt"), ("name-ambiguous", "b.lab")]
    assert "a.flac, a.wav" in reading.faults[0].message
    assert not reading.corpus


def test_what_systems_leave_behind_is_no_recording(tmp_path: Path) -> None:
    _record(tmp_path / "one.wav", "x")
    _record(tmp_path / "__MACOSX" / "two.wav", "x")
    _record(tmp_path / ".hidden" / "three.wav", "x")
    (tmp_path / "._one.wav").write_bytes(b"\0\5\26\7")
    (tmp_path / "._one.txt").write_bytes(b"\0\5\26\7")
    (tmp_path / ".DS_Store").write_bytes(b"\0")
    reading = _read(tmp_path, speaker="ann")
    assert [each.id for each in reading.require()] == ["one"]
    assert reading.faults == ()


def test_encodings_of_editors_are_read_and_others_told_with_their_line(tmp_path: Path) -> None:
    contents = {
        "a": "\ufeffça va\n".encode(),
        "b": "ça va\r\n".encode("utf-16"),
        "c": "one\nça va\n".encode("latin-1"),
        "d": "ça va".encode("utf-16") + b"\0",
        "e": b"",
        "f": b"one\rtwo\r",
    }
    for name, content in contents.items():
        _record(tmp_path / f"{name}.wav")
        (tmp_path / f"{name}.txt").write_bytes(content)
    reading = _read(tmp_path, speaker="ann")
    assert [(each.id, each.text) for each in reading.corpus] == [
        ("a", "ça va"),
        ("b", "ça va"),
        ("f", "one two"),
    ]
    assert _told(reading) == [
        ("not-utf8", "c.txt:2"),
        ("not-utf8", "d.txt:1"),
        ("text-empty", "e.txt"),
    ]


def test_ids_of_different_recordings_differ(tmp_path: Path) -> None:
    _record(tmp_path / "a-b.wav", "x")
    _record(tmp_path / "a" / "b.wav", "y")
    corpus = _read(tmp_path, speaker="ann").require()
    assert [(each.id, each.text) for each in corpus] == [("a-b", "x"), ("a-b-2", "y")]


def test_recordings_may_lie_in_another_folder_with_the_same_subfolders(tmp_path: Path) -> None:
    (tmp_path / "txt" / "ann").mkdir(parents=True)
    (tmp_path / "txt" / "ann" / "1.txt").write_text("x")
    path = _record(tmp_path / "wav48" / "ann" / "1.wav")
    unused = _record(tmp_path / "wav48" / "ann" / "2.wav")
    reading = _read(tmp_path / "txt", speaker="ann", audio=tmp_path / "wav48")
    assert [(each.id, each.audio) for each in reading.require()] == [("ann-1", path)]
    assert _told(reading) == [("audio-unused", str(unused))]


def test_letters_that_a_mac_wrote_apart_name_the_same_recording(tmp_path: Path) -> None:
    _record(tmp_path / "cafe\u0301.wav")
    (tmp_path / "caf\u00e9.txt").write_text("x")
    assert [each.id for each in _read(tmp_path, speaker="ann").require()] == ["caf\u00e9"]


def test_names_that_are_not_utf8_and_links_in_a_circle_do_no_harm(tmp_path: Path) -> None:
    _record(tmp_path / "a" / "1.wav", "x")
    (tmp_path / "a" / "circle").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "self.txt").symlink_to(tmp_path / "self.txt")
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.wav")).write_bytes(b"")
    except OSError:
        pytest.skip("this disk takes no such name")
    reading = _read(tmp_path, speaker="ann")
    assert [each.id for each in reading.corpus] == ["a-1"]
    assert _told(reading) == [("source-missing", "self.txt"), ("not-utf8", "\\udcff.wav")]


def test_a_line_without_end_is_not_held_in_memory(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes(b"one\n" + b"x" * 3_000_000 + b"\ntwo\n")
    (one, text), (_, fault), (three, last) = lines(file, file.name)
    assert (one, text, three, last) == (1, "one", 3, "two")
    assert str(fault).startswith("a.txt:2: the line is longer than 1000000 bytes")


def test_a_copied_recording_is_found_by_the_end_of_its_path(tmp_path: Path) -> None:
    near = _record(tmp_path / "ann" / "1.wav")
    _record(tmp_path / "1.wav")
    assert moved("/old/wav/ann/1.wav", tmp_path) == str(near)
    assert moved("C:\\old\\ann\\1.wav", tmp_path) == str(near)
    assert moved("/old/2.wav", tmp_path) == "/old/2.wav"


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.binary(max_size=60), st.binary(max_size=60))
def test_any_bytes_give_rows_or_faults(
    tmp_path_factory: pytest.TempPathFactory, text: bytes, listed: bytes
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    for name in ("a.wav", "b.wav"):
        (folder / name).write_bytes(b"")
    (folder / "a.txt").write_bytes(text)
    (folder / "x.trans.txt").write_bytes(listed)
    reading = _read(folder, speaker="ann")
    assert reading.faults or reading.corpus
