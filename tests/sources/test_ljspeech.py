"""The layout of LJ Speech: its lines as they are published, and what is wrong with others."""

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

# Lines 1 and 20 of LJ Speech 1.1, and one with quotation marks that are not paired.
_LINES = (
    "LJ001-0001|Printing, in the only sense with which we are at present concerned,"
    "|Printing, in the only sense with which we are at present concerned,",
    "LJ001-0007|the earliest book printed about 1455,"
    "|the earliest book printed about fourteen fifty-five,",
    'LJ001-0020|the "lower-case" and the "|the "lower-case" and the "',
)


def _corpus(root: Path, *lines: str, suffix: str = ".wav") -> Path:
    folder = root / "LJSpeech-1.1"
    for line in lines:
        name = line.split("|")[0].removesuffix(".wav").removeprefix("wavs/")
        write(folder / "wavs" / f"{name}{suffix}", np.full(8_000, 0.1, dtype=np.float32))
    (folder / "metadata.csv").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return folder


def _read(source: Path, **options: Any) -> Reading:
    return read(source, "ljspeech", Options(**{"accent": "american", "speaker": "lj", **options}))


def _told(reading: Reading) -> list[tuple[str, str]]:
    return [(fault.kind, fault.place) for fault in reading.faults]


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_the_folder_is_the_corpus_of_the_same_manifest(tmp_path: Path, suffix: str) -> None:
    folder = _corpus(tmp_path, *_LINES, suffix=suffix)
    rows = [
        {"id": name, "audio": f"wavs/{name}{suffix}", "text": text, "speaker": "lj",
         "accent": "american"}
        for name, _, text in (line.split("|") for line in _LINES)
    ]  # fmt: skip
    same = folder / "same.jsonl"
    same.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    options = Options(accent="american", speaker="lj")
    for source in (folder, folder / "metadata.csv"):
        reading = read(source, options=options)
        assert reading.kind == "ljspeech"
        assert reading.require() == read_manifest(same)
        assert reading.faults == ()
        assert reading.notes == (
            "text: the third cell of each line, with numbers spelled (3 lines)",
        )
    assert reading.corpus[1].text == "the earliest book printed about fourteen fifty-five,"


def test_lines_of_two_cells_and_names_with_a_suffix_are_read_too(tmp_path: Path) -> None:
    folder = _corpus(tmp_path, "a|One.", "b.wav|In 1455.|", "wavs/c.wav|Three.")
    corpus = _read(folder).require()
    assert [(each.id, each.text) for each in corpus] == [
        ("a", "One."),
        ("b", "In 1455."),
        ("c", "Three."),
    ]


def test_a_mixture_of_texts_is_noted(tmp_path: Path) -> None:
    reading = _read(_corpus(tmp_path, "a|1|one", "b|2|", "c|3|three"))
    assert [each.text for each in reading.corpus] == ["one", "2", "three"]
    assert reading.notes == (
        "text: the third cell of each line, with numbers spelled (2 lines)",
        "text: the second cell of 1 lines, whose third is empty or absent",
    )


def test_faults_are_told_with_their_line_and_all_at_once(tmp_path: Path) -> None:
    folder = _corpus(tmp_path, "a|x", "both|x", "unread|x")
    (folder / "wavs" / "both.flac").write_bytes(b"")
    (folder / "metadata.csv").write_bytes(
        b"\xef\xbb\xbfa|One.\r\nb|Two.\r\n\r\nc\r\nd|1|2|3\r\n\xff|x\r\nboth|x\r\na|again\r\ne|\r\n"
    )
    reading = _read(folder)
    assert [(each.id, each.text) for each in reading.corpus] == [("a", "One.")]
    assert _told(reading) == [
        ("audio-missing", "metadata.csv:2"),
        ("cell-count", "metadata.csv:4"),
        ("cell-count", "metadata.csv:5"),
        ("not-utf8", "metadata.csv:6"),
        ("name-ambiguous", "metadata.csv:7"),
        ("id-repeated", "metadata.csv:8"),
        ("text-empty", "metadata.csv:9"),
        ("audio-missing", "metadata.csv:9"),
        ("audio-unused", "wavs/unread.wav"),
    ]


def test_the_speaker_is_named_by_the_option_alone(tmp_path: Path) -> None:
    reading = _read(_corpus(tmp_path, "a|x"), speaker=None)
    assert _told(reading) == [("speaker-missing", "metadata.csv:1")]
    assert "--speaker" in str(reading.faults[0])


def test_a_table_of_a_part_says_nothing_of_the_other_recordings(tmp_path: Path) -> None:
    folder = _corpus(tmp_path, "a|x", "b|y")
    part = folder / "metadata_train.csv"
    part.write_text("a|x\n", encoding="utf-8")
    reading = _read(part)
    assert len(reading.require()) == 1
    assert reading.faults == ()


def test_a_folder_without_recordings_is_one_fault(tmp_path: Path) -> None:
    (tmp_path / "metadata.csv").write_text("a|x\nb|y\n", encoding="utf-8")
    assert _told(_read(tmp_path)) == [("source-missing", "wavs")]


def test_recordings_may_lie_elsewhere(tmp_path: Path) -> None:
    folder = _corpus(tmp_path, "a|x")
    elsewhere = (folder / "wavs").rename(tmp_path / "elsewhere")
    assert _read(folder, audio=elsewhere).require()[0].audio == elsewhere / "a.wav"


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.binary(max_size=100))
def test_any_bytes_give_rows_or_faults(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    folder = _corpus(tmp_path_factory.mktemp("fuzz"), "a|x")
    (folder / "metadata.csv").write_bytes(content)
    reading = _read(folder)
    assert reading.faults or reading.corpus
