"""Splits: who is trained on, who chooses, who is tested; and what the three have in common.

A speaker is in one split, else a score would say how well known speakers are understood. The shares
are those of the speech in seconds. Each accent's speakers are dealt for themselves, so that an
accent of three speakers or more is in train, dev and test; within an accent the sexes are balanced
as far as whole speakers allow. The units (speakers; or utterances, sentences, or groups of
speakers) are shuffled by the seed, each goes where it is missed most, and then they are moved and
exchanged as long as that brings the splits nearer to what was asked for. The order of the
utterances has no influence.

Where train and test must share no sentence either, speakers are dealt in groups that share none
with another group; nothing is lost. Where there are no such groups (many corpora have all speakers
read the same sentences), the sentences are dealt to the splits too, and an utterance stays only
where its speaker's split is that of its sentence. The sentences go where they make the sum of
share × log(seconds that stay) the largest: what only one split says stays there at no loss, and of
sentences that all say each split gets its share. So 70, 10 and 20 % keep 0.7² + 0.1² + 0.2² = 54 %.
"""

from __future__ import annotations

import difflib
import math
import string
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import compress
from typing import Literal, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from speechtl.corpus import SPLITS, Corpus, Utterance, sentence
from speechtl.errors import ConfigError, DataError
from speechtl.faults import VERDICT_SPEAKERS, Fault, data_error
from speechtl.leakage import Overlap, overlaps

__all__ = [
    "LeakageReport",
    "Split",
    "SplitFacts",
    "SplitPlan",
    "fold_speakers",
    "fold_splits",
    "folds",
    "leakage_report",
    "split",
    "split_by_speaker",
]

LEAST_TEST_MINUTES = 5.0
"""Less says little: at 150 words a minute and a WER of 10 % it holds 75 errors, give or take 9."""

# Names of random streams, beside those of the run.
_FOLDS = 5  # `fold_speakers` and `fold_splits`, as runs have always dealt them
_STREAM = 6  # `split` and `folds`

_TRAIN, _DEV, _TEST = range(3)
# Of the speakers that a fold does not test; a split without folds has as much dev beside its train.
_FOLD_SHARES = (0.875, 0.125)

# What balances beside the shares: they may stray from what is asked for a little, not these.
_COUNT_WEIGHT, _SEX_WEIGHT, _CARRY_WEIGHT = 0.1, 0.25, 0.02
_NEAR = 0.02  # of all the speech: a deal that strays no further is taken, not the best of all
_STARTS = 8
_SWEEPS = 50
_LOST_BY_GROUPS = 0.05  # groups of speakers that stray further are too coarse to be dealt
_ROUNDS = 6

_TOLD_SHARE = 0.1  # of test utterances whose sentence is in train; more is told
_LISTED = 20

# Why an utterance is in no split; places from 0 are splits.
_FREE, _UNNAMED, _CROSSED, _ENOUGH = -1, -2, -3, -4
_REASONS = {
    _UNNAMED: "its speaker is named for no split",
    _CROSSED: "its sentence belongs to another split than its speaker",
    _ENOUGH: "train has the minutes that were asked for",
}

