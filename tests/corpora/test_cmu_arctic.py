"""What the reader of CMU ARCTIC promises."""

from __future__ import annotations

from pathlib import Path

from corpora.conftest import faults, manifest, recording, text
from speechtl import corpora


def tree(root: Path) -> Path:
    for speaker in ("awb", "ksp"):
        place = root / f"cmu_us_{speaker}_arctic"
        recording(place / "wav" / "arctic_a0001.wav")
        recording(place / "wav" / "arctic_b0539.wav")
        text(
            place / "etc" / "txt.done.data",
            '( arctic_a0001 "Author of the danger trail, Philip Steels, etc." )\n'
            '( arctic_b0539 "You are \\"positively\\" soulless (he said)." )\n',
        )
    return root


def test_prompts_are_read_with_the_speakers_accents(tmp_path: Path) -> None:
    root = tree(tmp_path)
    reading = corpora.read(f"cmu_arctic:{root}")
    assert reading.faults == ()
    prompts = {
        "arctic_a0001": "Author of the danger trail, Philip Steels, etc.",
        "arctic_b0539": 'You are "positively" soulless (he said).',
    }
    assert reading.corpus == manifest(
        root,
        *(
            {
                "id": f"{speaker}-{stem}",
                "audio": f"cmu_us_{speaker}_arctic/wav/{stem}.wav",
                "text": said,
                "speaker": speaker,
                "accent": accent,
                "sex": "male",
                "licence": "free for any use (CMU ARCTIC licence)",
            }
            for speaker, accent in (("awb", "scottish"), ("ksp", "indian"))
            for stem, said in prompts.items()
        ),
    )


def test_what_is_wrong_is_told_with_its_line(tmp_path: Path) -> None:
    place = tree(tmp_path) / "cmu_us_awb_arctic"
    text(place / "etc" / "txt.done.data", 'arctic_a0001 Author\n( arctic_a0002 "No recording" )\n')
    (tmp_path / "cmu_us_ksp_arctic").rename(tmp_path / "cmu_us_new_arctic")
    assert faults(corpora.read(f"cmu_arctic:{tmp_path}")) == [
        ("malformed", "cmu_us_awb_arctic/etc/txt.done.data:1"),
        ("audio-missing", "cmu_us_awb_arctic/etc/txt.done.data:2"),
        ("audio-unused", "cmu_us_awb_arctic/wav/arctic_a0001.wav"),
        ("audio-unused", "cmu_us_awb_arctic/wav/arctic_b0539.wav"),
        ("accent-missing", "cmu_us_new_arctic/etc/txt.done.data:1"),
        ("accent-missing", "cmu_us_new_arctic/etc/txt.done.data:2"),
    ]
