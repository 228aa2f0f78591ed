"""Subtitles as Whisper, YouTube and editors write them."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from speechtl.manifest import read_manifest
from speechtl.sources.rows import Options, Reading, build
from speechtl.sources.subtitles import rows

SRT = """1
00:00:00,500 --> 00:00:02,250
och naw

2
00:00:03,001 --> 00:01:04,750
fish &amp; chips
for <i>tea</i>

"""
VTT = """WEBVTT - a talk
Kind: captions
Language: en

NOTE
00:00:00.000 --> 00:00:09.000
this is no cue

STYLE
::cue { color: lime }

intro
00:00.500 --> 00:02.250 align:start position:0%
och naw

00:00:03.001 --> 00:01:04.750
fish &amp; chips
for <i>tea</i>
"""


def recording(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.zeros(1600, np.float32), 16_000)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    recording(tmp_path / "talk.wav")
    return tmp_path


def put(folder: Path, text: str, name: str = "talk.srt") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="")
    return path


def read(source: Path, **given: Any) -> Reading:
    options = Options(**({"accent": "scottish", "speaker": "anna"} | given))
    notes: list[str] = []
    root = source if source.is_dir() else source.parent
    found = rows(source, options, notes)
    return build(found, root=root, source=str(source), kind="subtitles", options=options,
                 notes=notes)  # fmt: skip


def said(reading: Reading) -> list[tuple[str, str | None]]:
    return [(each.text, each.speaker) for each in reading.corpus]


def faults(reading: Reading) -> list[tuple[str, str]]:
    return [(fault.kind, fault.place) for fault in reading.faults]


@pytest.mark.parametrize(("text", "name"), [(SRT, "talk.srt"), (VTT, "talk.vtt")])
def test_it_gives_what_a_manifest_of_the_same_gives(folder: Path, text: str, name: str) -> None:
    put(folder, text, name)
    manifest = folder / "manifest.jsonl"
    written = [
        {"id": "talk-0001", "text": "och naw", "start": 0.5, "end": 2.25},
        {"id": "talk-0002", "text": "fish & chips for tea", "start": 3.001, "end": 64.75},
    ]
    shared = {"audio": "talk.wav", "speaker": "anna", "accent": "scottish"}
    manifest.write_text("\n".join(json.dumps(row | shared) for row in written), encoding="utf-8")
    reading = read(folder)
    assert reading.require() == read_manifest(manifest)
    assert not reading.faults


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize(("text", "name"), [(SRT, "talk.srt"), (VTT, "talk.vtt")])
def test_byte_order_marks_and_windows_line_ends_are_read(
    folder: Path, text: str, name: str, encoding: str
) -> None:
    put(folder, text, name)
    plain = read(folder)
    (folder / name).write_bytes(text.replace("\n", "\r\n").encode(encoding))
    windows = read(folder)
    assert windows.corpus == plain.corpus
    assert list(windows.places) == list(plain.places)
    assert not windows.faults


def test_what_only_says_how_a_cue_is_shown_is_taken_off(folder: Path) -> None:
    put(
        folder,
        "1\n00:00:00,000 --> 00:00:01,000 X1:10 Y1:20\n"
        '{\\an8}<font color="#fff">och</font> <b>naw</b> <LAUGH> {aye} [noise]\n',
    )
    assert said(read(folder)) == [("och naw <LAUGH> {aye} [noise]", "anna")]
    (folder / "talk.srt").unlink()
    put(
        folder,
        "WEBVTT\n\n00:00.000 --> 00:01.000\n"
        "<00:00:00.100><c.loud> och</c><00:00:00.500><c> naw</c> &lt;3\n",
        "talk.vtt",
    )
    assert said(read(folder)) == [("och naw <3", "anna")]


def test_a_voice_is_the_speaker(folder: Path) -> None:
    put(
        folder,
        "WEBVTT\n\n00:00.000 --> 00:01.000\n<v Ben O&#39;Hara>aye</v>\n\n"
        "00:01.000 --> 00:02.000\n<v.loud Cal>naw\n\n"
        "00:02.000 --> 00:03.000\n<v Ben>och</v> <v Cal>och</v>\n\n00:03.000 --> 00:04.000\nwho?\n",
        "talk.vtt",
    )
    reading = read(folder)
    assert said(reading) == [("aye", "Ben O'Hara"), ("naw", "Cal"), ("who?", "anna")]
    (fault,) = reading.faults
    assert (fault.kind, fault.place) == ("speaker-missing", "talk.vtt:9")
    assert "Ben, Cal" in fault.message


def cues(*texts: str) -> str:
    return "".join(
        f"{number}\n00:00:{number:02d},000 --> 00:00:{number:02d},900\n{text}\n\n"
        for number, text in enumerate(texts, 1)
    )


def test_names_in_capitals_are_speakers_where_most_cues_have_one(folder: Path) -> None:
    put(folder, cues("BEN: aye", "DR. MACLEOD:\nnaw: never", "och"))
    reading = read(folder)
    assert said(reading) == [("aye", "BEN"), ("naw: never", "DR. MACLEOD"), ("och", "anna")]
    assert [note for note in reading.notes if "names in capitals" in note]
    put(folder, cues("BEN: aye", "naw", "och", "Cal: eh"))
    reading = read(folder)
    assert [text for text, _ in said(reading)] == ["BEN: aye", "naw", "och", "Cal: eh"]
    assert [note for note in reading.notes if "it stays as text" in note]


def test_marks_of_silence_and_dashes_are_told(folder: Path) -> None:
    put(folder, cues("[pause]", "- Aye?\n- Naw.", "[noise]"))
    reading = read(folder)
    assert [text for text, _ in said(reading)] == ["- Aye? - Naw.", "[noise]"]
    assert [note for note in reading.notes if "mark of silence" in note and "[pause]" in note]
    assert [note for note in reading.notes if "dashes" in note and "talk.srt" in note]


def test_rolling_cues_stay_as_they_are(folder: Path) -> None:
    put(
        folder,
        "WEBVTT\n\n00:00.000 --> 00:03.000\none\n\n00:02.000 --> 00:05.000\none\ntwo\n",
        "talk.vtt",
    )
    reading = read(folder)
    assert [(each.text, each.start, each.end) for each in reading.corpus] == [
        ("one", 0, 3), ("one two", 2, 5),
    ]  # fmt: skip


def test_cues_are_numbered_in_the_order_of_time(folder: Path) -> None:
    put(folder, "2\n00:00:05,000 --> 00:00:06,000\nlate\n\n" + cues("early"))
    reading = read(folder)
    assert [(each.id, each.text) for each in reading.corpus] == [
        ("talk-0001", "early"), ("talk-0002", "late"),
    ]  # fmt: skip
    assert list(reading.places) == ["talk.srt:6", "talk.srt:2"]


def test_a_language_in_the_name_is_no_part_of_the_recording_s(folder: Path) -> None:
    put(folder, VTT, "talk.en-GB.vtt")
    reading = read(folder)
    assert not reading.faults
    assert [each.id for each in reading.corpus] == ["talk.en-GB-0001", "talk.en-GB-0002"]


# --- what is wrong --------------------------------------------------------------------------------


def test_every_fault_of_a_file_is_told_with_its_line(folder: Path) -> None:
    put(
        folder,
        "1\n00:00:00,000 --> 00:00:01,000\nfine\n\n"
        "2\n00:00:0x,000 --> 00:00:03,000\nlost\n\n"  # line 6
        "3\n00:00:05,000 --> 00:00:04,000\nbackwards\n\n"  # line 10
        "4\n00:00:06,000 -> 00:00:07,000\nwrong arrow\n\n"  # line 14
        "5\n00:00:08,000 --> 00:00:09,000\n\n"  # line 18: no text
        "a text of its own\n\n"  # line 20
        "6\n00:99:00,000 --> 01:00:00,000\nminutes\n\n"  # line 23
        "7\n00:00:20,000 --> 00:00:21,000\nfine too\n",
    )
    reading = read(folder)
    assert [text for text, _ in said(reading)] == ["fine", "fine too"]
    assert faults(reading) == [
        ("malformed", "talk.srt:6"),
        ("malformed", "talk.srt:14"),
        ("malformed", "talk.srt:20"),
        ("malformed", "talk.srt:23"),
        ("time-order", "talk.srt:10"),
        ("text-empty", "talk.srt:18"),
    ]


def test_cues_without_an_empty_line_between_them_are_two(folder: Path) -> None:
    put(folder, cues("one", "1984", "three").replace("\n\n", "\n"))
    assert [text for text, _ in said(read(folder))] == ["one", "1984", "three"]


def test_a_webvtt_file_without_its_first_line_is_told(folder: Path) -> None:
    put(folder, VTT.split("\n", 4)[4], "talk.vtt")
    reading = read(folder)
    assert faults(reading) == [("malformed", "talk.vtt:1")]
    assert len(reading.corpus) == 2


def test_latin_1_is_told_with_its_line(folder: Path) -> None:
    (folder / "talk.srt").write_bytes(cues("aye", "crème").encode("latin-1"))
    assert faults(read(folder)) == [("not-utf8", "talk.srt:7")]


def test_two_files_of_one_name_are_told(folder: Path) -> None:
    put(folder, SRT)
    put(folder, VTT, "talk.vtt")
    reading = read(folder)
    assert faults(reading) == [("id-repeated", "talk.vtt")]
    assert len(reading.corpus) == 2


@pytest.mark.parametrize(("text", "name"), [(SRT, "talk.srt"), (VTT, "talk.vtt")])
def test_no_mutation_raises(folder: Path, text: str, name: str) -> None:
    whole = text.encode()
    path = folder / name
    rng = random.Random(0)
    pieces = [b"-->", b"9" * 400, b"\n\n", b"\xff", b"\x00", b"<v ", b">", b"&#9999999;", b":", b""]
    for _ in range(300):
        content = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(content))
            content[at : at + rng.randint(0, 9)] = rng.choice(pieces)
        path.write_bytes(content)
        reading = read(path)
        assert reading.corpus or reading.faults


def test_brackets_that_are_never_closed_cost_one_pass(folder: Path) -> None:
    put(folder, cues("<c " * 100_000, "{\\" * 100_000, "&a" * 100_000))
    assert len(read(folder).corpus) == 3
