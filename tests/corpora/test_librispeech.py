"""What the reader of LibriSpeech promises."""

from __future__ import annotations

from pathlib import Path

from corpora.conftest import faults, manifest, recording, text
from speechtl import corpora


def tree(root: Path) -> Path:
    place = root / "LibriSpeech"
    text(
        place / "SPEAKERS.TXT",
        "; Some pipe(|) separated metadata about all LibriVox readers\n"
        ";ID  |SEX| SUBSET           |MINUTES| NAME\n"
        "19   | F | train-clean-100  | 25.19 | Kara Shallenberg\n"
        "84   | F | dev-clean        |  8.02 | Christie Nowak\n"
        "61   | M | test-clean       |  8.08 | Paul-Gabriel Wiener\n",
    )
    for part, speaker, chapter in (
        ("dev-clean", 84, 121123), ("test-clean", 61, 70968), ("train-clean-100", 19, 198),
    ):  # fmt: skip
        folder = place / part / str(speaker) / str(chapter)
        name = f"{speaker}-{chapter}"
        text(folder / f"{name}.trans.txt", f"{name}-0000 GO DO YOU HEAR\n{name}-0001 BUT IN LESS\n")
        for number in range(2):
            recording(folder / f"{name}-000{number}.flac")
    return root


def test_parts_give_their_split_and_readers_their_sex(tmp_path: Path) -> None:
    root = tree(tmp_path)
    reading = corpora.read(f"librispeech:{root}")
    assert (reading.faults, reading.notes) == ((), ())
    assert reading.corpus == manifest(
        root,
        *(
            {
                "id": f"{speaker}-{chapter}-000{number}",
                "audio": f"LibriSpeech/{part}/{speaker}/{chapter}/{speaker}-{chapter}-000{number}"
                ".flac",
                "text": ("GO DO YOU HEAR", "BUT IN LESS")[number],
                "speaker": speaker,
                "accent": "general",
                "split": part.partition("-")[0],
                "sex": sex,
                "licence": "CC-BY-4.0",
            }
            for part, speaker, chapter, sex in (
                ("dev-clean", "84", "121123", "female"),
                ("test-clean", "61", "70968", "male"),
                ("train-clean-100", "19", "198", "female"),
            )
            for number in range(2)
        ),
    )


def test_without_the_readers_table_their_sex_is_not_known(tmp_path: Path) -> None:
    (tree(tmp_path) / "LibriSpeech" / "SPEAKERS.TXT").unlink()
    reading = corpora.read(f"librispeech:{tmp_path}")
    assert {each.sex for each in reading.corpus} == {None}
    assert reading.faults == ()
    assert len(reading.notes) == 1


def test_what_is_wrong_is_told_with_its_line(tmp_path: Path) -> None:
    name = "dev-clean/84/121123/84-121123"
    place = tree(tmp_path) / "LibriSpeech"
    text(
        place / f"{name}.trans.txt",
        "84-121123-0000\nwhat is this\n84-121123-0007 NO RECORDING\n84-121123-0001 FINE\n",
    )
    assert faults(corpora.read(f"librispeech:{place}")) == [
        ("malformed", f"{name}.trans.txt:1"),
        ("malformed", f"{name}.trans.txt:2"),
        ("audio-missing", f"{name}.trans.txt:3"),
        ("audio-unused", f"{name}-0000.flac"),
    ]
