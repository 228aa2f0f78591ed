"""What the reader of AfriSpeech-200 promises."""

from __future__ import annotations

from pathlib import Path

from corpora.conftest import faults, manifest, recording, text
from speechtl import corpora

HEADER = (
    "idx,user_ids,audio_ids,accent,age_group,transcript,gender,country,audio_paths,domain,duration"
)


def line(split: str, name: str, *, said: str = "He is fine .", accent: str = "yoruba") -> str:
    return (
        f'1,u-{name},aaa/{name},{accent},26-40,"{said}",Female,NG,'
        f"/AfriSpeech-100/{split}/aaa-111/{name}.wav,clinical,0.05\n"
    )


def tree(root: Path) -> Path:
    for split, name in (("train", "one"), ("dev", "two"), ("test", "three")):
        rows = HEADER + "\n" + line(split, name)
        text(root / "transcripts" / "yoruba" / f"{split}.csv", rows)
        place = root / "audio" / "yoruba" / split / f"{split}_yoruba_0" / "aaa-111"
        recording(place / f"{name}.wav", rate=44_100)
    return root


def test_recordings_are_found_where_the_archives_were_unpacked(tmp_path: Path) -> None:
    root = tree(tmp_path)
    reading = corpora.read(f"afrispeech:{root}")
    assert reading.faults == ()
    assert reading.corpus == manifest(
        root,
        *(
            {
                "id": f"aaa-111/{name}",
                "audio": f"audio/yoruba/{split}/{split}_yoruba_0/aaa-111/{name}.wav",
                "text": "He is fine .",
                "speaker": f"u-{name}",
                "accent": "yoruba",
                "split": split,
                "sex": "female",
                "licence": "CC-BY-NC-SA-4.0",
            }
            for split, name in (("dev", "two"), ("test", "three"), ("train", "one"))
        ),
    )


def test_the_tables_of_all_repeat_nothing_and_accents_not_here_are_counted(tmp_path: Path) -> None:
    root = tree(tmp_path)
    before = corpora.read(f"afrispeech:{root}").corpus
    other = line("train", "far", accent="Igbo") + line("train", "off", accent="Igbo")
    text(root / "transcripts" / "train.csv", HEADER + "\n" + line("train", "one") + other)
    reading = corpora.read(f"afrispeech:{root}")
    assert (reading.corpus, reading.faults) == (before, ())
    assert reading.notes == (
        "rows whose archives are not unpacked here were left out: igbo (train) 2",
    )


def test_what_is_wrong_is_told_with_its_line(tmp_path: Path) -> None:
    root = tree(tmp_path)
    rows = line("train", "one") + line("train", "gone") + line("train", "one") + "1,2,3\n"
    text(root / "transcripts" / "yoruba" / "train.csv", f"{HEADER}\n{rows}")
    text(root / "transcripts" / "yoruba" / "dev.csv", "audio_paths,said\n/a/b.wav,x\n")
    name = "transcripts/yoruba"
    assert faults(corpora.read(f"afrispeech:{root}")) == [
        ("column-missing", f"{name}/dev.csv:1"),
        ("id-repeated", f"{name}/train.csv:4"),
        ("cell-count", f"{name}/train.csv:5"),
        ("audio-missing", f"{name}/train.csv:3"),
    ]
