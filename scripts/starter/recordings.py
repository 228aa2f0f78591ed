"""Planned utterances to files: Ogg Opus with a manifest, or one flat file for pretraining."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from .plan import Planned
from .synthesis import SAMPLE_RATE, recording

__all__ = ["write_corpus", "write_flat"]

LICENCE = "CC0-1.0"
OPUS_COMPRESSION = 0.95  # libsndfile's scale from 0 to 1; about 20 kbit/s here
log = logging.getLogger(__name__)


def _made(planned: Planned) -> tuple[Planned, npt.NDArray[np.float32]]:
    return planned, recording(planned.voice, planned.text, np.random.default_rng(planned.seed))


def _recordings(plan: Iterable[Planned]) -> Iterator[tuple[Planned, npt.NDArray[np.float32]]]:
    """Yield the plan's utterances in order, made by one process per core."""
    with get_context("spawn").Pool() as pool:
        for number, made in enumerate(pool.imap(_made, plan, chunksize=64)):
            yield made
            if number % 5000 == 4999:
                log.info("%d utterances spoken", number + 1)


def write_corpus(plan: Iterable[Planned], directory: Path) -> float:
    """Write `audio/*.ogg` and `manifest.jsonl` into a folder; return the minutes of speech."""
    (directory / "audio").mkdir(parents=True, exist_ok=True)
    rows, samples = [], 0
    for planned, waveform in _recordings(plan):
        path = Path("audio") / f"{planned.id}.ogg"
        soundfile.write(
            directory / path,
            waveform,
            SAMPLE_RATE,
            format="OGG",
            subtype="OPUS",
            compression_level=OPUS_COMPRESSION,
        )
        row = {
            "id": planned.id,
            "audio": path.as_posix(),
            "text": planned.text,
            "speaker": planned.voice.id,
            "accent": planned.accent,
            "split": planned.split,
            "licence": LICENCE,
        }
        rows.append(json.dumps(row) + "\n")
        samples += len(waveform)
    (directory / "manifest.jsonl").write_text("".join(rows))
    return samples / SAMPLE_RATE / 60


def write_flat(plan: Iterable[Planned], stem: Path) -> float:
    """Write `<stem>.pcm` (16-bit) and `<stem>.jsonl` (text, voice, place); return the hours."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    start = 0
    with stem.with_suffix(".pcm").open("wb") as pcm, stem.with_suffix(".jsonl").open("w") as index:
        for planned, waveform in _recordings(plan):
            pcm.write((waveform * 32767).astype("<i2").tobytes())
            row = {
                "text": planned.text,
                "speaker": planned.voice.id,
                "start": start,
                "n": len(waveform),
            }
            index.write(json.dumps(row) + "\n")
            start += len(waveform)
    return start / SAMPLE_RATE / 3600
