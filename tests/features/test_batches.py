"""Batches of features: every example once, alike lengths together, the copies taking turns."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from speechtl.audio import SAMPLE_RATE
from speechtl.augment import AdditiveNoise, SpeedPerturbation
from speechtl.corpus import Utterance
from speechtl.errors import DataError
from speechtl.features import Copy, Example, TrainingBatches, batches, example, length_buckets
from speechtl.models import SpeechModel

from .conftest import feature_source, utterance

# From 0.1 to 30 seconds.
lengths = st.lists(st.integers(SAMPLE_RATE // 10, 30 * SAMPLE_RATE), max_size=40)
NOISE = AdditiveNoise(kind="white")


def examples(utterances: list[Utterance]) -> list[Example]:
    """Return examples whose only label is their place."""
    return [Example(each, (index,)) for index, each in enumerate(utterances)]


def training_batches(
    model: SpeechModel,
    utterances: list[Utterance],
    *,
    copies: int = 3,
    batch_size: int = 3,
    seed: int = 0,
    **source: Any,
) -> TrainingBatches:
    return TrainingBatches(
        feature_source(model, "encoder.1", **source),
        examples(utterances),
        copies=copies,
        batch_size=batch_size,
        seed=seed,
    )


def heard(chosen: TrainingBatches, epoch: int) -> dict[int, Tensor]:
    """Return the features of an epoch without padding, by the only label of each example."""
    return {
        labels[0]: features.hidden[row, : int(features.lengths[row])]
        for features, batch, _ in chosen(epoch)
        for row, labels in enumerate(batch)
    }


# --- length_buckets -------------------------------------------------------------------------------


@settings(deadline=None)
@given(lengths, st.integers(1, 9), st.none() | st.integers(0, 2**32))
def test_buckets_hold_every_index_once_and_only_the_last_is_short(
    samples: list[int], batch_size: int, seed: int | None
) -> None:
    rng = None if seed is None else np.random.default_rng(seed)
    found = length_buckets(samples, batch_size=batch_size, batch_seconds=math.inf, rng=rng)
    assert sorted(index for batch in found for index in batch) == list(range(len(samples)))
    short = [batch for batch in found if len(batch) != batch_size]
    assert len(short) == (len(samples) % batch_size > 0)


@settings(deadline=None)
@given(lengths, st.integers(1, 9), st.floats(0.05, 100), st.none() | st.integers(0, 2**32))
def test_a_bucket_of_several_never_exceeds_the_budget_padding_included(
    samples: list[int], batch_size: int, budget_s: float, seed: int | None
) -> None:
    rng = None if seed is None else np.random.default_rng(seed)
    found = length_buckets(samples, batch_size=batch_size, batch_seconds=budget_s, rng=rng)
    assert sorted(index for batch in found for index in batch) == list(range(len(samples)))
    for batch in found:
        assert 1 <= len(batch) <= batch_size
        longest_s = max(samples[i] for i in batch) / SAMPLE_RATE
        assert len(batch) == 1 or len(batch) * longest_s <= budget_s


@settings(deadline=None)
@given(lengths, st.integers(1, 9), st.floats(0.05, 100))
def test_a_bucket_is_closed_only_where_the_next_one_did_not_fit(
    samples: list[int], batch_size: int, budget_s: float
) -> None:
    found = length_buckets(samples, batch_size=batch_size, batch_seconds=budget_s)
    for batch, _ in pairwise(found):
        longest_s = max(samples[i] for i in batch) / SAMPLE_RATE
        assert len(batch) == batch_size or (len(batch) + 1) * longest_s > budget_s


def test_the_budget_is_sixteen_utterances_of_fifteen_seconds() -> None:
    fifteen = [15 * SAMPLE_RATE] * 33
    assert list(map(len, length_buckets(fifteen, batch_size=100))) == [16, 16, 1]
    assert batches.BATCH_SECONDS == 240


def test_an_utterance_above_the_budget_is_a_bucket_of_its_own() -> None:
    samples = [seconds * SAMPLE_RATE for seconds in (2, 9, 2, 2)]
    assert length_buckets(samples, batch_size=8, batch_seconds=6.0) == [[1], [0, 2, 3]]


@settings(deadline=None)
@given(lengths, st.integers(1, 9), st.floats(0.05, 100))
def test_buckets_without_a_generator_go_from_the_longest_to_the_shortest(
    samples: list[int], batch_size: int, budget_s: float
) -> None:
    found = length_buckets(samples, batch_size=batch_size, batch_seconds=budget_s)
    ordered = [samples[index] for batch in found for index in batch]
    assert ordered == sorted(samples, reverse=True)


@settings(deadline=None)
@given(st.integers(0, 2**32))
def test_shuffled_buckets_still_hold_lengths_within_a_tenth_of_their_neighbours(seed: int) -> None:
    samples = [SAMPLE_RATE * seconds for seconds in (*[1] * 8, *[2] * 8, *[4] * 8)]
    found = length_buckets(samples, batch_size=8, rng=np.random.default_rng(seed))
    assert sorted(sorted(samples[i] // SAMPLE_RATE for i in batch) for batch in found) == [
        [1] * 8, [2] * 8, [4] * 8
    ]  # fmt: skip


def test_two_draws_have_their_batches_in_another_order() -> None:
    samples = list(range(16_000, 32_000, 400))
    first, second, again = (
        length_buckets(samples, batch_size=4, rng=np.random.default_rng([0, epoch]))
        for epoch in (1, 2, 1)
    )
    assert first == again
    assert first != second


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
    ctc: SpeechModel, text: str, seconds: float, reason: str
) -> None:
    refused = Utterance("u1", Path("u1.wav"), text, "speaker", "accent")
    with pytest.raises(DataError, match=reason):
        example(ctc, refused, samples=int(seconds * SAMPLE_RATE))


def test_what_it_can_train_on_has_the_labels_that_the_model_gives_it(ctc: SpeechModel) -> None:
    spoken = Utterance("u1", Path("u1.wav"), "the cat", "speaker", "accent")
    made = example(ctc, spoken, samples=SAMPLE_RATE)
    assert made == Example(spoken, tuple(ctc.labels("the cat", samples=SAMPLE_RATE)))


# --- TrainingBatches ------------------------------------------------------------------------------


@pytest.mark.parametrize("cached", [False, True])
def test_an_epoch_gives_each_example_once_with_its_own_labels(
    ctc: SpeechModel, utterances: list[Utterance], cached: bool, tmp_path: Path
) -> None:
    source = feature_source(ctc, "encoder.1", folder=tmp_path if cached else None)
    chosen = TrainingBatches(source, examples(utterances), copies=1, batch_size=3, seed=0)
    source.fill(chosen.all_copies(1))
    found = list(chosen(1))
    assert sorted(len(labels) for _, labels, _ in found) == [1, 3, 3]
    assert sorted(label for _, labels, _ in found for label in labels) == [(i,) for i in range(7)]
    for features, labels, _ in found:
        assert features.cut == "encoder.1"
        for row, (index,) in enumerate(labels):
            alone = ctc.encode([utterances[index].waveform()], "encoder.1")
            length = int(features.lengths[row])
            assert length == int(alone.lengths[0])
            torch.testing.assert_close(
                features.hidden[row, :length], alone.hidden[0], rtol=1e-4, atol=1e-5
            )
            assert not features.hidden[row, length:].any()


def test_each_epoch_hears_the_next_copy_and_after_the_last_the_first_again(
    ctc: SpeechModel, utterances: list[Utterance], tmp_path: Path
) -> None:
    chosen = training_batches(ctc, utterances, copies=3, augmentation=NOISE)
    source = feature_source(ctc, "encoder.1", augmentation=NOISE)
    for epoch, number in ((1, 1), (2, 2), (3, 3), (4, 1), (7, 1), (8, 2)):
        for index, feature in heard(chosen, epoch).items():
            [alone] = source.features([[Copy(utterances[index], index, number)]])
            torch.testing.assert_close(feature, alone.hidden[0], rtol=1e-4, atol=1e-5)
    first, second = heard(chosen, 1), heard(chosen, 2)
    assert not any(torch.allclose(first[i], second[i], rtol=1e-2) for i in first)


def test_all_copies_are_those_that_the_epochs_hear_side_by_side(
    ctc: SpeechModel, utterances: list[Utterance], tmp_path: Path, encoded: list[int]
) -> None:
    first, second = utterances[:2]
    chosen = training_batches(ctc, [first, second], copies=3)
    assert chosen.all_copies(2) == [
        Copy(first, 0, 1), Copy(first, 0, 2), Copy(second, 1, 1), Copy(second, 1, 2)
    ]  # fmt: skip
    assert len(chosen.all_copies(3)) == len(chosen.all_copies(99)) == 6
    source = feature_source(ctc, "encoder.1", folder=tmp_path, augmentation=NOISE)
    cached = TrainingBatches(source, examples(utterances), copies=3, batch_size=3, seed=0)
    source.fill(cached.all_copies(5))
    assert sum(encoded) == 21
    for epoch in range(1, 6):
        assert len(heard(cached, epoch)) == 7
    assert sum(encoded) == 21


@pytest.mark.parametrize("cached", [False, True])
def test_the_counts_are_those_of_the_batches_that_are_given(
    ctc: SpeechModel, cached: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Speed changes lengths, so that the copies of an epoch fill more or fewer batches."""
    # Two of 1.0 s are within the budget, one of 1.25 s beside another is not.
    monkeypatch.setattr(batches, "length_buckets", partial(length_buckets, batch_seconds=2.2))
    spoken = [utterance(tmp_path, f"u{i}", seconds=1.0) for i in range(6)]
    speed = SpeedPerturbation(factors=(0.8, 1.0))
    source = feature_source(
        ctc, "encoder.1", folder=tmp_path / "shelf" if cached else None, augmentation=speed
    )
    chosen = TrainingBatches(source, examples(spoken), copies=4, batch_size=2, seed=0)
    source.fill(chosen.all_copies(8))
    counts = chosen.counts(8)
    assert counts[4:] == counts[:4]
    assert len(set(counts)) > 1
    for epoch, count in enumerate(counts, start=1):
        found = list(chosen(epoch))
        assert len(found) == count
        assert sum(len(labels) for _, labels, _ in found) == 6


