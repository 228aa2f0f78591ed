"""What it costs to listen to recordings, compared with decoding them alone."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import soundfile
import soxr

from speechtl import audio, corpora
from speechtl.checks.recordings import inspect
from speechtl.corpus import Utterance

WORKERS = 2
FORMATS = {"flac": (".flac", 16_000), "flac 8k": (".flac", 8000), "wav 44.1k": (".wav", 44_100)}


def recoded(folder: Path, kind: str, *, count: int) -> list[Utterance]:
    """Return utterances of the starter corpus, written to `folder` in another format."""
    utterances = list(corpora.load("starter")[::5])[:count]
    if kind == "opus":
        return utterances
    suffix, rate = FORMATS[kind]
    found = []
    for utterance in utterances:
        path = folder / f"{utterance.id}{suffix}"
        waveform = soxr.resample(utterance.waveform(), audio.SAMPLE_RATE, rate)
        soundfile.write(path, waveform, rate, subtype="PCM_16")
        found.append(replace(utterance, audio=path))
    return found


Times = tuple[float, float]
"""Wall-clock seconds, which other work on the machine lengthens, and seconds of the processors."""


def taken(work: Callable[[], object]) -> Times:
    wall, processors = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - processors


def decode(utterances: Sequence[Utterance]) -> None:
    with ThreadPoolExecutor(WORKERS) as pool:
        for _ in pool.map(lambda utterance: len(utterance.waveform()), utterances):
            pass


def listen(utterances: Sequence[Utterance], store: Path) -> None:
    store.unlink(missing_ok=True)
    inspect(utterances, store=store, workers=WORKERS)


def ratios(utterances: Sequence[Utterance], folder: Path, *, rounds: int) -> Times:
    """Return the median times of listening over those of decoding, which take turns."""
    store = folder / "facts.jsonl"
    decode(utterances)  # the first read of a file is from the disk
    times = [
        (taken(lambda: decode(utterances)), taken(lambda: listen(utterances, store)))
        for _ in range(rounds)
    ]
    decoding, listening = (
        [statistics.median(clock) for clock in zip(*each, strict=True)]
        for each in zip(*times, strict=True)
    )
    return listening[0] / decoding[0], listening[1] / decoding[1]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["opus", "flac", "flac 8k", "wav 44.1k"])
def test_listening_takes_at_most_half_more_than_decoding(
    tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    utterances = recoded(tmp_path, kind, count=300)
    wall, processors = ratios(utterances, tmp_path, rounds=9)
    with capsys.disabled():
        print(f"\n{kind}: {wall:.2f} times the time of decoding, {processors:.2f} of processors")
    # By the clock two threads take a little more: they wait for the interpreter's lock.
    assert processors <= 1.5


def test_listening_to_the_starter_corpus_takes_less_than_twice_as_long_as_decoding(
    tmp_path: Path,
) -> None:
    wall, processors = ratios(recoded(tmp_path, "opus", count=40), tmp_path, rounds=3)
    assert min(wall, processors) < 2
