"""ELAN's files, as ELAN 6 writes them."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from speechtl.manifest import read_manifest
from speechtl.sources.elan import rows
from speechtl.sources.rows import Options, Reading, build

HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT AUTHOR="" DATE="2024-03-01T10:00:00+00:00" FORMAT="3.0" VERSION="3.0" \
xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" \
xsi:noNamespaceSchemaLocation="http://www.mpi.nl/tools/elan/EAFv3.0.xsd">
    <HEADER MEDIA_FILE="" TIME_UNITS="milliseconds">
{media}        <PROPERTY NAME="lastUsedAnnotationId">9</PROPERTY>
    </HEADER>
"""
TAIL = """    <LINGUISTIC_TYPE GRAPHIC_REFERENCES="false" LINGUISTIC_TYPE_ID="default-lt" \
TIME_ALIGNABLE="true"/>
    <CONSTRAINT DESCRIPTION="1-1 association with a parent annotation" \
STEREOTYPE="Symbolic_Association"/>
</ANNOTATION_DOCUMENT>
"""


def descriptor(relative: str, url: str = "file:///Users/fieldwork/talk.wav", more: str = "") -> str:
    return (
        f'        <MEDIA_DESCRIPTOR MEDIA_URL="{url}" MIME_TYPE="audio/x-wav" '
        f'RELATIVE_MEDIA_URL="{relative}"{more}/>\n'
    )


MEDIA = descriptor("./talk.wav")


def slots(*times: int | None) -> str:
    lines = ["    <TIME_ORDER>"]
    for number, time in enumerate(times, 1):
        value = "" if time is None else f' TIME_VALUE="{time}"'
        lines.append(f'        <TIME_SLOT TIME_SLOT_ID="ts{number}"{value}/>')
    return "\n".join([*lines, "    </TIME_ORDER>", ""])


def tier(name: str, annotations: Sequence[str], more: str = "") -> str:
    head = f'    <TIER LINGUISTIC_TYPE_REF="default-lt"{more} TIER_ID="{name}">\n'
    return head + "".join(annotations) + "    </TIER>\n"


def timed(name: str, begins: int, ends: int, text: str) -> str:
    return (
        "        <ANNOTATION>\n"
        f'            <ALIGNABLE_ANNOTATION ANNOTATION_ID="{name}" TIME_SLOT_REF1="ts{begins}" '
        f'TIME_SLOT_REF2="ts{ends}">\n'
        f"                <ANNOTATION_VALUE>{text}</ANNOTATION_VALUE>\n"
        "            </ALIGNABLE_ANNOTATION>\n        </ANNOTATION>\n"
    )


def hanging(name: str, parent: str, text: str, more: str = "") -> str:
    return (
        "        <ANNOTATION>\n"
        f'            <REF_ANNOTATION ANNOTATION_ID="{name}" ANNOTATION_REF="{parent}"{more}>\n'
        f"                <ANNOTATION_VALUE>{text}</ANNOTATION_VALUE>\n"
        "            </REF_ANNOTATION>\n        </ANNOTATION>\n"
    )


def eaf(*parts: str, media: str = MEDIA) -> str:
    return HEAD.format(media=media) + "".join(parts) + TAIL


ANNA = tier(
    "A_txt",
    [timed("a1", 1, 2, "och naw"), timed("a2", 3, 4, "fish &amp; chips")],
    ' PARTICIPANT="anna"',
)
WHOLE = eaf(slots(500, 2250, 3001, 4750), ANNA)


def recording(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.zeros(1600, np.float32), 16_000)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    recording(tmp_path / "talk.wav")
    return tmp_path


def put(folder: Path, text: str, name: str = "talk.eaf") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def read(source: Path, **given: Any) -> Reading:
    options = Options(**({"accent": "scottish"} | given))
    notes: list[str] = []
    root = source if source.is_dir() else source.parent
    found = rows(source, options, notes)
    return build(found, root=root, source=str(source), kind="elan", options=options, notes=notes)


def said(reading: Reading) -> list[tuple[str, str | None, float | None, float | None]]:
    return [(each.text, each.speaker, each.start, each.end) for each in reading.corpus]


def faults(reading: Reading) -> list[tuple[str, str]]:
    return [(fault.kind, fault.place) for fault in reading.faults]


def line_of(text: str, part: str) -> int:
    return next(at for at, line in enumerate(text.split("\n"), 1) if part in line)


def test_it_gives_what_a_manifest_of_the_same_gives(folder: Path) -> None:
    put(folder, WHOLE)
    manifest = folder / "manifest.jsonl"
    written = [
        {"id": "talk-0001", "text": "och naw", "start": 0.5, "end": 2.25},
        {"id": "talk-0002", "text": "fish & chips", "start": 3.001, "end": 4.75},
    ]
    shared = {"audio": "talk.wav", "speaker": "anna", "accent": "scottish"}
    manifest.write_text("\n".join(json.dumps(row | shared) for row in written), encoding="utf-8")
    reading = read(folder)
    assert reading.require() == read_manifest(manifest)
    assert not reading.faults
    assert reading.places[1] == f"talk.eaf:{line_of(WHOLE, 'a2')}"


