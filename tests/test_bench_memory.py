"""The script that measures a run's memory: hours made of minutes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from speechtl import corpora
from speechtl.corpus import Corpus
from speechtl.manifest import read_manifest, write_manifest

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"


def test_minutes_are_made_of_the_same_recordings_each_from_another_sample_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(SCRIPTS)
    import bench_memory

    scottish = corpora.load("starter").where(accent="scottish")
    train = scottish.where(split="train")
    own_minutes = sum(each.duration for each in train) / 60
    audio = tmp_path / "audio"
    shutil.copytree(scottish[0].audio.parent, audio)
    made = Corpus(bench_memory.repeated(scottish, 2.5 * own_minutes, audio))

    write_manifest(made, tmp_path / "manifest.jsonl")  # refuses an id that is there twice
    read = read_manifest(tmp_path / "manifest.jsonl")
    trained = [each for each in read if each.split == "train"]
    assert sum(each.duration for each in trained) / 60 == pytest.approx(2.5 * own_minutes, rel=0.01)
    assert len(read) - len(trained) == len(scottish) - len(train)
    stretches = {(each.audio, each.start) for each in trained}
    assert len(stretches) == len(trained)
    assert len({each.audio for each in trained}) == len(train)
