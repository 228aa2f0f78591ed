"""Audio of any length to text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from speechtl.audio import SAMPLE_RATE, Waveform, read
from speechtl.corpus import Utterance
from speechtl.errors import SpeechtlError
from speechtl.features import Waveforms, encode_for_decoding, length_buckets
from speechtl.models import SpeechModel
from speechtl.progress import Track, silent

__all__ = ["Failure", "Segment", "Transcript", "segments", "transcribe_files", "transcribe_utterances"]

SHORTEST_S = 0.1


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of a recording and its text; `start` and `end` in seconds."""

    start: float
    end: float
    text: str


@dataclass(frozen=True, slots=True)
class Transcript:
    """The text of one file."""

    audio: Path
    segments: tuple[Segment, ...]

    @property
    def text(self) -> str:
        """All segments' texts, joined by single spaces."""
        return " ".join(segment.text for segment in self.segments if segment.text)


@dataclass(frozen=True, slots=True)
class Failure:
    """A file that could not be transcribed, and why."""

    audio: Path
    reason: str


def transcribe_utterances(
    model: SpeechModel,
    utterances: Sequence[Utterance],
    *,
    cut: str,
    batch_size: int = 16,
    waveforms: Waveforms | None = None,
    track: Track = silent,
    description: str = "transcribing",
) -> list[str]:
    """Return the greedy text of each utterance, in their order."""
    model.network.eval()
    texts = [""] * len(utterances)
    batches = encode_for_decoding(
        model, utterances, cut, batch_size=batch_size, waveforms=waveforms or Waveforms()
    )
    for indices, features in track(batches, description, total=-(-len(utterances) // batch_size)):
        for index, text in zip(indices, model.decode(features), strict=True):
            texts[index] = text
    return texts


def segments(waveform: Waveform, *, longest_s: float) -> list[tuple[int, int]]:
    """Return `(start, end)` sample ranges that cover the waveform, each of at most `longest_s` seconds.

    A recording that is too long for the model is cut where it is quietest: at the 100 ms of least energy in
    the last third of what the model could still take.
    """
    longest = int(longest_s * SAMPLE_RATE)
    ranges, start = [], 0
    while len(waveform) - start > longest:
        low, high = start + longest * 2 // 3, start + longest
        end = _quietest(waveform, low, high)
        ranges.append((start, end))
        start = end
    return [*ranges, (start, len(waveform))]


def _quietest(waveform: Waveform, low: int, high: int) -> int:
    window = SAMPLE_RATE // 10
    energy = np.cumsum(np.square(waveform[low:high], dtype=np.float64))
    sums = energy[window:] - energy[:-window]
    return low + int(np.argmin(sums)) + window // 2


def transcribe_files(
    model: SpeechModel,
    files: Sequence[Path],
    *,
    longest_s: float,
    batch_size: int = 8,
    track: Track = silent,
) -> Iterator[Transcript | Failure]:
    """Yield the transcript of each file in turn, or why there is none; one failure does not stop the rest."""
    cut = _top(model)
    for path in track(files, "transcribing", total=len(files)):
        try:
            waveform = read(path)
            yield Transcript(path, tuple(_transcribe(model, waveform, cut, longest_s, batch_size)))
        except SpeechtlError as error:
            yield Failure(path, str(error))


def _transcribe(
    model: SpeechModel, waveform: Waveform, cut: str, longest_s: float, batch_size: int
) -> list[Segment]:
    model.network.eval()
    ranges = segments(waveform, longest_s=longest_s)
    texts = [""] * len(ranges)
    for batch in length_buckets([end - start for start, end in ranges], batch_size=batch_size):
        # A stretch too short for the convolutions holds no word; its text stays empty.
        long_enough = [i for i in batch if ranges[i][1] - ranges[i][0] >= SHORTEST_S * SAMPLE_RATE]
        if not long_enough:
            continue
        features = model.encode([waveform[slice(*ranges[i])] for i in long_enough], cut)
        for index, text in zip(long_enough, model.decode(features), strict=True):
            texts[index] = text
    return [
        Segment(start / SAMPLE_RATE, end / SAMPLE_RATE, text)
        for (start, end), text in zip(ranges, texts, strict=True)
    ]


def _top(model: SpeechModel) -> str:
    """Return the highest cut: all that can be encoded without gradient is."""
    names = [part.name for part in model.parts()]
    return "decoder.0" if "decoder.0" in names else names[-1]
