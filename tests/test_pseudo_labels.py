"""Labels of the model's own: what it heard, how sure it is, and how sure is enough."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from models.conftest import noise
from transformers import AutoFeatureExtractor

from speechtl.audio import SAMPLE_RATE, Waveform, read, write
from speechtl.corpus import Utterance
from speechtl.errors import DataError
from speechtl.features import FeatureSource, Waveforms
from speechtl.metrics import total, word_errors
from speechtl.models import Features, SpeechModel, load
from speechtl.models.base import Family
from speechtl.pseudo_labels import Guess, Threshold, accepted, calibrated, guesses, recordings
from speechtl.text import normaliser
from speechtl.transcription import plain_recipe, transcribe_utterances

both_families = pytest.mark.parametrize("family", ["ctc", "whisper"])


def spoken(path: Path, waveform: Waveform) -> Utterance:
    """Write a recording and return it as an utterance that nobody transcribed."""
    write(path, waveform)
    return Utterance(path.stem, path, "", "untranscribed", "scottish")


def heard(model: SpeechModel, utterances: Sequence[Utterance], **options: Any) -> list[Guess]:
    waveforms = Waveforms()
    cut = model.parts()[1].name
    source = FeatureSource(model, plain_recipe(model, cut), waveforms=waveforms)
    return guesses(model, utterances, source=source, waveforms=waveforms, **options)


def say(monkeypatch: pytest.MonkeyPatch, model: SpeechModel, text: str) -> None:
    """Let the model hear one text in everything."""

    def decode(features: Features) -> list[str]:
        return [text] * len(features.hidden)

    monkeypatch.setattr(model, "decode", decode)


# --- recordings -----------------------------------------------------------------------------------


def test_recordings_are_named_by_their_path_in_the_folder_and_have_no_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("b.wav", "deep/er/a.wav"):
        write(tmp_path / "talks" / name, noise(0.5, seed=1))
    (tmp_path / "talks" / "notes.txt").touch()
    monkeypatch.chdir(tmp_path)
    for folder in (tmp_path / "talks", Path("talks")):
        found, faults = recordings(folder, accent="scottish", longest_s=30)
        assert faults == ()
        assert list(found) == [
            Utterance(name, tmp_path / "talks" / name, "", "untranscribed", "scottish")
            for name in ("b.wav", "deep/er/a.wav")
        ]


def test_one_recording_may_be_named_in_place_of_a_folder(tmp_path: Path) -> None:
    write(tmp_path / "talk.wav", noise(0.5, seed=1))
    (found,), _ = recordings(tmp_path / "talk.wav", accent="scottish", longest_s=30)
    assert (found.id, found.audio) == ("talk.wav", tmp_path / "talk.wav")


@pytest.mark.parametrize(("longest_s", "most_s"), [(30.0, 15.0), (4.0, 4.0)])
def test_a_long_recording_is_cut_into_stretches_that_together_are_all_of_it(
    longest_s: float, most_s: float, tmp_path: Path
) -> None:
    path = tmp_path / "talks" / "long.wav"
    write(path, noise(31.0, seed=1))
    write(tmp_path / "talks" / "short.wav", noise(0.5, seed=2))
    found, _ = recordings(tmp_path / "talks", accent="scottish", longest_s=longest_s)
    *stretches, short = found
    assert [each.id for each in stretches] == [f"long.wav#{i}" for i in range(len(stretches))]
    assert len(stretches) >= 31 / most_s
    assert all(0 < each.duration <= most_s for each in stretches)
    assert all(one.end == pytest.approx(other.start) for one, other in pairwise(stretches))
    samples = np.concatenate([each.waveform() for each in stretches])
    np.testing.assert_array_equal(samples, read(path))
    assert (short.id, short.start, short.end) == ("short.wav", None, None)


def test_a_recording_as_long_as_may_be_is_not_cut(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", noise(15.0, seed=1))
    write(tmp_path / "b.wav", noise(15.1, seed=1))
    found, _ = recordings(tmp_path, accent="scottish", longest_s=30)
    assert [each.id for each in found] == ["a.wav", "b.wav#0", "b.wav#1"]


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    def told(folder: Path) -> str:
        with pytest.raises(DataError) as caught:
            recordings(folder, accent="scottish", longest_s=30)
        return str(caught.value)

    assert "gone: no such file or folder" in told(tmp_path / "gone")
    assert "the folder holds no recording" in told(tmp_path)


def test_every_recording_that_cannot_be_read_is_named_beside_those_that_can(
    tmp_path: Path,
) -> None:
    write(tmp_path / "b.wav", noise(0.5, seed=1))
    for name in ("a.wav", "c.wav"):
        (tmp_path / name).write_text("this is no audio")
    found, faults = recordings(tmp_path, accent="scottish", longest_s=30)
    assert [each.id for each in found] == ["b.wav"]
    assert [fault.split(":")[0] for fault in faults] == [
        str(tmp_path / name) for name in ("a.wav", "c.wav")
    ]


# --- guesses --------------------------------------------------------------------------------------


def test_the_guess_is_what_the_model_transcribes_whatever_shares_a_batch(
    tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    model = load(str(tiny_models["ctc"]))
    speech = [
        spoken(tmp_path / f"{i}.wav", noise(s, seed=i)) for i, s in enumerate((0.5, 1.1, 0.3, 0.8))
    ]
    texts = transcribe_utterances(model, speech)
    assert len(set(texts)) == 4
    found = heard(model, speech, batch_size=3)
    assert [guess.utterance for guess in found] == [
        replace(each, text=text) for each, text in zip(speech, texts, strict=True)
    ]
    assert all(guess.reason is None and 0 < guess.confidence < 1 for guess in found)
    alone = [heard(model, [each])[0].confidence for each in speech]
    assert [guess.confidence for guess in found] == pytest.approx(alone, rel=1e-4)


@both_families
def test_the_confidence_is_the_likelihood_of_the_text_that_transformers_gives_by_its_length(
    family: Family,
    tiny_models: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The library's loss is the mean negative log-likelihood of a label."""
    model = load(str(tiny_models[family]))
    say(monkeypatch, model, "THE CAT")
    waveforms = [noise(seconds, seed=i) for i, seconds in enumerate((0.4, 1.0, 0.7))]
    found = heard(model, [spoken(tmp_path / f"{i}.wav", w) for i, w in enumerate(waveforms)])
    untyped: Any = AutoFeatureExtractor
    extractor = untyped.from_pretrained(tiny_models[family])
    network: Any = model.network
    wanted = []
    for waveform in waveforms:
        inputs = extractor(waveform, sampling_rate=SAMPLE_RATE, return_tensors="pt")
        labels = torch.tensor([model.labels("THE CAT", samples=len(waveform))])
        with torch.no_grad():
            wanted.append(-float(network(**inputs, labels=labels).loss))
    assert len(set(wanted)) == 3
    # Their logarithms: those of a random model are as small as exp(-50).
    assert [math.log(guess.confidence) for guess in found] == pytest.approx(wanted, rel=1e-4)
    assert {guess.utterance.text for guess in found} == {"THE CAT"}


