"""Features at one cut, read from the cache where they are there and else computed.

Which of the two is this module's business alone: whoever trains or decodes on them cannot tell.
"""

from __future__ import annotations

import hashlib
import math
import struct
import time
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

import numpy as np
import torch

from speechtl import augment
from speechtl.audio import SAMPLE_RATE, Waveform
from speechtl.corpus import Utterance
from speechtl.errors import DataError
from speechtl.features.cache import Recipe, Shelf
from speechtl.features.waveforms import Waveforms
from speechtl.memory import give_back
from speechtl.models import Features, SpeechModel
from speechtl.progress import Track, silent

__all__ = ["Copy", "Encoding", "Example", "FeatureSource", "example", "faster_precision"]

Encoding = Callable[[], AbstractContextManager[object]]
"""Gives a block to run an encoding in, such as a clock's."""

# A batch of the prefix: more of it fills a processor's caches, and gains nothing.
_BATCH_S = {"cpu": 64.0, "cuda": 960.0, "mps": 240.0}
# Recordings and their copies that are prepared together, 32 MB, for batches alike in length.
_PREPARED_S = {"cpu": 500.0, "cuda": 1920.0, "mps": 500.0}
_MARGIN_FRAMES = 25  # half a second behind the speech
T = TypeVar("T")
S = TypeVar("S")


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
        samples: The length of the utterance (samples at 16 kHz).

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


@dataclass(frozen=True, slots=True)
class Copy:
    """What is heard of an utterance: the recording itself (number 0), or an augmented copy of it.

    Attributes:
        utterance: The utterance.
        index: Its place in what is trained on; the copy is drawn from it.
        number: Which copy, from 1; 0 is the recording.
    """

    utterance: Utterance
    index: int = 0
    number: int = 0


@dataclass(frozen=True, slots=True)
class _Encoded:
    """Features just computed, float32, and how many frames of each utterance are kept."""

    features: Features
    frames: list[int]


