"""Releases of Common Voice: their columns over the years, and which rows are taken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from speechtl.audio import write
from speechtl.manifest import read_manifest
from speechtl.sources import Options, Reading, read

_ANN, _BOB = "a1" * 64, "b2" * 64
# The header of 17.0 and later, of 8.0 to 16.1, and of the first releases with tables.
_NEW = (
    "client_id", "path", "sentence_id", "sentence", "sentence_domain", "up_votes", "down_votes",
    "age", "gender", "accents", "variant", "locale", "segment",
)  # fmt: skip
_MIDDLE = (
    "client_id", "path", "sentence", "up_votes", "down_votes", "age", "gender", "accents",
    "locale", "segment",
)  # fmt: skip
_OLD = (
    "client_id", "path", "sentence", "up_votes", "down_votes", "age", "gender", "accent",
)  # fmt: skip
_SCOTTISH = "Scottish English"


def _row(number: int, **values: str) -> dict[str, str]:
    return {
        "client_id": _ANN, "path": f"common_voice_en_{number}.mp3",
        "sentence": f"Sentence {number}.", "up_votes": "2", "down_votes": "0", "locale": "en",
        **values,
    }  # fmt: skip


def _release(
    root: Path,
    header: tuple[str, ...] = _NEW,
    *,
    suffix: str = ".mp3",
    **tables: list[dict[str, str]],
) -> Path:
    """Write tables without any quoting, as Common Voice does, and the recordings of their rows."""
    folder = root / "cv-corpus-17.0-2024-03-15" / "en"
    (folder / "clips").mkdir(parents=True, exist_ok=True)
    for name, rows in tables.items():
        lines = ["\t".join(row.get(column, "") for column in header) for row in rows]
        text = "\n".join(["\t".join(header), *lines]) + "\n"
        (folder / f"{name}.tsv").write_text(text, encoding="utf-8")
        for row in rows:
            stem = row["path"].removesuffix(".mp3")
            path = folder / "clips" / f"{stem}.wav"
            write(path, np.full(8_000, 0.1, dtype=np.float32))
            path.rename(path.with_suffix(suffix))
    return folder


def _read(source: Path, **options: Any) -> Reading:
    return read(source, "common-voice", Options(**options))


def _told(reading: Reading) -> list[tuple[str, str]]:
    return [(fault.kind, fault.place) for fault in reading.faults]


def test_the_folder_is_the_corpus_of_the_same_manifest(tmp_path: Path) -> None:
    folder = _release(
        tmp_path,
        validated=[
            _row(1, accents=_SCOTTISH, gender="female_feminine"),
            _row(2, accents="England English,Midlands", gender="male_masculine", client_id=_BOB),
            _row(3, accents=_SCOTTISH, sentence='"Well, he said', gender="do_not_wish_to_say"),
        ],
    )
    one = {"speaker": _ANN, "accent": _SCOTTISH}
    two = {"speaker": _BOB, "accent": "England English,Midlands", "sex": "male"}
    rows = [
        {"id": f"common_voice_en_{number}", "audio": f"clips/common_voice_en_{number}.mp3", **row}
        for number, row in (
            (1, {"text": "Sentence 1.", "sex": "female", **one}),
            (2, {"text": "Sentence 2.", **two}),
            (3, {"text": '"Well, he said', **one}),
        )
    ]
    same = folder / "same.jsonl"
    same.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    reading = read(folder)
    assert reading.kind == "common-voice"
    assert reading.require() == read_manifest(same)
    assert reading.faults == ()
    assert reading.notes == (
        "taken: all of validated.tsv, without splits; name a table, such as train.tsv, to have"
        " that alone",
    )
    assert reading.place(reading.corpus[2]) == "validated.tsv:4"


@pytest.mark.parametrize("header", [_NEW, _MIDDLE, _OLD])
def test_the_columns_of_each_release_are_known(tmp_path: Path, header: tuple[str, ...]) -> None:
    accent = {"accents": _SCOTTISH, "accent": _SCOTTISH}
    folder = _release(tmp_path, header, validated=[_row(1, gender="male", **accent)])
    (utterance,) = _read(folder).require()
    assert (utterance.text, utterance.speaker, utterance.accent, utterance.sex) == (
        "Sentence 1.",
        _ANN,
        _SCOTTISH,
        "male",
    )


def test_rows_without_an_accent_are_left_out_and_counted_once(tmp_path: Path) -> None:
    rows = [_row(number, accents=_SCOTTISH if number < 3 else "") for number in range(7)]
    folder = _release(tmp_path, validated=rows)
    reading = _read(folder)
    assert len(reading.require()) == 3
    assert _told(reading) == [("accent-unlabelled", "validated.tsv")]
    assert "4 of 7 rows name no accent and were left out" in str(reading.faults[0])


def test_an_accent_that_is_given_is_that_of_rows_without_one(tmp_path: Path) -> None:
    folder = _release(tmp_path, validated=[_row(1, accents=_SCOTTISH), _row(2)])
    corpus = _read(folder, accent="unlabelled").require()
    assert [each.accent for each in corpus] == [_SCOTTISH, "unlabelled"]


def test_sentences_that_were_reported_are_left_out_and_counted(tmp_path: Path) -> None:
    rows = [_row(number, accents=_SCOTTISH, sentence_id=f"{number:064x}") for number in range(1, 5)]
    folder = _release(tmp_path, validated=rows)
    # Reasons are written freely: release 17.0 has line breaks and tabs in them.
    (folder / "reported.tsv").write_text(
        "sentence_id\tsentence\tlocale\treason\n"
        f"{2:064x}\tSentence 2.\ten\tgrammar-or-spelling\n"
        f"{3:064x}\tSentence 3.\ten\tnot a\nsentence\tat all\n",
        encoding="utf-8",
    )
    reading = _read(folder)
    assert [each.text for each in reading.require()] == ["Sentence 1.", "Sentence 4."]
    assert _told(reading) == [("sentence-reported", "validated.tsv")]
    assert "2 of 4 rows" in reading.faults[0].message


def test_reported_sentences_of_older_releases_are_known_by_their_words(tmp_path: Path) -> None:
    rows = [_row(number, accents=_SCOTTISH) for number in range(1, 4)]
    folder = _release(tmp_path, _MIDDLE, validated=rows)
    (folder / "reported.tsv").write_text(
        f"sentence\tsentence_id\tlocale\treason\nSentence 2.\t{2:064x}\ten\tother\n",
        encoding="utf-8",
    )
    assert [each.text for each in _read(folder).require()] == ["Sentence 1.", "Sentence 3."]


def test_without_validated_the_three_tables_are_the_splits(tmp_path: Path) -> None:
    folder = _release(
        tmp_path,
        train=[_row(1, accents=_SCOTTISH)],
        dev=[_row(2, accents=_SCOTTISH)],
        test=[_row(3, accents=_SCOTTISH)],
        other=[_row(4, accents=_SCOTTISH)],
    )
    reading = _read(folder)
    assert [each.split for each in reading.require()] == ["train", "dev", "test"]
    assert reading.notes[0].startswith("taken: train.tsv, dev.tsv, test.tsv, each as its split")


def test_a_named_table_is_taken_alone_and_has_no_split(tmp_path: Path) -> None:
    train, validated = ([_row(number, accents=_SCOTTISH)] for number in (1, 2))
    folder = _release(tmp_path, train=train, validated=validated)
    reading = read(folder / "train.tsv")
    assert reading.kind == "common-voice"
    assert [(each.text, each.split) for each in reading.require()] == [("Sentence 1.", None)]
    assert reading.notes == ("taken: train.tsv alone, without splits",)


def test_paths_of_the_first_releases_have_no_suffix(tmp_path: Path) -> None:
    folder = _release(tmp_path, _OLD, validated=[_row(1, path="0f3a", accent="scotland")])
    (utterance,) = _read(folder).require()
    assert (utterance.id, utterance.audio) == ("0f3a", folder / "clips" / "0f3a.mp3")


def test_recordings_that_were_converted_are_found_and_noted(tmp_path: Path) -> None:
    rows = [_row(number, accents=_SCOTTISH) for number in (1, 2)]
    folder = _release(tmp_path, suffix=".wav", validated=rows)
    reading = _read(folder)
    assert [each.audio.suffix for each in reading.require()] == [".wav", ".wav"]
    assert reading.notes[1:] == ("recordings: .wav where validated.tsv says .mp3",)


def test_another_column_may_be_the_accent(tmp_path: Path) -> None:
    folder = _release(tmp_path, validated=[_row(1, variant="Scottish Standard English")])
    (utterance,) = _read(folder, columns={"accent": "variant"}).require()
    assert utterance.accent == "Scottish Standard English"


def test_faults_are_told_with_their_line_and_all_at_once(tmp_path: Path) -> None:
    folder = _release(tmp_path, _OLD, validated=[_row(1)])
    good = f"{_ANN}\tcommon_voice_en_1.mp3\tSentence 1.\t2\t0\t\t\tscottish"
    (folder / "validated.tsv").write_bytes(
        b"\xef\xbb\xbf" + "\t".join(_OLD).encode() + b"\r\n"
        + good.encode() + b"\r\n"
        + b"too\tfew\r\n"
        + good.replace("Sentence", "\xff").encode("latin-1") + b"\r\n"
        + good.replace("_1", "_2").encode() + b"\r\n"
        + good.replace("Sentence 1.", "").encode() + b"\r\n"
        + good.replace(_ANN, "").encode() + b"\r\n"
    )  # fmt: skip
    reading = _read(folder)
    assert len(reading.corpus) == 1
    assert _told(reading) == [
        ("cell-count", "validated.tsv:3"),
        ("not-utf8", "validated.tsv:4"),
        ("audio-missing", "validated.tsv:5"),
        ("text-empty", "validated.tsv:6"),
        ("id-repeated", "validated.tsv:6"),
        ("speaker-missing", "validated.tsv:7"),
        ("id-repeated", "validated.tsv:7"),
    ]


def test_columns_that_are_absent_or_there_twice_are_told(tmp_path: Path) -> None:
    folder = _release(tmp_path, validated=[])
    (folder / "validated.tsv").write_text("path\tpath\tsentence\n", encoding="utf-8")
    assert _told(_read(folder, columns={"accent": "dialect"})) == [
        ("column-repeated", "validated.tsv:1"),
        ("column-missing", "validated.tsv:1"),
        ("column-missing", "validated.tsv:1"),
    ]


def test_the_folder_above_the_languages_names_them(tmp_path: Path) -> None:
    folder = _release(tmp_path, validated=[_row(1)])
    reading = _read(folder.parent)
    assert _told(reading) == [("source-missing", "validated.tsv")]
    assert "give the folder of a language: en" in reading.faults[0].message


def test_without_clips_there_is_one_fault(tmp_path: Path) -> None:
    (tmp_path / "validated.tsv").write_text("\t".join(_NEW) + "\n", encoding="utf-8")
    assert _told(_read(tmp_path)) == [("source-missing", "clips")]


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.binary(max_size=100), st.binary(max_size=100))
def test_any_bytes_give_rows_or_faults(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, reported: bytes
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "clips").mkdir()
    (folder / "validated.tsv").write_bytes("\t".join(_OLD).encode() + b"\n" + content)
    (folder / "reported.tsv").write_bytes(b"sentence\treason\n" + reported)
    reading = _read(folder, accent="scottish")
    assert reading.faults or reading.corpus