@both_families
def test_silence_and_what_the_model_cannot_read_at_once_have_no_text(
    family: Family,
    tiny_models: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = load(str(tiny_models[family]))
    model.longest_s = 2.0
    say(monkeypatch, model, "THE CAT")
    speech = [
        spoken(tmp_path / "silence.wav", np.zeros(SAMPLE_RATE, dtype=np.float32)),
        spoken(tmp_path / "speech.wav", noise(1.0, seed=1)),
        spoken(tmp_path / "scrap.wav", noise(0.02, seed=1)),
        spoken(tmp_path / "long.wav", noise(2.1, seed=1)),
    ]
    silence, said, scrap, long = heard(model, speech)
    assert (said.reason, said.utterance.text) == (None, "THE CAT")
    for each in (silence, scrap, long):
        assert (each.reason, each.confidence, each.utterance.text) == ("no text", 0.0, "")


@pytest.mark.parametrize(
    ("family", "text", "reason"),
    [
        ("ctc", "", "no text"),
        ("ctc", "CAFÉ 42", "unspellable or too long"),
        ("ctc", "THE CAT SAT ON " * 20, "unspellable or too long"),  # of a second
        ("whisper", "", "no text"),
        ("whisper", "the <|notimestamps|> cat", "unspellable or too long"),
        ("whisper", "the cat sat on " * 20, "unspellable or too long"),  # of 32 tokens
    ],
)
def test_what_cannot_be_trained_on_says_whether_there_was_a_text_at_all(
    family: Family,
    text: str,
    reason: str,
    tiny_models: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = load(str(tiny_models[family]))
    say(monkeypatch, model, text)
    (found,) = heard(model, [spoken(tmp_path / "a.wav", noise(1.0, seed=1))])
    assert (found.reason, found.confidence, found.utterance.text) == (reason, 0.0, text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("THE CAT SAT ON THE MAT AND THE HAT", None),
        ("HA HA HA", None),
        (" ".join(["THE CAT"] * 9), "repeats itself"),
    ],
)
def test_a_text_that_loops_is_told_and_never_sure(
    text: str,
    reason: str | None,
    tiny_models: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = load(str(tiny_models["ctc"]))
    say(monkeypatch, model, text)
    (found,) = heard(model, [spoken(tmp_path / "a.wav", noise(1.5, seed=1))])
    assert found.reason == reason
    assert (found.confidence == 0) == (reason is not None)


def test_references_are_neither_looked_at_nor_kept(
    tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    model = load(str(tiny_models["ctc"]))
    unknown = spoken(tmp_path / "a.wav", noise(0.5, seed=1))
    silent = spoken(tmp_path / "b.wav", np.zeros(8000, dtype=np.float32))
    known = [replace(each, text="the cat") for each in (unknown, silent)]
    assert heard(model, known) == heard(model, [unknown, silent])


def test_guessing_shows_its_progress(tiny_models: dict[str, Path], tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []

    def track(items: Any, description: str, *, total: int) -> Any:
        done = list(items)
        told.append((description, total, len(done)))
        return done

    speech = [spoken(tmp_path / f"{i}.wav", noise(0.5, seed=i)) for i in range(3)]
    model = load(str(tiny_models["ctc"]))
    heard(model, speech, batch_size=2, track=track, description="labels, round 1")
    assert told == [("labels, round 1", 2, 2)]


# --- how sure is enough ---------------------------------------------------------------------------


def guess(text: str, confidence: float, reason: str | None = None) -> Guess:
    return Guess(Utterance("u", Path("u.wav"), text, "s", "a"), confidence, reason)


DEV = (
    (guess("a mat", 0.9), "a mat"),  # 0 of 2 words wrong
    (guess("a hat", 0.8), "a mat"),  # 1 of 4
    (guess("on the mat sat", 0.7), "on the mat sat"),  # 1 of 8
    (guess("x x x x", 0.6), "the cat sat on"),  # 5 of 12
)


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (0.0, Threshold(0.9, 0.0)),
        (0.12, Threshold(0.9, 0.0)),
        (0.125, Threshold(0.7, 0.125)),
        (0.24, Threshold(0.7, 0.125)),  # though with the second alone it would be a quarter
        (0.41, Threshold(0.7, 0.125)),
        (1.0, Threshold(0.6, 5 / 12)),
    ],
)
@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 1, 0, 2)])
def test_the_threshold_is_the_lowest_at_which_dev_is_right_enough_together(
    limit: float, expected: Threshold, order: Sequence[int]
) -> None:
    said, references = zip(*(DEV[i] for i in order), strict=True)
    assert calibrated(said, references, normalise=str, limit=limit) == expected


