"""What the reader of VCTK promises, of both versions."""

from __future__ import annotations

from pathlib import Path

from corpora.conftest import faults, manifest, recording, text
from speechtl import corpora

COMMON = {"licence": "CC-BY-4.0"}


def tree(root: Path) -> Path:
    place = root / "VCTK-Corpus-0.92"
    text(
        place / "speaker-info.txt",
        "ID  AGE  GENDER  ACCENTS  REGION COMMENTS \n"
        "p225  23  F    English    Southern  England\n"
        "p238  22  F    NorthernIrish  Belfast\n"
        "p280  25  F    Unknown  France (mic2 files unavailable)\n"
        "p315  18  M    American    New  England (no text files)\n"
        "p362  29  F    American (mic1 files unavailable)\n",
    )
    for stem, microphones in (
        ("p225_001", (1, 2)), ("p238_001", (1, 2)), ("p280_001", (1,)), ("p315_001", (1, 2)),
        ("p362_001", (2,)),
    ):  # fmt: skip
        speaker = stem[:4]
        for number in microphones:
            name = f"{stem}_mic{number}.flac"
            recording(place / "wav48_silence_trimmed" / speaker / name, rate=48_000)
        if speaker != "p315":
            text(place / "txt" / speaker / f"{stem}.txt", "Please call Stella.\n")
    text(place / "txt" / "p362" / "p362_002.txt", "Ask her.\n")
    return root


def said(stem: str, accent: str, microphone: int) -> dict[str, str]:
    folder = f"VCTK-Corpus-0.92/wav48_silence_trimmed/{stem[:4]}"
    return {
        "id": stem,
        "audio": f"{folder}/{stem}_mic{microphone}.flac",
        "text": "Please call Stella.",
        "speaker": stem[:4],
        "accent": accent,
        "sex": "female",
        **COMMON,
    }


def test_the_first_microphone_is_taken_and_the_second_where_there_is_no_first(
    tmp_path: Path,
) -> None:
    root = tree(tmp_path)
    reading = corpora.read(f"vctk:{root}")
    assert reading.faults == ()
    assert reading.corpus == manifest(
        root,
        said("p225_001", "english", 1),
        said("p238_001", "northern_irish", 1),
        said("p280_001", "unknown", 1),
        said("p362_001", "american", 2),
    )


def test_the_known_gaps_are_notes_and_not_faults(tmp_path: Path) -> None:
    assert corpora.read(f"vctk:{tree(tmp_path)}").notes == (
        "p315: 1 recordings, to which the corpus has no text",
        "p362: 1 texts whose recordings the corpus lacks: left out",
    )


def test_version_0_80_is_read_too(tmp_path: Path) -> None:
    text(
        tmp_path / "speaker-info.txt",
        "ID  AGE  GENDER  ACCENTS  REGION \n226  22  M    English    Surrey \n",
    )
    recording(tmp_path / "wav48" / "p226" / "p226_001.wav", rate=48_000)
    text(tmp_path / "txt" / "p226" / "p226_001.txt", "Please call Stella.")
    [utterance] = corpora.load(f"vctk:{tmp_path}")
    assert utterance.audio == (tmp_path / "wav48/p226/p226_001.wav").resolve()
    assert (utterance.accent, utterance.sex) == ("english", "male")


def test_what_is_wrong_is_told_with_its_file(tmp_path: Path) -> None:
    place = tree(tmp_path) / "VCTK-Corpus-0.92"
    text(place / "txt" / "p225" / "p225_002.txt", "No recording.\n")
    recording(place / "wav48_silence_trimmed" / "p225" / "p225_003_mic1.flac")
    recording(place / "wav48_silence_trimmed" / "p999" / "p999_001_mic1.flac")
    text(place / "txt" / "p999" / "p999_001.txt", "Nobody knows who.\n")
    (place / "txt" / "p238" / "p238_001.txt").write_bytes(b"\xff\xfe")
    with (place / "speaker-info.txt").open("a") as stream:
        stream.write("p226 22\n")
    assert faults(corpora.read(f"vctk:{tmp_path}")) == [
        ("malformed", "speaker-info.txt:7"),
        ("audio-missing", "txt/p225/p225_002.txt"),
        ("audio-unused", "wav48_silence_trimmed/p225/p225_003_mic1.flac"),
        ("not-utf8", "txt/p238/p238_001.txt:1"),
        ("accent-missing", "txt/p999/p999_001.txt"),
    ]