def test_a_tier_s_name_is_the_speaker_where_no_participant_is_given(folder: Path) -> None:
    layers = [tier("ben", [timed("a1", 1, 2, "aye")]), tier("tx@cal", [timed("a2", 3, 4, "naw")])]
    put(folder, eaf(slots(0, 1000, 2000, 3000), *layers))
    assert said(read(folder)) == [("aye", "ben", 0, 1), ("naw", "cal", 2, 3)]
    put(folder, eaf(slots(0, 1000), tier("default", [timed("a1", 1, 2, "aye")])))
    assert said(read(folder, speaker="dee")) == [("aye", "dee", 0, 1)]


TRANSLATION = tier(
    "A_en", [hanging("a3", "a1", "oh no"), hanging("a4", "a2", "fish and fries")],
    ' PARENT_REF="A_txt" PARTICIPANT="anna"',
)  # fmt: skip


def test_tiers_that_depend_on_others_are_taken_where_they_are_named(folder: Path) -> None:
    put(folder, eaf(slots(500, 2250, 3001, 4750), ANNA, TRANSLATION))
    reading = read(folder)
    assert [text for text, *_ in said(reading)] == ["och naw", "fish & chips"]
    assert [note for note in reading.notes if "depend on others" in note and "'A_en'" in note]
    assert said(read(folder, tiers=("A_en",))) == [
        ("oh no", "anna", 0.5, 2.25), ("fish and fries", "anna", 3.001, 4.75),
    ]  # fmt: skip


def test_annotations_of_one_parent_are_joined(folder: Path) -> None:
    words = tier(
        "A_word",
        [
            hanging("a5", "a1", "och"),
            hanging("a6", "a1", "naw", ' PREVIOUS_ANNOTATION="a5"'),
            hanging("a7", "a2", "fish"),
        ],
        ' PARENT_REF="A_txt"',
    )
    put(folder, eaf(slots(500, 2250, 3001, 4750), ANNA, words))
    reading = read(folder, tiers=("A_word",))
    assert said(reading) == [("och naw", "A_word", 0.5, 2.25), ("fish", "A_word", 3.001, 4.75)]
    assert "annotations of one parent were joined, on tiers: 'A_word'" in reading.notes


def test_slots_without_a_time_lie_evenly_between_their_neighbours(folder: Path) -> None:
    # A subdivision of the stretch from 1 s to 4 s in three: only its ends have times.
    layer = tier(
        "anna", [timed("a1", 1, 2, "one"), timed("a2", 2, 3, "two"), timed("a3", 3, 4, "three")]
    )
    put(folder, eaf(slots(1000, None, None, 4000), layer))
    reading = read(folder)
    assert said(reading) == [
        ("one", "anna", 1, 2), ("two", "anna", 2, 3), ("three", "anna", 3, 4),
    ]  # fmt: skip
    assert [note for note in reading.notes if "spread evenly" in note and "'anna'" in note]


def test_a_slot_with_no_time_around_it_is_told(folder: Path) -> None:
    text = eaf(slots(1000, None), tier("anna", [timed("a1", 1, 2, "one")]))
    put(folder, text)
    assert faults(read(folder)) == [("time-missing", f"talk.eaf:{line_of(text, 'a1')}")]


# --- the recording --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("relative", "where"),
    [
        ("../sound/my%20talk.wav", "sound/my talk.wav"),
        ("../sound/my talk.wav", "sound/my talk.wav"),
        ("", "annotation/my talk.wav"),
    ],
)
def test_the_recording_is_the_one_that_the_file_names(
    tmp_path: Path, relative: str, where: str
) -> None:
    recording(tmp_path / where)
    media = descriptor(relative, "file:///C:/Users/a/my%20talk.wav")
    put(tmp_path, eaf(slots(0, 1000, 2000, 3000), ANNA, media=media), "annotation/notes.eaf")
    reading = read(tmp_path)
    assert not reading.faults
    assert {each.audio for each in reading.corpus} == {tmp_path.resolve() / where}
    assert reading.corpus[0].id == "annotation-notes-0001"


def test_the_whole_path_is_taken_where_it_is_there(folder: Path) -> None:
    elsewhere = recording(folder / "elsewhere" / "day1.wav")
    media = descriptor("../gone/day1.wav", elsewhere.as_uri())
    (folder / "eaf").mkdir()
    put(folder / "eaf", eaf(slots(0, 1000, 2000, 3000), ANNA, media=media))
    reading = read(folder / "eaf")
    assert {each.audio for each in reading.corpus} == {elsewhere.resolve()}
    assert [note for note in reading.notes if "outside of the source" in note]


def test_the_sound_of_a_video_lies_beside_it(folder: Path) -> None:
    recording(folder / "film.wav")
    media = descriptor("./film.mp4", "file:///film.mp4").replace("audio/x-wav", "video/mp4")
    put(folder, eaf(slots(0, 1000, 2000, 3000), ANNA, media=media))
    reading = read(folder)
    assert {each.audio.name for each in reading.corpus} == {"film.wav"}
    assert faults(reading) == [("audio-unused", "talk.wav")]


