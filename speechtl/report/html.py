"""The report as one self-contained HTML file: no script, no request, all text escaped."""

from __future__ import annotations

import base64
import functools
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

import jinja2
import librosa
import numpy as np
import soundfile
from matplotlib import image

from speechtl.audio import SAMPLE_RATE, Waveform, read
from speechtl.errors import DataError
from speechtl.metrics import align_words
from speechtl.report.phrases import (
    accent_name,
    axis_end,
    change,
    count,
    kept_weights,
    percent,
    points,
    set_name,
)
from speechtl.scoring import Epoch, Hypotheses, Hypothesis, Report, SetScore

__all__ = ["render"]

AUDIO_BUDGET = 3_500_000
"""Bytes of recordings and pictures (as base64) in a report at most: it stays below 5 MB."""

SPEAKERS_AT_ONCE = 24
"""How many speakers a set shows before the rest is folded away."""

EXAMPLES_AT_ONCE = 5
"""How many utterances of a kind a set shows before the rest is folded away."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A word of a hypothesis and how it stands to the reference.

    `kind` is "equal", "wrong" (`instead` is the reference's word), "missing" or "added".
    """

    kind: str
    word: str
    instead: str = ""


@dataclass(frozen=True, slots=True)
class Curve:
    """A measure over the epochs, placed in a box: all coordinates in per cent of its sides."""

    name: str
    top: str
    points: tuple[tuple[float, float], ...]
    values: tuple[str, ...]
    kept: int | None

    @property
    def segments(self) -> tuple[tuple[tuple[float, float], tuple[float, float]], ...]:
        """The lines between neighbouring points."""
        return tuple(zip(self.points, self.points[1:], strict=False))


@dataclass(frozen=True, slots=True)
class Recording:
    """An utterance as it can be heard and seen, both as data URIs."""

    audio: str
    spectrogram: str


