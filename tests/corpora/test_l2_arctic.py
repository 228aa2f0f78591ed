"""What the reader of L2-ARCTIC promises."""

from __future__ import annotations

from pathlib import Path

from corpora.conftest import faults, manifest, recording, text
from speechtl import corpora
from speechtl.corpora import l2_arctic


def tree(root: Path) -> Path:
    place = root / "l2arctic_release_v5.0"
    for speaker in ("ABA", "TNI"):
        for number in (1, 2):
            stem = f"arctic_a000{number}"
            recording(place / speaker / "wav" / f"{stem}.wav", rate=44_100)
            text(place / speaker / "transcript" / f"{stem}.txt", f"Sentence {number}")
    recording(place / "suitcase_corpus" / "wav" / "aba.wav")
    text(place / "suitcase_corpus" / "transcript" / "aba.txt", "a story")
    return root


def test_speakers_have_the_first_language_for_accent_and_stories_are_left_alone(
    tmp_path: Path,
) -> None:
    root = tree(tmp_path)
    reading = corpora.read(f"l2_arctic:{root}")
    assert reading.faults == ()
    assert reading.corpus == manifest(
        root,
        *(
            {
                "id": f"{speaker}-arctic_a000{number}",
                "audio": f"l2arctic_release_v5.0/{speaker}/wav/arctic_a000{number}.wav",
                "text": f"Sentence {number}",
                "speaker": speaker,
                "accent": accent,
                "sex": sex,
                "licence": "CC-BY-NC-4.0",
            }
            for speaker, accent, sex in (("ABA", "arabic", "male"), ("TNI", "hindi", "female"))
            for number in (1, 2)
        ),
    )
    [note] = reading.notes
    assert note.startswith("speakers that are not here: SKA, YBAA, ")


def test_each_first_language_has_two_women_and_two_men() -> None:
    found = sorted(l2_arctic._SPEAKERS.values())
    assert found == sorted(
        (accent, sex)
        for accent in l2_arctic.CORPUS.accents
        for sex in ("female", "male")
        for _ in range(2)
    )


def test_what_is_wrong_is_told_with_its_file(tmp_path: Path) -> None:
    place = tree(tmp_path) / "l2arctic_release_v5.0"
    (place / "ABA" / "wav" / "arctic_a0001.wav").unlink()
    (place / "ABA" / "transcript" / "arctic_a0002.txt").unlink()
    text(place / "TNI" / "transcript" / "arctic_a0001.txt", " \n")
    (place / "TNI" / "transcript" / "arctic_a0002.txt").write_bytes(b"caf\xe9")
    assert faults(corpora.read(f"l2_arctic:{place}")) == [
        ("audio-missing", "ABA/transcript/arctic_a0001.txt"),
        ("audio-unused", "ABA/wav/arctic_a0002.wav"),
        ("text-empty", "TNI/transcript/arctic_a0001.txt"),
        ("not-utf8", "TNI/transcript/arctic_a0002.txt:1"),
    ]
