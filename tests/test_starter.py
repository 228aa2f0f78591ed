"""The starter is what its README says it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from speechtl.corpora import starter
from speechtl.corpus import Corpus

REPOSITORY = Path(__file__).resolve().parent.parent
SPLITS = ("train", "dev", "test")
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return starter.load()


def minutes(corpus: Corpus) -> float:
    return sum(utterance.duration for utterance in corpus) / 60


def timbre(speaker: str) -> str:
    """Return what stays of a voice across accents: `espeak/en-029+f4` -> `f4`."""
    name = speaker.split("/")[1]
    return name.split("+")[1] if "+" in name else ("" if "en" in name else name)


def test_scottish_has_twenty_minutes_and_fourteen_voices(corpus: Corpus) -> None:
    scottish = corpus.where(accent="scottish")
    assert minutes(scottish.where(split="train")) >= 20
    assert len(scottish.speakers) >= 14


def test_awb_and_seven_other_scottish_voices_are_test_only(corpus: Corpus) -> None:
    scottish = corpus.where(accent="scottish")
    heard = {*scottish.where(split="train").speakers, *scottish.where(split="dev").speakers}
    unheard = set(scottish.where(split="test").speakers) - heard
    assert "flite/awb" in unheard
    assert len(unheard) >= 8


@pytest.mark.parametrize("accent", ["lancashire", "west_midlands", "caribbean"])
def test_the_other_accents_have_six_minutes_and_four_unheard_voices(
    corpus: Corpus, accent: str
) -> None:
    part = corpus.where(accent=accent)
    assert minutes(part) >= 6
    assert len(part.where(split="test").speakers) >= 4


def test_general_has_eight_minutes_of_dev_of_test_and_of_replay(corpus: Corpus) -> None:
    general = corpus.where(accent="general")
    for split in SPLITS:
        assert minutes(general.where(split=split)) >= 8, split


@pytest.mark.parametrize(
    ("first", "second"), [("train", "dev"), ("train", "test"), ("dev", "test")]
)
def test_no_voice_and_no_sentence_is_in_two_splits(corpus: Corpus, first: str, second: str) -> None:
    corpus.where(split=first).check_disjoint(corpus.where(split=second))


def test_no_timbre_of_a_test_voice_is_heard_in_training_in_any_accent(corpus: Corpus) -> None:
    heard = {timbre(speaker) for speaker in corpus.where(split=("train", "dev")).speakers}
    assert not heard & {timbre(speaker) for speaker in corpus.where(split="test").speakers}


def test_the_vocabulary_has_1200_words_and_the_ten_digits(corpus: Corpus) -> None:
    words = {word for utterance in corpus for word in utterance.text.split()}
    assert len(words) >= 1200
    assert words >= set(DIGITS)


def test_the_whole_starter_takes_at_most_forty_megabytes() -> None:
    files = [path for path in (REPOSITORY / "speechtl" / "starter").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 40e6


def test_the_build_script_plans_the_corpus_that_is_here(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(REPOSITORY / "scripts")
    from starter.plan import corpus_plan

    planned = [(row.id, row.accent, row.split, row.voice.id, row.text) for row in corpus_plan(2026)]
    assert planned == [(u.id, u.accent, u.split, u.speaker, u.text) for u in corpus]


def test_the_base_models_hear_no_voice_of_dev_or_test(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(REPOSITORY / "scripts")
    from starter.voices import BASE_VOICES

    heard = {timbre(voice.id) for voice in BASE_VOICES}
    held_out = [u.speaker for u in corpus if u.split != "train"]
    assert heard.isdisjoint(map(timbre, held_out))
    assert not [voice.id for voice in BASE_VOICES if "scotland" in voice.id or "awb" in voice.id]
