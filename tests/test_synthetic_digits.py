"""Synthetic strings of digits: who speaks, what is written, and with whom it is trained on."""

from __future__ import annotations

import hashlib
import shutil
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest
import soundfile
from models.conftest import noise

from speechtl import audio
from speechtl.corpus import Corpus, Utterance
from speechtl.errors import ConfigError
from speechtl.manifest import read_manifest, write_manifest

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"
SPEAK = all(shutil.which(name) for name in ("espeak-ng", "flite"))


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return the script as a module; the environment is put back afterwards."""
    monkeypatch.syspath_prepend(SCRIPTS)
    monkeypatch.setenv("ESPEAK_DATA_PATH", "")
    monkeypatch.delenv("ESPEAK_DATA_PATH")
    import synthetic_digits

    return synthetic_digits


def of_people(*names: str, recordings: int = 2, folder: Path = Path("/digits")) -> Corpus:
    return Corpus(
        Utterance(
            id=f"{name}-{number}",
            audio=folder / f"{name}-{number}.wav",
            text="one two three four five",
            speaker=name,
            accent="american",
        )
        for name in names
        for number in range(recordings)
    )


def test_every_voice_is_in_one_split_and_few_are_held_out(script: ModuleType) -> None:
    speakers = script.plan(60, strings=3, seed=0)
    assert Counter(each.split for each in speakers) == {"train": 56, "dev": 2, "test": 2}
    assert len({each.id for each in speakers}) == 60


def test_half_of_the_voices_are_english_and_a_quarter_are_recorded_people(
    script: ModuleType,
) -> None:
    speakers = script.plan(2000, strings=1, seed=0)
    recorded = sum(each.voice.engine == "flite" for each in speakers)
    english = sum(each.voice.name.startswith("en-") for each in speakers)
    assert recorded / 2000 == pytest.approx(0.25, abs=0.03)
    assert english / 2000 == pytest.approx(0.5, abs=0.03)


def test_sex_is_told_only_where_the_variant_is_named_after_it(script: ModuleType) -> None:
    def sex(engine: str, name: str) -> str | None:
        told: str | None = script.Speaker(0, script.Voice(engine, name), "train", 1, 0).sex
        return told

    assert sex("espeak", "en-us+f2") == "female"
    assert sex("espeak", "de+m5") == "male"
    assert sex("espeak", "en-us+random003") is None
    assert sex("espeak", "en-us+max") is None
    assert sex("flite", "slt") is None


def test_one_person_is_left_out_the_next_is_dev_and_the_rest_train(script: ModuleType) -> None:
    voices = of_people("v000", "v001")
    corpus = script.together(voices, of_people("ann", "bob", "cat", "dan"), leave_out="dan")
    split = {each.speaker: each.split for each in corpus}
    assert split == {
        **dict.fromkeys(("v000", "v001", "bob", "cat"), "train"),
        "ann": "dev",
        "dan": "test",
    }
    assert len(corpus) == 12


def test_only_what_people_train_on_is_repeated(script: ModuleType) -> None:
    people = of_people("ann", "bob", "cat")
    corpus = script.together(of_people("v000"), people, leave_out="ann", repeat=3)
    assert Counter(each.speaker for each in corpus) == {"ann": 2, "bob": 2, "cat": 6, "v000": 2}


def test_a_person_who_is_not_there_cannot_be_left_out(script: ModuleType) -> None:
    with pytest.raises(ConfigError, match="no 'eve' to leave out: the people are ann, bob, cat"):
        script.together(Corpus(), of_people("ann", "bob", "cat"), leave_out="eve")
    with pytest.raises(ConfigError, match="at least three people"):
        script.together(Corpus(), of_people("ann", "bob"), leave_out="ann")


def test_a_missing_program_is_named_with_what_to_install(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match=r"espeak-ng and flite must.*apt-get install"):
        script.synthesise(tmp_path, voices=3, strings=1, seed=0)


@pytest.mark.skipif(not SPEAK, reason="espeak-ng and flite are not installed")
def test_the_same_seed_says_the_same_and_the_manifests_can_be_read(
    script: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    people = of_people("ann", "bob", "cat", folder=tmp_path)
    for each in people:
        audio.write(each.audio, noise(0.5, seed=0))
    write_manifest(people, tmp_path / "people.jsonl")
    corpora = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        arguments = f"--output {folder} --voices 3 --strings 2 --sentences 2"
        arguments += f" --with {tmp_path / 'people.jsonl'} --leave-out bob"
        monkeypatch.setattr(sys, "argv", ["synthetic_digits.py", *arguments.split()])
        assert script.main() == 0, capsys.readouterr().err
        corpora.append(read_manifest(folder / "manifest.jsonl"))
    first, second = corpora
    assert Counter(each.split for each in first) == {"train": 2, "dev": 2, "test": 2}
    assert {each.accent for each in first} == {"digits"}
    digests = [[hashlib.sha256(u.audio.read_bytes()).digest() for u in each] for each in corpora]
    assert digests[0] == digests[1]
    assert [each.text for each in first] == [each.text for each in second]
    assert all(soundfile.info(each.audio).samplerate == 8000 for each in first)
    assert all(1 < each.duration < 8 for each in first)
    general = read_manifest(tmp_path / "a" / "general.jsonl")
    assert len(general.where(split="train")) == 266 + 2
    both = read_manifest(tmp_path / "a" / "leave-out-bob.jsonl")
    assert len(both) == 6 + 6
    assert both.where(split="test").speakers == ("bob",)
    assert both.where(split="dev").speakers == ("cat",)
