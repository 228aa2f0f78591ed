"""Labels for speech that nobody transcribed: what the model hears, where it is sure of it.

This is self-training (Kahn et al. 2020, "Self-training for end-to-end speech recognition",
arXiv:1909.09116). The confidence is theirs: the likelihood of the text, normalised by its length.
How much of it is enough is not guessed but read off the dev utterances, whose texts are known.
"""

from __future__ import annotations

import math
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path

from speechtl.corpus import Corpus, Utterance
from speechtl.errors import DataError
from speechtl.features import Copy, FeatureSource, Waveforms, length_buckets
from speechtl.metrics import word_errors
from speechtl.models import SpeechModel
from speechtl.models.base import evaluating
from speechtl.progress import Track, silent
from speechtl.transcription import audio_files, fits, may_hold_speech, stretches

__all__ = ["Guess", "Threshold", "accepted", "calibrated", "guesses", "recordings"]

_LONGEST_S = 15.0  # of a stretch: one wrong word must not cost a minute
_LOOPING = (
    2.4  # Radford et al. 2022, section 4.5: text that compresses more than this repeats itself
)


@dataclass(frozen=True, slots=True)
class Guess:
    """What the model hears in an utterance, and how sure it is.

    Attributes:
        utterance: The utterance; its text is what was heard.
        confidence: The probability of the text given the audio, as the geometric mean over its
            labels, 0 to 1; 0 where the text cannot be trained on.
        reason: Why it cannot be trained on; None where it can.
    """

    utterance: Utterance
    confidence: float
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Threshold:
    """How sure the model must be.

    Attributes:
        confidence: The least confidence that is enough; None where none is.
        wer: The error rate of what passes it on dev, a fraction; None where nothing does.
    """

    confidence: float | None
    wer: float | None


def recordings(folder: Path, *, accent: str, longest_s: float) -> tuple[Corpus, tuple[str, ...]]:
    """Return what a folder of recordings holds as utterances without text.

    A recording longer than 15 s, or than the model reads, is cut where it is quietest. It is named
    by its path in the folder, and its speaker is not known.

    Args:
        folder: A folder, searched with those below it, or one recording.
        accent: What is spoken in it.
        longest_s: The longest stretch that the model reads (s).

    Returns:
        The utterances, and what is wrong with each recording that cannot be read.

    Raises:
        DataError: There is no such folder, or it holds no recording.
    """
    found, faults = [], []
    for path in audio_files([folder]):
        name = path.relative_to(folder).as_posix() if path != folder else path.name
        try:
            spans = list(stretches(path, longest_s=min(longest_s, _LONGEST_S)))
        except DataError as error:
            faults.append(str(error))
            continue
        for number, (start, end) in enumerate(spans):
            whole = len(spans) == 1
            found.append(
                Utterance(
                    id=name if whole else f"{name}#{number}",
                    audio=path.absolute(),
                    text="",
                    speaker="untranscribed",
                    accent=accent,
                    start=None if whole else start,
                    end=None if whole else end,
                )
            )
    return Corpus(found), tuple(faults)


def guesses(
    model: SpeechModel,
    utterances: Sequence[Utterance],
    *,
    source: FeatureSource,
    waveforms: Waveforms,
    batch_size: int = 16,
    track: Track = silent,
    description: str = "pseudo-labels",
) -> list[Guess]:
    """Return what the model hears in each utterance, in their order.

    Args:
        model: The model at hand.
        utterances: What it listens to; those that it cannot read at once have no text.
        source: Gives the features, of the recordings as they are.
        waveforms: Knows the recordings.
        batch_size: Utterances decoded together.
        track: Shows progress.
        description: What the progress is called.
    """
    found = [Guess(replace(each, text=""), 0.0, "no text") for each in utterances]
    fitting = [
        i
        for i in fits(utterances, model, waveforms)[0]
        if may_hold_speech(waveforms(utterances[i]))
    ]
    copies = [Copy(utterances[i]) for i in fitting]
    plan = length_buckets(source.samples(copies), batch_size=batch_size)
    features = source.features([[copies[i] for i in batch] for batch in plan])
    for batch, encoded in track(zip(plan, features, strict=True), description, total=len(plan)):
        for row, text in enumerate(model.decode(encoded)):
            place = fitting[batch[row]]
            if not text.strip():
                continue
            heard = replace(utterances[place], text=text)
            try:
                labels = model.labels(text, samples=waveforms.samples(heard))
            except DataError:
                found[place] = Guess(heard, 0.0, "unspellable or too long")
                continue
            with evaluating(model.network):
                loss = float(model.loss(encoded.rows([row]), [labels]))
            reason = "repeats itself" if _compression(text) > _LOOPING else None
            found[place] = Guess(heard, 0.0 if reason else math.exp(-loss), reason)
    return found


def _compression(text: str) -> float:
    content = text.encode()
    return len(content) / len(zlib.compress(content))


def calibrated(
    heard: Sequence[Guess],
    references: Sequence[str],
    *,
    normalise: Callable[[str], str],
    limit: float,
) -> Threshold:
    """Return the lowest confidence at which guesses on dev have a WER of `limit` or less together.

    Args:
        heard: What the model hears in the dev utterances.
        references: What was said in them.
        normalise: Makes texts alike before they are compared.
        limit: The most that pseudo-labels may be wrong (WER, a fraction).
    """
    surest = sorted(zip(heard, references, strict=True), key=lambda pair: -pair[0].confidence)
    surest = [pair for pair in surest if pair[0].reason is None]
    errors = (
        word_errors(normalise(reference), normalise(guess.utterance.text))
        for guess, reference in surest
    )
    # Of equally sure guesses all pass or none: the last of them has the errors of all.
    rates = {
        guess.confidence: so_far.rate
        for (guess, _), so_far in zip(surest, accumulate(errors), strict=True)
    }
    passing = [confidence for confidence, rate in rates.items() if rate <= limit]
    return Threshold(min(passing), rates[min(passing)]) if passing else Threshold(None, None)


def accepted(
    heard: Sequence[Guess], threshold: Threshold
) -> tuple[list[Utterance], dict[str, int]]:
    """Return the utterances to train on, and how many were left out by reason."""
    kept, left = [], Counter[str]()
    for guess in heard:
        if guess.reason is not None:
            left[guess.reason] += 1
        elif threshold.confidence is None or guess.confidence < threshold.confidence:
            left["not sure enough"] += 1
        else:
            kept.append(guess.utterance)
    return kept, dict(left)