@pytest.mark.parametrize("replayed", [range(0), range(5, 7), range(2, 4), range(7)])
def test_the_rows_that_are_replayed_are_those_of_the_named_examples(
    ctc: SpeechModel, utterances: list[Utterance], replayed: range
) -> None:
    chosen = TrainingBatches(
        feature_source(ctc, "encoder.1"),
        examples(utterances),
        replayed=replayed,
        copies=1,
        batch_size=3,
        seed=0,
    )
    for epoch in (1, 2):
        found = [labels[row][0] for _, labels, rows in chosen(epoch) for row in rows]
        assert sorted(found) == list(replayed)


def test_the_same_seed_and_epoch_give_the_same_batches_others_do_not(
    ctc: SpeechModel, utterances: list[Utterance]
) -> None:
    def order(seed: int, epoch: int) -> list[list[tuple[int, ...]]]:
        chosen = training_batches(ctc, utterances, batch_size=2, seed=seed)
        return [labels for _, labels, _ in chosen(epoch)]

    assert order(3, 1) == order(3, 1)
    assert order(3, 1) != order(3, 2)
    assert order(3, 1) != order(4, 1)


def test_what_is_heard_does_not_depend_on_the_batch_size_or_the_seed_of_the_order(
    ctc: SpeechModel, utterances: list[Utterance]
) -> None:
    by_three = heard(training_batches(ctc, utterances, augmentation=NOISE), 1)
    other = training_batches(ctc, utterances, augmentation=NOISE, batch_size=1, seed=9)
    alone = heard(other, 1)
    assert by_three.keys() == alone.keys() == set(range(7))
    for label, feature in by_three.items():
        torch.testing.assert_close(feature, alone[label], rtol=1e-4, atol=1e-5)


def test_the_copies_of_two_equal_recordings_are_drawn_apart(
    ctc: SpeechModel, utterances: list[Utterance]
) -> None:
    twice = [utterances[0], replace(utterances[0], id="again")]
    found = heard(training_batches(ctc, twice, augmentation=NOISE), 1)
    assert not torch.allclose(found[0], found[1], rtol=1e-2)
