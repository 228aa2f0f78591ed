"""What an epoch trains on and a score decodes: utterances alike in length, with their features."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from speechtl.audio import SAMPLE_RATE
from speechtl.features.source import Copy, Example, FeatureSource
from speechtl.models import Features

__all__ = ["BATCH_SECONDS", "TrainingBatches", "length_buckets"]

BATCH_SECONDS = 240.0
"""The most audio (s) in a batch, padding included: 16 utterances of 15 s."""

_ORDER = 1  # names the random stream of the order in which is trained, beside the run's others
_JITTER = 0.05


def length_buckets(
    samples: Sequence[int],
    *,
    batch_size: int,
    batch_seconds: float = BATCH_SECONDS,
    rng: np.random.Generator | None = None,
) -> list[list[int]]:
    """Return batches of indices that are alike in length, so that little of a batch is padding.

    Args:
        samples: The length of each utterance (samples at 16 kHz).
        batch_size: The most utterances in a batch.
        batch_seconds: The most audio (s) in a batch of several, padding included.
        rng: Shuffles the batches and, within a twentieth of their length, who shares one; without
            it the order is the same each time, longest first.
    """
    lengths = np.asarray(samples, dtype=np.float64) / SAMPLE_RATE
    near = lengths
    if rng is not None:
        near = lengths * rng.uniform(1 - _JITTER, 1 + _JITTER, len(lengths))
    batches: list[list[int]] = []
    longest = 0.0
    for index in np.argsort(-near, kind="stable").tolist():
        longest = max(longest, lengths[index])
        full = not batches or len(batches[-1]) == batch_size
        if full or (len(batches[-1]) + 1) * longest > batch_seconds:
            batches.append([])
            longest = lengths[index]
        batches[-1].append(index)
    if rng is not None:
        batches = [batches[i] for i in rng.permutation(len(batches))]
    return batches


class TrainingBatches:
    """The shuffled batches of each epoch: features and labels.

    Epoch `e` (1, 2, …) hears augmented copy `(e - 1) % copies + 1` of every example, whatever batch
    it falls in.

    Args:
        source: Gives the features.
        examples: What is trained on.
        replayed: The places of those among the examples that are of the general accent.
        copies: How many augmented copies of each there are.
        batch_size: The most utterances in a batch.
        seed: Draws the order.
    """

    def __init__(
        self,
        source: FeatureSource,
        examples: Sequence[Example],
        *,
        replayed: range = range(0),
        copies: int,
        batch_size: int,
        seed: int,
    ) -> None:
        self._source, self._examples = source, examples
        self._replayed = replayed
        self._copies, self._batch_size, self._seed = copies, batch_size, seed

    def all_copies(self, epochs: int) -> list[Copy]:
        """Return every copy that `epochs` epochs hear, those of one utterance side by side."""
        numbers = range(1, min(self._copies, epochs) + 1)
        return [
            Copy(example.utterance, index, number)
            for index, example in enumerate(self._examples)
            for number in numbers
        ]

    def counts(self, epochs: int) -> list[int]:
        """Return how many batches each of `epochs` epochs has."""
        return [len(self._plan(epoch)) for epoch in range(1, epochs + 1)]

    def __call__(self, epoch: int) -> Iterator[tuple[Features, list[tuple[int, ...]], list[int]]]:
        """Yield each batch of an epoch: features, labels, and the rows that are replayed."""
        plan, copies = self._plan(epoch), self._heard(epoch)
        features = self._source.features([[copies[i] for i in batch] for batch in plan])
        for batch, found in zip(plan, features, strict=True):
            replayed = [row for row, index in enumerate(batch) if index in self._replayed]
            yield found, [self._examples[index].labels for index in batch], replayed

    def _heard(self, epoch: int) -> list[Copy]:
        number = (epoch - 1) % self._copies + 1
        return [
            Copy(example.utterance, index, number) for index, example in enumerate(self._examples)
        ]

    def _plan(self, epoch: int) -> list[list[int]]:
        return length_buckets(
            self._source.samples(self._heard(epoch)),
            batch_size=self._batch_size,
            rng=np.random.default_rng([self._seed, _ORDER, epoch]),
        )
