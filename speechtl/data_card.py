"""What a corpus is, for a person who is about to train on it: the facts of its data card.

All that is told is counted over the utterances that are kept: what they say, who says it, how it
was recorded, how it is split. Beside it stands what was left out, what was changed, and what stays
doubtful. The same input gives the same card, to the byte.
"""

from __future__ import annotations

import heapq
import json
import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from speechtl import __version__
from speechtl.checks.recordings import (
    CLIPPED_SHARE,
    LONG_S,
    NARROW_HZ,
    NOISY_DB,
    PAUSE_S,
    QUIET_DB,
    AudioFacts,
    UtteranceAudio,
)
from speechtl.corpus import SPLITS, Corpus, Utterance
from speechtl.faults import KINDS, OF_SPLITS, Fault
from speechtl.splits import LeakageReport
from speechtl.text import normaliser

__all__ = [
    "FORMAT",
    "AccentFacts",
    "Change",
    "ChangeGroup",
    "Character",
    "DataCard",
    "Dropped",
    "Example",
    "FaultGroup",
    "Finding",
    "Histogram",
    "LengthFacts",
    "LicenceFacts",
    "Quantiles",
    "RecordingFacts",
    "Repeated",
    "SpeakerFacts",
    "TextFacts",
    "Transcript",
    "data_card",
    "licence_terms",
]

FORMAT = 1
"""Of the JSON: raised when a key changes its meaning or goes."""

SHOWN = 5
"""Examples of each kind of fault, of what is left out and of what is changed."""

EXAMPLES = 8
"""Utterances to listen to."""

LONGEST_EXAMPLE_S = 20.0
"""What is longer is heard only where nothing is shorter."""

USUAL = re.compile(r"[A-Za-z '.,?!-]")
"""Characters of English transcripts that need no explanation."""

_UNUSUAL = re.compile(r"[^A-Za-z '.,?!-]")
# In lower case and without points at the end, this is its own `plain` form, which takes 10 µs.
_PLAIN_ALREADY = re.compile(r"[a-z0-9 ]*(?:(?<=[a-z0-9])'(?=[a-z0-9])[a-z0-9 ]*)*")
_CHUNK = 10_000  # texts whose words and characters are counted together
_BARS = 24
_STEPS = (1, 2, 5, 10)
_SPOKEN_OF = ("pseudonyms:", "accents:")  # notes that hold no name of the source
_SPLIT_MEANING = "no split has a place for it"
# As `speechtl.checks.people` finds them, and share-alike.
_TERMS = {
    "no commercial use (NC)": re.compile(
        r"(?<![a-z0-9])nc(?![a-z])|non[ -]?commercial", re.IGNORECASE
    ),
    "what is made of it is shared under the same licence (SA)": re.compile(
        r"(?<![a-z0-9])sa(?![a-z])|share[ -]?alike", re.IGNORECASE
    ),
    "no changed versions may be passed on (ND)": re.compile(
        r"(?<![a-z0-9])nd(?![a-z])|no[ -]?deriv", re.IGNORECASE
    ),
    "for research alone": re.compile(
        r"\bresearch\b|\b(?:academic|educational) (?:use|purpose)", re.IGNORECASE
    ),
}
_CHANGES = {
    "composition": "letters and their accents made one character (Unicode NFC)",
    "invisible": "control and invisible characters removed",
    "spaces": "spaces made single",
    "numbers": "numbers written in words",
    "punctuation": "punctuation removed",
    "case": "the case changed",
    "vocabulary": "spelled with the characters of the model's vocabulary",
    "silence": "silence at the ends cut off, by the times of the utterance",
}

_Floats = npt.NDArray[np.float64]
_Integers = npt.NDArray[np.int64]
_Key = TypeVar("_Key")
_plain = normaliser("plain")


