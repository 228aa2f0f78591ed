"""How sure a difference between two systems is, on the same utterances: paired tests by speaker.

Errors of one speaker come together: an accent, a microphone, a habit. What is drawn at random is
therefore the speaker, with all of his or her utterances, and never an utterance alone (Liu & Peng
2020, "Statistical testing on ASR performance via blockwise bootstrap", arXiv:1912.09508).

- `intervals`: the block bootstrap by speaker (Bisani & Ney 2004), its percentiles moved outwards
  for few speakers (Hesterberg 2015, "What teachers should know about the bootstrap": the expanded
  percentile interval), without which intervals of 95 % held 91 to 93 % with 16 simulated speakers.
- `sign_flips`: the permutation test whose null hypothesis is that a speaker's difference might as
  well have had the other sign. It holds its level with any number of speakers.
- `group_intervals`, `ratio_interval`: the same for parts of a set, and for one speaker.
- `smallest_detectable`: the difference that a set of such speakers would have shown.
- `mapsswe`, `mcnemar`: NIST's `sc_stats` (Gillick & Cox 1989), which take errors of segments and of
  utterances as independent of each other: a second opinion.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import starmap
from typing import Any, Literal

import numba
import numpy as np
import numpy.typing as npt
from scipy import stats

from speechtl.metrics import EQUAL, INSERT, Steps

__all__ = [
    "LEVEL",
    "Bootstrapped",
    "Interval",
    "Mapsswe",
    "Mcnemar",
    "Pairs",
    "SignFlips",
    "Verdict",
    "enough_speakers",
    "group_intervals",
    "holm",
    "intervals",
    "intervals_together",
    "mapsswe",
    "mcnemar",
    "ratio_interval",
    "sign_flips",
    "smallest_detectable",
    "unpaired_interval",
    "verdict",
]

RESAMPLES = 10_000
"""Of the bootstrap, and the sign flips that are drawn where they are too many to try them all."""

ENUMERATED = 16
"""Speakers up to whom all sign flips are tried: 2 to this power of them."""

CONFIDENCE = 0.95

LEVEL = 0.05
"""Of a test: a p-value up to it is evidence."""

POWER = 0.8
"""How often a difference is found that a test set is said to be able to show."""

LEAST_SPEAKERS = 4
"""Of an interval by bootstrap. No resample leaves the range of the speakers: of simulated sets,
intervals of two held the truth in half of them, and those of three in three quarters."""

FEW_SPEAKERS = 8
"""Below so many, a bootstrap has too little to draw from: its interval is told with a caution."""

Verdict = Literal["improved", "no evidence", "worse", "within budget", "over budget"]

_DRAWN = 2_000_000  # speakers that are drawn at once, 16 MB
_BOUNDARY = 2  # words right in both systems that part two segments, as `sc_stats` has it

Interval = tuple[float, float]
_Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Pairs:
    """Two systems' errors in the same utterances; all arrays are `(utterances,)`.

    Attributes:
        speakers: Who speaks, as numbers.
        words: Reference words.
        base: Word errors of the first system.
        adapted: Word errors of the second.
    """

    speakers: _Counts
    words: _Counts
    base: _Counts
    adapted: _Counts

    def by_speaker(self) -> npt.NDArray[np.float64]:
        """Return each speaker's words and both systems' errors, `(speakers, 3)`."""
        names, places = np.unique(self.speakers, return_inverse=True)
        columns = (self.words, self.base, self.adapted)
        return np.stack([np.bincount(places, each, len(names)) for each in columns], axis=1)


# --- intervals ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Bootstrapped:
    """Intervals of 95 % (fractions); None where there are fewer than four speakers."""

    base: Interval | None
    adapted: Interval | None
    difference: Interval | None


def intervals(pairs: Pairs, *, seed: int, resamples: int = RESAMPLES) -> Bootstrapped:
    """Return the intervals of both WERs and of adapted - base, by bootstrap over the speakers.

    Args:
        pairs: The errors.
        seed: Draws the resamples.
        resamples: How many; each has as many speakers as there are.
    """
    [found] = _intervals(pairs.by_speaker()[:, None], seed=seed, resamples=resamples)
    return found


def intervals_together(parts: Sequence[Pairs], *, seed: int) -> list[Bootstrapped]:
    """Return the intervals of the same speakers' errors, counted in several ways, of one drawing.

    Args:
        parts: The errors under each way of counting, by the same speakers.
        seed: Draws the resamples.
    """
    sums = np.stack([each.by_speaker() for each in parts], axis=1)
    return _intervals(sums, seed=seed, resamples=RESAMPLES)


def group_intervals(
    pairs: Pairs, groups: npt.NDArray[np.bool_], *, seed: int, resamples: int = RESAMPLES
) -> list[Bootstrapped]:
    """Return the intervals of parts of a set: what was drawn are its speakers, as for the whole.

    Args:
        pairs: The errors.
        groups: Which utterances are in each part, `(groups, utterances)`.
        seed: Draws the resamples.
        resamples: How many.
    """
    columns = (pairs.words, pairs.base, pairs.adapted)
    parts = [Pairs(pairs.speakers, *(each * group for each in columns)) for group in groups]
    sums = np.stack([each.by_speaker() for each in parts], axis=1)
    return _intervals(sums, seed=seed, resamples=resamples)


def unpaired_interval(
    first: Pairs, second: Pairs, *, seed: int, resamples: int = RESAMPLES
) -> Interval | None:
    """Return the interval of 95 % of how much more the first's WER changed than the second's.

    The two are different people: each set's speakers are drawn by themselves.
    """
    changes = []
    for number, pairs in enumerate((first, second)):
        sums = pairs.by_speaker()
        if len(sums) < LEAST_SPEAKERS:
            return None
        [(base, adapted)] = _resampled(sums[:, None], seed=seed + number, resamples=resamples)
        changes.append(adapted - base)
    kept = min(map(len, changes))  # a resample without a word has no rate
    if not kept:
        return None
    fewer = min(len(np.unique(pairs.speakers)) for pairs in (first, second))
    return _between(changes[0][:kept] - changes[1][:kept], speakers=fewer)


def _intervals(sums: npt.NDArray[np.float64], *, seed: int, resamples: int) -> list[Bootstrapped]:
    """Return the intervals of each part of `sums`, `(speakers, parts, 3)`.

    Who says and hears nothing in a part does not count among its speakers.
    """
    rates = _resampled(sums, seed=seed, resamples=resamples)
    speakers = sums.any(axis=2).sum(axis=0)
    return [_bootstrapped(*each, speakers=int(n)) for each, n in zip(rates, speakers, strict=True)]


_Rates = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]


def _resampled(sums: npt.NDArray[np.float64], *, seed: int, resamples: int) -> list[_Rates]:
    """Return both systems' WERs of each group in the resamples that have a word of it."""
    count, groups, _ = sums.shape
    if count < 2:
        return [(np.empty(0), np.empty(0))] * groups
    rng = np.random.default_rng(seed)
    flat = sums.reshape(count, -1)
    parts = _parts(resamples, max(1, _DRAWN // count))
    drawn = np.concatenate([_drawn(rng, size, count) @ flat for size in parts])
    found = []
    for words, base, adapted in drawn.reshape(-1, groups, 3).transpose(1, 2, 0):
        there = words > 0  # a rate over no word is none
        found.append((base[there] / words[there], adapted[there] / words[there]))
    return found


def _bootstrapped(
    base: npt.NDArray[np.float64], adapted: npt.NDArray[np.float64], *, speakers: int
) -> Bootstrapped:
    if not len(base) or speakers < LEAST_SPEAKERS:
        return Bootstrapped(None, None, None)
    return Bootstrapped(
        _between(base, speakers=speakers),
        _between(adapted, speakers=speakers),
        _between(adapted - base, speakers=speakers),
    )


def _between(values: npt.NDArray[np.float64], *, speakers: int) -> Interval:
    tail = _tail(speakers)
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)


def ratio_interval(words: _Counts, errors: _Counts, *, signed: bool = False) -> Interval | None:
    """Return the interval of 95 % of one speaker's rate, whose utterances are taken as drawn.

    That of a ratio of two sums (Cochran 1977, "Sampling techniques", section 6.3), with Student's
    quantile: of this speaker in other sentences, not of other speakers.

    Args:
        words: Reference words of each utterance, `(utterances,)`.
        errors: Errors of each.
        signed: Whether they are differences; an interval of a rate is cut off at zero.

    Returns:
        None with fewer than two utterances, or no word, or where all utterances have the same rate:
        of how much they vary nothing is known then.
    """
    count, total = len(words), int(words.sum())
    if count < 2 or not total or _all_alike(words, errors):
        return None
    rate = float(errors.sum()) / total
    reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, count - 1)) * _standard_error(words, errors)
    low = rate - reach if signed else max(0.0, rate - reach)
    return low, rate + reach


