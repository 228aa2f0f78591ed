"""Batches of features: every utterance once, alike lengths together, the same draw in any batch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from models.conftest import noise, write_ctc_checkpoint, write_whisper_checkpoint

from speechtl import augment
from speechtl.audio import SAMPLE_RATE, Waveform, write
from speechtl.augment import AdditiveNoise, Gain, SpeedPerturbation
from speechtl.corpus import Utterance
from speechtl.errors import DataError
from speechtl.features import (
    Example,
    Waveforms,
    encode_for_decoding,
    encode_for_training,
    example,
    length_buckets,
)
from speechtl.models import Features, SpeechModel, load

T = TypeVar("T")
lengths = st.lists(st.floats(min_value=0.1, max_value=30), max_size=40)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> SpeechModel:
    return load(str(write_ctc_checkpoint(tmp_path_factory.mktemp("ctc"), "wav2vec2-group")))


@pytest.fixture(scope="module")
def utterances(tmp_path_factory: pytest.TempPathFactory) -> list[Utterance]:
    """Return seven utterances of 0.2 to 0.8 seconds, in no order of length."""
    root = tmp_path_factory.mktemp("audio")
    return [
        utterance(root, f"u{i}", seconds=seconds)
        for i, seconds in enumerate((0.5, 0.2, 0.8, 0.3, 0.7, 0.4, 0.6))
    ]


def utterance(root: Path, name: str, *, seconds: float) -> Utterance:
    path = root / f"{name}.wav"
    write(path, noise(seconds, seed=len(name) + ord(name[-1])))
    return Utterance(name, path, "text", "speaker", "accent")


def examples(utterances: list[Utterance]) -> list[Example]:
    return [Example(each, (index,)) for index, each in enumerate(utterances)]


def trained_on(
    model: SpeechModel, chosen: list[Example], **changes: object
) -> dict[int, torch.Tensor]:
    """Return the features without padding of one pass, by the only label of each example."""
    settings: dict[str, object] = {
        "batch_size": 3, "augmentation": AdditiveNoise(kind="white"), "seed": 5, "copy": 1,
        "waveforms": Waveforms(),
    }  # fmt: skip
    batches = encode_for_training(model, chosen, "feature_encoder", **(settings | changes))  # type: ignore[arg-type]
    return {
        labels[0]: features.hidden[row, : int(features.lengths[row]), 0]
        for features, batch in batches
        for row, labels in enumerate(batch)
    }


def only_batch(
    model: SpeechModel, chosen: list[Example], cut: str, augmentation: SpeedPerturbation
) -> Features:
    """Return the features of one augmented pass that makes one batch."""
    ((features, _),) = encode_for_training(
        model,
        chosen,
        cut,
        batch_size=1,
        augmentation=augmentation,
        seed=0,
        copy=1,
        waveforms=Waveforms(),
    )
    return features


# --- length_buckets -------------------------------------------------------------------------------


@given(lengths, st.integers(1, 9), st.none() | st.integers(0, 2**32))
def test_buckets_hold_every_index_once_and_only_the_last_is_short(
    durations: list[float], batch_size: int, seed: int | None
) -> None:
    rng = None if seed is None else np.random.default_rng(seed)
    batches = length_buckets(durations, batch_size=batch_size, rng=rng)
    assert sorted(index for batch in batches for index in batch) == list(range(len(durations)))
    short = [batch for batch in batches if len(batch) != batch_size]
    assert len(short) == (len(durations) % batch_size > 0)


@given(lengths, st.integers(1, 9))
def test_buckets_without_a_generator_go_from_the_longest_to_the_shortest(
    durations: list[float], batch_size: int
) -> None:
    batches = length_buckets(durations, batch_size=batch_size)
    ordered = [durations[index] for batch in batches for index in batch]
    assert ordered == sorted(durations, reverse=True)


@given(st.integers(0, 2**32))
def test_shuffled_buckets_still_hold_lengths_within_a_tenth_of_their_neighbours(seed: int) -> None:
    durations = [*[1.0] * 8, *[2.0] * 8, *[4.0] * 8]
    batches = length_buckets(durations, batch_size=8, rng=np.random.default_rng(seed))
    assert sorted(sorted(durations[i] for i in batch) for batch in batches) == [
        [1.0] * 8, [2.0] * 8, [4.0] * 8
    ]  # fmt: skip


def test_two_epochs_have_their_batches_in_another_order() -> None:
    durations = list(np.linspace(1, 2, 40))
    first, second, again = (
        length_buckets(durations, batch_size=4, rng=np.random.default_rng([0, copy]))
        for copy in (1, 2, 1)
    )
    assert first == again
    assert first != second


# --- Waveforms ------------------------------------------------------------------------------------


def test_a_waveform_is_decoded_once(utterances: list[Utterance]) -> None:
    held = Waveforms()
    first = held(utterances[0])
    assert held(utterances[0]) is first
    np.testing.assert_array_equal(first, utterances[0].waveform())


def test_what_exceeds_the_bound_is_decoded_each_time_and_still_right(
    utterances: list[Utterance],
) -> None:
    first, second, third = utterances[1], utterances[2], utterances[3]
    # Room for 0.2 s and 0.3 s of float32 at 16 kHz, not for 0.8 s.
    held = Waveforms(limit_bytes=4 * SAMPLE_RATE // 2)
    for each in (first, second, third):
        np.testing.assert_array_equal(held(each), each.waveform())
    assert held(first) is held(first)
    assert held(second) is not held(second)
    assert held(third) is held(third)


def test_a_bound_of_nothing_holds_nothing(utterances: list[Utterance]) -> None:
    held = Waveforms(limit_bytes=0)
    assert held(utterances[0]) is not held(utterances[0])


def test_utterances_of_two_corpora_may_have_the_same_id(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    first, second = utterance(here, "u1", seconds=0.2), utterance(there, "u1", seconds=0.3)
    held = Waveforms()
    assert (len(held(first)), len(held(second))) == (3200, 4800)


def test_two_stretches_of_a_recording_are_two_waveforms(utterances: list[Utterance]) -> None:
    whole = utterances[2]
    stretches = [
        Utterance(f"s{i}", whole.audio, "text", "speaker", "accent", start, start + 0.2)
        for i, start in enumerate((0.0, 0.4))
    ]
    held = Waveforms()
    np.testing.assert_array_equal(held(stretches[1]), held(whole)[6400:9600])
    np.testing.assert_array_equal(held(stretches[0]), held(whole)[:3200])


def test_reading_all_tells_what_cannot_be_read_and_holds_the_rest(
    utterances: list[Utterance], tmp_path: Path
) -> None:
    (tmp_path / "broken.wav").write_bytes(b"no audio")
    gone = replace(utterances[0], id="gone", audio=tmp_path / "gone.wav")
    broken = replace(utterances[0], id="broken", audio=tmp_path / "broken.wav")
    held = Waveforms()
    told: list[tuple[str, int]] = []

    def track(items: Iterable[T], description: str, *, total: int) -> Iterable[T]:
        told.append((description, total))
        return items

    faults = held.read_all([gone, *utterances, broken, utterances[0]], track=track)
    assert len(faults) == 2
    assert "'gone'" in faults[0]
    assert "'broken'" in faults[1]
    assert told == [("reading audio", 10)]
    for each in utterances:
        assert held(each) is held(each)


def test_reading_all_reads_more_utterances_than_it_reads_ahead(utterances: list[Utterance]) -> None:
    first = utterances[1]
    many = [replace(first, id=str(i), start=0.001 * i, end=0.001 * i + 0.01) for i in range(150)]
    held = Waveforms()
    assert held.read_all(many) == ()
    assert all(held(each) is held(each) and len(held(each)) == 160 for each in many)


# --- what can be trained on -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds", "reason"),
    [
        ("thé cat", 1.0, "'É'"),
        ("the cat", 0.05, "frames, but 7 labels"),
        ("the cat", 30.5, "30.5 s are too long to train on.*at most 30 s: split"),
    ],
)
def test_what_a_model_cannot_train_on_is_refused_with_the_reason(
    model: SpeechModel, text: str, seconds: float, reason: str
) -> None:
    refused = Utterance("u1", Path("u1.wav"), text, "speaker", "accent")
    with pytest.raises(DataError, match=reason):
        example(model, refused, samples=int(seconds * SAMPLE_RATE))


# --- encode_for_training --------------------------------------------------------------------------


def test_a_pass_gives_each_example_once_with_its_own_labels(
    model: SpeechModel, utterances: list[Utterance]
) -> None:
    chosen = examples(utterances)
    batches = list(
        encode_for_training(
            model,
            chosen,
            "encoder.1",
            batch_size=3,
            augmentation=None,
            seed=0,
            copy=1,
            waveforms=Waveforms(),
        )
    )
    assert sorted(len(labels) for _, labels in batches) == [1, 3, 3]
    assert sorted(label for _, labels in batches for label in labels) == [(i,) for i in range(7)]
    for features, labels in batches:
        for row, (index,) in enumerate(labels):
            alone = model.encode([utterances[index].waveform()], "encoder.1")
            length = int(features.lengths[row])
            assert length == int(alone.lengths[0])
            torch.testing.assert_close(
                features.hidden[row, :length], alone.hidden[0], rtol=1e-4, atol=1e-5
            )


def test_the_same_seed_and_copy_give_the_same_batches(
    model: SpeechModel, utterances: list[Utterance]
) -> None:
    def batches(seed: int, copy: int) -> list[Features]:
        found = encode_for_training(
            model,
            examples(utterances),
            "encoder.1",
            batch_size=3,
            augmentation=augment.LIGHT,
            seed=seed,
            copy=copy,
            waveforms=Waveforms(),
        )
        return [features for features, _ in found]

    for first, second in zip(batches(3, 1), batches(3, 1), strict=True):
        assert torch.equal(first.hidden, second.hidden)
    assert not all(
        first.hidden.shape == other.hidden.shape and torch.equal(first.hidden, other.hidden)
        for first, other in zip(batches(3, 1), batches(3, 2), strict=True)
    )


def test_an_augmented_copy_does_not_depend_on_its_batch(
    model: SpeechModel, utterances: list[Utterance]
) -> None:
    by_three = trained_on(model, examples(utterances), batch_size=3)
    alone = trained_on(model, examples(utterances), batch_size=1)
    assert by_three.keys() == alone.keys() == set(range(7))
    for label, samples in by_three.items():
        torch.testing.assert_close(samples, alone[label])


def test_each_copy_and_seed_draws_anew(model: SpeechModel, utterances: list[Utterance]) -> None:
    first = trained_on(model, examples(utterances))
    for changed in (
        trained_on(model, examples(utterances), copy=2),
        trained_on(model, examples(utterances), seed=6),
    ):
        assert all(not torch.equal(first[label], changed[label]) for label in first)


def test_the_held_waveforms_are_never_augmented_themselves(
    model: SpeechModel, utterances: list[Utterance]
) -> None:
    held = Waveforms()
    loud = Gain(minimum_db=6.0, maximum_db=6.0)
    trained_on(model, examples(utterances), augmentation=loud, waveforms=held)
    for each in utterances:
        np.testing.assert_array_equal(held(each), each.waveform())


def test_a_fault_in_an_augmentation_reaches_the_caller(
    model: SpeechModel, utterances: list[Utterance]
) -> None:
    def broken(waveform: Waveform, sample_rate: int, rng: np.random.Generator) -> Waveform:
        raise ValueError("no such room")

    with pytest.raises(ValueError, match="no such room"):
        trained_on(model, examples(utterances), augmentation=broken)


def test_an_utterance_that_slowing_makes_too_long_is_trained_on_unchanged(tmp_path: Path) -> None:
    whisper = load(str(write_whisper_checkpoint(tmp_path / "model", "english", window_s=2)))
    chosen = examples([utterance(tmp_path, "u1", seconds=1.9)])
    slower = SpeedPerturbation(factors=(0.8,))
    features = only_batch(whisper, chosen, "frontend", slower)
    assert torch.equal(features.hidden, whisper.encode([noise_of(chosen[0])], "frontend").hidden)


def test_a_copy_that_speeding_makes_too_short_for_its_labels_is_trained_on_unchanged(
    model: SpeechModel, tmp_path: Path
) -> None:
    plain = utterance(tmp_path, "u1", seconds=0.5)
    # 0.5 s are 48 frames, and the label of each letter needs one; played at 1.25 they are 38.
    fitting = replace(plain, text="ab" * 24)
    faster = SpeedPerturbation(factors=(1.25,))
    for text, samples in (("ab" * 24, 8000), ("ab" * 19, 6400)):
        chosen = [example(model, replace(fitting, text=text), samples=8000)]
        features = only_batch(model, chosen, "feature_encoder", faster)
        assert features.lengths.tolist() == [samples]


def noise_of(trained: Example) -> Waveform:
    return trained.utterance.waveform()


# --- encode_for_decoding --------------------------------------------------------------------------


def test_decoding_sees_every_utterance_once_and_as_it_was_recorded(
    model: SpeechModel, utterances: list[Utterance]
) -> None:
    batches = list(
        encode_for_decoding(
            model, utterances, "feature_encoder", batch_size=2, waveforms=Waveforms()
        )
    )
    assert [index for indices, _ in batches for index in indices] == [2, 4, 6, 0, 5, 3, 1]
    for indices, features in batches:
        for row, index in enumerate(indices):
            alone = model.encode([utterances[index].waveform()], "feature_encoder")
            length = int(features.lengths[row])
            torch.testing.assert_close(features.hidden[row, :length], alone.hidden[0])


def test_decoding_nothing_gives_nothing(model: SpeechModel) -> None:
    assert not list(encode_for_decoding(model, [], "head", batch_size=2, waveforms=Waveforms()))
