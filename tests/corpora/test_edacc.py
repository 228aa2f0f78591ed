"""What the readers of EdAcc promise, of the release and of the hub's copy."""

from __future__ import annotations

from pathlib import Path

import datasets
import pytest

from corpora.conftest import faults, manifest, recording, text
from speechtl import corpora
from speechtl.corpora import edacc, huggingface

COMMON = {"licence": "CC-BY-SA-4.0"}


def tree(root: Path) -> Path:
    place = root / "edacc_v1.0"
    text(
        place / "linguistic_background.csv",
        "TIMESTAMP,PARTICIPANT_ID,What is your gender?,"
        '"How would you describe your accent in English? (e.g. Italian, Glaswegian)"\n'
        "2021,EDACC-C06-A,Male,Glaswegian \n"
        '2021,EDACC-C06-B,Female,"Irish, from Cork"\n'
        "2021,EAEC-C07P1,Female,Nigerian\n",
    )
    for split, conversation in (("dev", "C06"), ("test", "C07")):
        recording(place / "data" / f"EDACC-{conversation}.wav", seconds=0.5, rate=32_000)
        text(place / split / "conv.list", f"EDACC-{conversation}\n")
    text(
        place / "dev" / "segments",
        "EDACC-C06-000 EDACC-C06 0.00 0.20\nEDACC-C06-001 EDACC-C06 0.20 0.30\n"
        "EDACC-C06-002 EDACC-C06 0.30 0.40\nEDACC-C06-003 EDACC-C06 0.40 0.50\n",
    )
    text(
        place / "dev" / "text",
        "EDACC-C06-000 C ELEVEN DASH P ONE\nEDACC-C06-001 <laugh> AYE RIGHT <overlap>\n"
        "EDACC-C06-002 <laugh>\nEDACC-C06-003 PLEASE CALL STELLA\n",
    )
    text(
        place / "dev" / "utt2spk",
        "EDACC-C06-000 EDACC-C06-A\nEDACC-C06-001 EDACC-C06-B\n"
        "EDACC-C06-002 EDACC-C06-B\nEDACC-C06-003 EDACC-C06-B\n",
    )
    text(
        place / "dev" / "stm",
        "EDACC-C06 1 EDACC-C06-A 0.00 0.20 <male,l1> C ELEVEN DASH P ONE\n"
        "EDACC-C06 1 EDACC-C06-B 0.40 0.50 <female,l1> IGNORE_TIME_SEGMENT_IN_SCORING\n",
    )
    text(place / "test" / "segments", "EDACC-C07-000 EDACC-C07 0.10 0.45\n")
    text(place / "test" / "text", "EDACC-C07-000 HOW FAR\n")
    text(place / "test" / "utt2spk", "EDACC-C07-000 EDACC-C07-A\n")
    return root


def test_segments_are_read_with_the_accents_that_speakers_name(tmp_path: Path) -> None:
    root = tree(tmp_path)
    place = "edacc_v1.0"
    reading = corpora.read(f"edacc:{root}")
    assert reading.faults == ()
    assert reading.corpus == manifest(
        root,
        {
            "id": "EDACC-C06-000",
            "audio": f"{place}/data/EDACC-C06.wav",
            "text": "C ELEVEN DASH P ONE",
            "speaker": "EDACC-C06-A",
            "accent": "glaswegian",
            "start": 0.0,
            "end": 0.2,
            "split": "dev",
            "sex": "male",
            **COMMON,
        },
        {
            "id": "EDACC-C06-001",
            "audio": f"{place}/data/EDACC-C06.wav",
            "text": "AYE RIGHT",
            "speaker": "EDACC-C06-B",
            "accent": "irish, from cork",
            "start": 0.2,
            "end": 0.3,
            "split": "dev",
            "sex": "female",
            **COMMON,
        },
        {
            "id": "EDACC-C07-000",
            "audio": f"{place}/data/EDACC-C07.wav",
            "text": "HOW FAR",
            "speaker": "EDACC-C07-A",
            "accent": "nigerian",
            "start": 0.1,
            "end": 0.45,
            "split": "test",
            "sex": "female",
            **COMMON,
        },
    )


