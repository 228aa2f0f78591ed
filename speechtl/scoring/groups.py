"""For whom, and on what, it got better: speakers, accents, lengths, noise, prompts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from speechtl.metrics import rate_or_none
from speechtl.scoring.hypotheses import Hypothesis
from speechtl.scoring.paired import Paired
from speechtl.significance import Interval, group_intervals, ratio_interval

__all__ = [
    "Disparity",
    "Group",
    "Groups",
    "SpeakerScore",
    "Spread",
    "disparity",
    "groups",
    "per_speaker",
]

LENGTHS = ((1, 3), (4, 7), (8, 12), (13, 20), (21, None))
"""Bands of an utterance's reference words, both ends included."""

SNR_DB = (10, 20, 30)
"""Where the bands of the signal-to-noise ratio part (dB)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeakerScore:
    """One speaker's pooled WER before and after (fractions).

    The intervals, of 95 %, are of this speaker in other sentences: `significance.ratio_interval`.
    """

    speaker: str
    utterances: int
    words: int
    base_wer: float | None
    adapted_wer: float | None
    base_interval: Interval | None = None
    adapted_interval: Interval | None = None
    difference_interval: Interval | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A part of a set: pooled WERs before and after (fractions).

    Attributes:
        name: What its utterances have in common.
        utterances: How many they are.
        speakers: By how many people.
        words: Reference words.
        base_wer: Before.
        adapted_wer: After.
        interval: The interval of 95 % of adapted - base, by bootstrap over the set's speakers; None
            where fewer than two speak here.
    """

    name: str
    utterances: int
    speakers: int
    words: int
    base_wer: float | None
    adapted_wer: float | None
    interval: Interval | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Groups:
    """A set by what its utterances have in common; one without a part is left empty.

    Attributes:
        accents: By accent, where there are several.
        lengths: By reference words.
        snr: By signal-to-noise ratio, where it is known.
        prompts: By whether the sentence was trained on, where it is known.
    """

    accents: tuple[Group, ...] = ()
    lengths: tuple[Group, ...] = ()
    snr: tuple[Group, ...] = ()
    prompts: tuple[Group, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """How far the worst heard accent is behind the best heard one (WER, fractions)."""

    worst: str
    worst_wer: float
    best: str
    best_wer: float
    difference: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Disparity:
    """The spread between the accents of all sets, before and after."""

    base: Spread
    adapted: Spread


def per_speaker(paired: Paired) -> tuple[SpeakerScore, ...]:
    """Return each speaker's scores, sorted by name."""
    places: dict[str, list[int]] = {}
    for index, row in enumerate(paired.rows):
        places.setdefault(row.speaker, []).append(index)
    words, base, adapted = paired.words, paired.base.errors, paired.adapted.errors
    scores = []
    for speaker, chosen in sorted(places.items()):
        own, before, after = words[chosen], base[chosen], adapted[chosen]
        scores.append(
            SpeakerScore(
                speaker=speaker,
                utterances=len(chosen),
                words=int(own.sum()),
                base_wer=_rate(before, own),
                adapted_wer=_rate(after, own),
                base_interval=ratio_interval(own, before),
                adapted_interval=ratio_interval(own, after),
                difference_interval=ratio_interval(own, after - before, signed=True),
            )
        )
    return tuple(scores)


def groups(paired: Paired, *, seed: int) -> Groups:
    """Return the set by accent, length, signal-to-noise ratio and prompts.

    Args:
        paired: The set.
        seed: Draws the resamples of the intervals.
    """
    rows = paired.rows
    accents = [row.accent for row in rows]
    named: dict[str, list[str | None]] = {
        "accents": list(accents) if len(set(accents)) > 1 else [],
        "lengths": [_length(int(words)) for words in paired.words],
        "snr": _known([_snr(row) for row in rows]),
        "prompts": _known([_prompt(row) for row in rows]),
    }
    orders: dict[str, Sequence[str]] = {
        "accents": sorted(set(accents)),
        "lengths": [_length(first) for first, _ in LENGTHS] + [_length(0)],
        "snr": [_band(place) for place in range(len(SNR_DB) + 1)] + ["not known"],
        "prompts": ["seen", "unseen", "not known"],
    }
    masks = [
        (kind, name, mask)
        for kind, names in named.items()
        for name in orders[kind]
        if (mask := np.array([each == name for each in names], dtype=bool)).any()
    ]
    if not masks:
        return Groups()
    intervals = group_intervals(paired.pairs, np.stack([m for _, _, m in masks]), seed=seed)
    found: Mapping[str, list[Group]] = {kind: [] for kind in named}
    for (kind, name, mask), interval in zip(masks, intervals, strict=True):
        found[kind].append(_group(paired, name, mask, interval.difference))
    return Groups(**{kind: tuple(each) for kind, each in found.items()})


def disparity(sets: Iterable[Paired]) -> Disparity | None:
    """Return the spread between the accents of all sets; None where there are fewer than two."""
    sums: dict[str, npt.NDArray[np.int64]] = {}
    for paired in sets:
        counted = np.stack([paired.words, paired.base.errors, paired.adapted.errors], axis=1)
        names = np.array([row.accent for row in paired.rows])
        for accent in np.unique(names):
            own = counted[names == accent].sum(axis=0)
            sums[str(accent)] = sums.get(str(accent), np.zeros(3, dtype=np.int64)) + own
    heard = {accent: each for accent, each in sorted(sums.items()) if each[0]}
    if len(heard) < 2:
        return None
    base, adapted = (
        _spread({accent: float(each[system] / each[0]) for accent, each in heard.items()})
        for system in (1, 2)
    )
    return Disparity(base=base, adapted=adapted)


def _spread(rates: Mapping[str, float]) -> Spread:
    worst, best = max(rates, key=rates.__getitem__), min(rates, key=rates.__getitem__)
    return Spread(
        worst=worst,
        worst_wer=rates[worst],
        best=best,
        best_wer=rates[best],
        difference=rates[worst] - rates[best],
    )


def _group(
    paired: Paired, name: str, mask: npt.NDArray[np.bool_], interval: Interval | None
) -> Group:
    words = paired.words[mask]
    return Group(
        name=name,
        utterances=int(mask.sum()),
        speakers=len(
            {row.speaker for row, chosen in zip(paired.rows, mask, strict=True) if chosen}
        ),
        words=int(words.sum()),
        base_wer=_rate(paired.base.errors[mask], words),
        adapted_wer=_rate(paired.adapted.errors[mask], words),
        interval=interval,
    )


def _rate(errors: npt.NDArray[np.int64], words: npt.NDArray[np.int64]) -> float | None:
    return rate_or_none(int(errors.sum()), int(words.sum()))


def _known(names: list[str | None]) -> list[str | None]:
    """Return the names with one for what is not known; none at all where nothing is."""
    return [name or "not known" for name in names] if any(names) else []


def _length(words: int) -> str:
    for first, last in LENGTHS:
        if last is None and words >= first:
            return f"{first} words or more"
        if last is not None and first <= words <= last:
            return f"{first} to {last} words"
    return "no words"


def _snr(row: Hypothesis) -> str | None:
    if row.snr_db is None:
        return None
    return _band(sum(row.snr_db >= edge for edge in SNR_DB))


def _band(place: int) -> str:
    if place == 0:
        return f"below {SNR_DB[0]} dB"
    if place == len(SNR_DB):
        return f"{SNR_DB[-1]} dB or more"
    return f"{SNR_DB[place - 1]} to {SNR_DB[place]} dB"


def _prompt(row: Hypothesis) -> str | None:
    return None if row.seen is None else "seen" if row.seen else "unseen"
