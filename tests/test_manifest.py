"""What `speechtl.manifest` promises: a corpus comes back as it was written, all faults at once."""

from __future__ import annotations

import csv
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechtl import audio
from speechtl.corpus import Corpus, Utterance
from speechtl.errors import DataError, OutputError
from speechtl.manifest import read_manifest, write_manifest

ROW = {"id": "a", "audio": "a.wav", "text": "Aye.", "speaker": "s1", "accent": "scottish"}
SUFFIXES = (".jsonl", ".csv", ".tsv")

words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)
seconds = st.floats(0, 1e6)


@pytest.fixture
def manifest(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes rows, as objects or as raw lines, beside one real recording."""
    audio.write(tmp_path / "a.wav", np.full(16_000, 0.1, dtype=np.float32))

    def written(*rows: dict[str, Any] | str) -> Path:
        path = tmp_path / "manifest.jsonl"
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        path.write_text("\n".join(lines), encoding="utf-8")
        return path

    return written


def faults(path: Path) -> tuple[str, ...]:
    with pytest.raises(DataError) as caught:
        read_manifest(path)
    assert str(path) in str(caught.value)
    return caught.value.faults


@st.composite
def utterance_fields(draw: st.DrawFn) -> dict[str, Any]:
    fields: dict[str, Any] = {name: draw(words) for name in ("text", "speaker", "accent")}
    start, end = sorted((draw(seconds), draw(seconds)))
    if start < end:
        fields |= {"start": start, "end": end}
    split = draw(st.sampled_from([None, "train", "dev", "test"]))
    return fields | {"split": split, "licence": draw(st.none() | words)}


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(max_examples=50, deadline=None)
@given(rows=st.dictionaries(words, utterance_fields(), min_size=1, max_size=5))
def test_a_manifest_is_read_as_it_was_written(suffix: str, rows: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        (folder / "clips").mkdir()
        (folder / "clips" / "ä b.wav").touch()
        corpus = Corpus(
            Utterance(id=name, audio=folder / "clips" / "ä b.wav", **fields)
            for name, fields in rows.items()
        )
        write_manifest(corpus, folder / f"manifest{suffix}")
        assert read_manifest(folder / f"manifest{suffix}") == corpus


def test_every_fault_of_a_manifest_is_told_with_its_line_and_id(
    manifest: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    path = manifest(
        ROW,
        "{not json",
        "[1, 2]",
        "",
        {"id": "lacks", "audio": "a.wav", "text": "Aye."},
        ROW | {"id": "mute", "text": "  "},
        ROW | {"id": 7},
        ROW,
        ROW | {"id": "far", "audio": "/a.wav"},
        ROW | {"id": "drive", "audio": "C:\\a.wav"},
        ROW | {"id": "up", "audio": "../a.wav"},
        ROW | {"id": "gone", "audio": "gone.wav"},
        ROW | {"id": "dir", "audio": "folder"},
        ROW | {"id": "nul", "audio": "a\0.wav"},
        ROW | {"id": "half", "start": 1},
        ROW | {"id": "back", "start": 2, "end": 1},
        ROW | {"id": "minus", "start": -1, "end": 1},
        ROW | {"id": "endless", "start": 0, "end": 10**400},
        ROW | {"id": "words", "start": "0", "end": True},
        ROW | {"id": "valid", "split": "validation"},
        ROW | {"id": "surrogate", "text": "\ud800"},
        ROW | {"text": "who?", "id": None},
        "[" * 10_000,
    )
    expected = {
        2: "is not JSON (",
        3: "must be one object in braces, got list",
        6: "utterance 'mute': the transcript (text) is empty",
        7: "id must be text in quotes, got 7 (int)",
        8: "utterance 'a': the id is already used: manifest.jsonl:1",
        9: "utterance 'far': audio '/a.wav' is missing",
        10: "utterance 'drive': audio 'C:\\\\a.wav' is a path of Windows",
        11: "utterance 'up': audio '../a.wav' leads out of the folder",
        12: "utterance 'gone': audio 'gone.wav' is missing",
        13: "utterance 'dir': audio 'folder' is a folder, not a file",
        14: "utterance 'nul': audio 'a\\x00.wav' is no path",
        15: "utterance 'half': start and end must be given both or not at all",
        16: "utterance 'back': start must be less than end, got start 2 s and end 1 s",
        17: "utterance 'minus': start and end must be finite and not negative, got -1, 1",
        18: "utterance 'endless': start and end must be finite",
        19: "utterance 'words': start and end must be numbers of seconds, got '0', True",
        20: "utterance 'valid': split must be one of train, dev, test or left out",
        21: "utterance 'surrogate': text must be valid Unicode",
        22: "id is empty",
        23: "is not usable JSON (",
    }
    found = faults(path)
    assert [fault for fault in found if fault.startswith("manifest.jsonl:5:")] == [
        "manifest.jsonl:5: utterance 'lacks': the field 'speaker' is missing; fill in the column,"
        " or name who speaks all of it with --speaker",
        "manifest.jsonl:5: utterance 'lacks': the field 'accent' is missing; fill in the column, or"
        " name it for all with --accent",
    ]
    told = [fault for fault in found if not fault.startswith("manifest.jsonl:5:")]
    for fault, (line, start) in zip(told, expected.items(), strict=True):
        assert fault.startswith(f"manifest.jsonl:{line}: {start}")


def test_a_symbolic_link_may_not_lead_out_of_the_folder(
    manifest: Callable[..., Path], tmp_path: Path
) -> None:
    path = manifest(ROW | {"audio": "link.wav"})
    (tmp_path / "link.wav").symlink_to("/etc/hostname")
    assert "'link.wav' leads out of the folder" in faults(path)[0]
    (tmp_path / "link.wav").unlink()
    (tmp_path / "link.wav").symlink_to("link.wav")
    assert "'link.wav' is no path" in faults(path)[0]
    (tmp_path / "link.wav").unlink()
    (tmp_path / "link.wav").symlink_to("a.wav")
    assert read_manifest(path)[0].audio == (tmp_path / "a.wav").resolve()


def test_of_many_faults_the_first_fifty_are_shown(manifest: Callable[..., Path]) -> None:
    told = faults(manifest(*[ROW | {"id": f"u{k}", "text": ""} for k in range(73)]))
    assert len(told) == 51
    assert told[49].startswith("manifest.jsonl:50: utterance 'u49'")
    assert told[50] == "and 23 more"


def test_other_columns_and_a_byte_order_mark_are_no_faults(manifest: Callable[..., Path]) -> None:
    path = manifest("\ufeff" + json.dumps(ROW | {"mood": "dour"}))
    assert [each.id for each in read_manifest(path)] == ["a"]


def test_a_line_separator_inside_a_text_is_no_new_row(manifest: Callable[..., Path]) -> None:
    path = manifest(json.dumps(ROW | {"text": "one\u2028two"}, ensure_ascii=False))
    assert read_manifest(path)[0].text == "one\u2028two"


def test_what_is_no_manifest_is_refused(manifest: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_manifest(tmp_path / "none.jsonl")
    with pytest.raises(DataError, match=r"must be a \.jsonl, \.csv, \.tsv file, got '\.txt'"):
        read_manifest(tmp_path / "manifest.txt")
    with pytest.raises(DataError, match="there is no utterance"):
        read_manifest(manifest())
    (tmp_path / "latin.csv").write_bytes(b"id,audio\na,caf\xe9.wav\n")
    with pytest.raises(DataError, match=r"latin\.csv:2: is not UTF-8 \(byte 0xe9\)"):
        read_manifest(tmp_path / "latin.csv")


def table(path: Path, *rows: str) -> Path:
    path.write_text("\n".join(("id,audio,text,speaker,accent,start,end", *rows)), encoding="utf-8")
    return path


def test_a_table_is_read_with_times_and_without(
    manifest: Callable[..., Path], tmp_path: Path
) -> None:
    manifest(ROW)
    path = table(tmp_path / "m.csv", 'a,a.wav,"Aye, so.",s1,scottish,0.5,1', "", "b,a.wav,No,s,x,,")
    first, second = read_manifest(path)
    assert (first.text, first.start, first.end) == ("Aye, so.", 0.5, 1.0)
    assert (second.start, second.end) == (None, None)


def test_the_faults_of_a_table_name_the_line_where_the_row_begins(
    manifest: Callable[..., Path], tmp_path: Path
) -> None:
    manifest(ROW)
    path = table(
        tmp_path / "m.csv",
        'a,a.wav,"two\nlines",s1,scottish,,',
        "b,a.wav,No,s1,scottish,soon,later",
        "c,a.wav,No,s1",
        "d,a.wav,No,s1,scottish,nan,1",
        'e,a.wav,"No" more,s1,scottish,,',
    )
    told = faults(path)
    assert told[0].startswith("m.csv:4: utterance 'b': start and end must be numbers of seconds")
    assert told[1].startswith("m.csv:5: must have 7 cells as the header has, got 4; quote cells")
    assert told[2].startswith("m.csv:6: utterance 'd': start and end must be finite")
    assert told[3].startswith("m.csv:7: is not a well-formed row")


def test_a_header_with_missing_or_repeated_columns_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.tsv"
    path.write_text("id\tid\taudio\ttext\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"m\.tsv:1: two columns are named 'id'"):
        read_manifest(path)
    path.write_text("id\taudio\ttext\tspeaker\taccent\n", encoding="utf-8")
    with pytest.raises(DataError, match="there is no utterance"):
        read_manifest(path)


def test_a_recording_elsewhere_is_named_by_its_whole_path(
    manifest: Callable[..., Path], tmp_path: Path
) -> None:
    corpus = read_manifest(manifest(ROW))
    write_manifest(corpus, tmp_path / "deeper" / "m.jsonl")
    written = json.loads((tmp_path / "deeper" / "m.jsonl").read_text(encoding="utf-8"))
    assert written["audio"] == str((tmp_path / "a.wav").resolve())
    assert read_manifest(tmp_path / "deeper" / "m.jsonl") == corpus


def test_a_manifest_cannot_be_written_nowhere(
    manifest: Callable[..., Path], tmp_path: Path
) -> None:
    corpus = read_manifest(manifest(ROW))
    with pytest.raises(DataError, match=r"got '\.xlsx'"):
        write_manifest(corpus, tmp_path / "m.xlsx")
    (tmp_path / "m.csv").mkdir()
    with pytest.raises(OutputError, match=r"m\.csv: cannot be written"):
        write_manifest(corpus, tmp_path / "m.csv")
    assert not list(tmp_path.glob(".*"))


def test_a_written_table_has_relative_paths(manifest: Callable[..., Path], tmp_path: Path) -> None:
    write_manifest(read_manifest(manifest(ROW)), tmp_path / "m.csv")
    with (tmp_path / "m.csv").open(encoding="utf-8", newline="") as stream:
        assert next(csv.DictReader(stream))["audio"] == "a.wav"