def test_the_time_origin_is_where_the_annotations_begin_in_the_recording(folder: Path) -> None:
    put(folder, WHOLE.replace('talk.wav"/>', 'talk.wav" TIME_ORIGIN="1100"/>'))
    assert [(start, end) for *_, start, end in said(read(folder))] == [(1.6, 3.35), (4.101, 5.85)]


def test_a_file_whose_recording_is_nowhere_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "talk.mp4").write_bytes(b"video")
    put(tmp_path, WHOLE)
    (fault,) = read(tmp_path).faults
    assert (fault.kind, fault.place) == ("audio-missing", "talk.eaf")
    assert "talk.mp4 cannot be read: save its sound as WAV" in fault.message
    assert "2 utterances are left out" in fault.message


# --- what is wrong --------------------------------------------------------------------------------


def test_every_fault_of_a_file_is_told_with_its_line(folder: Path) -> None:
    layer = tier(
        "anna",
        [
            timed("a1", 1, 2, "fine"),
            timed("a2", 2, 1, "backwards"),
            timed("a3", 1, 99, "nowhere"),
            timed("a4", 3, 4, "not a number"),
            timed("a5", 1, 2, ""),
        ],
    )
    text = eaf(slots(500, 1000, 2000, 3000), layer).replace('"3000"', '"3.0"')
    put(folder, text)
    reading = read(folder)
    lines = [line_of(text, part) for part in ('="3.0"/>', '"a3"', '"a4"', '"a5"', '"a2"')]
    assert faults(reading) == [
        ("time-value", f"talk.eaf:{lines[0]}"),
        ("reference-missing", f"talk.eaf:{lines[1]}"),
        ("reference-missing", f"talk.eaf:{lines[2]}"),
        ("text-empty", f"talk.eaf:{lines[3]}"),
        ("time-order", f"talk.eaf:{lines[4]}"),
    ]
    assert said(reading) == [("fine", "anna", 0.5, 1)]


def test_annotations_that_hang_on_none_or_in_a_circle_are_told(folder: Path) -> None:
    layer = tier(
        "en",
        [hanging("a1", "gone", "x"), hanging("a2", "a3", "y"), hanging("a3", "a2", "z")],
    )
    text = eaf(slots(0, 1000), layer)
    put(folder, text)
    assert faults(read(folder, tiers=("en",)))[:3] == [
        ("reference-missing", f"talk.eaf:{line_of(text, name)}")
        for name in ('ID="a1"', 'ID="a2"', 'ID="a3"')
    ]


def test_xml_that_is_not_well_formed_is_told_and_what_comes_before_is_read(folder: Path) -> None:
    text = WHOLE.replace("fish &amp; chips", "fish & chips")
    put(folder, text)
    reading = read(folder)
    assert reading.errors()[0].place == f"talk.eaf:{line_of(text, 'fish & chips')}"
    assert "not well-formed" in reading.errors()[0].message
    assert [text for text, *_ in said(reading)] == ["och naw"]


def test_a_document_type_is_refused_so_that_no_entity_grows(folder: Path) -> None:
    entities = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    bomb = f'<!DOCTYPE x [<!ENTITY l0 "ha">{entities}]>'
    text = WHOLE.replace("<ANNOTATION_DOCUMENT", f"{bomb}\n<ANNOTATION_DOCUMENT", 1)
    put(folder, text.replace("och naw", "&l9;"))
    (fault, *_) = read(folder).faults
    assert (fault.kind, fault.place) == ("malformed", "talk.eaf:2")
    assert "document type" in fault.message


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "no element found"),
        ("<html></html>", "outermost element is 'html'"),
        ('<?xml version="1.0" encoding="klingon"?><ANNOTATION_DOCUMENT/>', "not"),
        (WHOLE.replace('"milliseconds"', '"PAL-frames"'), "PAL-frames"),
    ],
)
def test_what_is_no_elan_file_is_said(folder: Path, text: str, part: str) -> None:
    reading = read(put(folder, text))
    assert reading.faults[0].kind == "malformed"
    assert part in reading.faults[0].message


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_no_mutation_raises(folder: Path, encoding: str) -> None:
    text = eaf(slots(500, None, 3001, 4750), ANNA, TRANSLATION)
    whole = text.replace("UTF-8", encoding.upper()).encode(encoding)
    path = folder / "talk.eaf"
    rng = random.Random(0)
    pieces = [b'"', b"9" * 400, b"-1", b"\xff", b"\x00", b"<", b">", b"&x;", b"%00", b"a1", b"ts1"]
    for number in range(300):
        content = bytearray(whole)
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(content))
            content[at : at + rng.randint(0, 4)] = rng.choice(pieces)
        path.write_bytes(content)
        reading = read(path, tiers=("A_*",) if number % 2 else ())
        assert reading.corpus or reading.faults
