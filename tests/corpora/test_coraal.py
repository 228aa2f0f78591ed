"""What the reader of CORAAL promises."""

from __future__ import annotations

from pathlib import Path

import pytest

from corpora.conftest import faults, manifest, recording, text
from speechtl import corpora

STEM = "DCB_se1_ag1_f_01_1"
COLUMNS = "Line\tSpkr\tStTime\tContent\tEnTime\r\n"


def tree(root: Path) -> Path:
    text(
        root / "DCB_metadata_2018.10.06.txt",
        "CORAAL.Sub\tCORAAL.Spkr\tCORAAL.File\tGender\tAge\r\n"
        f"DCB\tDCB_se1_ag1_f_01\t{STEM}\tFemale\t24\r\n"
        "DCB\tDCB_se1_ag1_f_02\tDCB_se1_ag1_f_02_1\tFemale\t25\r\n",
    )
    text(
        root / "DCB_textfiles_2018.10.06" / f"{STEM}.txt",
        COLUMNS + "1\tDCB_int_01\t0.0000\tWhere did you grow up?\t0.1000\r\n"
        "2\tDCB_se1_ag1_f_01\t0.1000\t(pause 0.53)\t0.2000\r\n"
        '3\tDCB_se1_ag1_f_01\t0.2000\t"Um, they said ""go""."\t0.3000\r\n'
        "4\tDCB_se1_ag1_f_01\t0.3000\t[Yeah.]\t0.3500\r\n"
        "5\tDCB_int_01\t0.3000\t/RD-NAME-2/?\t0.3500\r\n"
        "6\tDCB_se1_ag1_f_01\t0.3500\t<laugh>\t0.4000\r\n",
    )
    text(root / "DCB_textfiles_2018.10.06" / "DCB_se1_ag1_f_02_1.txt", COLUMNS)
    recording(root / "DCB_audio_part01_2018.10.06" / f"{STEM}.wav", seconds=0.5, rate=44_100)
    return root


def test_lines_are_read_with_their_times_and_who_asks_has_no_accent_of_the_corpus(
    tmp_path: Path,
) -> None:
    root = tree(tmp_path)
    reading = corpora.read(f"coraal:{root}")
    assert reading.faults == ()
    common = {
        "audio": f"DCB_audio_part01_2018.10.06/{STEM}.wav",
        "licence": "CC-BY-NC-SA-4.0",
    }
    assert reading.corpus == manifest(
        root,
        {
            "id": f"{STEM}-00002",
            "text": "Where did you grow up?",
            "speaker": "DCB_int_01",
            "accent": "interviewer",
            "start": 0.0,
            "end": 0.1,
            **common,
        },
        {
            "id": f"{STEM}-00004",
            "text": 'Um, they said "go".',
            "speaker": "DCB_se1_ag1_f_01",
            "accent": "african_american",
            "start": 0.2,
            "end": 0.3,
            "sex": "female",
            **common,
        },
    )


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    assert corpora.read(f"coraal:{tree(tmp_path)}").notes == (
        "left out: interviews without a recording here 1, lines with hidden or unclear 1, "
        "lines with overlaps 1, lines with sounds 1, pauses 1",
    )


def test_only_an_accent_is_taken_where_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPEECHTL_CORPORA", str(tmp_path))
    tree(tmp_path / "coraal")
    assert corpora.load("coraal:african_american").speakers == ("DCB_se1_ag1_f_01",)


def test_what_is_wrong_is_told_with_its_line(tmp_path: Path) -> None:
    root = tree(tmp_path)
    name = f"DCB_textfiles_2018.10.06/{STEM}.txt"
    text(
        root / name,
        COLUMNS + "1\tDCB_se1_ag1_f_01\tnought\tWell.\t0.2\n2\tDCB_se1_ag1_f_01\t0.1\tWell.\n"
        "3\t\t0.1\tWho?\t0.2\n4\tDCB_se1_ag1_f_01\t0.1\t\t0.2\n5\tDCB_se1_ag1_f_01\t1e999\tA\t2\n",
    )
    recording(root / "DCB_audio_part01_2018.10.06" / "DCB_se1_ag1_m_09_1.wav")
    assert faults(corpora.read(f"coraal:{root}")) == [
        ("time-value", f"{name}:2"),
        ("cell-count", f"{name}:3"),
        ("speaker-missing", f"{name}:4"),
        ("text-empty", f"{name}:5"),
        ("time-value", f"{name}:6"),
        ("audio-unused", "DCB_audio_part01_2018.10.06/DCB_se1_ag1_m_09_1.wav"),
    ]