def _standard_error(words: npt.NDArray[Any], errors: npt.NDArray[Any]) -> float:
    """Return the standard error of sum(errors) / sum(words) over what was drawn."""
    count, total = len(words), float(words.sum())
    left = errors - words * (float(errors.sum()) / total)
    return math.sqrt(count / (count - 1) * float((left**2).sum())) / total


def enough_speakers(speakers: int, *, tests: int = 1) -> bool:
    """Return whether sign flips of so many speakers can give a p-value that is evidence.

    Args:
        speakers: How many are tested.
        tests: How many sets are judged together.
    """
    return math.ldexp(2.0, -speakers) <= LEVEL / tests


def _all_alike(words: npt.NDArray[Any], errors: npt.NDArray[Any]) -> bool:
    """Return whether all have the same rate, in whole numbers, which no rounding blurs."""
    return bool((errors * words.sum() == words * errors.sum()).all())


def smallest_detectable(pairs: Pairs, *, tests: int = 1) -> float | None:
    """Return the least true difference of WERs (a fraction) found in four such test sets of five.

    So large a one lies the two quantiles of Student's distribution, that of the test's level and
    that of the power, away from zero, in standard errors of the observed difference over the
    speakers (Cohen 1988, "Statistical power analysis", chapter 2). The level is the greatest up to
    0.05 that sign flips of so many speakers can have. Where all of them must agree for it, the
    probability of that is the power. In simulations 75 to 80 % of such differences were found.

    Args:
        pairs: The errors.
        tests: How many sets are judged: Holm's correction asks the first for a level of 0.05 by so
            many.

    Returns:
        None where no p-value of the sign flips is small enough (fewer than six speakers), or where
        all speakers changed alike, which says nothing of how they would differ.
    """
    sums = pairs.by_speaker().astype(np.int64)
    words, changes = sums[:, 0], sums[:, 2] - sums[:, 1]
    count = len(sums)
    alike = _all_alike(words, changes)
    if alike or not enough_speakers(count, tests=tests) or (words == words.sum()).any():
        return None
    flips = 2.0 ** min(count - 1, 50)
    level = math.floor(LEVEL / tests * flips) / flips
    if level < 2 / flips:
        needed = math.sqrt(count) * float(stats.norm.ppf(POWER ** (1 / count)))
    else:
        needed = float(stats.t.ppf([1 - level / 2, POWER], count - 1).sum())
    # A standard deviation of few is too small in the mean, by this factor (Holtzman 1950, "c4").
    small = math.sqrt(2 / (count - 1)) * math.exp(
        math.lgamma(count / 2) - math.lgamma((count - 1) / 2)
    )
    return needed * _jackknife_error(words, changes) / small