_Integers = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float64]
Duration = Callable[[Utterance], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitPlan:
    """What train, dev and test must be.

    Attributes:
        disjoint: What no two splits share: `speaker`, `prompt` (the sentence), both or, for a score
            that says nothing about new speakers, neither.
        shares: Of the speech, in seconds, for train, dev and test: positive, with a sum of 1.
        minutes: Minutes for train, dev and test in place of shares, for all accents together; an
            accent gives as much of them as it has of the speech. None in its place is the rest for
            train and the share for dev and test. Dev and test have whole speakers; utterances
            beyond the minutes of train are left out, drawn by the seed.
        stratify: `accent`: each accent's speakers are dealt for themselves; `sex`: each split has
            the sexes as the whole has them. Utterances without a sex are one more.
        speakers: The names of the speakers of a split. It has those and no others; the other
            speakers are dealt to the splits that are not named.
        seed: Of the deal, from 0.
        resplit: Whether splits that the corpus has are dealt again.

    Raises:
        ConfigError: A value is out of its range, or a speaker is named for two splits.
    """

    disjoint: tuple[Literal["speaker", "prompt"], ...] = ("speaker",)
    shares: tuple[float, float, float] = (0.7, 0.1, 0.2)
    minutes: tuple[float | None, float | None, float | None] | None = None
    stratify: tuple[Literal["accent", "sex"], ...] = ("accent", "sex")
    speakers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    seed: int = 0
    resplit: bool = False

    def __post_init__(self) -> None:
        faults = list(_plan_faults(self))
        if faults:
            raise ConfigError("\n  - ".join(("these splits cannot be made", *faults)))


def _plan_faults(plan: SplitPlan) -> Iterator[str]:
    for name, known in (("disjoint", ("speaker", "prompt")), ("stratify", ("accent", "sex"))):
        if unknown := [each for each in getattr(plan, name) if each not in known]:
            yield f"{name} is made of {' and '.join(known)}, got {', '.join(map(repr, unknown))}"
    shares = plan.shares
    if len(shares) != len(SPLITS) or not min(shares) > 0 or not math.isclose(sum(shares), 1):
        yield f"shares must be three positive numbers that add up to 1, got {shares}"
    minutes = plan.minutes
    if minutes is not None and (
        len(minutes) != len(SPLITS)
        or not all(each is None or 0 < each < math.inf for each in minutes)
    ):
        yield f"minutes must be three positive numbers, or None for what is not given: {minutes}"
    if plan.seed < 0:
        yield f"the seed must be 0 or more, got {plan.seed}"
    if unknown := [name for name in plan.speakers if name not in SPLITS]:
        yield f"speakers are named for {', '.join(SPLITS)}, got {', '.join(map(repr, unknown))}"
    if empty := [name for name, named in plan.speakers.items() if not named]:
        yield f"no speaker is named for {', '.join(empty)}; name one, or leave it out"
    if plan.speakers and "speaker" not in plan.disjoint:
        yield "speakers are named, so that splits must be disjoint by speaker"
    times = Counter(name for named in plan.speakers.values() for name in set(named))
    if twice := sorted(name for name, count in times.items() if count > 1):
        yield f"a speaker can be in one split alone; named for two: {', '.join(twice)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """A corpus that is split.

    Attributes:
        corpus: The utterances in their order, with `split` set; those left out are not in it.
        left_out: The id of each utterance that is in no split, sorted, and the reason.
        notes: What a person should know of how it came about, a sentence each.
    """

    corpus: Corpus
    left_out: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


def split(corpus: Corpus, plan: SplitPlan, *, duration: Duration) -> Split:
    """Return the corpus with train, dev and test as planned.

    An accent whose utterances have splits keeps them, unless the plan says to split anew. An accent
    of too few speakers for all splits (three, where none is named) goes to train whole, and a note
    says so. The same utterances, plan and seed give the same splits, whatever their order.

    Args:
        corpus: What to split.
        plan: How.
        duration: Of an utterance, in seconds. It is called once for each that is dealt.

    Raises:
        ConfigError: Speakers or disjoint sentences are asked for, and the corpus has splits.
        DataError: Some utterances of an accent have a split and others have none; a named speaker
            is not there; there are too few speakers or minutes; a duration is no number.
    """
    free = _free(corpus, plan)
    kept = len(corpus) - sum(free)
    told = [f"{kept} utterances keep the split that they have"] if kept else []
    if kept == len(corpus):
        return Split(corpus=corpus, notes=tuple(told))
    dealt = Corpus(compress(corpus, free)) if kept else corpus
    table = _table(dealt, plan, duration)
    fixed = _fixed(
        table, plan, kept=[each for each, no in zip(corpus, free, strict=True) if not no]
    )
    match plan.disjoint:
        case ("speaker",):
            places, notes = _by_speaker(table, plan, fixed)
        case ("prompt",):
            places, notes = _by_utterance(dealt, table, plan, prompts=True)
        case ():
            places, notes = _by_utterance(dealt, table, plan, prompts=False)
        case _:
            places, notes = _by_both(dealt, table, plan, fixed)
    places = _capped(dealt, table, plan, places)
    if not kept:
        _require_all(table, plan, places)
    told += [*notes, *_told(dealt, table, plan, places)]
    if not kept:
        return _placed(dealt, places, notes=told)
    # Those that are kept stay in their places among the others.
    everywhere = np.array([SPLITS.index(each.split) if each.split else 0 for each in corpus])
    everywhere[np.array(free)] = places
    return _placed(corpus, everywhere, notes=told)


def folds(corpus: Corpus, k: int, plan: SplitPlan, *, duration: Duration) -> tuple[Split, ...]:
    """Return `k` splits of one corpus, in which each speaker is tested exactly once.

    Each fold's train and dev are dealt from the others in the ratio of the plan's shares. Splits
    that the corpus has are not looked at. With disjoint sentences, groups of speakers that share
    none are dealt; nothing is left out.

    Args:
        corpus: What to split.
        k: How many folds, 2 or more.
        plan: How; without minutes and without names, for each speaker is tested.
        duration: Of an utterance, in seconds. It is called once for each.

    Raises:
        ConfigError: The plan asks for what folds cannot give, or there are more folds than
            speakers.
        DataError: There are too few speakers, or too few groups of them that share no sentence.
    """
    _require_foldable(corpus, k, plan)
    table = _table(corpus, plan, duration)
    units = _units(table, _groups(table, _prompts(corpus)) if "prompt" in plan.disjoint else None)
    if len(units.size) < max(k, len(SPLITS)):
        raise DataError(
            f"{len(units.size)} groups of speakers share no sentence with another, which is too "
            f"few for {k} folds; give fewer folds, or let sentences be in two splits (--disjoint "
            "speaker)"
        )
    rng = np.random.default_rng([plan.seed, _STREAM, 1])
    tested = _deal(units, np.full(k, 1 / k), rng=rng, fill=True)
    found = []
    for fold in range(k):
        rest = np.flatnonzero(tested != fold)
        if len(rest) < 2:
            raise DataError(
                f"one of {k} folds tests all but {len(rest)} of the speakers, which leaves too few "
                "to train on and to choose by (one each at least); give more folds"
            )
        shares = np.array(plan.shares[:2]) / sum(plan.shares[:2])
        rng = np.random.default_rng([plan.seed, _STREAM, 1, fold])
        place = np.full(len(units.size), _TEST)
        place[rest] = _deal(units.of(rest), shares, rng=rng, fill=True)
        places = place[units.unit][table.speaker]
        notes = _told(corpus, table, replace(plan, shares=_fold_shares(plan, k)), places, fold=True)
        if any(each.split for each in corpus):
            notes = ["the splits that the corpus has are not looked at", *notes]
        found.append(_placed(corpus, places, notes=notes))
    return tuple(found)


def _fold_shares(plan: SplitPlan, k: int) -> tuple[float, float, float]:
    train, dev = plan.shares[:2]
    rest = (1 - 1 / k) / (train + dev)
    return train * rest, dev * rest, 1 / k


def _require_foldable(corpus: Corpus, k: int, plan: SplitPlan) -> None:
    speakers = corpus.speakers
    faults = {
        f"{k} folds are no folds; give 2 or more": k < 2,
        "folds test each speaker: they take no minutes and no names of speakers": bool(
            plan.minutes or plan.speakers
        ),
        "folds share no speaker: they must be disjoint by speaker": "speaker" not in plan.disjoint,
    }
    if wrong := [fault for fault, is_so in faults.items() if is_so]:
        raise ConfigError("; ".join(wrong))
    if len(speakers) < len(SPLITS):
        raise DataError(_few_for_folds(speakers))
    if k > len(speakers):
        raise ConfigError(_many_folds(k, len(speakers)))


# --- the corpus in numbers ------------------------------------------------------------------------


class _Table(NamedTuple):
    """What a deal looks at.

    Attributes:
        speakers: Their names, sorted.
        speaker: The number of each utterance's speaker, `(utterances,)`.
        ms: Each utterance's length in milliseconds; integers, whose sums know no order.
        accents: The names of what is dealt for itself; one that is empty if accents are not.
        accent: Of each speaker, that of most of the speech, `(speakers,)`.
        sex: The same of the sexes; all 0 if they are not balanced.
    """

    speakers: list[str]
    speaker: _Integers
    ms: _Integers
    accents: list[str]
    accent: _Integers
    sex: _Integers


def _table(corpus: Corpus, plan: SplitPlan, duration: Duration) -> _Table:
    seconds = np.fromiter((duration(each) for each in corpus), dtype=float, count=len(corpus))
    wrong = np.flatnonzero(~((seconds >= 0) & (seconds < math.inf)))
    if len(wrong):
        raise data_error(
            "durations must be finite numbers of seconds from 0",
            [
                Fault("time-value", "duration", f"{seconds[i]} s", utterance=corpus[i].id)
                for i in wrong.tolist()
            ],
        )
    ms = np.maximum(np.rint(1000 * seconds).astype(np.int64), 1)
    speakers, speaker = _numbered([each.speaker for each in corpus])
    accents, accent = _numbered(
        [each.accent if "accent" in plan.stratify else "" for each in corpus]
    )
    sexes, sex = _numbered([(each.sex or "") if "sex" in plan.stratify else "" for each in corpus])
    return _Table(
        speakers=speakers,
        speaker=speaker,
        ms=ms,
        accents=accents,
        accent=_most(speaker, accent, ms, shape=(len(speakers), len(accents))),
        sex=_most(speaker, sex, ms, shape=(len(speakers), len(sexes))),
    )


def _numbered(values: Sequence[str]) -> tuple[list[str], _Integers]:
    """Return the distinct values, sorted, and the number of each."""
    distinct = sorted(set(values))
    numbers = {value: number for number, value in enumerate(distinct)}
    return distinct, np.fromiter(map(numbers.__getitem__, values), np.int64, count=len(values))


def _total(number: _Integers, amount: npt.ArrayLike, count: int) -> _Floats:
    """Return the sum of the amounts of each number below `count`."""
    return np.bincount(number, weights=amount, minlength=count).astype(np.float64, copy=False)


def _sums(
    row: _Integers, column: _Integers, amount: npt.ArrayLike, *, shape: tuple[int, int]
) -> _Floats:
    """Return the sum of the amounts of each row and column, of this shape."""
    return _total(row * shape[1] + column, amount, shape[0] * shape[1]).reshape(shape)


def _most(row: _Integers, column: _Integers, ms: _Integers, *, shape: tuple[int, int]) -> _Integers:
    """Return the column that has most of each row, of equal ones the first."""
    return np.asarray(_sums(row, column, ms, shape=shape).argmax(axis=1), dtype=np.int64)


class _Units(NamedTuple):
    """What is dealt whole.

    Attributes:
        unit: The unit of each speaker, `(speakers,)`.
        size: Milliseconds of each unit, `(units,)`.
        heads: Its speakers.
        sexes: Milliseconds of each sex, `(units, sexes)`.
        accent: Its accent.
    """

    unit: _Integers
    size: _Floats
    heads: _Floats
    sexes: _Floats
    accent: _Integers

    def of(self, chosen: _Integers) -> _Units:
        """Return some of the units; `unit` stays that of all."""
        return self._replace(
            size=self.size[chosen],
            heads=self.heads[chosen],
            sexes=self.sexes[chosen],
            accent=self.accent[chosen],
        )


def _units(table: _Table, unit: _Integers | None = None) -> _Units:
    """Return the units of speakers: each for itself, or those that have one number."""
    number = np.arange(len(table.speakers)) if unit is None else unit
    units = int(number.max()) + 1
    size = _total(table.speaker, table.ms, len(table.speakers))
    sexes = int(table.sex.max()) + 1
    return _Units(
        unit=number,
        size=_total(number, size, units),
        heads=_total(number, np.ones(len(number)), units),
        sexes=_sums(number, table.sex, size, shape=(units, sexes)),
        accent=_sums(number, table.accent, size, shape=(units, len(table.accents))).argmax(axis=1),
    )


def _groups(table: _Table, prompt: _Integers) -> _Integers:
    """Return the group of each speaker; two groups share no sentence. They are numbered by name."""
    from scipy.sparse import coo_matrix  # noqa: PLC0415
    from scipy.sparse.csgraph import connected_components  # noqa: PLC0415

    speakers = len(table.speakers)
    nodes = speakers + int(prompt.max()) + 1
    links = coo_matrix(
        (np.ones(len(prompt), dtype=np.int8), (table.speaker, speakers + prompt)),
        shape=(nodes, nodes),
    )
    _, label = connected_components(links, directed=False)
    # Numbered by their first speaker: scipy does not promise an order.
    _, first, number = np.unique(label[:speakers], return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[number]


def _prompts(corpus: Corpus) -> _Integers:
    """Return the number of each utterance's sentence; they are numbered as they are sorted."""
    texts = [each.text for each in corpus]
    plain = {text: sentence(text) for text in set(texts)}
    return _numbered([plain[text] for text in texts])[1]


# --- what is given: splits and names --------------------------------------------------------------


def _free(corpus: Corpus, plan: SplitPlan) -> list[bool]:
    """Return whether each utterance is to be dealt."""
    if not corpus:
        raise DataError("there is no utterance to split; give a corpus that has some")
    if plan.resplit or not any(each.split for each in corpus):
        return [True] * len(corpus)
    if faults := list(_partial(corpus, each_utterance=True)):
        raise data_error(
            f"{len(faults)} utterances have no split, though others of their accent have one; "
            "--resplit deals all of them anew",
            faults,
        )
    if plan.speakers:
        raise ConfigError(
            "speakers are named, and the corpus has splits already; --resplit deals all of it anew"
        )
    free = [each.split is None for each in corpus]
    if not any(free) and ("prompt" in plan.disjoint or plan.minutes is not None):
        asked = "disjoint sentences are" if "prompt" in plan.disjoint else "minutes are"
        raise ConfigError(
            f"{asked} asked for, and the corpus has splits already; --resplit deals all of it anew"
        )
    if any(free) and plan.disjoint != ("speaker",):
        raise ConfigError(
            "some accents have splits already, and the others can only be dealt by speaker beside "
            "them; --resplit deals all of it anew"
        )
    return free


def _partial(corpus: Iterable[Utterance], *, each_utterance: bool) -> Iterator[Fault]:
    """Yield a fault for each utterance without split, or for each accent that has such and others.

    Accents without any split have none.
    """
    lacking: dict[str, list[str]] = {}
    given: Counter[str] = Counter()
    for each in corpus:
        if each.split is None:
            lacking.setdefault(each.accent, []).append(each.id)
        else:
            given[each.accent] += 1
    for accent, ids in sorted(lacking.items()):
        if not given[accent]:
            continue
        if each_utterance:
            for name in ids:
                yield Fault("split-partial", f"accent {accent!r}", "no split", utterance=name)
        else:
            yield Fault(
                "split-partial",
                f"accent {accent!r}",
                f"{len(ids)} of {len(ids) + given[accent]} utterances have no split: "
                f"{_listed(ids, 5)}",
            )


def _fixed(table: _Table, plan: SplitPlan, *, kept: Sequence[Utterance]) -> _Integers:
    """Return the place of each speaker that has one before the deal, -1 for the others."""
    fixed = np.full(len(table.speakers), _FREE)
    number = {name: index for index, name in enumerate(table.speakers)}
    if unknown := sorted(
        {name for named in plan.speakers.values() for name in named if name not in number}
    ):
        raise _unknown_speakers(unknown, table.speakers)
    for name, named in plan.speakers.items():
        fixed[[number[each] for each in named]] = SPLITS.index(name)
    if len(plan.speakers) == len(SPLITS):
        fixed[fixed == _FREE] = _UNNAMED
    there: dict[str, Counter[str]] = {}
    for each in kept:
        if each.speaker in number:
            there.setdefault(each.speaker, Counter())[each.split or ""] += 1
    for name, counts in there.items():
        fixed[number[name]] = max(range(len(SPLITS)), key=lambda place: counts[SPLITS[place]])
    return fixed


def _unknown_speakers(unknown: Sequence[str], known: Sequence[str]) -> DataError:
    lines = []
    for name in unknown[:_LISTED]:
        near = difflib.get_close_matches(name, known, n=3)
        lines.append(f"{name!r}" + (f": {' or '.join(map(repr, near))}?" if near else ""))
    if len(unknown) > _LISTED:
        lines.append(f"and {len(unknown) - _LISTED} more")
    return DataError(
        f"{len(unknown)} named speakers are not in the corpus; its {len(known)} speakers are "
        f"{_listed(known)}",
        faults=tuple(lines),
    )


def _listed(names: Sequence[str], most: int = _LISTED) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


# --- the deal -------------------------------------------------------------------------------------


def _shares(table: _Table, plan: SplitPlan) -> _Floats:
    """Return the share of the speech that each split should have, `(3,)`."""
    shares = np.array(plan.shares)
    if plan.minutes is None:
        return shares
    total = table.ms.sum() / 60000
    train, *others = plan.minutes
    for place, wanted in enumerate(others, start=_DEV):
        if wanted is not None:
            shares[place] = wanted / total
    shares[_TRAIN] = 1 - shares[_DEV:].sum()
    if shares[_TRAIN] <= 0 or (train or 0) + total * shares[_DEV:].sum() > total:
        parts = [train or 0, *(total * shares[_DEV:])]
        asked = " + ".join(f"{part:.1f}" for part in parts)
        raise DataError(
            f"train, dev and test are to have {asked} minutes, and there are {total:.1f}, of which "
            "some must be left for train; ask for fewer minutes"
        )
    return shares


def _by_speaker(table: _Table, plan: SplitPlan, fixed: _Integers) -> tuple[_Integers, list[str]]:
    """Return the place of each utterance, and what is to be told."""
    place, notes = _dealt_speakers(table, plan, fixed, shares=_shares(table, plan))
    return place[table.speaker], notes


def _dealt_speakers(
    table: _Table,
    plan: SplitPlan,
    fixed: _Integers,
    *,
    shares: _Floats,
    group: _Integers | None = None,
) -> tuple[_Integers, list[str]]:
    """Return the place of each speaker, and what is to be told.

    Args:
        table: The corpus.
        plan: How.
        fixed: The places of those that are not dealt, -1 for the others.
        shares: Of train, dev and test; those of the splits that are dealt count.
        group: The number of each speaker's group, which is dealt whole; None deals each for itself.
    """
    units = _units(table, group)
    place = np.full(len(units.size), _FREE)
    place[units.unit[fixed != _FREE]] = fixed[fixed != _FREE]
    rest = np.flatnonzero(place == _FREE)
    dealt_to = np.array([at for at, name in enumerate(SPLITS) if name not in plan.speakers])
    notes: list[str] = []
    accents, sizes = np.unique(units.accent[rest], return_counts=True)
    for accent, size in zip(accents.tolist(), sizes.tolist(), strict=True):
        if size < len(dealt_to):
            small = rest[units.accent[rest] == accent]
            place[small] = dealt_to[0]
            notes.append(_told_few(table, accent, size, dealt_to.tolist()))
    rest = np.flatnonzero(place == _FREE)
    if len(rest):
        wanted = shares[dealt_to] / shares[dealt_to].sum()
        rng = np.random.default_rng([plan.seed, _STREAM, 0])
        place[rest] = dealt_to[_deal(units.of(rest), wanted, rng=rng)]
    return place[units.unit], notes


def _told_few(table: _Table, accent: int, size: int, dealt_to: Sequence[int]) -> str:
    named = f"the accent '{table.accents[accent]}'" if table.accents[accent] else "the corpus"
    where = ", ".join(SPLITS[place] for place in dealt_to)
    only = SPLITS[dealt_to[0]]
    plural = "s" if size > 1 else ""
    told = "" if only == "test" else ", so that no score tells of new speakers of it"
    return f"{named} has {size} speaker{plural} for {where}: all in {only}{told}"


def _deal(
    units: _Units,
    shares: _Floats,
    *,
    rng: np.random.Generator,
    fill: bool = False,
) -> _Integers:
    """Return the group of each unit; an accent of as many units or more is in each group.

    Args:
        units: What is dealt.
        shares: What each group should have of each accent; they add up to 1.
        rng: Shuffles the units.
        fill: Whether a group that would have no unit gets one, though the accents are then no
            longer dealt for themselves.
    """
    place = np.full(len(units.size), _FREE)
    carried = np.zeros(len(shares))
    sizes = np.bincount(units.accent)
    # The large accents first: the small ones can make good what is left over.
    for accent in np.argsort(-sizes, kind="stable").tolist():
        chosen = np.flatnonzero(units.accent == accent)
        if len(chosen):
            place[chosen] = _deal_accent(units.of(chosen), shares, carried, rng=rng)
            carried += _total(place[chosen], units.size[chosen], len(shares))
            carried -= shares * units.size[chosen].sum()
    if fill and len(np.unique(place)) < len(shares) <= len(place):
        one = units._replace(accent=np.zeros_like(units.accent))
        return _deal_accent(one, shares, np.zeros(len(shares)), rng=rng)
    return place


def _deal_accent(
    units: _Units, shares: _Floats, carried: _Floats, *, rng: np.random.Generator
) -> _Integers:
    """Return the group of each unit of one accent; each group gets one where there are enough.

    Args:
        units: What is dealt.
        shares: What each group should have.
        carried: The milliseconds that the groups have of other accents beyond their shares.
        rng: Shuffles the units.
    """
    total = units.size.sum()
    features = np.column_stack(
        (
            units.size / total,
            math.sqrt(_COUNT_WEIGHT) * units.heads / units.heads.sum(),
            math.sqrt(_SEX_WEIGHT) * units.sexes / total,
            math.sqrt(_CARRY_WEIGHT) * units.size / total,
        )
    )
    goal = shares[:, None] * features.sum(axis=0)
    goal[:, -1] -= math.sqrt(_CARRY_WEIGHT) * carried / total
    best, least = np.full(len(units.size), _FREE), math.inf
    for _ in range(_STARTS):
        order = rng.permutation(len(units.size))
        place = _dealt_units(features, goal, 1 / shares, order)
        have = _total(place, units.size, len(shares)) / total
        strays = float(np.abs(have - shares).max())
        if strays < least:
            best, least = place, strays
        if strays <= _NEAR:
            break
    return best


@numba.njit(cache=True, nogil=True)
def _dealt_units(features: _Floats, goal: _Floats, weight: _Floats, order: _Integers) -> _Integers:
    """Return the group of each unit, such that the groups' sums come near to the goal.

    What is made small is the weighted sum of the squared distances. No move of a unit and no
    exchange with one of the next ones in the order would make it smaller.

    Args:
        features: What each unit adds to its group, `(units, features)`.
        goal: What each group should have, `(groups, features)`.
        weight: Of each group, `(groups,)`.
        order: The units as they are dealt, `(units,)`.
    """
    place = np.full(len(features), -1, dtype=np.int64)
    beyond = -goal
    members = np.zeros(len(goal), dtype=np.int64)
    each = len(features) >= len(goal)  # group must have a unit
    for turn in range(len(order)):
        unit = order[turn]
        must_fill = each and len(order) - turn <= np.sum(members == 0)
        best, least = -1, np.inf
        for group in range(len(goal)):
            change = weight[group] * _change(beyond[group], features[unit], 1.0)
            if change < least and not (must_fill and members[group] > 0):
                best, least = group, change
        place[unit] = best
        members[best] += 1
        beyond[best] += features[unit]
    for _ in range(_SWEEPS):
        changed = False
        for turn in range(len(order)):
            unit = order[turn]
            home = place[unit]
            may_leave = members[home] > 1 or not each
            best, other = _best_change(features, beyond, weight, order, place, turn, may_leave)
            if best < 0:
                continue
            changed = True
            gained = -features[unit]
            if other >= 0:
                gained += features[other]
                place[other] = home
            else:
                members[home] -= 1
                members[best] += 1
            place[unit] = best
            beyond[home] += gained
            beyond[best] -= gained
        if not changed:
            break
    return place


@numba.njit(cache=True, nogil=True)
def _best_change(
    features: _Floats,
    beyond: _Floats,
    weight: _Floats,
    order: _Integers,
    place: _Integers,
    turn: int,
    may_leave: bool,
) -> tuple[int, int]:
    """Return the best other group for a unit and whom to exchange it with; -1 for none.

    Args:
        features: What each unit adds to its group.
        beyond: What each group has beyond its goal.
        weight: Of each group.
        order: The units as they are dealt.
        place: The group of each unit.
        turn: Of the unit, in the order.
        may_leave: Whether it may go without an exchange.
    """
    unit = order[turn]
    home = place[unit]
    best, other, least = -1, -1, -1e-12
    if may_leave:
        leaving = weight[home] * _change(beyond[home], features[unit], -1.0)
        for group in range(len(beyond)):
            change = leaving + weight[group] * _change(beyond[group], features[unit], 1.0)
            if group != home and change < least:
                best, least = group, change
    # Of many units a few hundred, which are as good as any: the order is that of the shuffle.
    partners = min(len(order) - 1, max(1, min(256, 2_000_000 // len(order))))
    for step in range(1, partners + 1):
        partner = order[(turn + step) % len(order)]
        group = place[partner]
        if group != home:
            gained = features[partner] - features[unit]
            change = weight[home] * _change(beyond[home], gained, 1.0)
            change += weight[group] * _change(beyond[group], gained, -1.0)
            if change < least:
                best, other, least = group, partner, change
    return best, other


@numba.njit(cache=True, nogil=True)
def _change(beyond: _Floats, gained: _Floats, sign: float) -> float:
    """Return by how much a squared length grows when `sign` times a vector is added."""
    total = 0.0
    for i in range(len(beyond)):
        total += sign * gained[i] * (2 * beyond[i] + sign * gained[i])
    return total


# --- utterances and sentences ---------------------------------------------------------------------


def _by_utterance(
    corpus: Corpus, table: _Table, plan: SplitPlan, *, prompts: bool
) -> tuple[_Integers, list[str]]:
    """Return the place of each utterance, dealt one by one or by sentence, and what is to be told.

    A sentence may be said in several accents, and has no sex: sentences are dealt all together.
    """
    shares = _shares(table, plan)
    unit = _prompts(corpus) if prompts else _numbered([each.id for each in corpus])[1]
    count = int(unit.max()) + 1
    if count < len(SPLITS):
        raise DataError(
            f"{count} {'sentences' if prompts else 'utterances'} are too few for train, dev "
            "and test; add recordings until there are three at least"
        )
    size = _total(unit, table.ms, count)
    kinds = np.zeros(len(table.ms), dtype=np.int64) if prompts else table.sex[table.speaker]
    accent = np.zeros(count, dtype=np.int64)
    if not prompts:
        accent[unit] = table.accent[table.speaker]
    units = _Units(
        unit=unit,
        size=size,
        heads=np.ones(count),
        sexes=_sums(unit, kinds, table.ms, shape=(count, int(kinds.max()) + 1)),
        accent=accent,
    )
    rng = np.random.default_rng([plan.seed, _STREAM, 0])
    place = _deal(units, shares, rng=rng, fill=True)
    told = "speakers are in several splits: a score says nothing of new speakers; say so beside it"
    return place[unit], [told]


def _by_both(
    corpus: Corpus, table: _Table, plan: SplitPlan, fixed: _Integers
) -> tuple[_Integers, list[str]]:
    """Return the place of each utterance where splits share neither speaker nor sentence."""
    shares = _shares(table, plan)
    prompt = _prompts(corpus)
    group = _groups(table, prompt)
    if _one_place_each(group, fixed):
        place, notes = _dealt_speakers(table, plan, fixed, shares=shares, group=group)
        alone, _ = _dealt_speakers(table, plan, fixed, shares=shares)
        if _as_good(table, place, alone):
            return place[table.speaker], notes
    return _crossed(table, plan, fixed, prompt=prompt, shares=shares)


def _crossed(
    table: _Table, plan: SplitPlan, fixed: _Integers, *, prompt: _Integers, shares: _Floats
) -> tuple[_Integers, list[str]]:
    """Return the place of each utterance where speakers and sentences are dealt both.

    What is asked for in minutes is approached in rounds, for nobody knows beforehand how much of a
    speaker's speech stays.
    """
    best: tuple[_Integers, list[str]] = (np.empty(0, dtype=np.int64), [])
    least, wanted = math.inf, shares.copy()
    asked = [at for at in (_DEV, _TEST) if plan.minutes is not None and plan.minutes[at]]
    for _ in range(_ROUNDS if asked else 1):
        place, notes = _dealt_speakers(table, plan, fixed, shares=wanted)
        places = _agreeing(table, plan, place[table.speaker], prompt=prompt, shares=wanted)
        kept = places >= 0
        have = _total(places[kept], table.ms[kept], len(SPLITS)) / table.ms.sum()
        strays = sum(abs(math.log(max(have[at], 1e-9) / shares[at])) for at in asked)
        if strays < least:
            best, least = (places, notes), strays
        for at in asked:
            # Where all say all, a split keeps the square of its share.
            wanted[at] = min(0.45, wanted[at] * math.sqrt(shares[at] / max(have[at], 1e-9)))
        wanted[_TRAIN] = 1 - wanted[_DEV:].sum()
    return best


def _agreeing(
    table: _Table, plan: SplitPlan, said_in: _Integers, *, prompt: _Integers, shares: _Floats
) -> _Integers:
    """Return the places without the utterances whose sentence belongs to another split."""
    dealt = said_in >= 0
    sentences = int(prompt.max()) + 1
    said = _sums(prompt[dealt], said_in[dealt], table.ms[dealt], shape=(sentences, len(SPLITS)))
    order = np.random.default_rng([plan.seed, _STREAM, 2]).permutation(sentences)
    of_several = (said[order] > 0).sum(axis=1) > 1
    belongs = _dealt_prompts(said, shares, order[np.argsort(of_several, kind="stable")])
    return np.where(dealt & (belongs[prompt] != said_in), _CROSSED, said_in)


def _one_place_each(group: _Integers, fixed: _Integers) -> bool:
    """Return whether no group has speakers that are bound to two places."""
    pairs = np.unique(np.stack((group[fixed != _FREE], fixed[fixed != _FREE])), axis=1)
    return bool(len(np.unique(pairs[0])) == pairs.shape[1])


def _as_good(table: _Table, place: _Integers, alone: _Integers) -> bool:
    """Return whether a deal of groups is about as one of speakers: in accents and in shares."""
    size = _total(table.speaker, table.ms, len(table.speakers))
    shape = (len(table.accents), len(SPLITS))
    got, wanted = (
        _sums(table.accent[each >= 0], each[each >= 0], size[each >= 0], shape=shape)
        for each in (place, alone)
    )
    if ((got == 0) & (wanted > 0)).any():
        return False
    strays = float(np.abs(got.sum(axis=0) - wanted.sum(axis=0)).max())
    return strays <= _LOST_BY_GROUPS * float(size.sum())


@numba.njit(cache=True, nogil=True)
def _dealt_prompts(said: _Floats, shares: _Floats, order: _Integers) -> _Integers:
    """Return the split of each sentence (see the module).

    Args:
        said: Milliseconds of each sentence that the speakers of each split say, `(sentences, 3)`.
        shares: Of the splits, `(3,)`.
        order: The sentences as they are dealt, those of one split first.
    """
    place = np.full(len(said), -1, dtype=np.int64)
    kept = np.ones(len(shares))
    for _ in range(_SWEEPS):
        changed = False
        for prompt in order:
            home = place[prompt]
            if home >= 0:
                kept[home] -= said[prompt, home]
            best, most = 0, -1.0
            for split_ in range(len(shares)):
                gain = shares[split_] * np.log1p(said[prompt, split_] / kept[split_])
                # What is as good where it is stays, so that the search ends.
                if gain > most + 1e-12 or (split_ == home and gain >= most - 1e-12):
                    best, most = split_, gain
            place[prompt] = best
            kept[best] += said[prompt, best]
            changed |= best != home
        if not changed:
            break
    return place


def _capped(corpus: Corpus, table: _Table, plan: SplitPlan, places: _Integers) -> _Integers:
    """Return the places without the utterances of train that are beyond its minutes."""
    most = None if plan.minutes is None else plan.minutes[_TRAIN]
    if most is None:
        return places
    trained = sorted(np.flatnonzero(places == _TRAIN).tolist(), key=lambda at: corpus[at].id)
    rng = np.random.default_rng([plan.seed, _STREAM, 3])
    drawn = np.array(trained, dtype=np.int64)[rng.permutation(len(trained))]
    beyond = np.cumsum(table.ms[drawn]) > 60000 * most
    capped = places.copy()
    capped[drawn[beyond]] = _ENOUGH
    return capped


# --- what came of it ------------------------------------------------------------------------------


def _require_all(table: _Table, plan: SplitPlan, places: _Integers) -> None:
    """Refuse places that leave a split empty.

    Raises:
        DataError: The message names the ways out.
    """
    empty = [name for at, name in enumerate(SPLITS) if not (places == at).any()]
    if not empty:
        return
    speakers = table.speakers
    if (places == _CROSSED).any():
        raise DataError(
            f"no utterance is left for {' and '.join(empty)} where splits share neither speaker "
            "nor sentence; add recordings of other sentences, or let sentences be in two splits "
            "(--disjoint speaker)"
        )
    if plan.speakers:
        named = ", ".join(f"{name} ({len(plan.speakers[name])})" for name in plan.speakers)
        raise DataError(
            f"{len(speakers)} speakers, of whom some are named for {named}, leave none for "
            f"{' and '.join(empty)}; name fewer, or some for {' and '.join(empty)} too"
        )
    of_one = f"; no accent has three, which are {_listed(table.accents)}"
    several = len(speakers) >= len(SPLITS) and len(table.accents) > 1
    raise DataError(
        f"{len(speakers)} speakers ({_listed(speakers)}) cannot be split into train, dev and test "
        f"with no speaker in two of them{of_one if several else ''}: add recordings of other "
        "speakers until there are at least three, or split by utterance (--disjoint none), and say "
        "wherever you give the error rates that they say nothing of new speakers"
        + ("; --stratify sex deals all accents together, and --folds tests each speaker" * several)
    )


def _told(
    corpus: Corpus, table: _Table, plan: SplitPlan, places: _Integers, *, fold: bool = False
) -> list[str]:
    """Return what a person should know of the splits: sizes, sentences, what is left out."""
    total = table.ms[places >= 0].sum()
    parts = []
    for at, name in enumerate(SPLITS):
        ms, speakers = table.ms[places == at].sum(), len(np.unique(table.speaker[places == at]))
        parts.append(
            f"{name} {ms / 60000:.1f} min ({100 * ms / total:.1f} %) of {speakers} "
            f"speaker{'s' * (speakers != 1)}"
        )
    notes = ["; ".join(parts) + f"; asked for: {_asked(plan)}"]
    for code, reason in _REASONS.items():
        if left := int((places == code).sum()):
            ms = table.ms[places == code].sum()
            notes.append(
                f"{left} of {len(places)} utterances ({ms / 60000:.1f} min) are left out: {reason}"
            )
    if "prompt" not in plan.disjoint:
        share = _known_share(corpus, places)
        if share > _TOLD_SHARE:
            notes.append(
                f"{100 * share:.0f} % of the test utterances say a sentence that is in train too, "
                "which flatters the score; --disjoint speaker+prompt keeps sentences apart as well"
            )
    if not fold and (few := list(_few_tested(table, places))):
        notes.append(
            f"fewer than {VERDICT_SPEAKERS} test speakers give no verdict: {_listed(few)}; "
            "--folds tests each speaker"
        )
    return notes


def _asked(plan: SplitPlan) -> str:
    if plan.speakers:
        return "named speakers, and the others"
    if plan.minutes is None:
        return ", ".join(f"{100 * share:.3g}" for share in plan.shares) + " %"
    parts = []
    for at, (name, minutes) in enumerate(zip(SPLITS, plan.minutes, strict=True)):
        share = "the rest" if at == _TRAIN else f"{100 * plan.shares[at]:.3g} %"
        parts.append(f"{name} {share if minutes is None else f'{minutes:g} min'}")
    return ", ".join(parts)


_MARKS = (string.punctuation + string.whitespace).encode()


def _known_share(corpus: Corpus, places: _Integers) -> float:
    """Return the share of the test utterances whose sentence is in train.

    Texts are compared without case, marks and spaces, which is a tenth of the time of the `plain`
    form, by which `leakage_report` compares them.
    """
    quick: dict[int, list[bytes]] = {_TRAIN: [], _TEST: []}
    for each, place in zip(corpus, places.tolist(), strict=True):
        if place in quick:
            text = each.text.casefold().replace("’", "").encode(errors="replace")
            quick[place].append(text.translate(None, _MARKS))
    trained = set(quick[_TRAIN]) - {b""}
    return sum(text in trained for text in quick[_TEST]) / max(1, len(quick[_TEST]))


def _few_tested(table: _Table, places: _Integers) -> Iterator[str]:
    """Yield the accents that have test speakers, but too few for a verdict, and how many."""
    tested = np.unique(table.speaker[places == _TEST])
    counts = np.bincount(table.accent[tested], minlength=len(table.accents)).tolist()
    for accent, count in zip(table.accents, counts, strict=True):
        if 0 < count < VERDICT_SPEAKERS:
            yield f"{accent} ({count})" if accent else f"{count}"


def _placed(corpus: Corpus, places: _Integers, *, notes: Sequence[str]) -> Split:
    """Return the corpus with the places as its splits."""
    at = places.tolist()
    return Split(
        corpus=Corpus(
            each if each.split == SPLITS[place] else replace(each, split=SPLITS[place])
            for each, place in zip(corpus, at, strict=True)
            if place >= 0
        ),
        left_out=tuple(
            sorted(
                (each.id, _REASONS[place])
                for each, place in zip(corpus, at, strict=True)
                if place < 0
            )
        ),
        notes=tuple(notes),
    )


# --- what the splits have in common ---------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitFacts:
    """What one split is made of.

    Attributes:
        split: `train`, `dev` or `test`.
        utterances: How many.
        seconds: Of speech.
        speakers: How many.
        sexes: The speakers of each sex, sorted by name; "" where none is known. A speaker of whom
            the corpus gives two counts in both.
        accents: The same for accents.
    """

    split: str
    utterances: int
    seconds: float
    speakers: int
    sexes: tuple[tuple[str, int], ...]
    accents: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeakageReport:
    """What the splits are made of, and what they share.

    Attributes:
        splits: Those that have utterances, in the order train, dev, test.
        overlaps: What each later split has in common with an earlier one.
        heard: Whether recordings were compared, sample by sample.
        other_faults: What is wrong beside what is shared: splits that are empty, partial or small.
    """

    splits: tuple[SplitFacts, ...]
    overlaps: tuple[Overlap, ...]
    heard: bool
    other_faults: tuple[Fault, ...] = ()

    def size_rows(self) -> tuple[tuple[str, ...], ...]:
        """Return the table of the splits as text, its header first."""
        header = ("split", "utterances", "minutes", "speakers", "sexes", "accents")
        return (
            header,
            *(
                (
                    each.split,
                    f"{each.utterances:,}",
                    f"{each.seconds / 60:.1f}",
                    f"{each.speakers:,}",
                    ", ".join(f"{name or 'unknown'} {count}" for name, count in each.sexes),
                    ", ".join(f"{name} {count}" for name, count in each.accents),
                )
                for each in self.splits
            ),
        )

    def shared_rows(self) -> tuple[tuple[str, ...], ...]:
        """Return the table of what is shared as text, its header first."""
        header = ("splits", "speakers", "sentences", "near sentences", "recordings")
        return (
            header,
            *(
                (
                    f"{each.second} in {each.first}",
                    f"{len(each.speakers):,}",
                    _part(each.prompts, each.utterances),
                    _part(each.near_prompts, each.utterances),
                    _part(each.audio, each.utterances) if self.heard else "not compared",
                )
                for each in self.overlaps
            ),
        )

    def faults(self) -> tuple[Fault, ...]:
        """Return all that is wrong with the splits: what they share, then the others."""
        return (*(fault for each in self.overlaps for fault in _shared(each)), *self.other_faults)


def leakage_report(
    corpus: Corpus,
    *,
    duration: Duration,
    digest: Callable[[Utterance], bytes] | None,
) -> LeakageReport:
    """Return what the splits of a corpus are made of, and what they share.

    A speaker's name is one person in all accents. An accent lacks a split where it has three
    speakers or more (fewer cannot be split) and others of its utterances have a split; one that is
    all test is whole, for there are sets that are only scored.

    Args:
        corpus: With its splits; utterances without one are compared with nothing.
        duration: Of an utterance, in seconds.
        digest: Of an utterance's decoded samples; equal digests are equal recordings. None compares
            no recordings, and the report says so.
    """
    sets: dict[str, list[Utterance]] = {name: [] for name in SPLITS}
    for each in corpus:
        if each.split is not None:
            sets[each.split].append(each)
    seconds = {each.id: duration(each) for name in SPLITS for each in sets[name]}
    return LeakageReport(
        splits=tuple(_facts(name, sets[name], seconds) for name in SPLITS if sets[name]),
        overlaps=overlaps(
            sets,
            [("train", "dev"), ("train", "test"), ("dev", "test")],
            digest=digest or _own_digest,
        ),
        heard=digest is not None,
        other_faults=(
            *_partial(corpus, each_utterance=False),
            *_empty(corpus),
            *_small(sets["test"], seconds),
        ),
    )


def _own_digest(utterance: Utterance) -> bytes:
    """Return what no other utterance has."""
    return utterance.id.encode()


def _part(count: int, of: int) -> str:
    return f"{count:,} of {of:,} ({100 * count / of:.1f} %)"


def _facts(name: str, utterances: Sequence[Utterance], seconds: Mapping[str, float]) -> SplitFacts:
    sexes = Counter(sex for _, sex in {(each.speaker, each.sex or "") for each in utterances})
    accents = Counter(accent for _, accent in {(each.speaker, each.accent) for each in utterances})
    return SplitFacts(
        split=name,
        utterances=len(utterances),
        seconds=math.fsum(seconds[each.id] for each in utterances),
        speakers=len({each.speaker for each in utterances}),
        sexes=tuple(sorted(sexes.items())),
        accents=tuple(sorted(accents.items())),
    )


def _shared(overlap: Overlap) -> Iterator[Fault]:
    """Yield a fault for each speaker of two splits, and one for each other thing they share."""
    place = f"splits {overlap.first} and {overlap.second}"
    for speaker in overlap.speakers:
        yield Fault("split-speaker", place, f"speaker {speaker!r} is in both")
    for kind, example, count in (
        ("split-prompt", "prompt", overlap.prompts),
        ("text-near", "near prompt", overlap.near_prompts),
        ("split-audio", "audio", overlap.audio),
    ):
        if count:
            pairs = [f"{new} as {old}" for what, new, old in overlap.examples if what == example]
            more = ", such as" if len(pairs) < count else ":"
            yield Fault(
                kind,
                place,
                f"{_part(count, overlap.utterances)} utterances of {overlap.second}{more} "
                f"{', '.join(pairs)}",
            )


def _empty(corpus: Iterable[Utterance]) -> Iterator[Fault]:
    """Yield a fault for each accent that lacks a split (see `leakage_report`)."""
    speakers: dict[str, set[str]] = {}
    there: dict[str, set[str]] = {}
    for each in corpus:
        if each.split is not None:
            there.setdefault(each.accent, set()).add(each.split)
            speakers.setdefault(each.accent, set()).add(each.speaker)
    for accent, found in sorted(there.items()):
        lacking = [name for name in SPLITS if name not in found]
        if lacking and found != {"test"} and len(speakers[accent]) >= len(SPLITS):
            yield Fault(
                "split-empty", f"accent {accent!r}", f"no utterance in {' and '.join(lacking)}"
            )


def _small(tested: Iterable[Utterance], seconds: Mapping[str, float]) -> Iterator[Fault]:
    """Yield a fault for each accent whose test split has few speakers or minutes."""
    speakers: dict[str, set[str]] = {}
    lengths: dict[str, list[float]] = {}
    for each in tested:
        speakers.setdefault(each.accent, set()).add(each.speaker)
        lengths.setdefault(each.accent, []).append(seconds[each.id])
    for accent, names in sorted(speakers.items()):
        minutes = math.fsum(lengths[accent]) / 60
        if len(names) < VERDICT_SPEAKERS or minutes < LEAST_TEST_MINUTES:
            yield Fault(
                "split-small",
                f"accent {accent!r}",
                f"test has {minutes:.2f} minutes of {len(names)} speaker"
                f"{'' if len(names) == 1 else 's'}; a verdict needs {VERDICT_SPEAKERS} speakers, "
                f"and less than {LEAST_TEST_MINUTES:g} minutes are few",
            )


# --- as runs deal a corpus that has no splits -----------------------------------------------------


def split_by_speaker(
    corpus: Corpus, *, shares: tuple[float, float, float] = (0.7, 0.1, 0.2), seed: int
) -> dict[str, Corpus]:
    """Return the corpora `train`, `dev` and `test`, which share no speaker, with `split` set.

    The speakers are shuffled, and each goes to the split that lacks most utterances of its share.
    Each split gets a speaker. The same corpus, shares and seed give the same splits, whatever the
    order of the utterances. A run deals a corpus without splits so, and must go on to: `split`
    gives others.

    Args:
        corpus: What to split; its own `split` fields are not looked at.
        shares: The share of utterances for train, dev and test: positive numbers whose sum is 1.
        seed: Of the shuffle.

    Raises:
        ConfigError: The shares are not positive or do not add up to 1.
        DataError: There are fewer than three speakers.
    """
    if len(shares) != len(SPLITS) or min(shares) <= 0 or not math.isclose(sum(shares), 1):
        raise ConfigError(f"shares must be three positive numbers that add up to 1, got {shares}")
    speakers = corpus.speakers
    if len(speakers) < len(SPLITS):
        raise DataError(
            f"{len(speakers)} speakers ({', '.join(speakers)}) cannot be split into train, dev and"
            " test with no speaker in two of them: add recordings of other speakers until there are"
            " at least three, or set the column split in the manifest yourself, and say wherever"
            " you give the error rates that the splits share speakers"
        )
    sizes = Counter(utterance.speaker for utterance in corpus)
    return _separated(corpus, _dealt(sizes, shares, rng=np.random.default_rng(seed)))


def fold_speakers(corpus: Corpus, folds: int, *, seed: int) -> tuple[tuple[str, ...], ...]:
    """Return the speakers that each fold of a run tests, each of them in one fold.

    The speakers are shuffled, and each goes to the fold that has fewest utterances. Each fold gets
    a speaker. The same corpus, number and seed give the same folds, whatever the order of the
    utterances.

    Raises:
        ConfigError: There are more folds than speakers.
        DataError: There are fewer than three speakers, or a fold leaves fewer than two others.
    """
    speakers = corpus.speakers
    if len(speakers) < len(SPLITS):
        raise DataError(_few_for_folds(speakers))
    if folds > len(speakers):
        raise ConfigError(_many_folds(folds, len(speakers)))
    sizes = Counter(utterance.speaker for utterance in corpus)
    dealt = _dealt(sizes, [1 / folds] * folds, rng=np.random.default_rng([seed, _FOLDS]))
    largest = max(map(len, dealt))
    if len(speakers) - largest < 2:
        raise DataError(
            f"of {len(speakers)} speakers in {folds} folds, one fold tests {largest}, which leaves "
            "too few to train on and to choose by (one each at least); give "
            f"--folds {min(folds + 1, len(speakers))} or more"
        )
    return dealt


def fold_splits(corpus: Corpus, folds: int, *, fold: int, seed: int) -> dict[str, Corpus]:
    """Return train, dev and test of one fold of a run, which share no speaker, with `split` set.

    Args:
        corpus: What to split; its own `split` fields are not looked at.
        folds: How many there are.
        fold: Which one, from 1.
        seed: Of the shuffles.

    Raises:
        ConfigError: There are more folds than speakers.
        DataError: There are too few speakers, see `fold_speakers`.
    """
    tested = fold_speakers(corpus, folds, seed=seed)[fold - 1]
    others = Counter(each.speaker for each in corpus if each.speaker not in tested)
    train, dev = _dealt(others, _FOLD_SHARES, rng=np.random.default_rng([seed, _FOLDS, fold]))
    return _separated(corpus, (train, dev, tested))


def _few_for_folds(speakers: Sequence[str]) -> str:
    return (
        f"{len(speakers)} speakers ({', '.join(speakers)}) cannot be tested in folds: each is "
        "tested by a training on others, with dev speakers beside; add recordings of other "
        "speakers until there are at least three"
    )


def _many_folds(folds: int, speakers: int) -> str:
    return (
        f"{folds} folds cannot be made of {speakers} speakers: each must test one; give "
        f"--folds {speakers} or less"
    )


def _dealt(
    sizes: Mapping[str, int], shares: Sequence[float], *, rng: np.random.Generator
) -> tuple[tuple[str, ...], ...]:
    """Return the speakers, sorted, of groups that have these shares of the utterances.

    They are shuffled, and each goes to the group that lacks most of its share; each group gets one.
    """
    lacking = [share * sum(sizes.values()) for share in shares]
    groups: list[list[str]] = [[] for _ in shares]
    speakers = sorted(sizes)
    for turn, index in enumerate(rng.permutation(len(speakers)).tolist()):
        empty = [place for place, group in enumerate(groups) if not group]
        left = len(speakers) - turn
        open_to = empty if left == len(empty) else range(len(groups))
        place = max(open_to, key=lacking.__getitem__)
        groups[place].append(speakers[index])
        lacking[place] -= sizes[speakers[index]]
    return tuple(tuple(sorted(group)) for group in groups)


def _separated(corpus: Corpus, speakers: Sequence[Sequence[str]]) -> dict[str, Corpus]:
    """Return the corpora of the speakers of train, dev and test, with `split` set."""
    place = {name: each for each, names in zip(SPLITS, speakers, strict=True) for name in names}
    placed = [replace(each, split=place[each.speaker]) for each in corpus]
    return {name: Corpus(each for each in placed if each.split == name) for name in SPLITS}
