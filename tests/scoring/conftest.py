"""Utterances that two systems heard, made to measure: so many words, so many of them wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from speechtl.scoring import (
    DataFacts,
    Dropped,
    Epoch,
    Hypothesis,
    Parameters,
    RunFacts,
    Timing,
)
from speechtl.scoring.paired import Paired, pair

FACTS = RunFacts(
    accent="scottish",
    model="starter-wav2vec2",
    revision=None,
    family="ctc",
    strategy="encoder",
    seed=0,
    normaliser="plain",
    parameters=Parameters(trainable=30, frozen=70),
    cut="feature_projection",
    timing=Timing(load_s=1.0, features_s=2.0, train_s=3.0, score_s=4.0, total_s=10.5),
    training=(Epoch(0, 0, None, 0.5), Epoch(1, 12, 1.25, 0.25)),
    best_epoch=1,
    stopped="finished",
    corpus="starter",
    data={"train": DataFacts(minutes=1.5, utterances=20, speakers=3)},
    dropped=(Dropped("short_1", "shorter than 400 samples"),),
    versions={"torch": "2.11.0", "jiwer": "4.0.0"},
    licences=("CC-BY-SA-4.0",),
)

Both = tuple[list[Hypothesis], list[Hypothesis]]
"""What the base heard, and what the adapted system heard in the same utterances."""


def heard(
    id_: str,
    reference: str,
    hypothesis: str,
    speaker: str = "ailsa",
    *,
    accent: str = "scottish",
    snr_db: float | None = None,
    seen: bool | None = None,
) -> Hypothesis:
    return Hypothesis(
        id=id_,
        audio=f"/speech/{id_}.wav",
        speaker=speaker,
        accent=accent,
        reference=reference,
        hypothesis=hypothesis,
        snr_db=snr_db,
        seen=seen,
    )


# 8 reference words. Base: 1 substitution + 1 deletion (u1), 1 insertion (u2), 1 substitution (u3).
# Adapted: none (u1), 1 insertion (u2), 2 substitutions (u3).
BASE = (
    heard("u1", "The wee cat.", "the we", "ailsa"),
    heard("u2", "och aye", "och oh aye", "ailsa"),
    heard("u3", "It's a loch", "it's a lock", "bruce"),
)
ADAPTED = (
    heard("u1", "The wee cat.", "the wee cat", "ailsa"),
    heard("u2", "och aye", "och oh aye", "ailsa"),
    heard("u3", "It's a loch", "it's the lock", "bruce"),
)


@dataclass(frozen=True)
class Said:
    """An utterance of so many words, of which the systems have so many wrong.

    With no word, an error is a word that was heard all the same.
    """

    words: int
    base: int = 0
    adapted: int = 0
    speaker: str = "ailsa"
    accent: str = "scottish"
    snr_db: float | None = None
    seen: bool | None = None

    def heard(self, id_: str, wrong: int) -> Hypothesis:
        words = [f"w{number}" for number in range(self.words)]
        text = " ".join(["x"] * wrong + words[wrong:])
        return heard(
            id_,
            " ".join(words),
            text,
            self.speaker,
            accent=self.accent,
            snr_db=self.snr_db,
            seen=self.seen,
        )


def by_both(*utterances: Said) -> Both:
    rows = [(f"u{number}", each) for number, each in enumerate(utterances)]
    return (
        [each.heard(id_, each.base) for id_, each in rows],
        [each.heard(id_, each.adapted) for id_, each in rows],
    )


def counted(*utterances: Said) -> Paired:
    return pair(*by_both(*utterances), normaliser="plain")


def texts(*rows: tuple[str, str, str]) -> Both:
    """Return utterances of one speaker from their reference, base and adapted texts."""
    base = [heard(f"u{number}", row[0], row[1]) for number, row in enumerate(rows)]
    adapted = [replace(each, hypothesis=row[2]) for each, row in zip(base, rows, strict=True)]
    return base, adapted


def paired(*rows: tuple[str, str, str]) -> Paired:
    return pair(*texts(*rows), normaliser="plain")


def ten_words_each(errors: Sequence[tuple[int, int]]) -> Both:
    """Return what each speaker's ten words became, with so many errors in base and adapted."""
    return by_both(
        *(Said(10, *each, speaker=f"speaker-{number}") for number, each in enumerate(errors))
    )