def test_what_is_no_speech_or_not_scored_is_left_out_and_counted(tmp_path: Path) -> None:
    reading = corpora.read(f"edacc:{tree(tmp_path)}")
    assert len(reading.corpus) == 3
    ignored, wordless = reading.notes
    assert ignored.startswith("1 segments were left out that the corpus' own scoring ignores")
    assert wordless == "1 segments were left out in which nobody says a word"


def test_what_is_wrong_is_told_with_its_line(tmp_path: Path) -> None:
    place = tree(tmp_path) / "edacc_v1.0"
    text(
        place / "test" / "segments",
        "EDACC-C07-000 EDACC-C07 0.10\nEDACC-C07-001 EDACC-C07 nought 0.2\n"
        "EDACC-C07-002 EDACC-C07 0.3 0.2\nEDACC-C07-003 EDACC-C08 0.1 0.2\n",
    )
    text(place / "test" / "text", "EDACC-C07-002 A\nEDACC-C07-003 B\nEDACC-C07-009 C\n")
    text(place / "test" / "utt2spk", "EDACC-C07-003 EDACC-C07-A\n")
    name = "test"
    assert faults(corpora.read(f"edacc:{tmp_path}")) == [
        ("malformed", f"{name}/segments:1"),
        ("malformed", f"{name}/segments:2"),
        ("speaker-missing", f"{name}/segments:3"),
        ("accent-missing", f"{name}/segments:3"),
        ("time-order", f"{name}/segments:3"),
        ("audio-missing", f"{name}/segments:4"),
        ("reference-missing", f"{name}/text:3"),
    ]


def test_the_hubs_copy_is_read_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {
        "speaker": ["EDACC-C06-A", "EDACC-C06-B", "EDACC-C06-B", "EDACC-C06-B"],
        "text": ["AYE <laugh> RIGHT", "<breath>", "IGNORE_TIME_SEGMENT_IN_SCORING", "OCH"],
        "accent": ["Scottish English", "Irish English", "Irish English", "Irish English"],
        "raw_accent": ["Glaswegian", "Cork", "Cork", "Cork"],
        "gender": ["male", "female", "female", "female"],
        "l1": ["English"] * 4,
        "audio": [
            {"bytes": recording(tmp_path / f"{n}.wav").read_bytes(), "path": f"{n}.wav"}
            for n in range(4)
        ],
    }
    made = datasets.Dataset.from_dict(rows).cast_column("audio", datasets.Audio(decode=False))
    for split in ("validation", "test"):
        (tmp_path / "hub" / "data").mkdir(parents=True, exist_ok=True)
        made.to_parquet(tmp_path / "hub" / "data" / f"{split}-00000-of-00001.parquet")
    loaded = huggingface.load(str(tmp_path / "hub"), cache=tmp_path / "cache")
    monkeypatch.setattr(huggingface, "load", lambda source, configs, **named: loaded)
    monkeypatch.setenv("SPEECHTL_CORPORA", str(tmp_path / "none"))
    reading = corpora.read("edacc")
    assert reading.source == "hf:edinburghcstr/edacc"
    assert [(u.text, u.accent, u.speaker, u.split) for u in reading.corpus] == [
        (said, accent, speaker, split)
        for split in ("dev", "test")
        for said, accent, speaker in (
            ("AYE RIGHT", "scottish english", "EDACC-C06-A"),
            ("OCH", "irish english", "EDACC-C06-B"),
        )
    ]
    assert len(reading.notes) == 2
    assert {u.accent for u in corpora.load("edacc:irish english")} == {"irish english"}
    assert edacc.CORPUS.licence == "CC-BY-SA-4.0"
