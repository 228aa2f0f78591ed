"""Whether transcripts fit their audio: by length, by the model's limits, and by what it hears.

A model that hears something else than the transcript has a high loss. How high is normal depends on
the accent and on the model, so each utterance's loss is compared with those of the whole corpus
(the modified z-score of Iglewicz & Hoaglin 1993, "How to detect and handle outliers"), and with the
loss of other utterances' transcripts on the same audio: what fits no better than a stranger's words
is not what is said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from speechtl.audio import SAMPLE_RATE, Waveform
from speechtl.corpus import Corpus, Utterance
from speechtl.errors import DataError
from speechtl.faults import Fault
from speechtl.progress import Track, silent

if TYPE_CHECKING:  # a check without a model takes none of the seconds that torch does
    from speechtl.models import SpeechModel

__all__ = ["OUTLIER", "model_faults", "outlier_faults", "rate_faults"]

Place = Callable[[Utterance], str]

OUTLIER = 3.5
"""The modified z-score from which a loss is an outlier (Iglewicz & Hoaglin 1993)."""

# Letters and digits per second between the silences. Read speech has 12 to 16, hurried talk 25.
_FASTEST = 30.0
_SLOWEST = 1.5
_BRIEF_S = 0.3  # for "too fast": in less, what is silence and what is a word cannot be told apart
_LONG_ENOUGH_S = 3.0  # for "too slow": a short word may stand in a long pause
_STRANGERS = 5  # transcripts of others that are tried on an outlier's audio
_STRANGE = 0.7  # of their median loss, from which the own transcript fits no better
_LEAST_SPREAD = 0.01  # nats, of a model that is sure of nearly everything
_FEWEST = 20  # losses, below which none can be called an outlier
_NORMAL = 0.6745  # the MAD of a normal distribution of unit variance
_SHOWN = 60  # characters of a text that a message gives


def rate_faults(
    corpus: Corpus, place: Place, *, spoken_s: Callable[[Utterance], float | None]
) -> Iterator[Fault]:
    """Return utterances in which too much or too little is written for their time.

    Kinds: fit-fast (over 30 letters and digits a second, and over 9), fit-slow (under 1.5 a
    second, in 3 s or more).

    Args:
        corpus: Any.
        place: Where an utterance was read.
        spoken_s: How long an utterance is without the silence at its ends (s), None where it is
            not known.
    """
    for utterance in corpus:
        length = spoken_s(utterance)
        if not length or length <= 0:
            continue
        written = sum(map(str.isalnum, utterance.text))
        told = f"{written} characters in {length:.2f} s, {written / length:.1f} a second"
        if written > _FASTEST * max(length, _BRIEF_S):
            yield Fault("fit-fast", place(utterance), told, utterance.id)
        elif length >= _LONG_ENOUGH_S and written < _SLOWEST * length:
            yield Fault("fit-slow", place(utterance), told, utterance.id)


def model_faults(
    corpus: Corpus,
    model: SpeechModel,
    place: Place,
    *,
    duration_s: Callable[[Utterance], float | None],
) -> Iterator[Fault]:
    """Return utterances that the model could not be trained on.

    Kinds: text-vocabulary, text-no-words, fit-frames, fit-tokens, audio-short, audio-long.

    Args:
        corpus: Any.
        model: What shall be trained.
        place: Where an utterance was read.
        duration_s: An utterance's length (s), None where it is not known: its limits are not
            looked at then.
    """
    for utterance in corpus:
        length = duration_s(utterance)
        samples = round((1.0 if length is None else length) * SAMPLE_RATE)
        try:
            model.labels(utterance.text, samples=samples)
        except DataError as error:
            # The one that has no kind is of a transcript without words, as the model spells it.
            kind = error.kind or "text-no-words"
            if length is not None or kind.startswith("text-"):
                told = error.finding or f"the model finds no word in {utterance.text[:60]!r}"
                yield Fault(kind, place(utterance), told, utterance.id)


@dataclass(frozen=True, slots=True)
class _Loss:
    """The loss of an utterance with its transcript, per label (nats)."""

    utterance: Utterance
    loss: float


def outlier_faults(
    corpus: Corpus,
    model: SpeechModel,
    place: Place,
    *,
    batch_size: int = 8,
    track: Track = silent,
) -> Iterator[Fault]:
    """Return utterances of which the model hears something else than the transcript.

    The kind is fit-outlier. Utterances that cannot be read, or not be labelled, are passed over:
    other checks tell them. Of fewer than 20 utterances none is an outlier.

    Args:
        corpus: Any.
        model: Any; the better it knows the accent, the more it finds.
        place: Where an utterance was read.
        batch_size: Utterances that are encoded together.
        track: Shows progress.
    """
    losses = list(_losses(corpus, model, batch_size=batch_size, track=track))
    if len(losses) < _FEWEST:
        return
    values = np.array([each.loss for each in losses])
    centre = float(np.median(values))
    spread = max(float(np.median(np.abs(values - centre))), _LEAST_SPREAD)
    for position in np.flatnonzero(_NORMAL * (values - centre) / spread >= OUTLIER).tolist():
        own = losses[position]
        others, heard = _with_texts(own.utterance, _strangers(losses, position), model)
        if not others or own.loss < _STRANGE * float(np.median(others)):
            continue
        yield Fault(
            "fit-outlier",
            place(own.utterance),
            f"the transcript is {_cut(own.utterance.text)}, and {model.name} hears {_cut(heard)} "
            f"(loss {own.loss:.2f} per label, {centre:.2f} is usual here)",
            own.utterance.id,
        )


def _cut(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")


def _losses(
    corpus: Corpus, model: SpeechModel, *, batch_size: int, track: Track
) -> Iterator[_Loss]:
    from speechtl.models.base import evaluating  # noqa: PLC0415

    batches = [corpus[first : first + batch_size] for first in range(0, len(corpus), batch_size)]
    cut = _highest_cut(model)
    for batch in track(batches, "comparing transcripts with audio", total=len(batches)):
        usable = {each: found for each in batch if (found := _labelled(each, model)) is not None}
        if not usable:
            continue
        with evaluating(model.network):
            features = model.encode([waveform for waveform, _ in usable.values()], cut)
            for row, (utterance, (_, labels)) in enumerate(usable.items()):
                loss = float(model.loss(features.rows([row]), [labels]))
                if np.isfinite(loss):
                    yield _Loss(utterance, loss)


def _labelled(utterance: Utterance, model: SpeechModel) -> tuple[Waveform, list[int]] | None:
    try:
        waveform = utterance.waveform()
        return waveform, model.labels(utterance.text, samples=len(waveform))
    except DataError:
        return None


def _strangers(losses: Sequence[_Loss], place: int) -> list[str]:
    """Return the transcripts that are nearest to one's in length, but not the same."""
    own = losses[place].utterance.text
    others = {each.utterance.text for each in losses} - {own}
    return sorted(others, key=lambda text: (abs(len(text) - len(own)), text))[:_STRANGERS]


def _with_texts(
    utterance: Utterance, texts: Sequence[str], model: SpeechModel
) -> tuple[list[float], str]:
    """Return an utterance's losses with those texts that it can hold, and what is heard in it."""
    from speechtl.models.base import evaluating  # noqa: PLC0415

    waveform = utterance.waveform()
    found = []
    with evaluating(model.network):
        features = model.encode([waveform], _highest_cut(model))
        for text in texts:
            try:
                labels = model.labels(text, samples=len(waveform))
            except DataError:
                continue
            found.append(float(model.loss(features, [labels])))
        heard = model.decode(features)[0]
    return [loss for loss in found if np.isfinite(loss)], heard


def _highest_cut(model: SpeechModel) -> str:
    names = [part.name for part in model.parts()]
    return "decoder.0" if "decoder.0" in names else names[-1]