def render(report: Report, hypotheses: Hypotheses, *, audio: bool = True) -> str:
    """Return `report.html`.

    Args:
        report: What to show.
        hypotheses: The rows that the report was made of: they know where the recordings are.
        audio: Whether the file carries the recordings of the utterances that it shows, as far as
            they can be read and fit into `AUDIO_BUDGET`.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("speechtl.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        accent_name=accent_name,
        axis_end=axis_end,
        change=change,
        count=count,
        percent=percent,
        points=points,
    )
    top = _axis_top(
        rate
        for score in report.sets.values()
        for rate in (score.base.wer, score.adapted.wer)
        if rate is not None
    )
    return environment.get_template("report.html.j2").render(
        report=report,
        facts=report.facts,
        set_name=functools.partial(set_name, report),
        kept_weights=kept_weights,
        top=top,
        speakers_top=_speakers_top,
        speakers_at_once=SPEAKERS_AT_ONCE,
        examples_at_once=EXAMPLES_AT_ONCE,
        place=_place,
        marks=marks,
        curves=_curves(report.facts.training, report.facts.best_epoch),
        recordings=_recordings(report, hypotheses) if audio else {},
    )


def marks(reference: str, hypothesis: str) -> tuple[Mark, ...]:
    """Return the words of a hypothesis in order, the missing ones in their places among them."""
    found: list[Mark] = []
    for run in align_words(reference, hypothesis):
        match run.operation:
            case "equal":
                found += [Mark("equal", word) for word in run.hypothesis]
            case "substitute":
                pairs = zip(run.hypothesis, run.reference, strict=True)
                found += [Mark("wrong", word, instead) for word, instead in pairs]
            case "delete":
                found += [Mark("missing", word) for word in run.reference]
            case "insert":
                found += [Mark("added", word) for word in run.hypothesis]
    return tuple(found)


def _axis_top(values: Iterable[float]) -> float:
    """Return the end of an axis from 0: the smallest round number that holds all values."""
    highest = max(values, default=0.0)
    if highest <= 0:
        return 1.0
    magnitude = 10.0 ** math.floor(math.log10(highest))
    steps = (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10)
    # Rounded, since 0.6 / 0.1 is a little less than 6 in binary.
    return next(step * magnitude for step in steps if round(highest / magnitude, 9) <= step)


def _speakers_top(score: SetScore) -> float:
    rates = ((item.base_wer, item.adapted_wer) for item in score.per_speaker)
    return _axis_top(rate for pair in rates for rate in pair if rate is not None)


def _place(value: float | None, top: float) -> str:
    """Return where a value lies on an axis from 0 to `top`, in per cent for SVG."""
    return f"{0.0 if value is None else 100 * value / top:.2f}%"


def _curves(epochs: Sequence[Epoch], kept: int | None) -> list[Curve]:
    losses = [(item.epoch, item.loss) for item in epochs if _is_number(item.loss)]
    rates = [(item.epoch, item.dev_wer) for item in epochs if _is_number(item.dev_wer)]
    curves = []
    if len(losses) > 1:
        curves.append(_curve("Training loss", losses, kept, is_rate=False))
    if len(rates) > 1:
        curves.append(_curve("WER on the dev set", rates, kept, is_rate=True))
    return curves


def _is_number(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)


def _curve(
    name: str, series: Sequence[tuple[int, float]], kept: int | None, *, is_rate: bool
) -> Curve:
    epochs, values = zip(*series, strict=True)
    top = _axis_top(values)
    first, last = epochs[0], epochs[-1]
    points = tuple(
        (round(100 * (epoch - first) / (last - first), 2), round(100 - 100 * value / top, 2))
        for epoch, value in series
    )
    texts = [percent(value) if is_rate else f"{value:.3g}" for value in values]
    labels = tuple(f"epoch {epoch}: {text}" for epoch, text in zip(epochs, texts, strict=True))
    return Curve(
        name=name,
        top=axis_end(top) if is_rate else f"{top:g}",
        points=points,
        values=labels,
        kept=epochs.index(kept) if kept in epochs else None,
    )


def _recordings(report: Report, hypotheses: Hypotheses) -> dict[tuple[str, str], Recording]:
    """Return (set, utterance id) → its recording, for the utterances shown, within the budget."""
    recordings: dict[tuple[str, str], Recording] = {}
    spent = 0
    for name, score in report.sets.items():
        rows = {row.id: row for row in hypotheses["base"].get(name, ())}
        for example in (*score.repaired, *score.broken):
            found = _recording(rows[example.id]) if example.id in rows else None
            size = len(found.audio) + len(found.spectrogram) if found else 0
            if found and spent + size <= AUDIO_BUDGET:
                recordings[name, example.id] = found
                spent += size
    return recordings


def _recording(row: Hypothesis) -> Recording | None:
    """Return the utterance; None where the recording is gone or cannot be written.

    MP3, since it is small and every browser plays it.
    """
    audio, picture = io.BytesIO(), io.BytesIO()
    try:
        waveform = read(Path(row.audio), start=row.start, end=row.end)
        soundfile.write(audio, waveform, SAMPLE_RATE, format="MP3")
    except (DataError, soundfile.SoundFileError):
        return None
    image.imsave(picture, _spectrogram(waveform), cmap="magma", format="png", origin="lower")
    return Recording(_data_uri(audio, "audio/mpeg"), _data_uri(picture, "image/png"))


def _spectrogram(waveform: Waveform) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """Return decibels below the loudest, down to -70: 64 mel bands to 8 kHz, 20 ms a column."""
    power = librosa.feature.melspectrogram(y=waveform, sr=SAMPLE_RATE, hop_length=320, n_mels=64)
    decibels: np.ndarray[tuple[int, int], np.dtype[np.float32]] = librosa.power_to_db(
        power, ref=np.max, top_db=70
    )
    return decibels


def _data_uri(content: io.BytesIO, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content.getvalue()).decode('ascii')}"