def test_nothing_is_sure_enough_where_the_surest_guesses_are_wrong() -> None:
    assert calibrated([], [], normalise=str, limit=1.0) == Threshold(None, None)
    wrong = [guess("x x", 0.9), guess("a mat", 0.1)]
    found = calibrated(wrong, ["a mat", "a mat"], normalise=str, limit=0.4)
    assert found == Threshold(None, None)


def test_what_cannot_be_trained_on_says_nothing_of_the_threshold() -> None:
    said = [guess("a mat", 0.5), guess("", 0.0, "no text"), guess("a a a", 0.9, "repeats itself")]
    found = calibrated(said, ["a mat", "the cat", "the cat"], normalise=str, limit=0.3)
    assert found == Threshold(0.5, 0.0)


def test_the_texts_are_compared_as_they_are_scored() -> None:
    said, references = [guess("THE CAT", 0.5)], ["The cat!"]
    plain = calibrated(said, references, normalise=normaliser("plain"), limit=0.3)
    assert plain == Threshold(0.5, 0.0)
    assert calibrated(said, references, normalise=str, limit=0.3) == Threshold(None, None)


words = st.lists(st.sampled_from(["a", "cat", "mat"]), min_size=1, max_size=4).map(" ".join)


@given(
    st.lists(st.tuples(words, words, st.integers(1, 99)), max_size=8, unique_by=lambda row: row[2]),
    st.sampled_from([0.0, 0.2, 0.5, 1.0]),
)
def test_all_that_passes_the_threshold_has_the_error_rate_that_it_tells(
    rows: list[tuple[str, str, int]], limit: float
) -> None:
    said = [guess(text, percent / 100) for text, _, percent in rows]
    found = calibrated(said, [row[1] for row in rows], normalise=str, limit=limit)

    def rate(least: float) -> float:
        passed = [row for row in rows if row[2] / 100 >= least]
        return total(word_errors(reference, text) for text, reference, _ in passed).rate

    fit = [each.confidence for each in said if rate(each.confidence) <= limit]
    if fit:
        assert found.confidence == min(fit)
        assert found.wer == pytest.approx(rate(min(fit)))
    else:
        assert found == Threshold(None, None)


def test_of_equally_sure_guesses_all_pass_or_none() -> None:
    right, wrong = guess("a mat", 0.8), guess("x x", 0.8)
    for said in ([right, wrong], [wrong, right]):
        for limit, expected in ((0.3, Threshold(None, None)), (0.5, Threshold(0.8, 0.5))):
            found = calibrated(said, ["a mat", "a mat"], normalise=str, limit=limit)
            assert found == expected


def test_what_is_as_sure_as_the_threshold_is_taken_and_the_rest_is_counted_by_reason() -> None:
    said = [
        guess("a mat", 0.8),
        guess("a hat", 0.79),
        guess("", 0.0, "no text"),
        guess("on a mat", 0.9),
        guess("", 0.0, "no text"),
        guess("a a a a", 0.0, "repeats itself"),
    ]
    taken, left = accepted(said, Threshold(0.8, 0.1))
    assert taken == [said[0].utterance, said[3].utterance]
    assert left == {"not sure enough": 1, "no text": 2, "repeats itself": 1}


def test_without_a_threshold_nothing_is_taken() -> None:
    taken, left = accepted([guess("a mat", 1.0), guess("", 0.0, "no text")], Threshold(None, None))
    assert taken == []
    assert left == {"not sure enough": 1, "no text": 1}
