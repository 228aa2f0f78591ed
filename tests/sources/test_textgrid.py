"""TextGrids as Praat and MFA write them."""

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
from speechtl.sources.rows import Options, Reading, build
from speechtl.sources.textgrid import rows

Label = tuple[float, float, str]
Layer = tuple[str, Sequence[Label]]


def recording(path: Path) -> Path:
    """Write a recording of a tenth of a second."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.zeros(1600, np.float32), 16_000)
    return path


def long(layers: Sequence[Layer], end: float = 10) -> str:
    """Return what Praat's Save as text file... writes."""
    lines = [
        'File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0 ",
        f"xmax = {end} ", "tiers? <exists> ", f"size = {len(layers)} ", "item []: ",
    ]  # fmt: skip
    for number, (name, labels) in enumerate(layers, 1):
        lines += [
            f"    item [{number}]:", '        class = "IntervalTier" ',
            f'        name = "{name}" ', "        xmin = 0 ", f"        xmax = {end} ",
            f"        intervals: size = {len(labels)} ",
        ]  # fmt: skip
        for index, (begins, ends, text) in enumerate(labels, 1):
            quoted = text.replace('"', '""')
            lines += [
                f"        intervals [{index}]:", f"            xmin = {begins} ",
                f"            xmax = {ends} ", f'            text = "{quoted}" ',
            ]  # fmt: skip
    return "\n".join(lines) + "\n"


def short(layers: Sequence[Layer], end: float = 10) -> str:
    """Return what Praat's Save as short text file... writes."""
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "0", str(end)]
    lines += ["<exists>", str(len(layers))]
    for name, labels in layers:
        lines += ['"IntervalTier"', f'"{name}"', "0", str(end), str(len(labels))]
        for begins, ends, text in labels:
            quoted = text.replace('"', '""')
            lines += [str(begins), str(ends), f'"{quoted}"']
    return "\n".join(lines) + "\n"


def read(source: Path, **given: Any) -> Reading:
    options = Options(**({"accent": "scottish"} | given))
    notes: list[str] = []
    root = source if source.is_dir() else source.parent
    found = rows(source, options, notes)
    return build(found, root=root, source=str(source), kind="textgrid", options=options,
                 notes=notes)  # fmt: skip


def said(reading: Reading) -> list[tuple[str, str | None, float | None, float | None]]:
    return [(each.text, each.speaker, each.start, each.end) for each in reading.corpus]


def faults(reading: Reading) -> list[tuple[str, str]]:
    return [(fault.kind, fault.place) for fault in reading.faults]


