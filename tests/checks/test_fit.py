"""Whether transcripts fit their audio: by their length, for a model, and by what it hears."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from speechtl import models
from speechtl.audio import write
from speechtl.checks.fit import model_faults, outlier_faults, rate_faults
from speechtl.corpora import starter
from speechtl.corpus import Corpus, Utterance
from speechtl.faults import Fault
from speechtl.models import SpeechModel


def place(utterance: Utterance) -> str:
    return f"m.jsonl:{utterance.id}"


def one(text: str) -> Corpus:
    return Corpus([Utterance("1", Path("one.wav"), text, "ann", "scottish")])


# --- by the length


def rate(text: str, spoken_s: float | None) -> list[tuple[str, str]]:
    found = rate_faults(one(text), place, spoken_s=lambda each: spoken_s)
    return [(fault.kind, fault.message) for fault in found]


def test_thirty_letters_a_second_are_the_most() -> None:
    assert rate("a " * 30, 1.0) == []
    assert rate("a " * 31, 1.0) == [("fit-fast", "31 characters in 1.00 s, 31.0 a second")]


def test_one_and_a_half_letters_a_second_are_the_least_in_three_seconds() -> None:
    assert rate("yes, no", 3.3) == []
    assert rate("yes, no", 3.4) == [("fit-slow", "5 characters in 3.40 s, 1.5 a second")]
    assert rate("a", 2.9) == []


def test_a_word_in_a_moment_is_not_too_fast() -> None:
    assert rate("perfectly", 0.2) == []
    assert rate("imperfectly", 0.2) == [("fit-fast", "11 characters in 0.20 s, 55.0 a second")]


def test_an_utterance_of_unknown_length_has_no_rate() -> None:
    assert rate("a " * 1000, None) == []


# --- for a model


@pytest.fixture(scope="module")
def tiny(tiny_models: dict[str, Path]) -> Callable[[str], SpeechModel]:
    loaded = {family: models.load(str(path)) for family, path in tiny_models.items()}
    return lambda family: loaded[family]


def of_model(model: SpeechModel, text: str, duration_s: float | None) -> list[Fault]:
    return list(model_faults(one(text), model, place, duration_s=lambda each: duration_s))


@pytest.mark.parametrize(
    ("family", "text", "duration_s", "kind"),
    [
        ("ctc", "the cat", 1.0, None),
        ("ctc", "The cat!", 1.0, None),
        ("ctc", "the café", 1.0, "text-vocabulary"),
        ("ctc", "the cat in 1984", 1.0, "text-vocabulary"),
        ("ctc", "…", 1.0, "text-no-words"),
        ("ctc", "the cat " * 20, 1.0, "fit-frames"),
        ("ctc", "the cat", 0.01, "audio-short"),
        ("whisper", "the cat", 1.0, None),
        ("whisper", "the <|nospeech|> cat", 1.0, "text-vocabulary"),
        ("whisper", "the quick brown fox " * 5, 1.0, "fit-tokens"),
        ("whisper", "the cat", 2.5, "audio-long"),
        ("whisper", "the cat", 0.0, "audio-short"),
    ],
)
def test_a_model_tells_what_it_could_not_be_trained_on(
    family: str,
    text: str,
    duration_s: float,
    kind: str | None,
    tiny: Callable[[str], SpeechModel],
) -> None:
    found = of_model(tiny(family), text, duration_s)
    assert [fault.kind for fault in found] == ([] if kind is None else [kind])
    for fault in found:
        assert (fault.place, fault.utterance) == ("m.jsonl:1", "1")


def test_of_an_unknown_length_only_the_spelling_is_told(tiny: Callable[[str], SpeechModel]) -> None:
    for family, word in (("ctc", "1984"), ("whisper", "<|nospeech|>")):
        (fault,) = of_model(tiny(family), word, None)
        assert (fault.kind, word in fault.message) == ("text-vocabulary", True)
        assert of_model(tiny(family), "the cat sat on a mat " * 3, None) == []


def test_the_message_gives_characters_that_the_vocabulary_lacks(
    tiny: Callable[[str], SpeechModel],
) -> None:
    (fault,) = of_model(tiny("ctc"), "the café", 1.0)
    assert "'É' (U+00C9)" in fault.message or "'é' (U+00E9)" in fault.message
    assert "'the café'" in fault.message


# --- by what it hears


def swapped(corpus: Corpus, count: int) -> tuple[Corpus, set[str]]:
    """Return the corpus with transcripts exchanged in pairs, and the ids of these utterances."""
    utterances = list(corpus)
    chosen = np.random.default_rng(0).permutation(len(utterances))[:count].tolist()
    for left, right in zip(chosen[::2], chosen[1::2], strict=True):
        one, other = utterances[left], utterances[right]
        utterances[left] = replace(one, text=other.text)
        utterances[right] = replace(other, text=one.text)
    return Corpus(utterances), {utterances[index].id for index in chosen}


@pytest.fixture(scope="module")
def wav2vec2() -> SpeechModel:
    return models.load("starter-wav2vec2", device="cpu")


def test_exchanged_transcripts_are_found_and_no_other_is(wav2vec2: SpeechModel) -> None:
    spoken = starter.load().where(accent="scottish", split="test")[:48]
    corpus, wrong = swapped(spoken, 8)
    found = list(outlier_faults(corpus, wav2vec2, place))
    ids = {fault.utterance for fault in found}
    assert len(ids & wrong) >= 6
    assert ids <= wrong
    by_id = {each.id: each for each in corpus}
    for fault in found:
        told = by_id[fault.utterance or ""]
        assert (fault.kind, fault.place) == ("fit-outlier", place(told))
        assert f"the transcript is {told.text[:60]!r}" in fault.message
        assert "starter-wav2vec2 hears '" in fault.message


def test_nothing_is_an_outlier_of_few_utterances(wav2vec2: SpeechModel) -> None:
    corpus, _ = swapped(starter.load().where(accent="scottish", split="test")[:19], 2)
    assert list(outlier_faults(corpus, wav2vec2, place)) == []


def test_what_cannot_be_heard_or_spelled_is_passed_over(
    tiny: Callable[[str], SpeechModel], tmp_path: Path
) -> None:
    good = tmp_path / "good.wav"
    write(good, np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32))
    rows = [(good, "the cat")] * 22 + [(tmp_path / "gone.wav", "the cat"), (good, "1984")]
    corpus = Corpus(
        Utterance(str(number), audio, text, "ann", "scottish")
        for number, (audio, text) in enumerate(rows)
    )
    assert list(outlier_faults(corpus, tiny("ctc"), place, batch_size=5)) == []