# --- what was done --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Change:
    """Something of an utterance that is not as the source has it.

    Attributes:
        utterance: Its id in the source.
        name: What was done; several things are joined by "+", such as "numbers+case".
        before: What was there.
        after: What is there now.
    """

    utterance: str
    name: str
    before: str
    after: str

    def row(self) -> dict[str, object]:
        """Return it as a row of JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Dropped:
    """An utterance or a row that is not in the corpus.

    Attributes:
        utterance: Its id in the source; None where it has none.
        place: Where it stands.
        kind: Why, a name in `speechtl.faults.KINDS`, or "split".
        message: What was found, or why no split has it.
    """

    utterance: str | None
    place: str
    kind: str
    message: str

    def row(self) -> dict[str, object]:
        """Return it as a row of JSON."""
        return asdict(self)


# --- the card -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantiles:
    """Five of them: the least, the 5 %, the median, the 95 % and the most."""

    least: float
    low: float
    median: float
    high: float
    most: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """How many values lie between each two edges.

    Attributes:
        edges: One more than counts; a value on an edge counts above it.
        counts: How many lie between an edge and the next.
        open_low: Whether the first count has what lies below the first edge, too.
        open_high: Whether the last count has what lies above the last edge, too.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    open_low: bool
    open_high: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeakerFacts:
    """A speaker; accents, sexes and splits are one each in a corpus that is well made.

    Attributes:
        speaker: The name.
        accents: Sorted.
        sexes: As the corpus names them, sorted; none where it names none.
        splits: In the order train, dev, test.
        utterances: How many.
        minutes: Of speech.
        snr_db: The median signal-to-noise ratio of the utterances; None where none is known.
        level_dbfs: The median level of the speech.
    """

    speaker: str
    accents: tuple[str, ...]
    sexes: tuple[str, ...]
    splits: tuple[str, ...]
    utterances: int
    minutes: float
    snr_db: float | None
    level_dbfs: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccentFacts:
    """An accent; `minutes_by_split` has train, dev and test in this order, as far as they are."""

    accent: str
    utterances: int
    minutes: float
    speakers: int
    minutes_by_split: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LicenceFacts:
    """A licence, None where none is known, and what it forbids or demands, in words."""

    licence: str | None
    utterances: int
    minutes: float
    terms: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LengthFacts:
    """The lengths of the utterances, in seconds; `over_30_s` do not fit into Whisper's window."""

    quantiles_s: Quantiles
    mean_s: float
    over_30_s: int
    histogram: Histogram