def _jackknife_error(words: _Counts, changes: _Counts) -> float:
    """Return the standard error of sum(changes) / sum(words), leaving out each speaker in turn.

    The linearised one is too small where speakers differ in how much they say (Efron & Stein 1981,
    "The jackknife estimate of variance").
    """
    count = len(words)
    left_out = (changes.sum() - changes) / (words.sum() - words)
    return math.sqrt((count - 1) / count * float(((left_out - left_out.mean()) ** 2).sum()))


def _drawn(rng: np.random.Generator, resamples: int, speakers: int) -> npt.NDArray[np.float64]:
    """Return how often each speaker is in each resample, `(resamples, speakers)`."""
    places = rng.integers(speakers, size=(resamples, speakers), dtype=np.int32)
    places += speakers * np.arange(resamples, dtype=np.int32)[:, None]
    counts = np.bincount(places.ravel(), minlength=resamples * speakers)
    return counts.reshape(resamples, speakers).astype(np.float64)


def _tail(speakers: int) -> float:
    """Return the share of resamples beyond each end of an expanded percentile interval."""
    wider = math.sqrt(speakers / (speakers - 1))
    return float(stats.norm.cdf(wider * stats.t.ppf((1 - CONFIDENCE) / 2, speakers - 1)))


def _parts(total: int, largest: int) -> Iterator[int]:
    while total > 0:
        yield min(total, largest)
        total -= largest