SENTENCES: Layer = (
    "anna",
    [(0, 0.5, ""), (0.5, 2.25, 'he said "aye"'), (2.25, 3, " "), (3, 4.75, "och naw ")],
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    recording(tmp_path / "talk.wav")
    return tmp_path


def put(folder: Path, text: str, name: str = "talk.TextGrid") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_the_long_and_the_short_format_say_the_same(folder: Path) -> None:
    grid = put(folder, long([SENTENCES]))
    first = read(grid)
    put(folder, short([SENTENCES]))
    second = read(grid)
    assert first.faults == second.faults == ()
    assert first.corpus == second.corpus
    assert [each.id for each in first.corpus] == ["talk-0001", "talk-0002"]
    assert said(first) == [('he said "aye"', "anna", 0.5, 2.25), ("och naw", "anna", 3, 4.75)]


def test_it_gives_what_a_manifest_of_the_same_gives(folder: Path) -> None:
    put(folder, long([SENTENCES]))
    manifest = folder / "manifest.jsonl"
    written = [
        {"id": "talk-0001", "text": 'he said "aye"', "start": 0.5, "end": 2.25},
        {"id": "talk-0002", "text": "och naw", "start": 3, "end": 4.75},
    ]
    shared = {"audio": "talk.wav", "speaker": "anna", "accent": "scottish", "licence": "CC0-1.0"}
    manifest.write_text("\n".join(json.dumps(row | shared) for row in written), encoding="utf-8")
    assert read(folder, licence="CC0-1.0").require() == read_manifest(manifest)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_encodings_and_line_ends_of_praat_are_read(
    folder: Path, encoding: str, line_end: str
) -> None:
    text = long([("anna", [(0, 1, "crème brûlée")])]).replace("\n", line_end)
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    (folder / "talk.TextGrid").write_bytes((mark + text).encode(encoding))
    assert said(read(folder)) == [("crème brûlée", "anna", 0, 1)]


def test_comments_and_free_layout_are_read_as_praat_reads_them(folder: Path) -> None:
    put(
        folder,
        '"ooTextFile" "TextGrid" ! a grid by hand\n0 2 <exists> 1\n'
        '"IntervalTier" "anna" 0 2 1 ! "no text", 7\nfrom 0.5 to 1.5e0 "aye" ',
    )
    assert said(read(folder)) == [("aye", "anna", 0.5, 1.5)]


def test_a_label_over_several_lines_is_one_line(folder: Path) -> None:
    put(folder, long([("anna", [(0, 1, "och\nnaw"), (1, 2, "aye")])]))
    reading = read(folder)
    assert [each.text for each in reading.corpus] == ["och naw", "aye"]
    assert reading.places[1] == "talk.TextGrid:21"  # its xmin


def test_points_are_left_out_and_told(folder: Path) -> None:
    text = short([SENTENCES]).replace("<exists>\n1\n", "<exists>\n2\n")
    put(folder, text + '"TextTier"\n"bell"\n0\n10\n2\n1.5\n"ding"\n2.5\n"dong"\n')
    reading = read(folder)
    assert len(reading.corpus) == 2
    assert not reading.faults
    assert "tiers are left out, for they hold points without a length: 'bell'" in reading.notes


# --- tiers and speakers ---------------------------------------------------------------------------


def test_tiers_of_several_people_are_mixed_in_the_order_of_time(folder: Path) -> None:
    put(folder, long([("anna", [(0, 1, "one"), (4, 5, "three")]), ("ben", [(2, 3, "two")])]))
    reading = read(folder, speaker="nobody")
    assert said(reading) == [
        ("one", "anna", 0, 1), ("two", "ben", 2, 3), ("three", "anna", 4, 5),
    ]  # fmt: skip
    assert [each.id for each in reading.corpus] == ["talk-0001", "talk-0002", "talk-0003"]
    assert "speakers are those of the tiers, one person in all files: 'anna', 'ben'" in (
        reading.notes
    )


@pytest.mark.parametrize("name", ["utterance", "Sentences", "Mary", "ortho", "Tier 1", "text"])
def test_a_name_that_says_only_what_a_tier_holds_is_no_speaker(folder: Path, name: str) -> None:
    put(folder, long([(name, [(0, 1, "aye")])]))
    assert said(read(folder, speaker="anna")) == [("aye", "anna", 0, 1)]
    assert faults(read(folder)) == [("speaker-missing", "talk.TextGrid:16")]


def test_a_tier_that_is_named_with_its_speaker_is_the_speaker_s(folder: Path) -> None:
    put(folder, long([("Orth_v2", [(0, 1, "aye")]), ("old", [(0, 1, "eye")])]))
    assert said(read(folder, tiers=("Orth_v2",), speaker="anna")) == [("aye", "anna", 0, 1)]
    assert said(read(folder, tiers=("Orth_v2",))) == [("aye", "Orth_v2", 0, 1)]


def test_a_named_tier_that_a_file_lacks_is_told_with_those_that_it_has(folder: Path) -> None:
    recording(folder / "b" / "chat.wav")
    put(folder, long([SENTENCES]))
    put(folder, long([("ben", [(0, 1, "aye")])]), "b/chat.TextGrid")
    reading = read(folder, tiers=("ben",))
    assert [each.id for each in reading.corpus] == ["b-chat-0001"]
    (fault,) = reading.errors()
    assert (fault.kind, fault.place) == ("reference-missing", "talk.TextGrid")
    assert fault.message == "has no tier 'ben' with stretches of time; its tiers are 'anna'"


def test_a_file_of_nothing_but_phones_is_told(folder: Path) -> None:
    put(folder, long([("phones", [(0, 1, "AY1")])]))
    (fault,) = read(folder).errors()
    assert fault.kind == "reference-missing"
    assert "its tiers are 'phones'" in fault.message


# MFA's alignment of "och naw" and, 0.5 s later, "aye": its words and their phones.
WORDS: Layer = (
    "words",
    [(0, 0.25, ""), (0.25, 0.5, "och"), (0.5, 0.75, ""), (0.75, 1, "naw"), (1, 1.5, ""),
     (1.5, 2, "aye"), (2, 2.5, "")],
)  # fmt: skip
PHONES: Layer = ("phones", [(0, 0.25, ""), (0.25, 0.5, "AO1"), (0.5, 1, "spn"), (1, 2.5, "")])


def test_words_of_mfa_are_joined_up_to_pauses_of_half_a_second(folder: Path) -> None:
    put(folder, long([WORDS, PHONES]))
    reading = read(folder, speaker="anna")
    assert not reading.faults
    assert said(reading) == [("och naw", "anna", 0.25, 1), ("aye", "anna", 1.5, 2)]
    assert [each for each in reading.notes if "3 words were joined to 2 utterances" in each]
    assert [each for each in reading.notes if "'phones'" in each]


def test_mfa_s_tiers_of_several_speakers_name_them(folder: Path) -> None:
    layers = [
        ("anna - words", WORDS[1]), ("anna - phones", PHONES[1]),
        ("ben - words", [(3, 4, "wheesht")]), ("ben - phones", [(3, 4, "W")]),
    ]  # fmt: skip
    put(folder, long(layers))
    assert [(text, speaker) for text, speaker, *_ in said(read(folder))] == [
        ("och naw", "anna"), ("aye", "anna"), ("wheesht", "ben"),
    ]  # fmt: skip
    one = read(folder, tiers=("ben - *",))
    assert [text for text, *_ in said(one)] == ["wheesht", "W"]


def test_words_are_left_out_where_there_are_utterances(folder: Path) -> None:
    put(folder, long([("sentences", [(0.25, 2, "och naw, aye")]), WORDS, PHONES]))
    reading = read(folder, speaker="anna")
    assert [text for text, *_ in said(reading)] == ["och naw, aye"]
    assert "tiers of words are left out, for others hold utterances: 'words'" in reading.notes


def test_marks_of_silence_are_counted_and_other_annotations_stay(folder: Path) -> None:
    labels = ["sp", "<p:>", "SIL", "#", "(.)", "[pause]", "(pause 0.45)", "sp", "<LAUGH>", "xxx"]
    put(folder, long([("anna", [(at, at + 1, text) for at, text in enumerate(labels)])]))
    reading = read(folder)
    assert [text for text, *_ in said(reading)] == ["<LAUGH>", "xxx"]
    (note,) = (each for each in reading.notes if "mark of silence" in each)
    assert "'sp' (2 times)" in note
    assert note.count("'") == 2 * 7


# --- what is wrong --------------------------------------------------------------------------------


def line_of(text: str, what: str) -> int:
    return text.split("\n").index(what) + 1


@pytest.mark.parametrize("form", [long, short])
def test_every_fault_of_a_file_is_told_with_its_line(folder: Path, form: Any) -> None:
    text = form([("anna", [(0, 1, "one"), (1, 2, "two"), (2, 3, "three"), (3, 3.5, "four"),
                           (5, 4, "five"), (6, 7, "six")])])  # fmt: skip
    broken = text.replace('"two"', 'say "two" twice'.join('""')).replace("3.5", "3,5")
    put(folder, broken)
    lines = broken.split("\n")
    found = [next(at for at, line in enumerate(lines, 1) if part in line)
             for part in ("twice", "3,5")]  # fmt: skip
    reading = read(folder)
    start = line_of(text, "            xmin = 5 ") if form is long else line_of(text, "5")
    assert faults(reading) == [
        ("malformed", f"talk.TextGrid:{found[0]}"),
        ("malformed", f"talk.TextGrid:{found[1]}"),
        ("time-order", f"talk.TextGrid:{start}"),
    ]
    assert [each.text for each in reading.corpus] == ["one", "three", "six"]


@pytest.mark.parametrize("form", [long, short])
@pytest.mark.parametrize(
    ("lost", "line"), [(0, "0.25"), (1, "0.75"), (2, '"one"')], ids=["start", "end", "text"]
)
def test_an_interval_that_lacks_a_part_is_told_and_the_next_one_read(
    folder: Path, form: Any, lost: int, line: str
) -> None:
    lines = form([("anna", [(0.25, 0.75, "one"), (1, 2, "two")])]).split("\n")
    at = next(index for index, each in enumerate(lines) if each.strip().endswith(line))
    put(folder, "\n".join(lines[:at] + lines[at + 1 :]))
    reading = read(folder)
    assert [each.text for each in reading.corpus] == ["two"]
    (fault,) = reading.faults
    assert fault.kind == "malformed"
    # It shows at what stands in its place, which is the text where a time is gone.
    assert abs(int(fault.place.rpartition(":")[2]) - (at + 1)) <= 1


def test_a_file_that_is_cut_off_is_told(folder: Path) -> None:
    text = long([("anna", [(0, 1, "one"), (1, 2, "two")])])
    put(folder, text[: text.index('"two')] + '"tw')
    reading = read(folder)
    assert [each.text for each in reading.corpus] == ["one"]
    assert [fault.kind for fault in reading.faults] == ["malformed"]
    assert "not closed" in reading.faults[0].message
    put(folder, text[: text.index("        intervals [2]")])
    (fault,) = read(folder).faults
    assert fault.place == "talk.TextGrid:14"
    assert fault.message == ("says that the tier 'anna' has 2 intervals or points, and it has 1")


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"ooBinaryFile\x08TextGrid\x00\x00", "binary"),
        (b'"Praat chronological TextGrid text file"\n0 1 ! Time domain.\n1 ! Number\n', "chrono"),
        (b'File type = "ooTextFile"\nObject class = "PitchTier"\n\n0\n1\n', "PitchTier"),
        (b"hello\n", "does not begin"),
        (b"", "does not begin"),
    ],
)
def test_what_is_no_text_grid_is_said(folder: Path, content: bytes, part: str) -> None:
    (folder / "talk.TextGrid").write_bytes(content)
    reading = read(folder)
    assert [fault.kind for fault in reading.faults] == ["malformed"]
    assert part in reading.faults[0].message


def test_latin_1_is_told_with_its_line(folder: Path) -> None:
    text = long([("anna", [(0, 1, "aye"), (1, 2, "crème")])])
    (folder / "talk.TextGrid").write_bytes(text.encode("latin-1"))
    line = line_of(text, '            text = "crème" ')
    assert faults(read(folder)) == [("not-utf8", f"talk.TextGrid:{line}")]


@pytest.mark.parametrize("form", [long, short])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_no_mutation_raises(folder: Path, form: Any, encoding: str) -> None:
    whole = form([SENTENCES, WORDS, PHONES]).encode(encoding)
    path = folder / "talk.TextGrid"
    rng = random.Random(0)
    pieces = [b'"', b"1e308", b"9" * 400, b"-1e999", b"\xff", b"\x00", b"<", b"!", b"\n", b"nan"]
    for _ in range(150):
        content = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(content))
            content[at : at + rng.randint(0, 9)] = rng.choice(pieces)
        path.write_bytes(content)
        reading = read(path)
        assert reading.corpus or reading.faults


def test_marks_that_are_never_closed_cost_one_pass(folder: Path) -> None:
    put(folder, '"ooTextFile" "TextGrid" 0 1 <exists> 1 ' + '"" "' * 300_000)
    assert read(folder).faults