class FeatureSource:
    """Features of one model at one cut.

    Copy `number` of the utterance at `index` is drawn from
    `augment.generator(seed, copy=number, index=index)`; a copy that no longer fits the model or its
    labels is replaced by the recording as it is.

    Args:
        model: Computes what is not there; its prefix is frozen.
        recipe: What the features are of.
        waveforms: Gives the recordings.
        augmentation: Changes the copies; None leaves them as they were recorded.
        shelf: Where features are kept; None computes them each time.
        encoding: Gives a block to run each encoding in.
    """

    def __init__(
        self,
        model: SpeechModel,
        recipe: Recipe,
        *,
        waveforms: Waveforms,
        augmentation: augment.Augmentation | None = None,
        shelf: Shelf | None = None,
        encoding: Encoding = nullcontext,
    ) -> None:
        self.shelf = shelf
        self.recipe = recipe
        self._model, self._waveforms = model, waveforms
        self._augmentation, self._encoding = augmentation, encoding
        self._lengths: dict[str, int] = {}
        self._patterns: dict[str, bytes] = {}

    # --- what is there ----------------------------------------------------------------------------

    def missing(self, copies: Iterable[Copy]) -> list[Copy]:
        """Return those whose features are not in the cache, each once; all of them without one."""
        wanted = {self._key(copy): copy for copy in copies}
        return [copy for key, copy in wanted.items() if self.shelf is None or key not in self.shelf]

    def samples(self, copies: Sequence[Copy]) -> list[int]:
        """Return the length of each copy's waveform (samples), as it is after augmentation."""
        return [self._samples(copy) for copy in copies]

    def size(self, copies: Sequence[Copy]) -> int:
        """Return about how many bytes the features of these copies take on disk."""
        noise = np.random.default_rng(0).normal(0, 0.1, 2 * SAMPLE_RATE).astype(np.float32)
        one, two = (self._encode([noise[: n * SAMPLE_RATE]]) for n in (1, 2))
        frames_per_s = two.frames[0] - one.frames[0]
        fixed = one.frames[0] - frames_per_s
        seconds = [self._waveforms.seconds(copy.utterance) for copy in copies]
        frames = fixed * len(copies) + frames_per_s * math.fsum(seconds)
        channels = one.features.hidden.shape[2]
        return math.ceil(frames * channels * (2 if self.recipe.half else 4))

    # --- what fills it ----------------------------------------------------------------------------

    def fill(
        self, *sets: Sequence[Copy], track: Track = silent, description: str = "features"
    ) -> None:
        """Put on the shelf what is missing of these sets of copies; without one nothing is done.

        The batches of the prefix are made of all copies of a set, and it runs on those in which
        something is missing: what was killed half-way is completed bit for bit, and a set is never
        computed again because another one has grown. Each recording is decoded once for all its
        copies.

        Raises:
            OutputError: The cache cannot be written.
        """
        copies = [copy for each in sets for copy in each]
        if self.shelf is None or not self.missing(copies):
            return
        with self.shelf.writing() as writer:
            # Asked anew: another process may have been quicker.
            missing = {self._key(copy) for copy in self.missing(copies)}
            found = self._filling(sets, missing)
            for key, hidden, speech, samples in track(found, description, total=len(missing)):
                writer.add(key, hidden, speech=speech, samples=samples)
        give_back()

    def _filling(
        self, sets: Iterable[Sequence[Copy]], missing: Set[str]
    ) -> Iterator[tuple[str, torch.Tensor, int, int]]:
        """Yield key, feature, frames under speech and samples of each copy that is missing."""
        left = set(missing)  # a recording may be in two sets
        stretches = [
            stretch
            for copies in sets
            for stretch in self._stretches(copies)
            if any(self._key(copy) in missing for group in stretch for copy in group)
        ]
        for prepared in _ahead(self._prepared, stretches):
            give_back()
            for batch in self._prefix_batches(prepared):
                keys = [self._key(copy) for copy, _ in batch]
                if left.isdisjoint(keys):
                    continue
                with torch.inference_mode():
                    encoded = self._encode([waveform for _, waveform in batch])
                    hidden = encoded.features.hidden.cpu()
                speech = encoded.features.lengths.tolist()
                for row, (_, waveform) in enumerate(batch):
                    if keys[row] in left:
                        left.remove(keys[row])
                        kept = hidden[row, : encoded.frames[row]]
                        yield keys[row], kept, speech[row], len(waveform)

    def _stretches(self, copies: Iterable[Copy]) -> list[list[list[Copy]]]:
        """Return what is prepared together: the copies of each utterance, the longest first."""
        by_utterance: dict[tuple[bytes, int], list[Copy]] = {}
        for copy in {self._key(copy): copy for copy in copies}.values():
            content = self._waveforms.digest(copy.utterance)
            by_utterance.setdefault((content, copy.index), []).append(copy)
        groups = sorted(
            by_utterance.values(), key=lambda group: -self._waveforms.samples(group[0].utterance)
        )
        stretches: list[list[list[Copy]]] = []
        left_s = 0.0
        for group in groups:
            seconds = len(group) * self._waveforms.seconds(group[0].utterance)
            if not stretches or seconds > left_s:
                stretches.append([])
                left_s = _PREPARED_S[self._model.network.device.type]
            stretches[-1].append(group)
            left_s -= seconds
        return stretches

    def _prepared(self, groups: Sequence[Sequence[Copy]]) -> list[tuple[Copy, Waveform]]:
        """Return the waveforms of all copies, longest first."""
        found = []
        for group in groups:
            recording = self._waveforms(group[0].utterance)
            found += [(copy, self._heard(copy, recording)) for copy in group]
        return sorted(found, key=lambda pair: -len(pair[1]))

    def _prefix_batches(
        self, prepared: Sequence[tuple[Copy, Waveform]]
    ) -> Iterator[list[tuple[Copy, Waveform]]]:
        longest = self._model.longest_s if self._model.family == "whisper" else 0.0
        limit = _BATCH_S[self._model.network.device.type]
        batch: list[tuple[Copy, Waveform]] = []
        for pair in prepared:
            padded = max(longest, len((batch or [pair])[0][1]) / SAMPLE_RATE)
            if batch and (len(batch) + 1) * padded > limit:
                yield batch
                batch = []
            batch.append(pair)
        if batch:
            yield batch

    # --- what is asked of it ----------------------------------------------------------------------

    def features(self, batches: Sequence[Sequence[Copy]]) -> Iterator[Features]:
        """Yield the features of each batch of copies, on the model's device, without gradient.

        What has to be computed is decoded and augmented while the caller works on the batch before.
        """
        if self.shelf is not None:
            device = self._model.network.device
            for batch in batches:
                hidden, lengths, readable = self.shelf.read([self._key(copy) for copy in batch])
                yield Features(self.recipe.cut, hidden, lengths, readable).to(device)
            return
        for waveforms in _ahead(lambda batch: [self._waveform(copy) for copy in batch], batches):
            encoded = self._encode(waveforms)
            features = encoded.features
            readable = torch.tensor(encoded.frames, device=features.lengths.device)
            hidden = features.hidden[:, : max(encoded.frames)]
            yield replace(features, hidden=hidden, readable=readable)

    def _encode(self, waveforms: Sequence[Waveform]) -> _Encoded:
        device, bf16 = self._model.network.device.type, self.recipe.precision == "bf16"
        with self._encoding(), torch.autocast(device, torch.bfloat16, enabled=bf16):
            features = self._model.encode(waveforms, self.recipe.cut)
        readable = features.lengths if features.readable is None else features.readable
        if self.recipe.frames == "speech":
            readable = torch.minimum(readable, features.lengths + _MARGIN_FRAMES)
        return _Encoded(replace(features, hidden=features.hidden.float()), readable.tolist())

    def _key(self, copy: Copy) -> str:
        """Return the name of a copy's features on their shelf."""
        drawn = b""
        if self._augmentation is not None:
            pattern = self._pattern(copy.utterance.text)
            drawn = struct.pack("<QQ", copy.number, copy.index) + pattern
        content = self._waveforms.digest(copy.utterance) + drawn
        return hashlib.blake2b(content, digest_size=16).hexdigest()

    def _pattern(self, text: str) -> bytes:
        """Return 16 bytes that stand for the number of a text's labels, and which are equal.

        Whether a copy of some length fits them depends on no more; two vocabularies that spell a
        text alike thus share its copies, whatever ids they give to the characters.
        """
        if text not in self._patterns:
            try:
                samples = round(self._model.longest_s * SAMPLE_RATE)
                labels = self._model.labels(text, samples=samples)
            except DataError:
                labels = []  # which fit no copy, however long
            first: dict[int, int] = {}
            places = [first.setdefault(label, len(first)) for label in labels]
            content = np.array(places, dtype="<u4").tobytes()
            self._patterns[text] = hashlib.blake2b(content, digest_size=16).digest()
        return self._patterns[text]

    def _samples(self, copy: Copy) -> int:
        if self._augmentation is None or copy.number == 0:
            return self._waveforms.samples(copy.utterance)
        if self.shelf is not None:
            return self.shelf.samples(self._key(copy))
        # Batches are made by the lengths, before any of them is computed.
        key = self._key(copy)
        if key not in self._lengths:
            self._lengths[key] = len(self._waveform(copy))
        return self._lengths[key]

    def _waveform(self, copy: Copy) -> Waveform:
        return self._heard(copy, self._waveforms(copy.utterance))

    def _heard(self, copy: Copy, recording: Waveform) -> Waveform:
        if self._augmentation is None or copy.number == 0:
            return recording
        rng = augment.generator(self.recipe.seed or 0, copy=copy.number, index=copy.index)
        changed = self._augmentation(recording, SAMPLE_RATE, rng)
        same_length = len(changed) == len(recording)
        return changed if same_length or self._fits(copy.utterance, changed) else recording

    def _fits(self, utterance: Utterance, waveform: Waveform) -> bool:
        try:
            example(self._model, utterance, samples=len(waveform))
        except DataError:
            return False
        return True


