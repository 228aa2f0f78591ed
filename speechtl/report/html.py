"""The report as one self-contained HTML file: no script, no request, all text escaped."""

from __future__ import annotations

import base64
import functools
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import librosa
import numpy as np
import soundfile
from matplotlib import image

from speechtl.audio import SAMPLE_RATE, Waveform, read
from speechtl.errors import DataError
from speechtl.metrics import align_words
from speechtl.report.charts import axis_top, curves, effects, slope_chart, sweep_chart
from speechtl.report.phrases import (
    accent_name,
    axis_end,
    base_note,
    change,
    count,
    disparity,
    evidence,
    folds_note,
    gain,
    interval,
    kept_weights,
    label_rounds,
    leaks,
    p_text,
    percent,
    points,
    power,
    set_name,
    short_verdict,
    shown_name,
    signs,
    silence,
    sweep_outcome,
    trained_how,
    verdict,
)
from speechtl.report.words import changed_words, confusion_lists, sounds_shown
from speechtl.scoring import Hypotheses, Hypothesis, Report, SetScore, SpeakerScore

__all__ = ["render"]

SIZE_BUDGET = 4_900_000
"""Bytes of a report at most: recordings and their pictures have what the text leaves."""

AUDIO_BUDGET = 3_500_000
"""Bytes of recordings and pictures (as base64) in a report at most."""

SPEAKERS_AT_ONCE = 24
"""Up to how many speakers the first set's table is not folded away."""

SPEAKERS_SHOWN = 200
"""How many speakers a set shows at most: those whose WER changed most."""

DROPPED_SHOWN = 500
"""How many utterances that were left out are listed."""

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
            they can be read and fit into `AUDIO_BUDGET` and `SIZE_BUDGET`.
    """
    template = _environment().get_template("report.html.j2")
    shown = _shown(report)
    text = template.render(**shown, recordings={}, unheard=False)
    if not audio:
        return text
    budget = min(AUDIO_BUDGET, SIZE_BUDGET - len(text.encode()))
    found = _recordings(report, hypotheses, budget=budget)
    any_shown = any(score.repaired or score.broken for score in report.sets.values())
    return template.render(**shown, recordings=found, unheard=any_shown and not found)


def _environment() -> jinja2.Environment:
    """Return what renders the template: all that it writes is escaped."""
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
        evidence=evidence,
        interval=interval,
        p_text=p_text,
        percent=percent,
        points=points,
        power=power,
        short_verdict=short_verdict,
        shown_name=shown_name,
        signs=signs,
        verdict=verdict,
    )
    return environment


def _shown(report: Report) -> dict[str, Any]:
    """Return what the template reads: the report, its charts, and what says things in words."""
    top = axis_top(
        rate
        for score in report.sets.values()
        for system in (score.base, score.adapted)
        for rate in (system.wer, *(system.interval or ()))
        if rate is not None
    )
    reach, drawn = effects(report.sets, max_forgetting=report.facts.max_forgetting)
    charts = {
        "top": top,
        "reach": reach,
        "effects": {each.set: each for each in drawn},
        "slope_chart": slope_chart,
        "speakers_top": _speakers_top,
        "moved_most": _moved_most,
        "place": _place,
        "curves": curves(report.facts.training, report.facts.best_epoch),
        "sweep": sweep_chart(report.facts),
    }
    words = {
        "set_name": functools.partial(set_name, report),
        "base_note": base_note,
        "kept_weights": kept_weights,
        "label_rounds": label_rounds,
        "sweep_outcome": sweep_outcome,
        "trained_how": trained_how,
        "disparity": disparity(report),
        "folds_note": folds_note(report.facts),
        "gain": gain(report),
        "leaks": leaks(report.facts),
        "silence": silence(report),
        "confusion_lists": confusion_lists,
        "changed_words": changed_words,
        "sounds_shown": sounds_shown,
        "marks": marks,
    }
    limits = {
        "speakers_at_once": SPEAKERS_AT_ONCE,
        "speakers_shown": SPEAKERS_SHOWN,
        "dropped_shown": DROPPED_SHOWN,
        "examples_at_once": EXAMPLES_AT_ONCE,
    }
    return {"report": report, "facts": report.facts, **charts, **words, **limits}


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


def _moved_most(speakers: Sequence[SpeakerScore]) -> list[SpeakerScore]:
    """Return the speakers, in their order, without those whose WER changed least of too many."""

    def change(item: SpeakerScore) -> float:
        return abs((item.adapted_wer or 0.0) - (item.base_wer or 0.0))

    most = sorted(speakers, key=change, reverse=True)[:SPEAKERS_SHOWN]
    return sorted(most, key=lambda item: item.speaker)


def _speakers_top(score: SetScore) -> float:
    rates = ((item.base_wer, item.adapted_wer) for item in score.per_speaker)
    return axis_top(rate for pair in rates for rate in pair if rate is not None)


def _place(value: float | None, top: float) -> str:
    """Return where a value lies on an axis from 0 to `top`, in per cent for SVG."""
    return f"{0.0 if value is None else 100 * value / top:.2f}%"


def _recordings(
    report: Report, hypotheses: Hypotheses, *, budget: int
) -> dict[tuple[str, str], Recording]:
    """Return (set, utterance id) → its recording, for the utterances shown, in `budget` bytes."""
    recordings: dict[tuple[str, str], Recording] = {}
    spent = 0
    for name, score in report.sets.items():
        rows = {row.id: row for row in hypotheses["base"].get(name, ())}
        for example in (*score.repaired, *score.broken):
            found = _recording(rows[example.id]) if example.id in rows else None
            size = len(found.audio) + len(found.spectrogram) if found else 0
            if found and spent + size <= budget:
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