# --- tests ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SignFlips:
    """The permutation test over speakers: its p, two-sided, and the least p that it could have."""

    p_value: float
    least_p_value: float
    speakers: int


def sign_flips(pairs: Pairs, *, seed: int, resamples: int = RESAMPLES) -> SignFlips:
    """Return how often a sum of errors' differences as large comes of flipped signs.

    All flips are tried for up to 16 speakers; else so many are drawn (Phipson & Smyth 2010,
    "Permutation p-values should never be zero").
    """
    sums = pairs.by_speaker()
    differences = (sums[:, 2] - sums[:, 1]).astype(np.int64)
    count = len(differences)
    seen = abs(int(differences.sum()))
    if count <= ENUMERATED:
        flipped = np.zeros(1, dtype=np.int64)
        for each in differences:
            flipped = np.concatenate([flipped + each, flipped - each])
        p = float(np.mean(np.abs(flipped) >= seen))
        return SignFlips(p, min(1.0, 2.0 / 2**count), count)
    rng = np.random.default_rng(seed)
    larger = sum(
        int((np.abs(_signs(rng, size, count) @ differences) >= seen).sum())
        for size in _parts(resamples, max(1, _DRAWN // count))
    )
    return SignFlips((larger + 1) / (resamples + 1), 1 / (resamples + 1), count)


def _signs(rng: np.random.Generator, rows: int, columns: int) -> _Counts:
    return 2 * rng.integers(2, size=(rows, columns), dtype=np.int64) - 1


@dataclass(frozen=True, slots=True)
class Mapsswe:
    """The matched-pair sentence-segment word error test: segments, Z, and its two-sided p."""

    segments: int
    z: float
    p_value: float


def mapsswe(alignments: Iterable[tuple[Steps, Steps]]) -> Mapsswe:
    """Return the test of Gillick & Cox (1989) as NIST's `sc_stats` computes it.

    Each utterance is cut at every two words that both systems have right; the errors of the two
    in the segments that hold any are compared by a Z test. Like `sc_stats`, whose table has two
    decimals, p is that of a Z without its third.

    Args:
        alignments: Of each utterance the base's and the adapted model's steps (`metrics.align`).
    """
    errors = np.concatenate([np.empty((0, 2), dtype=np.int64), *starmap(_segments, alignments)])
    differences = errors[:, 0] - errors[:, 1]
    count = len(differences)
    spread = float(differences.std(ddof=1)) if count > 1 else 0.0
    z = float(differences.mean()) / (spread / math.sqrt(count)) if spread else 0.0
    p = 2 * float(stats.norm.sf(math.floor(100 * abs(z)) / 100))
    return Mapsswe(count, z, p)


@numba.njit(cache=True, nogil=True)
def _segments(base: Steps, adapted: Steps) -> _Counts:
    """Return both systems' errors in each segment of an utterance that has any, `(segments, 2)`.

    A segment lies between two pairs of words that both have right (or an end of the utterance).
    """
    found = np.zeros((len(base) + len(adapted), 2), dtype=np.int64)
    count = i = j = right = 0
    first_i = first_j = 0  # the last word that both had right before the segment
    wrong = False
    while i < len(base) or j < len(adapted):
        while i < len(base) and base[i] == INSERT:
            i, right, wrong = i + 1, 0, True
        while j < len(adapted) and adapted[j] == INSERT:
            j, right, wrong = j + 1, 0, True
        both = i < len(base) and base[i] == EQUAL and j < len(adapted) and adapted[j] == EQUAL
        if not both:
            right, wrong = 0, True
        elif not wrong:
            first_i, first_j = i, j
        else:
            right += 1
            if right == _BOUNDARY:
                found[count, 0] = (base[max(0, first_i - 1) : i + 1] != EQUAL).sum()
                found[count, 1] = (adapted[max(0, first_j - 1) : j + 1] != EQUAL).sum()
                count += 1
                first_i, first_j, right, wrong = i, j, 0, False
        i, j = min(i + 1, len(base)), min(j + 1, len(adapted))
    if wrong:
        found[count, 0] = (base[max(0, first_i - 1) :] != EQUAL).sum()
        found[count, 1] = (adapted[max(0, first_j - 1) :] != EQUAL).sum()
        count += 1
    return found[:count]


@dataclass(frozen=True, slots=True)
class Mcnemar:
    """McNemar's exact test on utterances without an error, two-sided.

    Attributes:
        base_alone: Utterances that the base alone has right.
        adapted_alone: Utterances that the adapted model alone has right.
        p_value: Its p.
    """

    base_alone: int
    adapted_alone: int
    p_value: float


def mcnemar(pairs: Pairs) -> Mcnemar:
    """Return how probable so uneven a split is of the utterances that one system alone has right.

    An exact binomial test, as `sc_stats` does it.
    """
    base = int(((pairs.base == 0) & (pairs.adapted > 0)).sum())
    adapted = int(((pairs.base > 0) & (pairs.adapted == 0)).sum())
    p = 1.0 if base == adapted else float(stats.binomtest(base, base + adapted).pvalue)
    return Mcnemar(base, adapted, p)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values corrected for their number (Holm 1979), in the same order."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    corrected, highest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = highest
    return corrected


def verdict(
    interval: Interval | None, p_value: float, *, speakers: int, budget: float | None = None
) -> Verdict:
    """Return what a difference of WERs, adapted - base, is evidence of.

    `improved` where the whole interval is below zero and the p-value at most 0.05; `worse` where it
    is above zero and the p-value as small; else `no evidence`, which is what fewer than six
    speakers always give. Each condition errs alone: the bootstrap is somewhat too sure of few
    speakers, and the permutation test asks for the difference's sign alone.

    With a budget, `within budget` where the whole interval is at most that, `over budget` where the
    whole of it is more; where it is neither, the difference is judged as without.

    Args:
        interval: Of 95 % (fractions); None where there is none.
        p_value: Of a test that there is no difference.
        speakers: How many both rest on; fewer than six give no evidence of anything, nor of a limit
            that is kept: with two, an interval was within a limit that was passed in a fifth of
            the simulated sets.
        budget: By how much the WER may rise (a fraction).
    """
    if interval is None or not enough_speakers(speakers):
        return "no evidence"
    low, high = interval
    if budget is not None and high <= budget:
        return "within budget"
    if budget is not None and low > budget:
        return "over budget"
    if p_value > LEVEL or low <= 0 <= high:
        return "no evidence"
    return "improved" if high < 0 else "worse"
