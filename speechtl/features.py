"""Batches of features at the cut: what the suffix trains and decodes on.

Whether a feature was computed just now or earlier is this module's business alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from speechtl import augment
from speechtl.audio import SAMPLE_RATE, Waveform
from speechtl.corpus import Utterance
from speechtl.models import Features, SpeechModel

__all__ = ["Example", "Waveforms", "encode_for_decoding", "encode_for_training", "length_buckets"]


@dataclass(frozen=True, slots=True)
class Example:
    """An utterance that trains, and its label ids."""

    utterance: Utterance
    labels: tuple[int, ...]


class Waveforms:
    """Decoded audio, kept in memory up to a bound, so that an epoch does not decode it again."""

    def __init__(self, *, limit_bytes: int = 1 << 29) -> None:
        self._limit_bytes = limit_bytes
        self._held_bytes = 0
        self._waveforms: dict[tuple[Path, float | None, float | None], Waveform] = {}

    def __call__(self, utterance: Utterance) -> Waveform:
        """Return the utterance's waveform, float32 `(samples,)` at 16 kHz."""
        # Not by its id: a run reads several corpora, and ids are unique in each alone.
        key = (utterance.audio, utterance.start, utterance.end)
        held = self._waveforms.get(key)
        if held is not None:
            return held
        waveform = utterance.waveform()
        if self._held_bytes + waveform.nbytes <= self._limit_bytes:
            self._waveforms[key] = waveform
            self._held_bytes += waveform.nbytes
        return waveform


def length_buckets(
    durations: Sequence[float], *, batch_size: int, rng: np.random.Generator | None = None
) -> list[list[int]]:
    """Return batches of indices that are alike in duration, so that little of a batch is padding.

    Args:
        durations: Seconds (or any unit) of each utterance.
        batch_size: Utterances per batch; the last batch may hold fewer.
        rng: Shuffles the batches and, within a tenth of their length, who shares one; without it the order is
            the same each time, longest first.
    """
    lengths = np.asarray(durations, dtype=np.float64)
    if rng is not None:
        lengths = lengths * rng.uniform(0.9, 1.1, len(lengths))
    order = np.argsort(-lengths, kind="stable").tolist()
    batches = [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
    if rng is not None:
        batches = [batches[i] for i in rng.permutation(len(batches))]
    return batches


def encode_for_training(
    model: SpeechModel,
    examples: Sequence[Example],
    cut: str,
    *,
    batch_size: int,
    augmentation: augment.Augmentation | None,
    seed: int,
    copy: int,
    waveforms: Waveforms,
) -> Iterator[tuple[Features, list[tuple[int, ...]]]]:
    """Yield one pass over the examples as shuffled batches of features and labels.

    Augmented copy `copy` of example `i` is drawn from `augment.generator(seed, copy=copy, index=i)`, whatever
    batch it falls in. The next batch is read and augmented while the caller trains on the present one.
    """
    rng = np.random.default_rng([seed, copy])
    durations = [example.utterance.duration for example in examples]
    batches = length_buckets(durations, batch_size=batch_size, rng=rng)

    def prepared(batch: list[int]) -> list[Waveform]:
        return [augmented(index) for index in batch]

    def augmented(index: int) -> Waveform:
        waveform = waveforms(examples[index].utterance)
        if augmentation is None:
            return waveform
        changed = augmentation(
            waveform, SAMPLE_RATE, augment.generator(seed, copy=copy, index=index)
        )
        # Slowed down, an utterance may no longer fit the model.
        return changed if len(changed) <= model.longest_s * SAMPLE_RATE else waveform

    with ThreadPoolExecutor(max_workers=1) as pool:
        upcoming = pool.submit(prepared, batches[0])
        for number, batch in enumerate(batches):
            ready = upcoming.result()
            if number + 1 < len(batches):
                upcoming = pool.submit(prepared, batches[number + 1])
            yield model.encode(ready, cut), [examples[index].labels for index in batch]


def encode_for_decoding(
    model: SpeechModel,
    utterances: Sequence[Utterance],
    cut: str,
    *,
    batch_size: int,
    waveforms: Waveforms,
) -> Iterator[tuple[list[int], Features]]:
    """Yield `(indices, features)` of every utterance once, never augmented, longest first."""
    durations = [utterance.duration for utterance in utterances]
    for batch in length_buckets(durations, batch_size=batch_size):
        yield batch, model.encode([waveforms(utterances[index]) for index in batch], cut)