@dataclass(frozen=True, slots=True, kw_only=True)
class Character:
    """A character of the transcripts as they stand, in their case.

    Attributes:
        character: Itself.
        code: Its code point, such as "U+00E9".
        name: Its name in Unicode.
        count: How often it stands there.
        usual: Whether it is one of a to z, a space or ordinary punctuation.
        utterances: How many have it; None for usual ones, of which that is not counted.
        example: The id of the first that has it; None for usual ones.
    """

    character: str
    code: str
    name: str
    count: int
    usual: bool
    utterances: int | None
    example: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeated:
    """A sentence that is said more than once, in its `plain` form."""

    sentence: str
    utterances: int
    speakers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """A transcript and how long it is."""

    utterance: str
    characters: int
    words: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TextFacts:
    """What is said. Words and sentences are counted in their `plain` form (see `speechtl.text`).

    Attributes:
        words: How many are said.
        different_words: How many different ones.
        single_words: Of these, how many are said once.
        words_per_minute: Of speech with its pauses.
        frequent_words: The ten that are said most, with how often.
        sentences: How many different ones are said; a text without a word is none.
        shared_sentences: Of these, how many are said by several speakers.
        shared_utterances: How many utterances say one of those.
        most_repeated: The five that are said most, each at least twice.
        lower: How many transcripts are in lower case.
        upper: How many are in upper case.
        mixed: How many have both.
        characters: All of them, the most frequent first.
        longest: The transcript of the most characters; the first of several.
    """

    words: int
    different_words: int
    single_words: int
    words_per_minute: float
    frequent_words: tuple[tuple[str, int], ...]
    sentences: int
    shared_sentences: int
    shared_utterances: int
    most_repeated: tuple[Repeated, ...]
    lower: int
    upper: int
    mixed: int
    characters: tuple[Character, ...]
    longest: Transcript


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingFacts:
    """How the utterances were recorded, before silence was cut off and before they were copied.

    Attributes:
        heard: How many utterances were measured; the counts below are of these.
        sample_rates_hz: Each with how many have it, the most frequent first.
        containers: The same for the formats of files.
        channels: The same for numbers of channels.
        level_dbfs: The level of the speech, relative to full scale.
        quiet: How many are quieter than -50 dBFS.
        clipped: How many are cut off at the top, in more than one sample of 10,000.
        snr_db: Signal-to-noise ratios, estimated.
        snr_histogram: The same.
        snr_unknown: How many are too short or too even to estimate it.
        noisy: How many have less than 5 dB.
        narrow: How many have nothing above 4.3 kHz: a telephone's, or resampled.
        pause_before_s: Silence before the speech.
        pause_behind_s: Silence behind it.
        long_pauses: How many have more than 2 s of it at an end.
        cut: Of how many silence was cut off at the ends after that.
    """

    heard: int
    sample_rates_hz: tuple[tuple[int, int], ...]
    containers: tuple[tuple[str, int], ...]
    channels: tuple[tuple[int, int], ...]
    level_dbfs: Quantiles | None
    quiet: int
    clipped: int
    snr_db: Quantiles | None
    snr_histogram: Histogram | None
    snr_unknown: int
    noisy: int
    narrow: int
    pause_before_s: Quantiles | None
    pause_behind_s: Quantiles | None
    long_pauses: int
    cut: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One fault as it was found, or one utterance that was left out."""

    utterance: str | None
    place: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultGroup:
    """All faults of one kind; its meaning and its remedy are those of `speechtl.faults.KINDS`."""

    kind: str
    grade: str
    meaning: str
    remedy: str
    count: int
    examples: tuple[Finding, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeGroup:
    """All changes of one name; an utterance may be in several groups."""

    name: str
    meaning: str
    count: int
    examples: tuple[Change, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """An utterance to listen to. Where its recording lies is not written into the JSON."""

    utterance: str
    text: str
    speaker: str
    accent: str
    sex: str | None
    split: str | None
    duration_s: float
    audio: Path
    start: float | None
    end: float | None


@dataclass(frozen=True, kw_only=True)
class DataCard:
    """All facts of a corpus.

    Attributes:
        source: What it was made of; "" where that is not to be told.
        kind: Of which kind the source is, such as `kaldi`.
        named: Whether names are those of the source; else they are pseudonyms, and faults,
            dropped and changes are counts without examples.
        utterances: How many are kept.
        minutes: Of speech.
        speakers: Those with most speech first.
        sexes: How many speakers have each; "" is not known. One of two sexes counts in both.
        accents: Those with most speech first.
        licences: Those with most speech first.
        leakage: The splits, and what they share.
        lengths: Of the utterances; None where there are none.
        text: What is said; None where there are no utterances.
        recordings: How it was recorded.
        left_out: How many utterances and rows are not in the corpus for a reason in `dropped`.
        dropped: Why, those of most first.
        changed: How many utterances are not as the source has them.
        changes: In what, those of most first.
        errors: How many errors stay: none, unless the splits share what they must not.
        warnings: How many warnings stay.
        faults: All that stays, errors first, then those of most.
        notes: What was taken for granted, a sentence each.
        examples: A few utterances to listen to.
        version: Of speechtl.
        format: Of the JSON.
    """

    source: str
    kind: str
    named: bool
    utterances: int
    minutes: float
    speakers: tuple[SpeakerFacts, ...]
    sexes: tuple[tuple[str, int], ...]
    accents: tuple[AccentFacts, ...]
    licences: tuple[LicenceFacts, ...]
    leakage: LeakageReport
    lengths: LengthFacts | None
    text: TextFacts | None
    recordings: RecordingFacts
    left_out: int
    dropped: tuple[FaultGroup, ...]
    changed: int
    changes: tuple[ChangeGroup, ...]
    errors: int
    warnings: int
    faults: tuple[FaultGroup, ...]
    notes: tuple[str, ...]
    examples: tuple[Example, ...]
    version: str = __version__
    format: int = FORMAT

    def to_json(self) -> str:
        """Return all of it but the places of recordings; keys and their order are stable."""
        content: dict[str, Any] = {"format": self.format, "version": self.version}
        for name in self.__dataclass_fields__:
            if name == "leakage":
                content["splits"] = _splits(self.leakage)
            elif name not in content:
                content[name] = _tree(getattr(self, name))
        for example in content["examples"]:
            for place in ("audio", "start", "end"):
                del example[place]
        text = json.dumps(content, ensure_ascii=False, indent=2) + "\n"
        # File names may hold bytes that are no text.
        return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _tree(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_tree(each) for each in value]
    return asdict(value) if hasattr(value, "__dataclass_fields__") else value


def _splits(leakage: LeakageReport) -> dict[str, Any]:
    return {
        "sizes": [
            {
                "split": each.split,
                "utterances": each.utterances,
                "minutes": _minutes(each.seconds),
                "speakers": each.speakers,
                "sexes": each.sexes,
                "accents": each.accents,
            }
            for each in leakage.splits
        ],
        "shared": [
            {
                "first": each.first,
                "second": each.second,
                "utterances": each.utterances,
                "speakers": len(each.speakers),
                "sentences": each.prompts,
                "near_sentences": each.near_prompts,
                "recordings": each.audio if leakage.heard else None,
            }
            for each in leakage.overlaps
        ],
    }


def data_card(
    corpus: Corpus,
    *,
    source: str,
    kind: str,
    audio: Mapping[str, AudioFacts],
    faults: Sequence[Fault],
    dropped: Sequence[Dropped],
    changes: Sequence[Change],
    leakage: LeakageReport,
    notes: Sequence[str],
    named: bool,
) -> DataCard:
    """Return the card of a corpus.

    No recording is decoded; those whose length neither their times nor `audio` tell are opened.

    Args:
        corpus: The utterances that are kept, with their splits.
        source: What it was made of.
        kind: Of which kind the source is.
        audio: What the recordings tell, by the ids of `corpus`. Where it is of what they were
            before silence was cut off, the lengths are those of the corpus all the same.
        faults: All that was found in the source. What was left out, what was mended and what
            concerns the source's own splits is sorted out here.
        dropped: What is not in the corpus.
        changes: What is not as the source has it.
        leakage: Of `corpus`.
        notes: What was taken for granted.
        named: Whether names, ids and places of the source may be told.

    Raises:
        DataError: A recording of unknown length cannot be opened.
    """
    is_cut = any("silence" in each.name for each in changes)
    seconds = _seconds(corpus, audio, is_cut=is_cut)
    staying = list(_staying(faults, dropped, leakage, is_cut=is_cut))
    groups = _groups(staying, lambda each: each.grade, shown=SHOWN if named else 0)
    heard = _Heard.of(corpus, audio)
    return DataCard(
        source=source if named else "",
        kind=kind,
        named=named,
        utterances=len(corpus),
        minutes=_minutes(seconds.sum()),
        speakers=_speakers(corpus, seconds, heard),
        sexes=_sexes(corpus),
        accents=_accents(corpus, seconds),
        licences=_licences(corpus, seconds),
        leakage=leakage,
        lengths=_lengths(seconds) if len(corpus) else None,
        text=_text(corpus, seconds.sum() / 60) if len(corpus) else None,
        recordings=_recordings(heard, cut=sum("silence" in each.name for each in changes)),
        left_out=len({(each.place, each.utterance) for each in dropped}),
        dropped=_groups(dropped, lambda _: "error", shown=SHOWN if named else 0),
        changed=len({each.utterance for each in changes}),
        changes=_change_groups(changes, shown=SHOWN if named else 0),
        errors=sum(each.count for each in groups if each.grade == "error"),
        warnings=sum(each.count for each in groups if each.grade == "warning"),
        faults=groups,
        notes=tuple(each for each in notes if named or each.startswith(_SPOKEN_OF)),
        examples=_examples(corpus, seconds),
    )


def licence_terms(licence: str | None) -> tuple[str, ...]:
    """Return what a licence's name forbids or demands (NC, SA, ND, research), in words."""
    return tuple(words for words, pattern in _TERMS.items() if pattern.search(licence or ""))


