"""Decoded audio, and what is known of it once it was decoded."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from speechtl.audio import SAMPLE_RATE, Waveform
from speechtl.corpus import Utterance
from speechtl.errors import DataError
from speechtl.progress import Track, silent

__all__ = ["Waveforms"]

_READ_AHEAD = 64  # utterances


_Key = tuple[Path, float | None, float | None]


@dataclass(frozen=True, slots=True)
class _Facts:
    """What stays known of a recording that is no longer held."""

    samples: int
    digest: bytes


class Waveforms:
    """Decoded audio, kept in memory up to a bound, so that it is rarely decoded again.

    Args:
        limit_bytes: What is kept at most; 64 MiB are 17 minutes of speech.
    """

    def __init__(self, *, limit_bytes: int = 1 << 26) -> None:
        self._limit_bytes = limit_bytes
        self._held_bytes = 0
        self._waveforms: dict[_Key, Waveform] = {}
        self._facts: dict[_Key, _Facts] = {}

    def __call__(self, utterance: Utterance) -> Waveform:
        """Return the utterance's waveform, float32 `(samples,)` at 16 kHz."""
        held = self._waveforms.get(_key(utterance))
        return self._keep(utterance, utterance.waveform()) if held is None else held

    def seconds(self, utterance: Utterance) -> float:
        """Return the utterance's length (s), without opening a recording that was read before.

        Raises:
            DataError: Its header is needed and cannot be read.
        """
        known = self._facts.get(_key(utterance))
        return utterance.duration if known is None else known.samples / SAMPLE_RATE

    def samples(self, utterance: Utterance) -> int:
        """Return the length of the utterance's waveform (samples).

        Raises:
            DataError: The recording was not read yet, and cannot be.
        """
        return self._known(utterance).samples

    def digest(self, utterance: Utterance) -> bytes:
        """Return 16 bytes that stand for the content of the utterance's waveform.

        Raises:
            DataError: The recording was not read yet, and cannot be.
        """
        return self._known(utterance).digest

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

    def let_go(self) -> None:
        """Give the memory back; what is known of the recordings stays known."""
        self._waveforms.clear()
        self._held_bytes = 0

    def _known(self, utterance: Utterance) -> _Facts:
        key = _key(utterance)
        if key not in self._facts:
            self(utterance)
        return self._facts[key]

    def _keep(self, utterance: Utterance, waveform: Waveform) -> Waveform:
        key = _key(utterance)
        if key not in self._facts:
            content = hashlib.blake2b(np.ascontiguousarray(waveform).data, digest_size=16)
            self._facts[key] = _Facts(len(waveform), content.digest())
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