def _ahead(prepare: Callable[[S], T], items: Iterable[S]) -> Iterator[T]:
    """Yield `prepare` of each item, the next one under way in a thread of its own."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        upcoming = None
        for item in items:
            ready, upcoming = upcoming, pool.submit(prepare, item)
            if ready is not None:
                yield ready.result()
        if upcoming is not None:
            yield upcoming.result()


def faster_precision(
    model: SpeechModel, cut: str, waveforms: Sequence[Waveform]
) -> Literal["float32", "bf16"]:
    """Return what the prefix computes faster in on this device, by trying both.

    bf16 must be faster by a fifth to be chosen, so that noise chooses float32.

    Args:
        model: The model; its parts below `cut` run.
        cut: The first part that does not run.
        waveforms: A few utterances to try it on.
    """
    device = model.network.device.type

    def seconds(bf16: bool) -> float:
        started = time.perf_counter()
        with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=bf16):
            float(model.encode(waveforms, cut).hidden.sum())  # waits for a GPU
        return time.perf_counter() - started

    # In turn, so that a machine which is busy for a while slows both; the first two warm up.
    tried = [(seconds(True), seconds(False)) for _ in range(4)][1:]
    bf16, float32 = (min(column) for column in zip(*tried, strict=True))
    return "bf16" if bf16 < 0.8 * float32 else "float32"