# --- how much of what -----------------------------------------------------------------------------


def _minutes(seconds: float) -> float:
    return round(float(seconds) / 60, 4)


def _seconds(corpus: Corpus, audio: Mapping[str, AudioFacts], *, is_cut: bool) -> _Floats:
    """Return the length of each utterance in seconds, `(utterances,)`."""

    def length(each: Utterance) -> float:
        if each.end is not None:
            return each.end - (each.start or 0.0)
        facts = audio.get(each.id)
        # What was cut off and then copied is shorter than what was measured.
        return (
            facts.duration_s if isinstance(facts, UtteranceAudio) and not is_cut else each.duration
        )

    return np.fromiter(map(length, corpus), float, count=len(corpus))


def _numbered(values: Iterable[str], count: int) -> tuple[list[str], _Integers]:
    """Return the different values in their order, and the place of each one among them."""
    places: dict[str, int] = {}
    numbers = (places.setdefault(value, len(places)) for value in values)
    found = np.fromiter(numbers, np.int64, count=count)
    return list(places), found


class _Heard(NamedTuple):
    """What was measured, `(utterances,)` each but for `facts`, which has those alone that were.

    What was not measured, or has no value, is not a number.
    """

    facts: list[UtteranceAudio]
    level: _Floats
    snr: _Floats

    @classmethod
    def of(cls, corpus: Corpus, audio: Mapping[str, AudioFacts]) -> _Heard:
        found = [audio.get(each.id) for each in corpus]
        known = [each if isinstance(each, UtteranceAudio) else None for each in found]

        def values(value: Callable[[UtteranceAudio], float | None]) -> _Floats:
            each_value = (None if each is None else value(each) for each in known)
            return np.array([math.nan if each is None else each for each in each_value], float)

        return cls(
            facts=[each for each in known if each is not None],
            level=values(lambda each: each.speech_db),
            snr=values(lambda each: each.snr_db),
        )


