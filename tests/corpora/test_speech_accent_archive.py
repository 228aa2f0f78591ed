"""What the reader of the Speech Accent Archive promises."""

from __future__ import annotations

from pathlib import Path

from corpora.conftest import faults, manifest, recording, text
from speechtl import corpora
from speechtl.corpora.speech_accent_archive import PASSAGE

HEADER = (
    "age,age_onset,birthplace,filename,native_language,sex,speakerid,country,file_missing?,,,\n"
)


def tree(root: Path) -> Path:
    text(
        root / "speakers_all.csv",
        HEADER + '24,12,"Koussi, Côte d\'Ivoire",balanta,balanta,male,788,guinea,TRUE,,,\n'
        '18,10,"fraserburgh, scotland, uk",english18,english,famale,78,uk,FALSE,,,\n'
        '48,8,"santiago, chile",spanish1,spanish,female,520,chile,FALSE,,,\n',
    )
    recording(root / "recordings" / "recordings" / "english18.mp3", seconds=0.5, rate=44_100)
    recording(root / "recordings" / "recordings" / "spanish1.mp3", seconds=0.5, rate=44_100)
    return root


def test_all_read_the_passage_and_english_is_told_apart_by_country(tmp_path: Path) -> None:
    root = tree(tmp_path)
    reading = corpora.read(f"speech_accent_archive:{root}")
    assert reading.faults == ()
    assert reading.corpus == manifest(
        root,
        *(
            {
                "id": name,
                "audio": f"recordings/recordings/{name}.mp3",
                "text": PASSAGE,
                "speaker": speaker,
                "accent": accent,
                "sex": "female",
                "licence": "CC-BY-NC-SA-2.0",
            }
            for name, speaker, accent in (
                ("english18", "78", "english (uk)"),
                ("spanish1", "520", "spanish"),
            )
        ),
    )
    assert reading.notes[1:] == (
        "1 speakers were left out whose recordings the table calls missing",
    )


def test_the_passage_has_69_words_and_is_that_of_the_folder_where_it_has_one(
    tmp_path: Path,
) -> None:
    assert len(PASSAGE.split()) == 69
    text(tree(tmp_path) / "reading-passage.txt", "Please call Stella.\r\n\r\n  Ask her.\r\n")
    corpus = corpora.load(f"speech_accent_archive:{tmp_path}")
    assert {each.text for each in corpus} == {"Please call Stella. Ask her."}


def test_what_is_wrong_is_told_with_its_line(tmp_path: Path) -> None:
    root = tree(tmp_path)
    with (root / "speakers_all.csv").open("a") as stream:
        stream.write("1,2,x,welsh1,welsh,male,9,uk,FALSE,,,\n1,2,x\n")
    recording(root / "recordings" / "recordings" / "thai1.mp3", seconds=0.5, rate=44_100)
    assert faults(corpora.read(f"speech_accent_archive:{root}")) == [
        ("audio-missing", "speakers_all.csv:5"),
        ("cell-count", "speakers_all.csv:6"),
        ("audio-unused", "recordings/recordings/thai1.mp3"),
    ]
