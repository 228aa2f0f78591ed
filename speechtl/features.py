"""Batches of features at the cut: what the suffix trains and decodes on.

Whether a feature was computed just now or earlier is this module's business alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from speechtl import augment
from speechtl.audio import SAMPLE_RATE, Waveform
from speechtl.corpus import Utterance
from speechtl.errors import DataError
from speechtl.models import Features, SpeechModel
from speechtl.progress import Track, silent

__all__ = [
    "Encoding",
    "Example",
    "Waveforms",
    "encode_for_decoding",
    "encode_for_training",
    "example",
    "length_buckets",
]

Encoding = Callable[[], AbstractContextManager[object]]
"""Gives a block to run an encoding in, such as a clock's."""

_READ_AHEAD = 64  # utterances
_ORDER = 1  # names the random stream of the order in which is trained, beside the run's others


@dataclass(frozen=True, slots=True)
class Example:
    """An utterance that trains, and its label ids."""

    utterance: Utterance
    labels: tuple[int, ...]


def example(model: SpeechModel, utterance: Utterance, *, samples: int) -> Example:
    """Return an utterance with its label ids, as this model can train on it.

    Args:
        model: The model that is to train.
        utterance: What it is to train on.
        samples: The length of the utterance, or of an augmented copy of it (samples at 16 kHz).

    Raises:
        DataError: It cannot: the transcript has characters outside the vocabulary, or the audio is
            too short for it or too long for the model.
    """
    labels = model.labels(utterance.text, samples=samples)
    if samples > model.longest_s * SAMPLE_RATE:
        raise DataError(
            f"{samples / SAMPLE_RATE:.1f} s are too long to train on; {model.name} takes at most "
            f"{model.longest_s:g} s: split the utterance, audio and text together"
        )
    return Example(utterance, tuple(labels))


_Key = tuple[Path, float | None, float | None]


class Waveforms:
    """Decoded audio, kept in memory up to a bound, so that an epoch does not decode it again."""

    def __init__(self, *, limit_bytes: int = 1 << 29) -> None:
        self._limit_bytes = limit_bytes
        self._held_bytes = 0
        self._waveforms: dict[_Key, Waveform] = {}
        self._seconds: dict[_Key, float] = {}

    def __call__(self, utterance: Utterance) -> Waveform:
        """Return the utterance's waveform, float32 `(samples,)` at 16 kHz."""
        held = self._waveforms.get(_key(utterance))
        if held is not None:
            return held
        return self._keep(utterance, utterance.waveform())

    def seconds(self, utterance: Utterance) -> float:
        """Return the utterance's length (s), without opening a recording that was read before.

        Raises:
            DataError: Its header is needed and cannot be read.
        """
        known = self._seconds.get(_key(utterance))
        return utterance.duration if known is None else known

    def read_all(
        self, utterances: Sequence[Utterance], *, track: Track = silent
    ) -> tuple[str, ...]:
        """Decode each utterance once, several at a time, and keep what the bound allows.

        Args:
            utterances: What to read.
            track: Shows progress.

        Returns:
            What is wrong with each utterance that cannot be read, in their order.
        """
        faults = []
        readings = track(_readings(utterances), "reading audio", total=len(utterances))
        for utterance, reading in zip(utterances, readings, strict=True):
            if isinstance(reading, DataError):
                faults.append(str(reading))
            else:
                self._keep(utterance, reading)
        return tuple(faults)

    def _keep(self, utterance: Utterance, waveform: Waveform) -> Waveform:
        key = _key(utterance)
        self._seconds[key] = len(waveform) / SAMPLE_RATE
        if key not in self._waveforms and self._held_bytes + waveform.nbytes <= self._limit_bytes:
            self._waveforms[key] = waveform
            self._held_bytes += waveform.nbytes
        return waveform


def _key(utterance: Utterance) -> _Key:
    # Not its id: a run reads several corpora, and ids are unique in each alone.
    return utterance.audio, utterance.start, utterance.end


def _readings(utterances: Sequence[Utterance]) -> Iterator[Waveform | DataError]:
    """Yield the waveform of each utterance, or why it has none."""
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        # In stretches: the pool would otherwise read a whole corpus ahead of who asks for it.
        for first in range(0, len(utterances), _READ_AHEAD):
            yield from pool.map(_reading, utterances[first : first + _READ_AHEAD])


def _reading(utterance: Utterance) -> Waveform | DataError:
    try:
        return utterance.waveform()
    except DataError as error:
        return error


def length_buckets(
    durations: Sequence[float], *, batch_size: int, rng: np.random.Generator | None = None
) -> list[list[int]]:
    """Return batches of indices that are alike in duration, so that little of a batch is padding.

    Args:
        durations: Seconds (or any unit) of each utterance.
        batch_size: Utterances per batch; the last batch may hold fewer.
        rng: Shuffles the batches and, within a tenth of their length, who shares one; without it
            the order is the same each time, longest first.
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
    encoding: Encoding = nullcontext,
) -> Iterator[tuple[Features, list[tuple[int, ...]]]]:
    """Yield one pass over the examples as shuffled batches of features and labels.

    Augmented copy `copy` of example `i` is drawn from
    `augment.generator(seed, copy=copy, index=i)`, whatever batch it falls in; a copy that no longer
    fits the model or its labels is replaced by the recording as it is. The next batch is read and
    augmented while the caller trains on the present one. Each encoding runs in an `encoding()`.
    """
    rng = np.random.default_rng([seed, _ORDER, copy])
    durations = [waveforms.seconds(example.utterance) for example in examples]
    batches = length_buckets(durations, batch_size=batch_size, rng=rng)

    def prepared(batch: list[int]) -> list[Waveform]:
        return [augmented(index) for index in batch]

    def augmented(index: int) -> Waveform:
        utterance = examples[index].utterance
        waveform = waveforms(utterance)
        if augmentation is None:
            return waveform
        changed = augmentation(
            waveform, SAMPLE_RATE, augment.generator(seed, copy=copy, index=index)
        )
        same_length = len(changed) == len(waveform)
        return changed if same_length or _fits(model, utterance, changed) else waveform

    with ThreadPoolExecutor(max_workers=1) as pool:
        upcoming = pool.submit(prepared, batches[0])
        for number, batch in enumerate(batches):
            ready = upcoming.result()
            if number + 1 < len(batches):
                upcoming = pool.submit(prepared, batches[number + 1])
            with encoding():
                features = model.encode(ready, cut)
            yield features, [examples[index].labels for index in batch]


def _fits(model: SpeechModel, utterance: Utterance, waveform: Waveform) -> bool:
    try:
        example(model, utterance, samples=len(waveform))
    except DataError:
        return False
    return True


def encode_for_decoding(
    model: SpeechModel,
    utterances: Sequence[Utterance],
    cut: str,
    *,
    batch_size: int,
    waveforms: Waveforms,
    encoding: Encoding = nullcontext,
) -> Iterator[tuple[list[int], Features]]:
    """Yield `(indices, features)` of every utterance once, never augmented, longest first.

    Each encoding runs in an `encoding()`.
    """
    durations = [waveforms.seconds(utterance) for utterance in utterances]
    for batch in length_buckets(durations, batch_size=batch_size):
        ready = [waveforms(utterances[index]) for index in batch]
        with encoding():
            features = model.encode(ready, cut)
        yield batch, features