def _speakers(corpus: Corpus, seconds: _Floats, heard: _Heard) -> tuple[SpeakerFacts, ...]:
    names, numbers = _numbered((each.speaker for each in corpus), len(corpus))
    utterances = np.bincount(numbers, minlength=len(names)).tolist()
    lengths = np.bincount(numbers, weights=seconds, minlength=len(names)).tolist()
    levels = _medians(numbers, heard.level, len(names))
    ratios = _medians(numbers, heard.snr, len(names))
    accents: dict[str, set[str]] = defaultdict(set)
    sexes: dict[str, set[str]] = defaultdict(set)
    splits: dict[str, set[str]] = defaultdict(set)
    for name, accent, sex, split in {(e.speaker, e.accent, e.sex, e.split) for e in corpus}:
        accents[name].add(accent)
        sexes[name].update([sex] if sex else [])
        splits[name].update([split] if split else [])
    found = [
        SpeakerFacts(
            speaker=name,
            accents=tuple(sorted(accents[name])),
            sexes=tuple(sorted(sexes[name])),
            splits=tuple(each for each in SPLITS if each in splits[name]),
            utterances=utterances[number],
            minutes=_minutes(lengths[number]),
            snr_db=ratios[number],
            level_dbfs=levels[number],
        )
        for number, name in enumerate(names)
    ]
    return tuple(sorted(found, key=lambda each: (-each.minutes, each.speaker)))


