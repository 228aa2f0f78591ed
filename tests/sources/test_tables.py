"""Tables: whatever their columns are called, what they hold, and all that is wrong at once."""

from __future__ import annotations

import json
import os
import re
import stat
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from speechtl import sources
from speechtl.audio import write
from speechtl.corpus import Corpus, Utterance
from speechtl.errors import ConfigError, DataError
from speechtl.faults import KINDS
from speechtl.sources import Options, Reading, rows, tables

ROW = {"id": "a", "audio": "a.wav", "text": "Aye.", "speaker": "ann", "accent": "scottish"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the recordings a.wav and b.wav, of one second."""
    for name in ("a.wav", "b.wav"):
        write(tmp_path / name, np.full(16_000, 0.1, dtype=np.float32))
    return tmp_path


def put(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def jsonl(path: Path, *given: dict[str, Any] | str) -> Path:
    return put(path, "".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in given))


def read(path: Path, **options: Any) -> Reading:
    return sources.read(path, None, Options(**options))


def told(reading: Reading) -> list[tuple[str, str]]:
    return [(fault.kind, fault.place) for fault in reading.faults]


def only(reading: Reading) -> Utterance:
    assert reading.faults == ()
    [utterance] = reading.corpus
    return utterance


# --- formats --------------------------------------------------------------------------------------

FULL: list[dict[str, Any]] = [
    {
        **ROW, "text": 'She said "aye",\nand left; so\tthere|', "start": 0.25, "end": 0.75,
        "split": "train", "licence": "CC0-1.0", "sex": "female",
    },
    {**ROW, "id": "b", "audio": "b.wav", "text": "Naïve 'quotes'", "speaker": "bob"},
]  # fmt: skip


def quoted(value: Any) -> str:
    return "" if value is None else '"' + str(value).replace('"', '""') + '"'


def delimited(given: Iterable[dict[str, Any]], delimiter: str) -> str:
    lines = [delimiter.join(sources.FIELDS)]
    lines += [delimiter.join(quoted(row.get(name)) for name in sources.FIELDS) for row in given]
    return "\n".join(lines) + "\n"


def test_a_corpus_is_the_same_in_every_format(folder: Path) -> None:
    expected = Corpus(
        [
            Utterance(
                id="a", audio=folder.resolve() / "a.wav", text=FULL[0]["text"], speaker="ann",
                accent="scottish", start=0.25, end=0.75, split="train", licence="CC0-1.0",
                sex="female",
            ),
            Utterance(
                id="b", audio=folder.resolve() / "b.wav", text="Naïve 'quotes'", speaker="bob",
                accent="scottish",
            ),
        ]
    )  # fmt: skip
    jsonl(folder / "m.jsonl", *FULL)
    jsonl(folder / "m.ndjson", *FULL)
    for name, delimiter in (("c.csv", ","), ("s.csv", ";"), ("t.csv", "\t"), ("p.csv", "|")):
        put(folder / name, delimited(FULL, delimiter))
    put(folder / "m.tsv", delimited(FULL, "\t"))
    pq.write_table(pa.Table.from_pylist(FULL), folder / "m.parquet")
    for path in sorted(each for each in folder.iterdir() if each.suffix != ".wav"):
        reading = read(path)
        assert (path.name, reading.faults, reading.notes) == (path.name, (), ())
        assert (path.name, reading.corpus) == (path.name, expected)
        assert reading.kind == "table"


@pytest.mark.parametrize("name", ["m.csv", "m.tsv", "m.jsonl"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_marks_and_line_ends_of_other_systems_are_no_part_of_the_text(
    folder: Path, name: str, encoding: str, end: str
) -> None:
    given = [{**row, "text": f"naïve {row['id']}"} for row in FULL]
    text = "".join(json.dumps(row) + "\n" for row in given)
    if not name.endswith("jsonl"):
        text = delimited(given, "," if name == "m.csv" else "\t")
    if encoding == "utf-16" and end == "\r":
        pytest.skip("no program of an old Mac wrote UTF-16")
    path = put(folder / name, text.replace("\n", end).encode(encoding))
    reading = read(path)
    assert reading.faults == ()
    assert [each.text for each in reading.corpus] == ["naïve a", "naïve b"]
    first = 1 if name == "m.jsonl" else 2
    assert list(reading.places) == [f"{name}:{first}", f"{name}:{first + 1}"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_cell_over_lines_keeps_them_and_the_numbers_of_the_rows(
    folder: Path, encoding: str
) -> None:
    header = "id,audio,text,speaker,accent"
    content = f'\n{header}\na,a.wav,"one\ntwo\n\nthree",s,x\n\nb,b.wav,,s,x\n"c\n",c.wav,C,s,x\n'
    reading = read(put(folder / "m.csv", content.encode(encoding)))
    assert [each.text for each in reading.corpus] == ["one\ntwo\n\nthree"]
    assert list(reading.places) == ["m.csv:3"]
    assert told(reading) == [("text-empty", "m.csv:8"), ("audio-missing", "m.csv:9")]


def test_parquet_may_hold_the_recordings_and_numbers_for_names(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "CACHE", folder / "cache")
    sound = (folder / "a.wav").read_bytes()
    given = [
        {"id": 7, "audio": {"bytes": sound, "path": "x/y.wav"}, "text": "Aye", "speaker": 3},
        {"id": 8, "audio": {"bytes": sound, "path": None}, "text": "Aye", "speaker": 3},
        {"id": 9, "audio": {"bytes": None, "path": "b.wav"}, "text": "Aye", "speaker": 3},
    ]
    pq.write_table(pa.Table.from_pylist(given), folder / "m.parquet")
    reading = read(folder / "m.parquet", accent="x")
    assert reading.faults == ()
    assert [(each.id, each.speaker) for each in reading.corpus] == [
        ("7", "3"), ("8", "3"), ("9", "3"),
    ]  # fmt: skip
    first, second, third = (each.audio for each in reading.corpus)
    assert first == second  # one content is written once
    assert first.parent == (folder / "cache").resolve()
    assert (first.suffix, first.read_bytes()) == (".wav", sound)
    assert third == folder.resolve() / "b.wav"
    assert len(reading.corpus[0].waveform()) == 16_000


def test_a_file_that_is_no_parquet_or_names_a_column_twice_is_told(folder: Path) -> None:
    path = put(folder / "m.parquet", b"PAR1 and no more")
    assert told(read(path)) == [("malformed", "m.parquet")]
    columns = [pa.array(["x"])] * 3
    pq.write_table(pa.table(columns, names=["text", "text", "audio"]), path)
    assert told(read(path)) == [("column-repeated", "m.parquet")]


# --- columns --------------------------------------------------------------------------------------


def test_columns_of_usual_names_are_taken_and_told(folder: Path) -> None:
    header = "Utterance ID;File Name;Sentence;client_id;Dialect;Gender;License;Subset;Age"
    path = put(folder / "m.csv", f"{header}\na;a.wav;Aye.;ann;scottish;female;CC0-1.0;dev;40\n")
    reading = read(path)
    assert only(reading) == Utterance(
        "a", folder.resolve() / "a.wav", "Aye.", "ann", "scottish",
        split="dev", licence="CC0-1.0", sex="female",
    )  # fmt: skip
    [note] = reading.notes
    assert note == (
        "columns taken: id = 'Utterance ID', audio = 'File Name', text = 'Sentence',"
        " speaker = 'client_id', accent = 'Dialect', split = 'Subset', licence = 'License',"
        " sex = 'Gender'; others are named with --column"
    )


def test_each_usual_name_is_that_of_one_field_alone() -> None:
    names = [name for field, usual in tables.COLUMNS.items() for name in (field, *usual)]
    assert len(names) == len(set(names))
    assert all(re.fullmatch("[a-z]+", name) for name in names)


def test_an_own_column_comes_before_a_usual_one_and_a_named_one_before_both(folder: Path) -> None:
    path = jsonl(folder / "m.jsonl", {**ROW, "sentence": "usual", "said": "named"})
    assert only(read(path)).text == "Aye."
    reading = read(path, columns={"text": "said"})
    assert only(reading).text == "named"
    assert reading.notes == ()  # what a person said need not be told


def test_a_named_column_that_is_not_there_is_told_with_those_that_are(folder: Path) -> None:
    path = jsonl(folder / "m.jsonl", ROW)
    [fault] = read(path, columns={"speaker": "who"}).faults
    assert (fault.kind, fault.place) == ("column-missing", "m.jsonl:1")
    assert fault.message == (
        "no column is named 'who' (speaker); there are 'id', 'audio', 'text', 'speaker', 'accent'"
    )
    with pytest.raises(DataError, match="there is no field spaeker that a column could hold"):
        read(path, columns={"spaeker": "speaker"})


def test_what_has_no_column_is_told_beside_rows_that_are_broken(folder: Path) -> None:
    path = put(folder / "m.csv", "id,speaker\na,ann\nb\n")
    reading = read(path)
    assert told(reading) == [
        ("column-missing", "m.csv:1"), ("column-missing", "m.csv:1"),
        ("accent-missing", "m.csv:1"), ("cell-count", "m.csv:3"),
    ]  # fmt: skip
    assert "the audio has no column: none of the columns 'id', 'speaker'" in str(reading.faults[0])


def test_recordings_may_lie_in_another_folder(folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    write(elsewhere / "deep" / "b.wav", np.zeros(800, dtype=np.float32))
    path = put(folder / "m.csv", "id,audio,text,speaker,accent\na,deep/b.wav,Aye.,ann,scottish\n")
    assert told(read(path)) == [("audio-missing", "m.csv:2")]
    assert read(path, audio=elsewhere).corpus[0].audio == (elsewhere / "deep" / "b.wav").resolve()
    moved = put(folder / "n.csv", "id,audio,text,speaker,accent\na,/old/b.wav,Aye.,ann,scottish\n")
    assert read(moved, audio=elsewhere / "deep").corpus[0].audio.name == "b.wav"
    write(tmp_path / "secret.wav", np.zeros(800, dtype=np.float32))
    out = put(folder / "o.csv", "id,audio,text,speaker,accent\na,../secret.wav,Aye.,ann,scottish\n")
    assert not read(out, audio=elsewhere).corpus, "no path leads out"


def test_empty_rows_that_spreadsheets_leave_are_none(folder: Path) -> None:
    path = put(folder / "m.csv", "id;audio;text;speaker;accent\na;a.wav;Aye.;ann;x\n;;;;\n; ;;;\n")
    assert told(read(path)) == []
    assert len(read(path).corpus) == 1


def test_a_table_without_speakers_is_told_once_and_options_fill_them_in(folder: Path) -> None:
    path = put(folder / "m.csv", "id,audio,text\na,a.wav,Aye.\nb,a.wav,No.\n")
    assert told(read(path)) == [("speaker-missing", "m.csv:1"), ("accent-missing", "m.csv:1")]
    filled = read(path, speaker="ann", accent="scottish")
    assert told(filled) == []
    assert [each.speaker for each in filled.corpus] == ["ann", "ann"]


def test_a_message_names_twenty_columns_of_many(folder: Path) -> None:
    path = jsonl(folder / "m.jsonl", {f"k{number}": 1 for number in range(1000)} | {"x" * 999: 1})
    fault = read(path).faults[0]
    assert "'k19' and 981 more is known" in fault.message
    assert len(fault.message) < 400


@pytest.mark.parametrize(
    ("header", "columns"),
    [
        ("id,audio,text,text,speaker", {}),
        ("id,audio,sentence,sentence,speaker", {}),
        ("id,audio,text,who,who", {"speaker": "who"}),
    ],
)
def test_two_columns_of_one_name_are_refused_where_they_matter(
    folder: Path, header: str, columns: dict[str, str]
) -> None:
    path = put(folder / "m.csv", f"{header}\na,a.wav,x,y,z\n")
    assert told(read(path, columns=columns)) == [("column-repeated", "m.csv:1")]
    other = put(folder / "n.csv", "id,audio,text,speaker,mood,mood,,\na,a.wav,Aye,s,x,y,,\n")
    assert only(read(other, accent="x")).text == "Aye"


# --- times ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ("0.5", "1", (0.5, 1.0)),
        ("1e-1", " 1.25 ", (0.1, 1.25)),
        ("0:01.5", "1:02:03.25", (1.5, 3723.25)),
        ("00:00:00", "12:00:00", (0.0, 43_200.0)),
        ("", " ", (None, None)),
    ],
)
def test_times_are_seconds_or_those_of_a_clock(
    folder: Path, start: str, end: str, expected: tuple[float | None, float | None]
) -> None:
    header = "id,audio,text,speaker,accent,start,end"
    path = put(folder / "m.csv", f"{header}\na,a.wav,Aye,s,x,{start},{end}\n")
    utterance = only(read(path))
    assert (utterance.start, utterance.end) == expected


@pytest.mark.parametrize("name", ["m.csv", "m.jsonl"])
def test_a_start_and_a_duration_give_the_end(folder: Path, name: str) -> None:
    given = [
        {**ROW, "id": "a", "start": 0.1, "duration": 0.2},
        {**ROW, "id": "b", "start": 0.1, "duration": 9.0, "end": 0.3},
        {**ROW, "id": "c", "duration": 1.0},
    ]
    if name == "m.jsonl":
        path = jsonl(folder / name, *given)
    else:
        fields = ("id", "audio", "text", "speaker", "accent", "start", "end", "duration")
        lines = [",".join(str(row.get(field, "")) for field in fields) for row in given]
        path = put(folder / name, "\n".join((",".join(fields), *lines)))
    reading = read(path)
    assert reading.faults == ()
    assert [(each.start, each.end) for each in reading.corpus] == [
        (0.1, 0.3), (0.1, 0.3), (None, None),
    ]  # fmt: skip


# --- ids ------------------------------------------------------------------------------------------


def test_an_id_that_no_column_gives_is_made_of_the_recordings_name_and_the_start(
    folder: Path,
) -> None:
    (folder / "x").mkdir()
    (folder / "a.wav").rename(folder / "x" / "a.b.wav")
    given: list[dict[str, Any]] = [
        {"audio": "x/a.b.wav", "text": "Aye"},
        {"audio": "x\\a.b.wav", "text": "Aye", "start": 0.25, "end": 0.5},
        {"audio": "x/a.b.wav", "text": "Aye", "start": 3600.5, "end": 3601},
    ]
    reading = read(jsonl(folder / "m.jsonl", *given), accent="x", speaker="s")
    assert reading.faults == ()
    assert [each.id for each in reading.corpus] == ["a.b", "a.b-0000250", "a.b-3600500"]
    assert {each.audio.name for each in reading.corpus} == {"a.b.wav"}


@pytest.mark.parametrize("name", ["m.csv", "m.jsonl"])
@pytest.mark.parametrize("more", [{}, {"start": 0.1, "end": 0.2}])
def test_an_id_that_is_empty_in_its_column_is_a_fault(
    folder: Path, name: str, more: dict[str, float]
) -> None:
    row = {**ROW, "id": "", **more}
    content = json.dumps(row)
    if name == "m.csv":
        content = f"{','.join(row)}\n{','.join(map(str, row.values()))}\n"
    line = 2 if name == "m.csv" else 1
    assert told(read(put(folder / name, content))) == [("field-empty", f"{name}:{line}")]


# --- what is wrong --------------------------------------------------------------------------------


def test_all_that_is_wrong_with_rows_is_told_at_once_with_kind_line_and_id(folder: Path) -> None:
    (folder / "dir.wav").mkdir()
    os.mkfifo(folder / "pipe.wav")
    lacking = {"id": "lacks", "audio": "a.wav"}
    given: list[tuple[dict[str, Any] | str, list[str]]] = [
        (ROW, []),
        ("{not json", ["malformed"]),
        ("[1, 2]", ["malformed"]),
        ("", []),
        (lacking, ["text-empty", "speaker-missing", "accent-missing"]),
        ({"id": "", **{k: v for k, v in ROW.items() if k != "id"}, "audio": ""},
         ["field-empty", "field-empty"]),
        ({"id": "pathless", "text": "Aye", "speaker": "s", "accent": "x"}, ["field-missing"]),
        ({**ROW, "id": "mute", "text": " \t"}, ["text-empty"]),
        ({**ROW, "id": "who", "speaker": None}, ["speaker-missing"]),
        ({**ROW, "id": "where", "accent": ""}, ["accent-missing"]),
        ({**ROW, "id": 7}, ["field-type"]),
        ({**ROW, "id": "t", "text": ["Aye"], "split": 1}, ["field-type", "field-type"]),
        ({**ROW, "id": "t", "audio": {"path": "a.wav"}}, ["field-type"]),
        ({**ROW, "id": "half", "text": "a \ud800"}, ["bad-unicode"]),
        (ROW, ["id-repeated"]),
        ({**ROW, "id": "gone", "audio": "gone.wav"}, ["audio-missing"]),
        ({**ROW, "id": "gone", "audio": "/gone.wav"}, ["audio-missing"]),
        ({**ROW, "id": "up", "audio": "../a.wav"}, ["audio-outside"]),
        ({**ROW, "id": "up", "audio": "..\\a.wav"}, ["audio-outside"]),
        ({**ROW, "id": "up", "audio": "x/../../b.wav"}, ["audio-outside"]),
        ({**ROW, "id": "dir", "audio": "dir.wav"}, ["audio-path"]),
        ({**ROW, "id": "pipe", "audio": "pipe.wav"}, ["audio-path"]),
        ({**ROW, "id": "zero", "audio": "/dev/zero"}, ["audio-path"]),
        ({**ROW, "id": "nul", "audio": "a\0.wav"}, ["audio-path"]),
        ({**ROW, "id": "drive", "audio": "C:\\a.wav"}, ["audio-path"]),
        ({**ROW, "id": "long", "audio": "x" * 300 + ".wav"}, ["audio-path"]),
        ({**ROW, "id": "long", "audio": "x/" * 9000 + "a.wav"}, ["audio-path"]),
        ({**ROW, "id": "one", "start": 1}, ["time-missing"]),
        ({**ROW, "id": "minus", "start": -1, "end": 1}, ["time-value"]),
        ({**ROW, "id": "endless", "start": 0, "end": 10**400}, ["time-value"]),
        ('{"id": "nan", "audio": "a.wav", "text": "A", "speaker": "s", "accent": "x",'
         ' "start": NaN, "end": 1}', ["time-value"]),
        ({**ROW, "id": "words", "start": "0", "end": True}, ["time-value"]),
        ({**ROW, "id": "back", "start": 2, "end": 1}, ["time-order"]),
        ({**ROW, "id": "still", "start": 1, "end": 1}, ["time-order"]),
        ({**ROW, "id": "late", "start": 10**30 - 1, "end": 1e30}, ["time-order"]),
        ({**ROW, "id": "valid", "split": "validation"}, ["split-unknown"]),
        ("[" * 100_000, ["malformed"]),
        (ROW | {"id": "last"}, []),
    ]  # fmt: skip
    reading = read(jsonl(folder / "m.jsonl", *(row for row, _ in given)))
    expected = [
        (kind, f"m.jsonl:{line}") for line, (_, kinds) in enumerate(given, 1) for kind in kinds
    ]
    assert told(reading) == expected
    assert [each.id for each in reading.corpus] == ["a", "last"]
    assert reading.place(reading.corpus[1]) == f"m.jsonl:{len(given)}"
    names = {fault.place: fault.utterance for fault in reading.faults}
    assert (names["m.jsonl:5"], names["m.jsonl:11"]) == ("lacks", None)
    assert {fault.grade for fault in reading.faults} == {"error"}
    with pytest.raises(DataError, match=rf"m\.jsonl: {len(expected)} faults") as caught:
        reading.require()
    assert len(caught.value.faults) == min(len(expected), 51)


def test_a_fault_says_what_was_got_and_what_to_do(folder: Path) -> None:
    given: list[dict[str, Any]] = [
        {**ROW, "id": "up", "audio": "../x.wav"},
        {**ROW, "id": "off", "audio": "../y.wav"},
        {**ROW, "id": "huge", "text": [list(range(1000))]},
    ]
    first, second, third = read(jsonl(folder / "m.jsonl", *given)).faults
    assert str(first) == (
        f"m.jsonl:1: utterance 'up': audio '../x.wav' leads out of the folder {folder.resolve()};"
        f" {KINDS['audio-outside'].remedy}"
    )
    assert "'../y.wav'" in second.message
    assert third.message.startswith("text must be text in quotes, got [[0, 1, 2,")
    assert len(third.message) < 300  # not all that was got


def test_lists_in_lists_are_told_as_such_and_not_shown(folder: Path) -> None:
    for depth in range(900, 1000, 7):  # some are read, though they cannot be shown
        nested = "[" * depth + "]" * depth
        text = json.dumps(ROW).replace('"Aye."', nested)
        [fault] = read(put(folder / "m.jsonl", text)).faults
        assert fault.kind in {"field-type", "malformed"}
        assert len(fault.message) < 400


@pytest.mark.parametrize("name", ["m.jsonl", "m.csv", "m.tsv"])
def test_a_source_without_utterances_is_told(folder: Path, name: str) -> None:
    for content in ("", "\n\n \n", "id\taudio\ttext\n" if name == "m.tsv" else ""):
        assert told(read(put(folder / name, content)))[0][0] == "empty-source"
    assert told(read(put(folder / "h.csv", "id,audio,text\n"))) == [
        ("empty-source", str(folder / "h.csv"))
    ]


def test_bytes_that_are_no_utf8_are_told_with_their_lines_and_the_rest_is_read(
    folder: Path,
) -> None:
    header, good = b"id,audio,text,speaker,accent\n", b"b,b.wav,Aye,s,x\n"
    reading = read(put(folder / "m.csv", header + b"a,a.wav,caf\xe9,s,x\n" + good))
    assert told(reading) == [("not-utf8", "m.csv:2")]
    assert "(byte 0xe9)" in reading.faults[0].message
    assert [each.id for each in reading.corpus] == ["b"]
    broken = put(folder / "h.csv", b"id,audio,caf\xe9,text\n" + good)
    assert told(read(broken)) == [("not-utf8", "h.csv:1")]
    line = json.dumps(ROW).encode() + b"\n"
    lines = put(folder / "m.jsonl", b"\xff\n" + line + b'{"id": "\xc3"}\n')
    assert told(read(lines)) == [("not-utf8", "m.jsonl:1"), ("not-utf8", "m.jsonl:3")]
    assert len(read(lines).corpus) == 1
    assert told(read(put(folder / "w.jsonl", b"\xff\xfe{"))) == [("not-utf8", "w.jsonl")]


def test_rows_that_are_not_well_formed_swallow_no_others(folder: Path) -> None:
    header = "id,audio,text,speaker,accent\n"
    content = f'{header}a,a.wav,"Aye" so,s,x\nb,b.wav,Aye,s,x\nc,c.wav\nd,a.wav,"no end,s,x\n'
    reading = read(put(folder / "m.csv", content))
    assert told(reading) == [
        ("malformed", "m.csv:2"), ("cell-count", "m.csv:4"), ("malformed", "m.csv:5"),
    ]  # fmt: skip
    assert [each.id for each in reading.corpus] == ["b"]
    mixed = put(folder / "r.csv", f"{header}a,a.wav,Aye\rb,s,x\nb,b.wav,Aye,s,x\n")
    assert told(read(mixed)) == [("malformed", "r.csv:2")]
    assert "old Macs" in read(mixed).faults[0].message


def test_json_over_several_lines_is_one_fault(folder: Path) -> None:
    path = put(folder / "m.json", json.dumps([ROW, ROW], indent=2))
    [fault] = read(path).faults
    assert (fault.kind, fault.place) == ("malformed", "m.json:1")
    assert "one whole object on each line" in fault.message


def test_a_line_without_end_is_told_and_not_kept(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "_LONGEST_LINE", 1000)
    path = jsonl(folder / "m.jsonl", ROW, {**ROW, "text": "x" * 5000}, {**ROW, "id": "b"})
    reading = read(path)
    assert told(reading) == [("malformed", "m.jsonl:2")]
    assert list(reading.places) == ["m.jsonl:1", "m.jsonl:3"]


def test_a_clock_of_too_many_digits_is_no_time(folder: Path) -> None:
    header = "id,audio,text,speaker,accent,start,end"
    for start in ("9" * 5000 + ":00:00", "1_0", "1:2:3:4", "-0:01", "0,5"):
        path = put(folder / "m.csv", f'{header}\na,a.wav,Aye,s,x,"{start}",1e9\n')
        assert told(read(path)) == [("time-value", "m.csv:2")]


# --- options --------------------------------------------------------------------------------------


def test_what_rows_lack_comes_from_the_options_and_what_they_have_stays(folder: Path) -> None:
    given = [
        {"id": "a", "audio": "a.wav", "text": "Aye"},
        {**ROW, "id": "b", "speaker": "bob", "split": "dev", "licence": "L", "sex": "male"},
    ]
    reading = read(
        jsonl(folder / "m.jsonl", *given),
        speaker="ann", accent="irish", licence="CC0-1.0", split="test", sex="female",
    )  # fmt: skip
    first, second = reading.corpus
    assert (first.speaker, first.accent, first.licence, first.split, first.sex) == (
        "ann", "irish", "CC0-1.0", "test", "female",
    )  # fmt: skip
    assert (second.speaker, second.accent, second.licence, second.split, second.sex) == (
        "bob", "scottish", "L", "dev", "male",
    )  # fmt: skip


def test_patterns_find_in_the_path_what_rows_lack(folder: Path) -> None:
    for name in ("scottish/ann_1.wav", "scottish/bob_1.wav", "irish/7.wav"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    given = [
        {"id": "1", "audio": "scottish/ann_1.wav", "text": "Aye"},
        {"id": "2", "audio": str(folder.resolve() / "scottish" / "bob_1.wav"), "text": "Aye"},
        {"id": "3", "audio": "scottish\\bob_1.wav", "text": "Aye", "speaker": "own"},
        {"id": "4", "audio": "irish/7.wav", "text": "Aye"},
    ]
    patterns = {
        "accent": re.compile(r"^(\w+)/"),
        "speaker": re.compile(r"/(?:([a-z]+)_)?\d"),
    }
    reading = read(jsonl(folder / "m.jsonl", *given), patterns=patterns)
    assert [(each.speaker, each.accent) for each in reading.corpus] == [
        ("ann", "scottish"), ("bob", "scottish"), ("own", "scottish"),
    ]  # fmt: skip
    assert told(reading) == [("speaker-missing", "m.jsonl:4")]
    filled = read(folder / "m.jsonl", patterns=patterns, speaker="rest")
    assert [each.speaker for each in filled.corpus] == ["ann", "bob", "own", "rest"]
    with pytest.raises(ConfigError, match="the pattern of speaker must have a group"):
        read(folder / "m.jsonl", patterns={"speaker": re.compile("x")})


# --- recordings -----------------------------------------------------------------------------------


def test_names_are_found_in_either_composition_and_with_either_slash(folder: Path) -> None:
    composed, apart = (unicodedata.normalize(form, "Zoë/é.wav") for form in ("NFC", "NFD"))
    assert composed != apart
    (folder / apart).parent.mkdir()
    (folder / apart).touch()
    given = [
        {**ROW, "id": "1", "audio": composed},
        {**ROW, "id": "2", "audio": apart},
        {**ROW, "id": "3", "audio": composed.replace("/", "\\")},
        {**ROW, "id": "4", "audio": "C:a.wav"},
        {**ROW, "id": "5", "audio": "a.wav"},  # what is wrong with one name is not with the next
    ]
    reading = read(jsonl(folder / "m.jsonl", *given))
    assert [each.audio.relative_to(folder.resolve()).as_posix() for each in reading.corpus] == [
        apart, apart, apart, "a.wav",
    ]  # fmt: skip
    assert told(reading) == [("audio-path", "m.jsonl:4")]


def test_links_may_not_lead_out_of_the_folder_but_whole_paths_may(tmp_path: Path) -> None:
    outside = put(tmp_path / "outside.wav", b"x")
    inside = put(tmp_path / "data" / "inside.wav", b"x").parent
    (inside / "out.wav").symlink_to(outside)
    (inside / "in.wav").symlink_to("inside.wav")
    (inside / "loop.wav").symlink_to("loop.wav")
    (inside / "above").symlink_to(tmp_path)
    given = [
        {**ROW, "id": "1", "audio": "out.wav"},
        {**ROW, "id": "2", "audio": "in.wav"},
        {**ROW, "id": "3", "audio": "loop.wav"},
        {**ROW, "id": "4", "audio": "above/outside.wav"},
        {**ROW, "id": "5", "audio": str(outside)},
        {**ROW, "id": "6", "audio": "above/data/inside.wav"},
    ]
    reading = read(jsonl(inside / "m.jsonl", *given))
    assert told(reading) == [
        ("audio-outside", "m.jsonl:1"), ("audio-path", "m.jsonl:3"), ("audio-outside", "m.jsonl:4"),
    ]  # fmt: skip
    assert [each.audio.name for each in reading.corpus] == [
        "inside.wav", "outside.wav", "inside.wav",
    ]  # fmt: skip


def test_a_folder_of_which_many_files_are_asked_for_is_listed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"{number}.wav" for number in range(200)]
    for name in names:
        (tmp_path / name).touch()
    (tmp_path / "link.wav").symlink_to("/etc/hostname")
    listed: list[Path] = []
    resolved: list[Path] = []
    listing: Callable[[Path], Any] = rows._listing
    resolve = Path.resolve

    def list_one(folder: Path) -> Any:
        listed.append(folder)
        return listing(folder)

    def resolve_one(path: Path) -> Path:
        resolved.append(path)
        return resolve(path)

    monkeypatch.setattr(rows, "_listing", list_one)
    monkeypatch.setattr(Path, "resolve", resolve_one)
    given = [{**ROW, "id": name, "audio": name} for name in (*names, "link.wav", "gone.wav")]
    reading = read(jsonl(tmp_path / "m.jsonl", *given))
    assert [each.audio.name for each in reading.corpus] == names
    assert told(reading) == [("audio-outside", "m.jsonl:201"), ("audio-missing", "m.jsonl:202")]
    assert listed == [tmp_path]
    assert len([path for path in resolved if path.suffix == ".wav"]) == 52  # 50, and the last two


def test_a_path_is_told_relative_to_the_source_and_positions_are_kept() -> None:
    places = sources.Places(Path("/data"))
    places.append(Path("/data/x/m.tsv"), 3)
    places.append(Path("/data/x/m.tsv"), 4)
    places.append(Path("/elsewhere/n.txt"), 0)
    assert list(places) == ["x/m.tsv:3", "x/m.tsv:4", "/elsewhere/n.txt"]
    assert places[1:] == ["x/m.tsv:4", "/elsewhere/n.txt"]


def test_a_reading_that_is_whole_gives_its_corpus(folder: Path) -> None:
    reading = read(jsonl(folder / "m.jsonl", ROW))
    assert reading.require() is reading.corpus
    assert reading.errors() == ()
    assert replace(reading, places=()).place(reading.corpus[0]) == str(folder / "m.jsonl")
    with pytest.raises(DataError, match="holds no utterance"):
        replace(reading, corpus=Corpus()).require()


# --- kinds ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "source", "kind"),
    [
        (["m.jsonl"], "m.jsonl", "table"),
        (["m.ndjson"], "m.ndjson", "table"),
        (["m.JSON"], "m.JSON", "table"),
        (["m.csv"], "m.csv", "table"),
        (["m.tsv"], "m.tsv", "table"),
        (["m.parquet"], "m.parquet", "table"),
        (["train.tsv", "clips/1.mp3"], "train.tsv", "common-voice"),
        (["train.tsv", "clips/1.mp3"], ".", "common-voice"),
        (["metadata.csv", "wavs/1.wav"], "metadata.csv", "ljspeech"),
        (["metadata.csv", "wavs/1.wav"], ".", "ljspeech"),
        (["metadata.csv"], "metadata.csv", "table"),
        (["metadata.txt"], "metadata.txt", "ljspeech"),
        (["wav.scp", "text"], ".", "kaldi"),
        (["x.TextGrid"], "x.TextGrid", "textgrid"),
        (["a/b/x.TextGrid", "a/b/x.wav"], ".", "textgrid"),
        (["x.eaf"], "x.eaf", "elan"),
        (["a/x.eaf"], ".", "elan"),
        (["x.srt"], "x.srt", "subtitles"),
        (["x.VTT"], "x.VTT", "subtitles"),
        (["a/x.vtt"], ".", "subtitles"),
        (["a/1.wav", "a/1.txt"], ".", "folder"),
        (["1.FLAC"], ".", "folder"),
    ],
)
def test_the_kind_is_told_by_the_names_of_files(
    tmp_path: Path, files: list[str], source: str, kind: str
) -> None:
    for name in files:
        put(tmp_path / name, "")
    assert sources.guess(tmp_path / source) == kind
    assert kind in sources.KINDS


@pytest.mark.parametrize("name", ["m.json", "m.jsonl"])
def test_a_manifest_of_nemo_is_known_by_its_keys(tmp_path: Path, name: str) -> None:
    assert sources.guess(jsonl(tmp_path / name, {"audio_filepath": "a.wav"})) == "nemo"
    for content in ('{"audio": "a.wav"}', "[1]", "{", "[" * 9999, "\ufeff{}", b"\xff\xfe\0"):
        assert sources.guess(put(tmp_path / name, content)) == "table"


def test_what_is_of_no_kind_is_refused_with_what_to_do(tmp_path: Path) -> None:
    for name in ("m.xlsx", "m.ODS"):
        with pytest.raises(DataError, match="is a spreadsheet; save it as CSV"):
            sources.guess(put(tmp_path / "x" / name, ""))
    with pytest.raises(DataError, match="is no source of a known kind; give a table"):
        sources.read(put(tmp_path / "x" / "notes.doc", ""))
    with pytest.raises(DataError, match="is no source of a known kind"):
        sources.read(tmp_path)
    put(tmp_path / "manifest.csv", "")
    with pytest.raises(DataError, match=r"is a folder with a manifest; give .*manifest\.csv"):
        sources.read(tmp_path)


def test_a_wrong_name_of_a_kind_gets_the_right_one(folder: Path) -> None:
    path = jsonl(folder / "m.jsonl", ROW)
    with pytest.raises(
        ConfigError, match=r"unknown kind of source 'kladi'; did you mean 'kaldi'\?"
    ):
        sources.read(path, "kladi")
    with pytest.raises(ConfigError, match=r"'zzz'; there are table, nemo, ljspeech, common-voice"):
        sources.read(path, "zzz")


def test_what_is_not_there_or_no_file_is_refused_and_never_opened(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.csv: no such file or folder; check the path"):
        sources.read(tmp_path / "none.csv")
    for name in ("x" * 5000, "a\0b", "~nobody-of-this-name/m.csv"):
        with pytest.raises(DataError, match="cannot be read"):
            sources.read(name)
    os.mkfifo(tmp_path / "m.csv")
    for path in (tmp_path / "m.csv", Path("/dev/zero")):
        with pytest.raises(DataError, match="is a pipe or a device; save it as a file"):
            sources.read(path, "table")
    os.mkfifo(tmp_path / "m.json")
    assert sources.guess(tmp_path / "m.json") == "table"


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is hidden from root")
def test_a_table_that_may_not_be_read_is_told(folder: Path) -> None:
    path = jsonl(folder / "m.jsonl", ROW)
    path.chmod(stat.S_IWUSR)
    assert told(read(path)) == [("source-missing", "m.jsonl")]