def _medians(groups: _Integers, values: _Floats, count: int) -> list[float | None]:
    """Return the median of each group's values that are numbers; None where it has none."""
    known = np.isfinite(values)
    groups, values = groups[known], values[known]
    values = values[np.lexsort((values, groups))]
    sizes = np.bincount(groups, minlength=count)
    first = np.cumsum(sizes) - sizes
    found: list[float | None] = []
    for start, size in zip(first.tolist(), sizes.tolist(), strict=True):
        if not size:
            found.append(None)
            continue
        middle = values[start + (size - 1) // 2] + values[start + size // 2]
        found.append(round(float(middle) / 2, 1))
    return found


def _sexes(corpus: Corpus) -> tuple[tuple[str, int], ...]:
    counts = Counter(sex for _, sex in {(each.speaker, each.sex or "") for each in corpus})
    return tuple(sorted(counts.items()))


def _accents(corpus: Corpus, seconds: _Floats) -> tuple[AccentFacts, ...]:
    speakers = Counter(accent for _, accent in {(each.speaker, each.accent) for each in corpus})
    utterances: Counter[str] = Counter(each.accent for each in corpus)
    pairs = _sums(((each.accent, each.split or "") for each in corpus), seconds)
    found = []
    for accent, count in utterances.items():
        by_split = [(name, pairs[accent, name]) for name in SPLITS if (accent, name) in pairs]
        total = math.fsum([*(each for _, each in by_split), pairs.get((accent, ""), 0.0)])
        found.append(
            AccentFacts(
                accent=accent,
                utterances=count,
                minutes=_minutes(total),
                speakers=speakers[accent],
                minutes_by_split=tuple((name, _minutes(each)) for name, each in by_split),
            )
        )
    return tuple(sorted(found, key=lambda each: (-each.minutes, each.accent)))


def _licences(corpus: Corpus, seconds: _Floats) -> tuple[LicenceFacts, ...]:
    counts = Counter(each.licence for each in corpus)
    sums = _sums((each.licence for each in corpus), seconds)
    found = [
        LicenceFacts(
            licence=licence,
            utterances=count,
            minutes=_minutes(sums[licence]),
            terms=licence_terms(licence),
        )
        for licence, count in counts.items()
    ]
    return tuple(sorted(found, key=lambda each: (-each.minutes, each.licence or "")))


def _sums(keys: Iterable[_Key], values: _Floats) -> dict[_Key, float]:
    found: dict[_Key, float] = defaultdict(float)
    for key, value in zip(keys, values.tolist(), strict=True):
        found[key] += value
    return found


def _lengths(seconds: _Floats) -> LengthFacts:
    quantiles, histogram = _quantiles(seconds, digits=2), _histogram(seconds)
    if quantiles is None or histogram is None:
        raise ValueError("an empty corpus has no lengths")
    return LengthFacts(
        quantiles_s=quantiles,
        mean_s=round(float(seconds.mean()), 2),
        over_30_s=int((seconds > LONG_S).sum()),
        histogram=histogram,
    )


def _quantiles(values: _Floats, *, digits: int) -> Quantiles | None:
    """Return the quantiles of the values that are numbers; None where there are none."""
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    found = np.quantile(values, (0, 0.05, 0.5, 0.95, 1)).tolist()
    least, low, median, high, most = (round(each, digits) for each in found)
    return Quantiles(least=least, low=low, median=median, high=high, most=most)


def _histogram(values: _Floats) -> Histogram | None:
    """Return about 24 counts; what lies far from most values is counted at the ends."""
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    least, low, high, most = np.quantile(values, (0, 0.005, 0.995, 1)).tolist()
    span = high - low
    low = least if low - least <= span / 2 else low
    high = most if most - high <= span / 2 else high
    wanted = max((high - low) / _BARS, 0.1)
    scale = 10.0 ** math.floor(math.log10(wanted))
    width = next(step * scale for step in _STEPS if round(wanted / scale, 9) <= step)
    first = math.floor(round(low / width, 9))
    last = max(math.ceil(round(high / width, 9)), first + 1)
    # Rounded, since 0.3 / 0.1 is a little less than 3 in binary.
    places = np.floor(np.round(values / width, 9)).astype(np.int64) - first
    counts = np.bincount(np.clip(places, 0, last - first - 1), minlength=last - first)
    edges = tuple(round(each * width, 6) for each in range(first, last + 1))
    return Histogram(
        edges=edges,
        counts=tuple(counts.tolist()),
        open_low=least < edges[0],
        open_high=most > edges[-1],
    )


# --- what is said ---------------------------------------------------------------------------------


def _text(corpus: Corpus, minutes: float) -> TextFacts:
    texts = [each.text for each in corpus]
    said = [_said(text) for text in texts]
    words = _words(said)
    times = Counter(filter(None, said))
    shared = _shared(corpus, said)
    lower = sum(map(str.islower, texts))
    upper = sum(map(str.isupper, texts))
    mixed = sum(not text.islower() and text.lower() != text.upper() for text in texts) - upper
    longest = max(range(len(texts)), key=lambda place: len(texts[place]))
    return TextFacts(
        words=words.total(),
        different_words=len(words),
        single_words=sum(count == 1 for count in words.values()),
        words_per_minute=round(words.total() / minutes, 1) if minutes > 0 else 0.0,
        frequent_words=tuple(_most(words, 10)),
        sentences=len(times),
        shared_sentences=len(shared),
        shared_utterances=sum(times[each] for each in shared),
        most_repeated=_most_repeated(corpus, said, times),
        lower=lower,
        upper=upper,
        mixed=mixed,
        characters=_characters(corpus),
        longest=Transcript(
            utterance=corpus[longest].id,
            characters=len(texts[longest]),
            words=len(said[longest].split()),
            text=texts[longest],
        ),
    )


def _said(text: str) -> str:
    """Return a text in its `plain` form; most need no more than this."""
    if text.isascii():
        simple = text.lower().replace(", ", " ").rstrip(" .?!")
        if _PLAIN_ALREADY.fullmatch(simple):
            return " ".join(simple.split())
    return _plain(text)


def _words(said: Sequence[str]) -> Counter[str]:
    words: Counter[str] = Counter()
    for first in range(0, len(said), _CHUNK):
        words.update(" ".join(said[first : first + _CHUNK]).split())
    return words


def _most(counts: Counter[str], most: int) -> list[tuple[str, int]]:
    """Return the largest counts; of equal ones, those first by name."""
    return heapq.nsmallest(most, counts.items(), key=lambda item: (-item[1], item[0]))


def _shared(corpus: Corpus, said: Sequence[str]) -> set[str]:
    """Return the sentences that several speakers say."""
    first: dict[str, str] = {}
    shared = set()
    for each, sentence in zip(corpus, said, strict=True):
        if sentence and first.setdefault(sentence, each.speaker) != each.speaker:
            shared.add(sentence)
    return shared


def _most_repeated(
    corpus: Corpus, said: Sequence[str], times: Counter[str]
) -> tuple[Repeated, ...]:
    speakers: dict[str, set[str]] = {
        sentence: set() for sentence, count in _most(times, SHOWN) if count > 1
    }
    for each, sentence in zip(corpus, said, strict=True):
        if sentence in speakers:
            speakers[sentence].add(each.speaker)
    return tuple(
        Repeated(sentence=sentence, utterances=times[sentence], speakers=len(names))
        for sentence, names in speakers.items()
    )


def _characters(corpus: Corpus) -> tuple[Character, ...]:
    texts = [each.text for each in corpus]
    counts: Counter[int] = Counter()
    for first in range(0, len(texts), _CHUNK):
        joined = "".join(texts[first : first + _CHUNK]).encode("utf-32-le", "surrogatepass")
        codes, times = np.unique(np.frombuffer(joined, "<u4"), return_counts=True)
        counts.update(dict(zip(codes.tolist(), times.tolist(), strict=True)))
    holders: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for each in corpus:
        if _UNUSUAL.search(each.text):
            for character in set(_UNUSUAL.findall(each.text)):
                holders[character] += 1
                examples.setdefault(character, each.id)
    found = []
    for code, count in counts.items():
        character = chr(code)
        usual = USUAL.fullmatch(character) is not None
        found.append(
            Character(
                character=character,
                code=f"U+{code:04X}",
                name=unicodedata.name(character, _nameless(character)),
                count=count,
                usual=usual,
                utterances=None if usual else holders[character],
                example=None if usual else examples[character],
            )
        )
    return tuple(sorted(found, key=lambda each: (-each.count, each.character)))


def _nameless(character: str) -> str:
    is_control = unicodedata.category(character) == "Cc"
    return "a control character" if is_control else "a character without a name"


# --- how it was recorded --------------------------------------------------------------------------


def _recordings(heard: _Heard, *, cut: int) -> RecordingFacts:
    facts = heard.facts
    before = np.array([each.leading_silence_s for each in facts], float)
    behind = np.array([each.trailing_silence_s for each in facts], float)
    return RecordingFacts(
        heard=len(facts),
        sample_rates_hz=_tally(each.sample_rate for each in facts),
        containers=_tally(each.container for each in facts),
        channels=_tally(each.channels for each in facts),
        level_dbfs=_quantiles(heard.level, digits=1),
        quiet=int((heard.level < QUIET_DB).sum()),
        clipped=sum(each.clipped_share > CLIPPED_SHARE for each in facts),
        snr_db=_quantiles(heard.snr, digits=1),
        snr_histogram=_histogram(heard.snr),
        snr_unknown=len(facts) - int(np.isfinite(heard.snr).sum()),
        noisy=int((heard.snr < NOISY_DB).sum()),
        narrow=sum(each.bandwidth_hz < NARROW_HZ for each in facts),
        pause_before_s=_quantiles(before, digits=2),
        pause_behind_s=_quantiles(behind, digits=2),
        long_pauses=int((np.maximum(before, behind) > PAUSE_S).sum()),
        cut=cut,
    )


_Counted = TypeVar("_Counted", int, str)


def _tally(values: Iterable[_Counted]) -> tuple[tuple[_Counted, int], ...]:
    return tuple(sorted(Counter(values).items(), key=lambda item: (-item[1], item[0])))


# --- what is wrong, what was left out and what was changed ----------------------------------------


def _staying(
    faults: Iterable[Fault], dropped: Sequence[Dropped], leakage: LeakageReport, *, is_cut: bool
) -> Iterator[Fault]:
    """Yield what was neither left out nor mended, and what is wrong with the splits as they are."""
    # Of two utterances with one id the second is left out; what is told of the first stays.
    gone = {each.utterance for each in dropped if each.kind != "id-repeated"} - {None}
    told = {(each.place, each.kind, each.message) for each in dropped}
    for fault in faults:
        if fault.kind in OF_SPLITS or (is_cut and fault.kind == "audio-pauses"):
            continue
        if fault.utterance not in gone and (fault.place, fault.kind, fault.message) not in told:
            yield fault
    yield from leakage.faults()


_Found = TypeVar("_Found", Fault, Dropped)


def _groups(
    found: Iterable[_Found], grade: Callable[[_Found], str], *, shown: int
) -> tuple[FaultGroup, ...]:
    counts: Counter[str] = Counter()
    examples: dict[str, list[Finding]] = defaultdict(list)
    grades: dict[str, str] = {}
    for each in found:
        counts[each.kind] += 1
        grades[each.kind] = grade(each)
        if counts[each.kind] <= shown:
            examples[each.kind].append(
                Finding(utterance=each.utterance, place=each.place, message=each.message)
            )
    groups = []
    for kind, count in counts.items():
        known = KINDS.get(kind)
        groups.append(
            FaultGroup(
                kind=kind,
                grade=grades[kind],
                meaning=_SPLIT_MEANING if known is None else known.meaning,
                remedy="" if known is None else known.remedy,
                count=count,
                examples=tuple(examples[kind]),
            )
        )
    return tuple(sorted(groups, key=lambda each: (each.grade, -each.count, each.kind)))


def _change_groups(changes: Sequence[Change], *, shown: int) -> tuple[ChangeGroup, ...]:
    """Return the changes of each name; its first examples are those of the fewest other changes."""
    # Few combinations of names stand for many changes.
    times = Counter(each.name for each in changes)
    firsts: dict[str, list[Change]] = {name: [] for name in times}
    for each in changes:
        if len(kept := firsts[each.name]) < shown:
            kept.append(each)
    counts: Counter[str] = Counter()
    for joined, count in times.items():
        counts.update(dict.fromkeys(joined.split("+"), count))
    by_length = sorted(firsts, key=lambda joined: joined.count("+"))
    return tuple(
        ChangeGroup(
            name=name,
            meaning=_CHANGES.get(name, name),
            count=count,
            examples=tuple(
                islice(
                    chain.from_iterable(
                        firsts[joined] for joined in by_length if name in joined.split("+")
                    ),
                    shown,
                )
            ),
        )
        for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    )


# --- what is listened to --------------------------------------------------------------------------


def _examples(corpus: Corpus, seconds: _Floats) -> tuple[Example, ...]:
    """Return a few utterances of middling length, of as many speakers as can be.

    In turn the one whose speaker, then accent, then split, then sex was taken least; the first of
    several in the order of the corpus.
    """
    places = _candidates(corpus, seconds)
    taken: Counter[tuple[str, str | None]] = Counter()
    chosen = []
    for _ in range(min(EXAMPLES, len(places))):
        place = min(places, key=lambda place: (_rank(corpus[place], taken), place))
        places.remove(place)
        chosen.append(place)
        taken.update(_traits(corpus[place]))
    return tuple(_example(corpus[place], float(seconds[place])) for place in chosen)


def _traits(each: Utterance) -> tuple[tuple[str, str | None], ...]:
    return (
        ("speaker", each.speaker),
        ("accent", each.accent),
        ("split", each.split),
        ("sex", each.sex),
    )


def _rank(each: Utterance, taken: Counter[tuple[str, str | None]]) -> tuple[int, ...]:
    return tuple(taken[trait] for trait in _traits(each))


def _candidates(corpus: Corpus, seconds: _Floats) -> list[int]:
    """Return the places of the utterances nearest the median length, of each speaker's each split.

    One of each; of few speakers, several. Of an accent, split and sex no more than are chosen.
    """
    if not len(corpus):
        return []
    names = (f"{each.speaker}\0{each.accent}\0{each.split}" for each in corpus)
    cells, numbers = _numbered(names, len(corpus))
    distance = np.abs(seconds - np.median(seconds)) + 1e6 * (seconds > LONGEST_EXAMPLE_S)
    order = np.lexsort((distance, numbers))
    sizes = np.bincount(numbers)
    first = np.repeat(np.cumsum(sizes) - sizes, sizes)
    rank = np.arange(len(order)) - first
    met: Counter[tuple[str, str | None, str | None]] = Counter()
    kept = []
    for place in sorted(order[rank < (1 if len(cells) >= EXAMPLES else EXAMPLES)].tolist()):
        alike = corpus[place].accent, corpus[place].split, corpus[place].sex
        met[alike] += 1
        if met[alike] <= EXAMPLES**2:
            kept.append(place)
    return kept


def _example(each: Utterance, duration_s: float) -> Example:
    return Example(
        utterance=each.id,
        text=each.text,
        speaker=each.speaker,
        accent=each.accent,
        sex=each.sex,
        split=each.split,
        duration_s=round(duration_s, 2),
        audio=each.audio,
        start=each.start,
        end=each.end,
    )
